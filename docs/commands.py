"""Reads commands that pages print: what made a record, and the settings that such a command has today."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import asr_transfer.cli as command_line
from asr_transfer.commands.evaluate import EvaluateCommand
from asr_transfer.commands.train import TrainCommand
from asr_transfer.config import to_record
from asr_transfer.errors import ConfigError
from asr_transfer.parsing import instantiated, spell_out_flags
from asr_transfer.runs.resuming import plain
from docs import records

HOW = ("resume", "overwrite", "workers", "backend", "out", "corpora")
"""Options that say only how to go about a run, and where its folder and the manifests it prepares are."""
_KINDS: Mapping[str, type[Any]] = {"evaluate": EvaluateCommand, "train": TrainCommand}
"""Settings of the commands whose runs can be tables' records."""
NEWER: dict[str, Any] = {"about": None, "noise": 0.0, "protocol.transductive": False}
"""Settings that records may be older than, by their dotted names, with the value under which all is as it was."""


def printed(values: Mapping[str, Any]) -> str:
    """Return a record's command as a reader types it, as if the run had never been stopped or run before."""
    name = shlex.split(values["command"])[0]
    text = re.sub(r" --(resume|overwrite)( true)?(?= |$)", "", values["command"]).removeprefix(name)
    if name in ("cli.py", "asr-transfer"):
        return f"asr-transfer{text}"
    return f"python {_script(name, values['config']).relative_to(records.ROOT).as_posix()}{text}"


def _script(name: str, config: Mapping[str, Any]) -> Path:
    """Return the recipe of a script's name, else the benchmark; of several, the one that has most of the settings.

    Raises:
        ConfigError: there is none.
    """
    found = sorted(records.ROOT.glob(f"recipes/*/{name}")) or sorted(records.ROOT.glob(f"benchmarks/{name}"))
    if not found:
        raise ConfigError(f"{name}: there is no such recipe.")
    if len(found) == 1:
        return found[0]
    return max(found, key=lambda path: len({field.name for field in fields(_loaded(path).Recipe)} & config.keys()))


def on_page(text: str) -> list[str]:
    """Return the commands in a page's shell blocks, continuation lines joined, without the environment's folder."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    found = (line.split("  #")[0].strip() for line in lines if line.strip() and not line.startswith("#"))
    return [line.removeprefix(".venv/bin/") for line in found]


def option(command: str, name: str) -> str | None:
    """Return the value of an option in a command, None where it is not given."""
    words = shlex.split(command)
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == f"--{name}":
            return following
        if word.startswith(f"--{name}="):
            return word.partition("=")[2]
    return None


def makes_runs(command: str) -> bool:
    """Return whether a command is one whose run could be a table's record."""
    words = shlex.split(command)
    return (words[0] == "asr-transfer" and words[1] in _KINDS) or (
        words[0] == "python" and words[1].startswith("recipes/")
    )


@cache
def settings_of(command: str) -> dict[str, Any]:
    """Return the settings that a printed command has today, by dotted names, as a record takes them.

    Raises:
        ConfigError: today's parser refuses it; the message says why.
    """
    words, seen, said = shlex.split(command), list[Any](), io.StringIO()
    with _at(records.ROOT), contextlib.redirect_stderr(said):
        if words[0] == "asr-transfer":
            parser, parts = command_line.build_parser()
            parsed = instantiated(parser, parser.parse_args(spell_out_flags(words[1:], parts)))[words[1]]
            values = {name: value for name, value in vars(parsed).items() if name != "config"}
            seen.append(_KINDS[words[1]](**values))
        else:
            recipe = _loaded(records.ROOT / words[1])
            recipe.script(recipe.Recipe, seen.append, words[2:])
    if not seen:
        raise ConfigError(said.getvalue().strip() or "it is refused")
    return leaves(plain(to_record(seen[0])))


def differences(settings: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, str]:
    """Return what differs between a command's settings today and those of a record, in words by dotted name.

    A precision that was left to `auto` may stand in the record as what was taken.
    """
    old = leaves(record["config"])
    found = {}
    for name in sorted(settings.keys() | old.keys()):
        if name.split(".")[0] in HOW:
            continue
        if _idle(name, record):
            continue
        now, then = settings.get(name, ...), old.get(name, ...)
        if now == then or _listed(now) == _listed(then) or (name.endswith("precision") and now == "auto"):
            continue
        if then is ... and name in NEWER and NEWER[name] == now:
            continue
        told = ["not known" if value is ... else repr(value) for value in (then, now)]
        found[name] = f"{told[0]} in the record, {told[1]} today"
    return found


def _idle(name: str, record: Mapping[str, Any]) -> bool:
    """Return whether a setting is of a method that the run did not have: of `auto`'s choice, or of pseudo-labels."""
    methods = record["config"].get("methods")
    if not isinstance(methods, list) or shlex.split(record["command"])[0] != "run.py":
        return False
    names = "+".join(str(one.get("name")) for one in methods if isinstance(one, Mapping))
    needed = {"choice": "auto", "adapt.settings.labels": "pseudo-label"}
    return any((name == own or name.startswith(f"{own}.")) and method not in names for own, method in needed.items())


def leaves(values: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested settings by dotted names; lists stay whole."""
    if not isinstance(values, Mapping) or (prefix and not values):
        return {prefix: values}
    found: dict[str, Any] = {}
    for key, value in values.items():
        found.update(leaves(value, f"{prefix}.{key}" if prefix else str(key)))
    return found


def _listed(value: Any) -> Any:
    """Return a list of settings without those that are empty, as `amounts: []` of a method that has no choice."""
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return [{key: item for key, item in own.items() if item != []} for own in value]
    return value


@contextlib.contextmanager
def _at(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@cache
def _loaded(path: Path) -> ModuleType:
    """Import a recipe by its path."""
    spec = importlib.util.spec_from_file_location(f"recipe_{path.parent.name}_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ConfigError(f"{path.name}: there is no such recipe.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
