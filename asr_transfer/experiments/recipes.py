"""Lists the recipes: what each asks, the settings that it comes with, the commands of its page, and what they need.

A recipe is a script `recipes/FOLDER/NAME.py`. Its page `README.md` holds its commands, and its settings lie in
`hparams`, each below a sentence that says what it is; nothing else has to be written for the list.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any

import yaml

from asr_transfer.errors import DataError
from asr_transfer.textfiles import read_text
from data_prep import registry

INSTALLED = Path("share/asr-transfer/recipes")
"""Folder below the environment that the package's installation puts the recipes into."""

CORPORA = ("corpus", "corpora", "learn_from", "beside", "sources", "targets")
"""Settings and options that name corpora."""

_BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
_RECIPES = re.compile(r"(?<!\S)recipes/")
_RUN = re.compile(r"\bruns/[^\s,\]\[]+")


@dataclass(frozen=True)
class Listed:
    """A command on a recipe's page.

    Attributes:
        command: The command, without the environment's folder.
        what: First sentence of its last settings, empty where it has none.
        corpora: Names of the known corpora that it reads.
        any_corpora: Whether it takes all corpora of several languages that are there.
        folders: Your own folders of manifests and earlier commands' run folders that it reads.
    """

    command: str
    what: str
    corpora: tuple[str, ...]
    any_corpora: bool
    folders: tuple[str, ...]

    @property
    def needs(self) -> str:
        """Return in words what must be there before."""
        wanted = [*self.corpora, *self.folders]
        if self.any_corpora:
            wanted.insert(0, "all corpora of several languages that are there")
        return ", ".join(wanted) or "nothing"


def find_recipes() -> Path:
    """Return the folder of the recipes: `recipes` in the current folder, or what came with the installed package."""
    here = Path("recipes")
    if _scripts(here):
        return here
    for file in metadata.files("asr-transfer") or ():
        if file.parts[-5:-2] == INSTALLED.parts:
            return Path(file.locate()).resolve().parents[1]
    return here


def _scripts(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.py"))


def listing(folder: Path, speech: Path | None = None) -> str:
    """Return all recipes with their commands and needs, and below them how to get every corpus that they name.

    Args:
        folder: Folder of the recipes.
        speech: Folder of corpora as they were distributed, where there is one.

    Raises:
        DataError: There are no recipes, or a file of settings is damaged.
    """
    scripts = _scripts(folder)
    if not scripts:
        raise DataError(f"{folder}: holds no recipe FOLDER/NAME.py; run this in the repository, or give its `recipes`.")
    lines: list[str] = []
    named: dict[str, None] = {}
    unused = {file for script in scripts for file in (script.parent / "hparams").glob("*.yaml")}
    for script in scripts:
        lines += [f"{script.parent.name}/{script.name}: {_summary(script)}"]
        for listed in commands(script):
            lines += [f"  {listed.what or 'without settings of its own'}", f"    needs: {listed.needs}"]
            lines += [f"    {_RECIPES.sub(f'{folder}/', listed.command)}"]
            unused = {
                file for file in unused if f"/{file.parent.parent.name}/hparams/{file.name}" not in listed.command
            }
            named |= dict.fromkeys(listed.corpora)
            if listed.any_corpora:
                named |= dict.fromkeys([*registry.used_as("source"), *registry.used_as("target")])
        lines += [""]
    if unused:
        lines += ["Settings for other commands:"]
        lines += [f"  {file.parent.parent.name}/{_first_sentence(file)}" for file in sorted(unused)] + [""]
    lines += ["Corpora that these name:"]
    lines += [f"  {name}: {_where(name, speech)}" for name in sorted(named)]
    return "\n".join(lines)


def commands(script: Path) -> Iterator[Listed]:
    """Yield the commands of a recipe's page that run a script of it.

    Raises:
        DataError: A file of settings is damaged or is not there.
    """
    page = script.parent / "README.md"
    blocks = _BLOCK.findall(read_text(page)) if page.is_file() else []
    for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
        command = line.split("  #")[0].strip().removeprefix(".venv/bin/")
        if f"recipes/{script.parent.name}/{script.name} " in command:
            yield _listed(command, script)


def _listed(command: str, script: Path) -> Listed:
    words = shlex.split(command)
    options = [(word.removeprefix("--"), value) for word, value in pairwise(words)]
    files = [script.parent / "hparams" / Path(value).name for name, value in options if name == "config"]
    settings: dict[str, Any] = {}
    for file in files:
        settings |= _settings(file)
    settings |= {name: value for name, value in options if name in CORPORA}
    given = [name for key in CORPORA for name in _names(settings.get(key, ()))]
    found = {name: registry.lookup(name) for name in given}
    known = [name for name, corpus in found.items() if corpus is not None and corpus.corpus.from_disk]
    own = [name for name, corpus in found.items() if corpus is None and not name.startswith("runs/")]
    many = not given and any(name == "speech" for name, _ in options)
    read = [run for name, value in options if name != "out" for run in _RUN.findall(value)]
    return Listed(
        command, _first_sentence(files[-1]) if files else "", tuple(known), many, tuple(dict.fromkeys([*own, *read]))
    )


def _names(value: object) -> Iterable[str]:
    if isinstance(value, str):
        return [name for name in re.split(r"[\[\],\s]+", value) if name]
    return [str(name) for name in value] if isinstance(value, list | tuple) else ()


def _settings(file: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(read_text(file))
    except (OSError, yaml.YAMLError) as error:
        raise DataError(f"{file}: cannot be read as settings ({type(error).__name__}); restore the file.") from None
    return found if isinstance(found, dict) else {}


def _first_sentence(file: Path) -> str:
    lines = takewhile(lambda line: line.startswith("#"), read_text(file).splitlines())
    return f"{file.stem}: {' '.join(line.lstrip('# ') for line in lines).partition('. ')[0].rstrip('.')}."


def _summary(script: Path) -> str:
    text = ast.get_docstring(ast.parse(read_text(script))) or ""
    return " ".join(text.partition("\n\n")[0].split())


def _where(name: str, speech: Path | None) -> str:
    """Return where a corpus is, or how to get it."""
    corpus = registry.find(name)
    found = corpus.find(speech)
    return f"is in {found}" if found is not None else corpus.how_to_get(speech)
