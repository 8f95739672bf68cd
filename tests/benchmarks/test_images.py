"""The benchmark on images runs, on tiny ones: all sides train the same network on the same batches."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from asr_transfer.runs.record import read_record
from benchmarks.images import FROZEN, HEAD, LOOP, STORED, TRAINER, Bench, Loop, main, ratio, sides, speeds_table

BENCH = Bench(channels=(4, 5), halve=(0,), frozen=2, size=8, images=32, batch=8)


def test_all_sides_are_measured_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "images"
    main(steps=2, count=2, bench=BENCH, out=out)
    values = read_record(out)
    speeds = values["scores"]["steps_per_second"]
    assert list(speeds) == [TRAINER, LOOP, FROZEN, STORED]
    assert all(len(own) == 2 and min(own) > 0 for own in speeds.values())
    (kept,) = values["tables"]["images"]
    assert [row[4] for row in kept["rows"]] == [
        f"{ratio(speeds, TRAINER, LOOP):.2f}",
        "",
        "",
        f"{ratio(speeds, STORED, FROZEN):.2f}",
    ]
    assert "2 of 2 blocks frozen" in kept["note"] and LOOP in capsys.readouterr().out
    with pytest.raises(SystemExit, match="--overwrite"):
        main(steps=2, count=2, bench=BENCH, out=out)


def test_no_rounds_are_refused() -> None:
    with pytest.raises(SystemExit, match="--count 0: must be above 0"):
        main(count=0)


def test_a_target_is_met_from_its_value_on() -> None:
    speeds = {TRAINER: [95.0], LOOP: [100.0], FROZEN: [10.0], STORED: [29.0]}
    lines = speeds_table(speeds, dict.fromkeys(speeds, 1.0), BENCH).rows
    assert [line[-1] for line in lines] == ["yes", "", "", "no"]


def test_trainer_and_loop_take_the_same_steps_and_so_do_both_ways_with_frozen_blocks() -> None:
    running = sides(BENCH)
    for side in running.values():
        side.advance(5)
    loop = running[LOOP]
    assert isinstance(loop, Loop)
    state = running[TRAINER].model.state_dict()  # type: ignore[attr-defined]
    for name, own in loop.model.state_dict().items():
        torch.testing.assert_close(own, state[name], rtol=1e-5, atol=1e-6)
    both = [running[name].model.head(HEAD).weight for name in (FROZEN, STORED)]  # type: ignore[attr-defined]
    torch.testing.assert_close(*both, rtol=1e-5, atol=1e-6)
