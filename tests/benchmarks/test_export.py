"""The benchmark of exports runs on a tiny model, and finds the model's own texts in what was exported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import export
from docs.commands import printed
from docs.origin import changed
from docs.tables import kept
from tests.models.pretrained import whole_whisper


def test_every_target_is_measured_whole_and_in_whole_numbers(
    tone_run: Path, tone_corpus: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("sherpa_onnx")
    out = tmp_path / "export"
    export.main([tone_run], tone_corpus["test"], out, most=4)
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    rows = record["scores"]["exports"]
    assert [row["target"] for row in rows] == ["onnx", "onnx, int8", "sherpa-onnx", "sherpa-onnx, int8"]
    assert rows[0]["equal"] == rows[2]["equal"] == 4 and rows[0]["wer"] == rows[0]["own_wer"]
    assert all(row["factor"] > 0 and row["ratio"] > 0 for row in rows) and rows[1]["share"] < 1
    assert "real-time factor" in capsys.readouterr().out
    (table,) = kept({**record, "name": "export"}, "exports")
    assert table.markdown().count("4 of 4") >= 2 and record["status"] == "finished"


def test_a_whole_whisper_is_heard_by_transformers(
    tone_corpus: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """faster-whisper hears thirty seconds at least, which the small model cannot."""
    whole_whisper.write_whisper(tmp_path / "published")
    monkeypatch.setattr(export, "WHISPER", {"transformers": export.transformers_side})
    export.main([tmp_path / "published"], tone_corpus["test"], tmp_path / "out", language="en", most=3)
    record = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    (row,) = record["scores"]["exports"]
    assert (row["target"], row["equal"], row["recordings"]) == ("transformers", 3, 3)
    assert row["wer"] == row["own_wer"] and 0 < row["megabytes"] < 1


def test_a_page_prints_the_benchmarks_command() -> None:
    values = {"command": "export.py --models [runs/a] --data data/b.jsonl --out runs/c", "config": {}}
    assert printed(values) == "python benchmarks/export.py --models [runs/a] --data data/b.jsonl --out runs/c"
    assert changed(values) == {}  # it has no settings that a page could print otherwise
