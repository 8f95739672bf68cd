"""The card of an export tells where the model comes from, how well it recognises, and under which licence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.deployment import TARGETS, ExportOptions, Source
from asr_transfer.deployment.card import card, run_figures
from tests.deployment import sources
from tests.deployment.models import acoustic, source


def test_the_card_of_a_trained_model_has_its_errors_with_intervals(tone_run: Path) -> None:
    recogniser = Recogniser.load(tone_run)
    made = Source(recogniser, "my_run", tone_run / "model", runs=(tone_run,))
    text = card(made, TARGETS["onnx"], ExportOptions(), ["all was well"])
    assert "# Speech recogniser (en) for ONNX Runtime" in text and "- All was well." in text
    (words, letters) = run_figures(tone_run)
    assert words in text and letters.startswith("errors in characters: ") and "utterances of `" in letters
    assert "### Speech recogniser (en)" in text and "Trained on 144 utterances of 6 speakers" in text


def test_licences_of_the_models_own_card_are_named(tmp_path: Path) -> None:
    made = replace(source(acoustic("tdnn"), tmp_path), profile="my_profile", profile_facts="lora from 5 utterances")
    assert "states none: ask whoever made it" in card(made, TARGETS["onnx"], ExportOptions(), [])
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n# Theirs\nA model.\n", encoding="utf-8")
    text = card(made, TARGETS["onnx"], ExportOptions(), [])
    assert "The model's card states `mit`." in text and "### Theirs" in text and "No run record states any." in text
    assert "with the profile `my_profile` folded in: lora from 5 utterances" in text


@pytest.mark.parametrize("damage", ["no record", "no hypotheses"])
def test_a_run_without_figures_is_passed_over(damage: str, tmp_path: Path) -> None:
    if damage == "no hypotheses":
        (tmp_path / "run.json").write_text("{}", encoding="utf-8")
    assert run_figures(tmp_path) == []


def test_a_whispers_card_names_the_language_that_was_asked_for_or_none(tmp_path: Path) -> None:
    for language, heading in ((None, "# Speech recogniser for"), ("zh", "# Speech recogniser (zh) for")):
        made = sources.whisper(tmp_path / str(language), language)
        assert card(made, TARGETS["transformers"], ExportOptions(), []).partition("---\n\n")[2].startswith(heading)
