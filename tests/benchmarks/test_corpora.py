"""The benchmark of large corpora runs on a small one: everything is prepared, scored and compared, and kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_transfer.runs.record import read_record
from benchmarks.corpora import OF, WANTED, main


def test_every_step_is_measured_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    main(files=4, utterances=50, out=out)
    values = read_record(out)
    features, steps = values["scores"]["features"], values["scores"]["steps"]
    assert features["ratio"] == pytest.approx(features["torchaudio"] / features["ours"]) and features["files"] == 4
    assert [step["name"] for step in steps] == list(WANTED) and all(step["cpu_seconds"] > 0 for step in steps)
    assert steps[0]["wanted"] == pytest.approx(WANTED["prepared"] * 50 / OF)
    first, second = values["tables"]["corpora"]
    assert len(first["rows"]) == 1 and [row[0] for row in second["rows"]] == list(WANTED)
    assert "Many utterances" in capsys.readouterr().out


def test_nothing_of_nothing_is_measured() -> None:
    with pytest.raises(SystemExit, match="--files 0: must be above 0"):
        main(files=0)
