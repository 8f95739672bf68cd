"""The recipe of a user's path: its settings parse, and chooses nothing on what is scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asr_transfer.adaptation.settings import AdaptConfig, ChoiceConfig
from asr_transfer.evaluation.clusters import FEWEST
from asr_transfer.experiments.own_language.corpora import corpora_of
from data_prep import registry
from tests.real_runs import ROOT, load

FOLDER = ROOT / "recipes" / "own_language"
SETTINGS = sorted((FOLDER / "hparams").glob("*.yaml"))


def parsed(path: Path, *options: str) -> Any:
    """Return the recipe's settings."""
    recipe, seen = load(FOLDER / "run.py"), list[Any]()
    assert recipe.script(recipe.Recipe, seen.append, ["--config", str(path), "--out", "x", *options]) == 0
    return seen[0]


@pytest.mark.parametrize("path", SETTINGS, ids=lambda p: p.stem)
def test_settings_parse_and_keep_apart_what_is_chosen_on_and_scored(path: Path) -> None:
    settings = parsed(path)
    assert len(settings.seeds) >= FEWEST and not settings.quick
    assert settings.choice == ChoiceConfig() and settings.adapt == AdaptConfig(), "`auto` as `adapt` has it"
    for one in settings.languages:
        assert not {*one.train, *one.dev} & {*one.heard, *one.new}, one.language
    assert parsed(path, "--quick").shortened().seeds == settings.seeds[:1]


@pytest.mark.parametrize("name", ["real", "mandarin"])
def test_the_corpora_are_known_and_named_for_the_list_of_recipes(name: str) -> None:
    settings = parsed(FOLDER / "hparams" / f"{name}.yaml")
    named = [corpus for one in settings.languages for corpus in corpora_of(one)]
    assert sorted(settings.targets) == sorted(named)
    for corpus in named:
        assert registry.find(corpus).declared
