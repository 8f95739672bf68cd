"""The benchmark of the search for sentences runs on a tiny lexicon and holds ours against the peer."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_transfer.runs.record import read_record
from benchmarks import beam
from benchmarks.beam import ALONE, BATCH, PEER, Searched, main, searches_table


def test_all_sides_search_and_the_run_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beam, "UTTERANCES", 2)
    monkeypatch.setattr(beam, "SECONDS", 2)
    out = tmp_path / "beam"
    main(rounds=1, words=50, beams=(4,), sentences=30, out=out)
    values = read_record(out)
    searched = values["scores"]["searches"]
    assert [one["side"] for one in searched][:2] == [BATCH, ALONE] and all(one["factor"] > 0 for one in searched)
    assert searched[0]["right"] == searched[1]["right"] > 0.3
    (kept,) = values["tables"]["beams"]
    assert "50 words" in kept["note"] and len(kept["rows"]) == len(searched)
    with pytest.raises(SystemExit, match="--overwrite"):
        main(rounds=1, words=50, beams=(4,), sentences=30, out=out)


def test_a_batch_is_held_against_the_peer() -> None:
    found = [Searched(side, 50, 0.9, factor, 0.01) for side, factor in ((BATCH, 0.012), (ALONE, 0.03), (PEER, 0.01))]
    rows = searches_table(found, 100).rows
    assert [row[4:] for row in rows] == [("1.20", "≤ 1.2", "yes"), ("3.00", "", ""), ("", "", "")]
    slower = searches_table([Searched(BATCH, 50, 0.9, 0.0121, 0.01), Searched(BATCH, 50, 0.9, 0.1, None)], 100).rows
    assert [row[-1] for row in slower] == ["no", ""]


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(SystemExit, match="must be above 0"):
        main(beams=(0,))
