"""Tables show `auto` as `adapt` has it: recipes that run it change neither how it chooses nor what a training takes."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from asr_transfer.adaptation.methods import reads_transcripts
from asr_transfer.adaptation.settings import AdaptConfig, ChoiceConfig
from asr_transfer.config import KEEP_JUDGED
from asr_transfer.experiments.speakers.config import AUTOMATIC
from docs.records import CORPORA, TO_REPEAT
from tests.real_runs import ROOT, load

HPARAMS = ROOT / "recipes" / "speaker_adaptation" / "hparams"
RUNS = [
    ["synthetic"], ["an4"], ["an4_folds"], ["fillets"], ["queen"], ["fsdd"], ["fsdd", "fsdd_words"],
    ["whisper_tiny_an4"], ["whisper_tiny_queen"], ["whisper_tiny_queen", "whisper_tiny_queen_judged"],
    ["whisper_tiny_fillets"],
    ["whisper_decoder_queen"], ["whisper_decoder_queen", "whisper_decoder_queen_auto"], ["whisper_decoder_fillets"],
]  # fmt: skip
DECODER_ALONE = {"whisper_decoder_queen", "whisper_decoder_fillets"}
"""Those whose `auto` tries the decoder alone, beside what training the encoder gives; not on the front page."""


@pytest.mark.parametrize("names", RUNS, ids="+".join)
def test_auto_runs_at_its_shipped_settings(names: list[str]) -> None:
    recipe = load(ROOT / "recipes" / "speaker_adaptation" / "run.py")
    files = [word for name in names for word in ("--config", str(HPARAMS / f"{name}.yaml"))]
    seen: list[Any] = []
    assert recipe.script(recipe.Recipe, seen.append, [*files, "--out", "x"]) == 0
    (settings,) = seen
    auto = {grid.name: grid.amounts for grid in settings.methods if grid.name in AUTOMATIC}
    assert auto["auto"] == (), "at every amount"
    shipped = ChoiceConfig(token_by_token=("lora", "lhuc")) if names[-1] in DECODER_ALONE else ChoiceConfig()
    # A table that is to be repeated stays with the settings that it was measured at.
    budget = 500 if names[-1] in TO_REPEAT else None
    assert settings.choice == shipped and settings.adapt == AdaptConfig(source_budget=budget)
    assert settings.protocol.judged_utterances >= KEEP_JUDGED, "as much as `train` keeps for it"


def test_the_list_holds_every_recipe_that_runs_auto() -> None:
    listed = {names[-1] for names in RUNS}
    assert not DECODER_ALONE & set(CORPORA)
    assert {file.stem for file in HPARAMS.glob("*.yaml") if "name: auto" in file.read_text(encoding="utf-8")} == listed


def test_a_recipe_without_transcripts_names_only_methods_that_read_none() -> None:
    recipe = load(ROOT / "recipes" / "speaker_adaptation" / "run.py")
    seen: list[Any] = []
    file = str(HPARAMS / "an4_unsupervised.yaml")
    assert recipe.script(recipe.Recipe, seen.append, ["--config", file, "--out", "x"]) == 0
    assert recipe.script(recipe.Recipe, seen.append, ["--config", file, "--noise", "0", "--out", "x"]) == 0
    assert not any(reads_transcripts(grid.name) for grid in seen[0].methods)
    assert [settings.noise for settings in seen] == [0.01, 0.0]


def test_on_a_corpus_without_a_development_split_training_speakers_are_held_out() -> None:
    """Of the corpora that recipes know, AN4 alone comes in two parts; the protocol refuses splits without a third."""
    files = {file.stem: yaml.safe_load(file.read_text(encoding="utf-8")) for file in HPARAMS.glob("*.yaml")}
    split = {
        name: settings["protocol"]
        for name, settings in files.items()
        if settings.get("corpus") == "an4" and settings.get("protocol", {}).get("hold_out") == "splits"
    }
    assert "whisper_tiny_an4" in split
    assert {name for name, protocol in split.items() if not protocol.get("dev_speakers")} == set()


def test_a_summary_is_refused_of_source_models_that_are_not_trained_with_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = load(ROOT / "recipes" / "speaker_adaptation" / "run.py")
    seen: list[Any] = []
    file = str(HPARAMS / "an4_made.yaml")
    assert (
        recipe.script(recipe.Recipe, seen.append, ["--config", file, "--methods", "[{name: film}]", "--out", "x"]) != 0
    )
    assert "give `source.speaker_adaptive.kind` film" in capsys.readouterr().err
