"""Batches of several languages: their shares, their purity, and a loss and gradients that belong to each alone."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import speechbrain as sb
import torch

from asr_transfer.data.batching import LengthBuckets
from asr_transfer.data.mixture import MixedBuckets, temperature_shares
from asr_transfer.errors import ConfigError
from asr_transfer.training import distributed
from asr_transfer.training.criteria import ctc
from asr_transfer.training.streams import Mixture, Output, Task, deal
from asr_transfer.training.trainer import Trainer
from tests.small import MELS, TOKENS, Recorder, ToySpeech, different, settings, small_model, snapshot

COSTS = [np.random.default_rng(n).integers(20, 400, size) for n, size in enumerate((240, 60, 20))]
HEADS = {"a": TOKENS, "b": TOKENS, "c": TOKENS}


def _task(name: str, items: int = 12, seed: int = 0, **options: Any) -> Task:
    data = ToySpeech(items, seed, options.pop("dtype", torch.float32))
    return Task(name, data, criterion=ctc, head=name, **options)


def _sampled(alpha: float, steps: int, budget: int = 2000) -> np.ndarray:
    """Return the part of each set in the costs of the first `steps` batches."""
    amounts = [float(costs.sum()) for costs in COSTS]
    buckets = MixedBuckets(COSTS, temperature_shares(amounts, alpha), budget, seed=3)
    joint, firsts = np.concatenate(COSTS), np.cumsum([0, *map(len, COSTS)])
    seen = np.zeros(len(COSTS))
    for step in range(steps):
        items = buckets.batch(step)
        assert len(items) * joint[items].max() <= budget
        for index, (first, last) in enumerate(itertools.pairwise(firsts)):
            seen[index] += joint[items[(items >= first) & (items < last)]].sum()
    return seen / seen.sum()


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_languages_are_sampled_in_proportion_to_their_speech_to_the_power_alpha(alpha: float) -> None:
    amounts = np.asarray([costs.sum() for costs in COSTS], dtype=float)
    expected = amounts**alpha / (amounts**alpha).sum()
    assert temperature_shares(amounts.tolist(), alpha) == pytest.approx(expected.tolist())
    assert _sampled(alpha, 1500) == pytest.approx(expected, abs=0.01)


def test_inside_a_language_every_item_comes_equally_often() -> None:
    buckets = MixedBuckets(COSTS, [0.2, 0.3, 0.5], 2000, seed=1)
    counts = np.bincount(np.concatenate([buckets.batch(step) for step in range(1500)]), minlength=320)
    for first, last in ((0, 240), (240, 300), (300, 320)):
        # An epoch may be cut anywhere, so that some items are ahead: at most by those of one epoch.
        assert counts[first:last].max() - counts[first:last].min() <= 0.05 * counts[first:last].mean() + 2


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_one_language_has_the_batches_of_the_monolingual_run(alpha: float) -> None:
    mixed = MixedBuckets(COSTS[:1], temperature_shares([1.0], alpha), 900, seed=5)
    alone = LengthBuckets(COSTS[0], 900, seed=5)
    for step in range(200):
        assert mixed.batch(step).tolist() == alone.batch(step).tolist()


def test_natural_shares_see_every_item_once_per_epoch() -> None:
    amounts = [float(costs.sum()) for costs in COSTS]
    mixed = MixedBuckets(COSTS, temperature_shares(amounts, 1.0), 900, seed=5)
    alone = LengthBuckets(np.concatenate(COSTS), 900, seed=5)
    for step in range(300):
        assert mixed.batch(step).tolist() == alone.batch(step).tolist()


def test_padding_stays_small_and_batches_are_pure_functions_of_their_step() -> None:
    joint = np.concatenate(COSTS)
    kept = MixedBuckets(COSTS, [0.4, 0.3, 0.3], 4000, seed=2)
    order = [kept.batch(step).tolist() for step in range(100)]
    padded = sum(len(items) * joint[items].max() for items in order)
    assert padded < 1.12 * sum(joint[items].sum() for items in order)
    for step in np.random.default_rng(0).permutation(100)[:20]:
        assert MixedBuckets(COSTS, [0.4, 0.3, 0.3], 4000, seed=2).batch(int(step)).tolist() == order[step]
    ranks = [MixedBuckets(COSTS, [0.4, 0.3, 0.3], 4000, 2, rank, 2) for rank in (0, 1)]
    assert [ranks[step % 2].batch(step // 2).tolist() for step in range(100)] == order


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_mixture_of_one_language_is_the_monolingual_run_step_by_step(optimizer: str) -> None:
    runs = []
    for mixed in (False, True):
        recorder, model = Recorder(), small_model(heads={"a": TOKENS, "b": TOKENS}, dropout=0.3, dtype=torch.float64)
        task = _task("a", dtype=torch.float64)
        config = settings(steps=8, optimizer=optimizer, weight_decay=0.1, validate_every=4)
        Trainer(
            model,
            [Mixture("all", (task,)) if mixed else task],
            [(1.0, recorder)],
            config=config,
            validation=[Mixture("dev", (task,)) if mixed else task],
        ).train()
        runs.append([*recorder.weights, snapshot(model)])
    for alone, mixture in zip(*runs, strict=True):
        assert not different(alone, mixture)
    assert different(runs[0][0], runs[0][1])


def test_the_loss_of_a_mixture_is_the_sum_of_losses_over_the_sum_of_frames() -> None:
    model = small_model(heads=HEADS, dropout=0.0, dtype=torch.float64).eval()
    tasks = tuple(_task(name, seed=n, dtype=torch.float64) for n, name in enumerate(("a", "b")))
    trainer = Trainer(model, [Mixture("all", tasks, weight=0.5)], config=settings())
    trainer.model.eval()
    items = {"a": [0, 3, 4], "b": [2]}
    batch = {task.name: task.data.collate(items[task.name]) for task in tasks}
    loss = trainer.compute_objectives(trainer.compute_forward(batch, _train()), batch, _train())
    total, frames = torch.zeros((), dtype=torch.float64), 0
    for task in tasks:
        for item in items[task.name]:
            alone = task.data.collate([item])
            hidden, lengths = model(alone.inputs, alone.lengths)
            own, count = ctc(Output(model.head(task.head)(hidden), lengths, {}, alone))
            total, frames = total + own, frames + int(count)
    assert float(loss.detach()) == pytest.approx(float(0.5 * total.detach() / frames), rel=1e-10)


def _train() -> Any:
    return sb.Stage.TRAIN


class _Presence(Recorder):
    """Keeps which streams each batch held, and the weights before the step."""

    def __init__(self) -> None:
        super().__init__()
        self.present: list[set[str]] = []

    def forward(self, model: Any, outputs: Any) -> torch.Tensor:
        self.present.append(set(outputs))
        return super().forward(model, outputs)


def test_a_batch_without_a_language_leaves_its_head_alone() -> None:
    """Neither momentum nor weight decay may move a head that a batch has no gradient for."""
    presence, model = _Presence(), small_model(heads=HEADS)
    tasks = tuple(_task(name, items, seed) for seed, (name, items) in enumerate((("a", 20), ("b", 3), ("c", 2))))
    config = settings(steps=60, batch_budget=60, optimizer="adamw", weight_decay=0.5, learning_rate=0.01)
    Trainer(model, [Mixture("all", tasks, alpha=0.0)], [(1.0, presence)], config=config).train()
    steps = [*presence.weights, snapshot(model)]
    absent = 0
    for present, (before, after) in zip(presence.present, itertools.pairwise(steps), strict=True):
        moved = {name.split(".")[1] for name in different(before, after) if name.startswith("heads.")}
        assert moved == present
        absent += len(HEADS) - len(present)
    assert absent > 40
    heads = {name: model.head(name).weight for name in HEADS}
    batch = {"b": tasks[1].data.collate([0, 1])}
    trainer = Trainer(model, [Mixture("all", tasks)], config=settings())
    trainer.compute_objectives(trainer.compute_forward(batch, _train()), batch, _train()).backward()
    assert heads["a"].grad is None and heads["c"].grad is None and heads["b"].grad is not None


def test_several_processes_leave_a_head_alone_that_none_of_them_has_a_gradient_for(tmp_path: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'meet'}", rank=0, world_size=1)
    try:
        first, second = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
        first.grad = torch.arange(3.0)
        distributed.average_gradients([first, second])
    finally:
        torch.distributed.destroy_process_group()
    assert first.grad is not None and first.grad.tolist() == [0, 1, 2] and second.grad is None


def test_an_objective_is_left_out_where_a_batch_has_none_of_its_streams() -> None:
    class Reader(Recorder):
        streams: Sequence[str] = ("b",)
        seen = 0

        def forward(self, model: Any, outputs: Any) -> torch.Tensor:
            self.seen += 1
            return 0 * outputs["b"].require_logits().sum()

    reader, presence = Reader(), _Presence()
    tasks = tuple(_task(name, items, seed) for seed, (name, items) in enumerate((("a", 20), ("b", 3))))
    config = settings(steps=20, batch_budget=60)
    Trainer(small_model(heads=HEADS), [Mixture("all", tasks)], [(1.0, reader), (1.0, presence)], config=config).train()
    assert 0 < reader.seen == sum("b" in present for present in presence.present) < 20


@pytest.mark.parametrize("stop", [3, 7])
def test_a_mixed_run_resumes_in_the_same_bits(tmp_path: Path, stop: int) -> None:
    class Stopped(Exception):
        pass

    class Stopper(Recorder):
        def forward(self, model: Any, outputs: Any) -> torch.Tensor:
            if len(self.weights) == stop:
                raise Stopped
            return super().forward(model, outputs)

    def make(folder: Path, *objectives: Any) -> Trainer:
        tasks = tuple(_task(name, items, seed) for seed, (name, items) in enumerate((("a", 20), ("b", 5))))
        checks = tuple(_task(name, 4, 9) for name in ("a", "b"))
        config = settings(steps=10, optimizer="adamw", checkpoint_every=2, validate_every=5)
        return Trainer(
            small_model(heads=HEADS, dropout=0.3),
            [Mixture("all", tasks, alpha=0.3)],
            objectives,
            config=config,
            validation=[Mixture("dev", checks)],
            folder=folder,
        )

    whole = make(tmp_path / "whole")
    first = whole.train()
    with pytest.raises(Stopped):
        make(tmp_path / "cut", (1.0, Stopper())).train()
    resumed = make(tmp_path / "cut")
    second = resumed.train()
    assert not different(snapshot(whole.model), snapshot(resumed.model))
    assert first.history == second.history
    assert first.cost == second.cost


def test_a_validation_shows_each_language_and_their_mean() -> None:
    tasks = tuple(_task(name, 4, seed) for seed, name in enumerate(("a", "b")))
    for checks, mean in (([Mixture("dev", tasks)], "loss"), ([Mixture("dev", tasks), _task("c")], "dev.loss")):
        trainer = Trainer(small_model(heads=HEADS), [_task("a")], config=settings(), validation=checks, monitor=mean)
        best = trainer.train().best
        assert best is not None
        assert best[mean] == pytest.approx((best["a.loss"] + best["b.loss"]) / 2)
    with pytest.raises(ConfigError, match="no figure 'mean' to monitor"):
        Trainer(small_model(heads=HEADS), [_task("a")], validation=[Mixture("dev", tasks)], monitor="mean")


def test_mixtures_that_make_no_sense_are_refused() -> None:
    two = (_task("a"), _task("b"))
    for options, message in (
        ({"alpha": 1.5}, "`alpha` from 0 to 1, got 1.5"),
        ({"shares": {"a": 1.0}}, "has the tasks a, b but shares for a"),
        ({"shares": {"a": 1.0, "b": 0.0}}, "must be numbers above 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            Mixture("all", two, **options)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="has no tasks"):
        Mixture("all", ())
    with pytest.raises(ConfigError, match="two streams are called 'a'"):
        Trainer(small_model(heads=HEADS), [Mixture("all", two), _task("a")], config=settings())
    assert Mixture("all", two, shares={"b": 3.0, "a": 1.0}).sampling() == {"a": 0.25, "b": 0.75}


def test_items_are_dealt_to_their_own_streams() -> None:
    mixture = Mixture("all", (_task("a", 3), _task("b", 4), _task("c", 2)))
    dealt = {stream.name: items for stream, items in deal(mixture, np.array([8, 2, 0, 7]))}
    assert dealt == {"a": [2, 0], "c": [1, 0]}
    assert mixture.tasks[0].data.collate([0]).inputs.shape[2] == MELS
