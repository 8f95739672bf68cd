"""The race to word error rates runs both sides on tiny networks, chooses by the target, and counts up to it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from asr_transfer.config import ModelConfig
from asr_transfer.runs.record import read_record
from benchmarks import race, training, training_corpus, training_to_wer
from benchmarks.race import OURS, PEER, Course, Entry, Tried, fastest
from benchmarks.training_corpus import Corpus
from benchmarks.training_to_wer import main, try_all

ENTRIES = (Entry("tdnn", 1e-3), Entry("tdnn", 3e-3), Entry("bilstm", 3e-3))


def _course(*points: tuple[float, int, float]) -> Course:
    return Course(list(points))


def test_the_candidate_that_is_first_is_chosen_and_slower_ones_are_stopped() -> None:
    limits = []

    def run(corpus: Corpus, entry: Entry, seed: int, target: float, limit: float) -> Course:
        limits.append(limit)
        at = {1e-3: (9.0, 90, 0.07), 3e-3: (4.0, 40, 0.08)}[entry.learning_rate]
        return _course((4.5, 45, 0.5)) if entry.model == "bilstm" else _course((1.0, 10, 0.9), at)

    said: list[str] = []
    tried = try_all(None, ENTRIES, run, 0.08, said.append)  # type: ignore[arg-type]
    assert limits == [math.inf, 9.0, 4.0]
    assert [one.cpu for one in tried] == [9.0, 4.0, None] and fastest(tried) == ENTRIES[1]
    assert "stopped at 50.0 % WER after 4" in said[2] and len(said) == 3
    missed = [Tried(entry, None, 5.0, best) for entry, best in zip(ENTRIES, (0.3, 0.2, 0.4), strict=True)]
    assert fastest(missed) == ENTRIES[1]


def test_both_sides_race_and_the_run_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On noise nothing is learnt: words are put in, which a target far above 100 % allows."""
    monkeypatch.setenv("ASR_TRANSFER_SPEECH", str(tmp_path / "none"))
    monkeypatch.setattr(training_corpus, "NOISE_UTTERANCES", 60)
    monkeypatch.setitem(training.MODELS, "tdnn", ModelConfig(encoder="tdnn", layers=1, dim=8))
    few = {side: (Entry("tdnn", 1e-3, 10, 3),) for side in (OURS, PEER)}
    monkeypatch.setattr(training_to_wer, "CANDIDATES", few)
    monkeypatch.setattr(race, "BETWEEN", 20)
    out = tmp_path / "race"
    main(targets=(5000, 2000), seeds=(0,), candidates=1, out=out)
    values = read_record(out)
    assert [len(values["scores"]["courses"][side]) for side in (OURS, PEER)] == [1, 1]
    assert all(points[-1][1] == 2 for side in values["scores"]["courses"].values() for points in side)
    (kept,) = values["tables"]["race"]
    assert [row[3] for row in kept["rows"]] == ["1 of 1"] * 4 and "noise" in kept["note"]
    assert f"{PEER} tries, up to 2000 % WER" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [({"targets": (8, 15)}, "that fall"), ({"seeds": ()}, "hold a seed"), ({"candidates": 0}, "give 1 to")],
)
def test_settings_without_a_race_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        main(**options)  # type: ignore[arg-type]
