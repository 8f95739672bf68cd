"""The benchmark of exports runs on a tiny model, and finds the model's own texts in what was exported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import export


def test_every_target_is_measured_whole_and_in_whole_numbers(
    tone_run: Path, tone_corpus: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("sherpa_onnx")
    out = tmp_path / "figures" / "export.json"
    export.main(tone_run, tone_corpus["test"], most=4, out=out)
    rows = json.loads(out.read_text(encoding="utf-8"))
    assert [row["target"] for row in rows] == ["onnx", "onnx, int8", "sherpa-onnx", "sherpa-onnx, int8"]
    assert rows[0]["equal"] == rows[2]["equal"] == 1.0 and rows[0]["wer"] == rows[0]["own_wer"]
    assert all(row["factor"] > 0 and row["ratio"] > 0 for row in rows) and rows[1]["share"] < 1
    assert "real-time factor" in capsys.readouterr().out
