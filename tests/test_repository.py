"""The repository itself: recipes parse, tables come from records, nobody imports recipes."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import jsonargparse
import pytest
import yaml

from asr_transfer.cli import build_parser, main
from asr_transfer.parsing import spell_out_flags
from docs.records import PAGES, page_name
from tests.models.pretrained.whole_whisper import write_whisper
from tests.real_runs import ROOT, load
from tests.tones import make_speaker

SETTINGS = sorted(
    path
    for path in (ROOT / "recipes" / "speaker_adaptation" / "hparams").glob("*.yaml")
    if not path.stem.startswith(("forgetting", "calibration"))
)
"""Those of the other recipes, and of those about forgetting and calibration, have tests beside their own."""
RECIPES = [path for path in SETTINGS if "corpus:" in path.read_text(encoding="utf-8")]
CHANGES = [
    path
    for path in SETTINGS
    if path not in RECIPES and re.search("^(methods|source):", path.read_text(encoding="utf-8"), re.MULTILINE)
]
TRAININGS = [path for path in SETTINGS if path not in RECIPES + CHANGES]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: f"{p.parent.parent.name}/{p.stem}")
def test_recipe_settings_parse_and_hold_no_code(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert isinstance(yaml.safe_load(text), dict) and "!" not in re.sub(r"#.*", "", text)
    recipe = load(path.parent.parent / "run.py")
    seen: list[object] = []
    assert recipe.script(recipe.Recipe, seen.append, ["--config", str(path), "--out", str(tmp_path / "x")]) == 0
    assert seen[0].corpus in path.stem.split("_") and seen[0].methods  # type: ignore[attr-defined]
    assert recipe.script(recipe.Recipe, seen.append, ["--config", str(path), "--out", "x", "--protocl.draws", "1"]) == 2


@pytest.mark.parametrize("path", CHANGES, ids=lambda p: p.stem)
def test_changes_to_a_recipe_are_read_over_it(path: Path) -> None:
    recipe = load(path.parent.parent / "run.py")
    parts = path.stem.split("_")
    bases = (path.with_name(f"{'_'.join(parts[:count])}.yaml") for count in range(1, len(parts)))
    base = next(one for one in bases if one in RECIPES)
    seen: list[Any] = []
    for files in ([base], [base, path]):
        given = [word for file in files for word in ("--config", str(file))]
        assert recipe.script(recipe.Recipe, seen.append, [*given, "--out", "x"]) == 0
    changed = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert list(seen[1].protocol.amounts) == changed.get("protocol", {}).get("amounts", list(seen[0].protocol.amounts))
    assert (seen[1].protocol != seen[0].protocol) == ("protocol" in changed)
    assert (seen[1].source != seen[0].source) == ("source" in changed)
    own = changed.get("methods", [{"name": grid.name} for grid in seen[0].methods])
    assert [grid.name for grid in seen[1].methods] == [grid["name"] for grid in own]
    assert seen[1].protocol.draws == changed.get("protocol", {}).get("draws", seen[0].protocol.draws)


@pytest.mark.parametrize("path", TRAININGS, ids=lambda p: p.stem)
def test_training_settings_parse(path: Path) -> None:
    parser, _ = build_parser()
    parsed = parser.parse_args(["train", "--train", "x.jsonl", "--out", "y", "--config", str(path)])
    assert parsed.train.trainer.steps == yaml.safe_load(path.read_text(encoding="utf-8"))["trainer"]["steps"]


def test_a_recipe_runs_on_a_corpus_in_its_own_layout(
    tmp_path: Path, feature_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """FSDD's layout, filled with tones: prepare, source models, trials and table, from one command."""
    for number, name in enumerate(("ann", "bob", "cid")):
        for index, utterance in enumerate(make_speaker(tmp_path / "raw", name, 0.95 + 0.05 * number, 20, number + 1)):
            target = tmp_path / "fsdd" / "recordings" / f"{index % 10}_{name}_{index // 10}.wav"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(utterance.audio, target)
    recipe = load(ROOT / "recipes" / "speaker_adaptation" / "run.py")
    arguments = shlex.split(
        f"""--config {ROOT}/recipes/speaker_adaptation/hparams/fsdd.yaml --root {tmp_path}/fsdd --out {tmp_path}/out
        --workers 1 --source.model.encoder tdnn --source.model.dim 16 --source.model.layers 2 --source.trainer.steps 4
        --source.speeds [1.0] --adapt.steps 2 --protocol.amounts [3,6] --protocol.draws 2 --methods '[
        {{"name": "full", "learning_rates": [0.001]}}, {{"name": "kld+first-layers", "learning_rates": [0.1]}}]'"""
    )
    assert recipe.script(recipe.Recipe, recipe.run, arguments) == 0
    printed = capsys.readouterr().out
    assert "Speaker adaptation on fsdd" in printed and "kld+first-layers" in printed
    table = (tmp_path / "out" / "table.md").read_text(encoding="utf-8")
    assert len(table.splitlines()) == 2 + 1 + 2 * 2
    assert recipe.script(recipe.Recipe, recipe.run, arguments) == 1
    assert "already holds a run" in capsys.readouterr().err


@pytest.mark.slow
def test_the_recipe_runs_on_real_digits(digits_run: Path) -> None:
    """Two speakers' worth of steps on the real corpus: the path from real recordings to the table."""
    table = (digits_run / "table.md").read_text(encoding="utf-8")
    assert len(table.splitlines()) == 2 + 2
    assert sorted(path.name for path in (digits_run / "systems").iterdir()) == ["full-10", "none-0"]


