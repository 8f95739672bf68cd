"""A new recipe is a script, its settings and its page: nothing else knows its name, and everything finds it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from asr_transfer.experiments.recipes import listing
from asr_transfer.runs.record import read_record
from docs import commands, records, update_tables
from tests.real_runs import load

SCRIPT = '''"""Ask how long words are.

    python recipes/trial/lengths.py --config recipes/trial/hparams/short.yaml --out runs/lengths
"""

from dataclasses import dataclass

from asr_transfer.cli import script
from asr_transfer.experiments.core.options import RunFolder
from asr_transfer.experiments.core.tables import Table


@dataclass(frozen=True, kw_only=True)
class Recipe(RunFolder):
    """Ask how long words are.

    Attributes:
        corpus: Name of a corpus.
        longest: Letters of the longest word.
    """

    corpus: str
    longest: int = 9


def run(recipe: Recipe) -> None:
    """Write the length of words."""
    table = Table.of([recipe], [("corpus", lambda own: own.corpus), ("letters", lambda own: str(own.longest))])
    recipe.open().publish({"longest": recipe.longest}, {"lengths": [table]})
'''
COMMAND = "python recipes/trial/lengths.py --config recipes/trial/hparams/short.yaml --out runs/lengths"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository with one recipe, in which the pages' tools look."""
    for name, text in (
        ("lengths.py", SCRIPT),
        ("hparams/short.yaml", "# Short words of AN4. They are few.\ncorpus: an4\nlongest: 3\n"),
        ("README.md", f"# Lengths\n\n```sh\n.venv/bin/{COMMAND}\n```\n"),
    ):
        file = tmp_path / "recipes" / "trial" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    (tmp_path / "docs").mkdir()
    monkeypatch.setattr(records, "ROOT", tmp_path)
    monkeypatch.setattr(records, "RESULTS", tmp_path / "docs")
    return tmp_path


def test_three_files_are_a_recipe_that_is_listed_run_and_recorded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = listing(root / "recipes")
    assert shown.startswith("trial/lengths.py: Ask how long words are.\n  short: Short words of AN4.\n    needs: an4\n")
    command = COMMAND.replace(" recipes/", f" {root / 'recipes'}/")
    assert f"    {command}\n" in shown and "  an4: put AN4 (http" in shown

    monkeypatch.chdir(root)
    recipe = load(root / "recipes/trial/lengths.py")
    monkeypatch.setattr("sys.argv", COMMAND.split()[1:])
    assert recipe.script(recipe.Recipe, recipe.run) == 0
    values = read_record(root / "runs/lengths")
    assert values["scores"] == {"longest": 3}

    assert commands.printed(values) == COMMAND, "a page can say what made it"
    assert commands.on_page((root / "recipes/trial/README.md").read_text(encoding="utf-8")) == [COMMAND]
    assert commands.differences(commands.settings_of(COMMAND), values) == {}

    shutil.copy(root / "runs/lengths/run.json", root / "docs/short.json")
    page = update_tables.filled("<!-- table lengths short -->\n<!-- end -->\n")
    assert "\n| corpus | letters |\n|---|---|\n| an4 | 3 |\n" in page and f"Made by `{COMMAND}`" in page


def test_of_two_scripts_of_one_name_a_record_is_of_the_one_with_its_settings(root: Path) -> None:
    other = root / "recipes" / "another" / "lengths.py"
    other.parent.mkdir()
    other.write_text(SCRIPT.replace("longest", "shortest"), encoding="utf-8")
    for setting, folder in (("longest", "trial"), ("shortest", "another")):
        values = {"command": "lengths.py --out x", "config": {"corpus": "an4", setting: 2}}
        assert commands.printed(values) == f"python recipes/{folder}/lengths.py --out x"
