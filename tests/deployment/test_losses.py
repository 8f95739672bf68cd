"""The card of an export tells what others lost by the run that made the model, with its interval."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from asr_transfer.adaptation.kept import NOT_MEASURED
from asr_transfer.commands.export import ExportCommand, open_source
from asr_transfer.deployment import TARGETS, ExportOptions
from asr_transfer.deployment.card import card
from asr_transfer.deployment.losses import lost_by_others
from asr_transfer.evaluation.clusters import Estimate
from asr_transfer.evaluation.language_rates import LanguageRate
from tests.adapting import adapt, recordings


def record(folder: Path, **fields: Any) -> Path:
    """Write the record of a finished run, and return its folder."""
    whole = {"format": 1, "status": "finished", "command": "asr-transfer …", "config": {}, "scores": {}, **fields}
    (folder / "run.json").write_text(json.dumps(whole), encoding="utf-8")
    return folder


def test_the_card_of_an_adapted_model_tells_what_other_speakers_lost(tone_run: Path, tmp_path: Path) -> None:
    own = recordings(tmp_path, "ana", 0.1, 4, 5)
    options = ("--check", "false", "--keep_suspicious", "--steps", 2, "--learning_rate", 0.03)
    ran = adapt(tone_run, own, tmp_path / "out", "--method", "full", *options)
    (line,) = lost_by_others(ran.out)
    change = ran.record["scores"]["judged"]["cer_change"]
    assert change["standard_error"] > 0
    beginning = "errors in characters of other speakers that the model keeps"
    assert line.startswith(f"{beginning}: {100 * change['value']:+.1f} points (")
    low, high = line.partition("(")[2].partition(")")[0].split(" … ")
    assert float(high) - float(low) == pytest.approx(2 * 196 * change["standard_error"], abs=0.2)
    made = open_source(ExportCommand(model=ran.out, to="onnx", out=tmp_path / "export"), lambda line: None)
    assert f"## What others lost\n\n- {line}\n" in card(made, TARGETS["onnx"], ExportOptions(), [])


def test_that_nothing_was_measured_is_said(tmp_path: Path) -> None:
    (line,) = lost_by_others(record(tmp_path, adaptation={"others": NOT_MEASURED}))
    assert line.startswith("what other speakers lost is not measured, for the model keeps no other people's speech")


def test_languages_beside_a_new_one_have_their_errors_before_and_after(tmp_path: Path) -> None:
    before = LanguageRate("de", "character", 40, 5, Estimate(0.12, 0.10, 0.14, None, 5))
    after = LanguageRate("de", "character", 40, 5, Estimate(0.13, None, None, None, 1))
    others = [{"language": "de", "before": before.to_plain(), "after": after.to_plain()}]
    (line,) = lost_by_others(record(tmp_path, learning={"others": others}))
    assert line.startswith("errors in characters of speakers of 'de': 12.0 % (10.0 … 14.0) before, 13.0 % after `")


@pytest.mark.parametrize("learning", [None, [], {"others": 3}, {"others": [{"before": {"rate": True}}, 5]}])
def test_records_that_state_nothing_of_others_are_passed_over(learning: object, tmp_path: Path) -> None:
    scores = {"others": {"cer_change": {"value": None, "standard_error": None}}, "judged": 4}
    assert lost_by_others(record(tmp_path, scores=scores, learning=learning, adaptation={"others": 7})) == []
    (tmp_path / "run.json").unlink()
    assert lost_by_others(tmp_path) == []