def commands(text: str) -> list[str]:
    """Return the commands in a page's shell blocks, continuation lines joined."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.strip() and not line.startswith("#")]


def accept(words: list[str]) -> None:
    """Parse the options of a benchmark as it does itself, and refuse those that it does not know."""
    jsonargparse.auto_parser(load(ROOT / words[0]).main, as_positional=False).parse_args(words[1:])


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_command_of_a_page_is_known_and_accepted(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is a shell's own is left to the shell; make targets exist; our commands and recipes parse."""
    parser, parts = build_parser()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    (tmp_path / "tuned.yaml").write_text("{}")  # what `tune` wrote
    checked = 0
    for command in commands(page.read_text(encoding="utf-8")):
        words = shlex.split(command)
        if words[0] == "make":
            assert subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True).returncode == 0, command
        elif words[0].endswith("asr-transfer"):
            parser.parse_args(spell_out_flags(words[1:], parts))
        elif words[0].endswith("python") and words[1].startswith("recipes/"):
            recipe = load(ROOT / words[1])
            assert recipe.script(recipe.Recipe, lambda settings: None, words[2:]) == 0, command
        elif words[0].endswith("python") and words[1].startswith("benchmarks/"):
            accept(words[1:])
        elif words[0].endswith("python"):
            assert (ROOT / words[1]).is_file(), command
        else:
            raise AssertionError(f"the page's command is not checked: {command}")
        checked += 1
    assert checked or "```sh" not in page.read_text(encoding="utf-8")


def test_the_readmes_three_commands_adapt_a_fetched_model_to_ones_own_voice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    section = README.split("## Adapt to your own voice")[1].split("\n## ")[0]
    own = commands(section.split("```\n")[0] + "```\n")
    assert len(own) == 3 and "fetch whisper-tiny" in own[0]
    for utterance in make_speaker(tmp_path / "raw", "me", 1.1, 4, seed=5):
        target = tmp_path / "my_recordings" / Path(utterance.audio).name
        target.parent.mkdir(exist_ok=True)
        shutil.move(utterance.audio, target)
        target.with_suffix(".txt").write_text(utterance.text, encoding="utf-8")
    shutil.copy(next((tmp_path / "my_recordings").glob("*.wav")), tmp_path / "new.wav")
    fetched = tmp_path / "data" / "models" / "whisper-tiny"
    write_whisper(fetched, 3)
    (fetched / "fetched.json").write_text('{"licence": "MIT"}', encoding="utf-8")
    monkeypatch.setenv("ASR_TRANSFER_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    # A model of random weights writes without end, so that all that `auto` tries would take minutes.
    fewer = ["--choice.token_by_token", "[lhuc]", "--choice.folds", "2", "--steps", "1", "--precision", "fp32"]
    for line in own:
        words = shlex.split(line)[1:]
        assert main(words + fewer * (words[0] == "adapt")) == 0, line
    assert "new.wav\t" in capsys.readouterr().out
    assert "Base model: whisper-tiny" in (tmp_path / "my_voice" / "model" / "README.md").read_text(encoding="utf-8")


def test_what_make_measures_is_known_and_accepted() -> None:
    planned = subprocess.run(["make", "-n", "benchmark"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    measured = [shlex.split(line)[1:] for line in planned.splitlines() if "benchmarks/" in line]
    for words in measured:
        accept(words)
    with pytest.raises(SystemExit):
        accept([*measured[0], "--roundz", "2"])
    assert len(measured) > 5


def test_the_declared_pythons_are_those_that_ci_runs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = re.search(r'^versions="(.*)"$', (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)
    assert named is not None
    versions = named[1].split()
    assert len(versions) >= 2
    first, last = (int(version.removeprefix("3.")) for version in (versions[0], versions[-1]))
    assert versions == [f"3.{minor}" for minor in range(first, last + 1)]
    assert project["requires-python"] == f">=3.{first},<3.{last + 1}"
    declared = [c.rpartition(" ")[2] for c in project["classifiers"] if re.search(r":: 3\.\d+$", c)]
    assert declared == versions


def test_torch_and_torchaudio_are_pinned_to_one_release() -> None:
    # They are compiled against each other: a later patch of one alone may not load beside the other.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = dict(line.split("==") for line in project["dependencies"] if re.match(r"torch(audio)?\b", line))
    assert set(pins) == {"torch", "torchaudio"}
    assert len(set(pins.values())) == 1 and re.fullmatch(r"\d+\.\d+\.\d+", pins["torch"])


def test_nobody_imports_recipes() -> None:
    for folder in ("asr_transfer", "data_prep", "recipes", "tests", "benchmarks", "docs", "examples"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"^\s*(from|import) recipes\b", text, re.MULTILINE), path


NO_NOUN = (
    r" {4}(?! )[\w*`, ]+: "
    r"(of|what|which|whose|that|where|how|as|by|with|take|keep|replace|go|called|told|see|write)\b"
)
"""Begin of a line that is read without the name before it, and then says nothing."""


def test_what_help_says_of_an_option_begins_with_a_noun() -> None:
    found = []
    for folder in ("asr_transfer", "data_prep", "recipes", "docs"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                    section = ""
                    for line in (ast.get_docstring(node) or "").splitlines():
                        section = line if line and not line.startswith(" ") else section
                        bare = re.match(NO_NOUN, line, re.IGNORECASE)
                        if bare and section in ("Args:", "Attributes:"):
                            found.append(f"{path.relative_to(ROOT)}: {line.strip()}")
    assert not found, "these lines are the --help text, which is read without the name before them"
