"""The benchmark on images runs, on tiny ones: all sides train the same network on the same batches."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks.images import FROZEN, HEAD, LOOP, STORED, TRAINER, Bench, Loop, main, ratio, sides

BENCH = Bench(channels=(4, 5), halve=(0,), frozen=2, size=8, images=32, batch=8)


def test_all_sides_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "figures" / "images.json"
    main(steps=2, count=2, bench=BENCH, out=out)
    figures = json.loads(out.read_text(encoding="utf-8"))
    assert list(figures["steps_per_second"]) == [TRAINER, LOOP, FROZEN, STORED]
    assert all(len(own) == 2 and min(own) > 0 for own in figures["steps_per_second"].values())
    assert figures["trainer"] == ratio(figures["steps_per_second"], TRAINER, LOOP)
    assert "With 2 of 2 blocks frozen" in capsys.readouterr().out


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
