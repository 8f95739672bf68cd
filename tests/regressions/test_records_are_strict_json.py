"""Records held bare `-Infinity`, for errors where none were before, which no other program reads as JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from asr_transfer.decoding.settings import SearchConfig
from asr_transfer.evaluation.clusters import reduction
from asr_transfer.evaluation.scoring import Hypothesis, align
from asr_transfer.experiments.core import effects
from asr_transfer.plain import to_json, to_plain
from asr_transfer.runs.record import RunRecord, read_record


def test_errors_that_none_were_before_have_risen_by_no_share_and_it_is_said_why() -> None:
    found = reduction([0, 0, 0, 0, 0], [0, 1, 0, 2, 0])
    assert found.reason == "no errors before: a share cannot be given" and found.low is None
    assert json.loads(to_json(found), parse_constant=pytest.fail)["value"] is None
    right, wrong = ([Hypothesis("a", "s", "en", "yes", said)] for said in ("yes", "no"))
    risen = effects.reduction([align(right)], [align(wrong)])
    assert risen.reason == found.reason and json.loads(to_json(risen), parse_constant=pytest.fail)["value"] is None
    assert effects.reduction([align(wrong)], [align(right)]).reason == reduction([2, 0], [1, 0]).reason == ""


def test_a_record_is_strict_json_and_infinite_settings_survive_resuming(tmp_path: Path) -> None:
    settings = to_plain(SearchConfig(beam_threshold=math.inf))
    record = RunRecord(tmp_path / "run", {"search": settings})
    record.values["history"].append({"step": 1, "loss": math.nan})
    record.finish(scores={"share": -math.inf})
    text = (tmp_path / "run" / "run.json").read_text(encoding="utf-8")
    values = json.loads(text, parse_constant=pytest.fail)
    assert values["config"]["search"]["beam_threshold"] == "inf" and values["scores"] == {"share": None}
    assert values["history"] == [{"step": 1, "loss": None}]
    assert RunRecord(tmp_path / "run", {"search": settings}, resume=True).finished_before


def test_records_with_bare_infinities_are_read_and_resumed(tmp_path: Path) -> None:
    """Older ones have them, in settings and in scores."""
    settings = to_plain(SearchConfig(beam_threshold=math.inf))
    record = RunRecord(tmp_path / "run", {"search": settings})
    record.finish(scores={"share": -math.inf})
    file = tmp_path / "run" / "run.json"
    text = file.read_text(encoding="utf-8").replace('"inf"', "Infinity").replace('"share": null', '"share": -Infinity')
    file.write_text(text, encoding="utf-8")
    assert "-Infinity" in text and read_record(tmp_path / "run")["scores"]["share"] == -math.inf
    assert RunRecord(tmp_path / "run", {"search": settings}, resume=True).finished_before
