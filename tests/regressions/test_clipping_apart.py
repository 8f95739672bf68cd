"""What an objective trains of its own, such as a discriminator, never shortens the model's steps by clipping."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from asr_transfer.training.objective import Objective, TrainedObjective, Weight
from asr_transfer.training.streams import Output, Stream
from asr_transfer.training.trainer import Result, Trainer
from asr_transfer.transfer.adversarial import DomainAdversarial
from tests.small import Recorder, ToySpeech, different, in_child, settings, small_model, snapshot, speech_task

CLIPPED: dict[str, Any] = {"steps": 6, "max_gradient_norm": 0.05, "validate_every": 2}


def _streams() -> list[Stream]:
    return [
        speech_task(ToySpeech(seed=1), name="source", augment=False),
        Stream("target", ToySpeech(seed=2), augment=False),
    ]


def _idle(level: Any = "utterance") -> DomainAdversarial:
    """Return a discriminator that learns and leaves the model alone."""
    return DomainAdversarial("encoder", ("source", "target"), level, strength=0.0, width=16)


def _fit(
    objectives: list[tuple[Weight, Objective]], folder: Path | None = None, **changes: Any
) -> tuple[list[dict[str, torch.Tensor]], Result]:
    recorder, model = Recorder(), small_model(seed=1, dropout=0.2)
    config = settings(**{**CLIPPED, **changes})
    result = Trainer(model, _streams(), [(1.0, recorder), *objectives], config=config, folder=folder).train()
    return [*recorder.weights, snapshot(model)], result


def _same(one: list[dict[str, torch.Tensor]], other: list[dict[str, torch.Tensor]]) -> bool:
    assert len(one) == len(other)
    return not any(different(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("level", ["utterance", "frames"])
@pytest.mark.parametrize("changes", [{}, {"optimizer": "adamw"}, {"accumulate": 3}, {"precision": "bf16"}])
def test_a_discriminator_at_lambda_zero_changes_no_bit_of_the_steps(level: str, changes: dict[str, Any]) -> None:
    objective = _idle(level)
    alone, _ = _fit([], **changes)
    assert _same(alone, _fit([(1.0, objective)], **changes)[0])
    fresh = _idle(level)
    fresh.setup(small_model(seed=1), {stream.name: stream for stream in _streams()})
    assert different(snapshot(fresh.discriminator), snapshot(objective.discriminator)), "it must learn all the same"
    assert not _same(alone, _fit([], **{**changes, "max_gradient_norm": 0.0})[0]), "clipping must matter here"


class _Steep(TrainedObjective):
    """A number with a huge gradient, or at one step a NaN."""

    def __init__(self, height: float, at: int | None = None) -> None:
        super().__init__()
        self.number, self.height, self.at, self.calls = nn.Parameter(torch.zeros(())), height, at, 0

    def forward(self, model: nn.Module, outputs: Mapping[str, Output]) -> torch.Tensor:
        """Return a multiple of the number."""
        self.calls += 1
        # Zero times NaN: the gradient is not finite, and the loss would be but for that.
        return self.number * (float("nan") if self.calls == self.at else self.height)


def test_the_objective_s_own_parameters_are_clipped_too() -> None:
    objective = _Steep(1e6)
    alone, _ = _fit([])
    assert _same(alone, _fit([(1.0, objective)])[0])
    assert abs(objective.number.item()) == pytest.approx(6 * 0.05 * 0.05, rel=1e-3), "steps × rate × greatest norm"


@pytest.mark.parametrize("limit", [0.05, 0.0])
def test_a_gradient_of_the_objective_that_is_not_finite_skips_the_step(limit: float) -> None:
    weights, result = _fit([(1.0, _Steep(1.0, at=3))], max_gradient_norm=limit)
    assert result.skipped == 1
    trained = [name for name, _ in small_model().named_parameters()]
    still = [k for k in range(6) if all(torch.equal(weights[k][name], weights[k + 1][name]) for name in trained)]
    assert still == [2]


def _rank(folder: Path, beside: bool, rank: int, port: int) -> None:
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()})
    weights, _ = _fit([(1.0, _idle())] if beside else [])
    torch.save(weights, folder / f"{beside}-{rank}.pt")
    torch.distributed.destroy_process_group()


def test_several_processes_clip_apart_too(tmp_path: Path) -> None:
    for beside in (False, True):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        children = [in_child(_rank, tmp_path, beside, rank, port) for rank in (0, 1)]
        for child in children:
            child.join(60)
        assert [child.exitcode for child in children] == [0, 0]
    first, *others = (
        torch.load(tmp_path / f"{beside}-{rank}.pt", weights_only=True) for beside in (False, True) for rank in (0, 1)
    )
    assert all(_same(first[-1:], other[-1:]) for other in others)
