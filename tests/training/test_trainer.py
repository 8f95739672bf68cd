"""The trainer takes exactly the steps it promises, and says clearly what it cannot do."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from asr_transfer.config import TrainerConfig
from asr_transfer.data.batching import ArrayData, Batch
from asr_transfer.errors import ConfigError, ModelError, TrainingError
from asr_transfer.training.criteria import cross_entropy
from asr_transfer.training.forward import run
from asr_transfer.training.metrics import ClassificationError
from asr_transfer.training.objective import TrainedObjective
from asr_transfer.training.optimisation import make_optimizer, scale_at
from asr_transfer.training.progress import Progress
from asr_transfer.training.streams import Mixture, Output, Stream, Task
from asr_transfer.training.trainer import Trainer
from asr_transfer.transfer.l2sp import L2SP
from asr_transfer.transfer.plan import Freeze, TransferPlan
from tests.small import HeadOnly, Recorder, ToySpeech, different, settings, small_model, snapshot, speech_task


def _classes(items: int = 40, seed: int = 0) -> ArrayData:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(items, 4, generator=generator, dtype=torch.float64)
    return ArrayData(inputs, (inputs[:, 0] > 0).long() + (inputs[:, 1] > 0).long())


def _task(data: Any = None, name: str = "t", **options: Any) -> Task:
    return Task(name, data or _classes(), criterion=cross_entropy, head="main", metric=ClassificationError, **options)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_two_runs_take_the_same_steps_whatever_the_global_random_state(optimizer: str) -> None:
    runs = []
    for noise in (1, 2):
        recorder, model = Recorder(), small_model(seed=4)
        torch.manual_seed(noise)
        config = settings(optimizer=optimizer, max_gradient_norm=1.0, learning_rate=0.01)
        Trainer(model, [speech_task()], [(1.0, recorder)], config=config).train()
        runs.append([*recorder.weights, snapshot(model)])
    assert len(runs[0]) == 6
    for one, other in zip(*runs, strict=True):
        assert not different(one, other)


@pytest.mark.parametrize("every", [1, 2])
def test_a_step_is_the_same_however_often_it_is_validated(every: int) -> None:
    runs = []
    for validate_every in (0, every):
        recorder, model = Recorder(), small_model(seed=4, dropout=0.5)
        config = settings(validate_every=validate_every)
        check = speech_task(ToySpeech(3, seed=5))
        Trainer(model, [speech_task()], [(1.0, recorder)], config=config, validation=[check]).train()
        runs.append(recorder.weights)
    assert len(runs[0]) == len(runs[1]) == 5
    for one, other in zip(*runs, strict=True):
        assert not different(one, other)


def test_another_seed_takes_other_steps() -> None:
    weights = []
    for seed in (0, 1):
        model = small_model(seed=4)
        Trainer(model, [speech_task()], config=settings(seed=seed)).train()
        weights.append(snapshot(model))
    assert different(*weights)


class _Ordered:
    """Data whose batches do not depend on the order in which their items were drawn."""

    def __init__(self, data: ArrayData) -> None:
        self.data = data

    def costs(self) -> np.ndarray:
        return np.ones(len(self.data.inputs), dtype=np.int64)

    def collate(self, items: Sequence[int], augment: torch.Generator | None = None) -> Batch:
        return self.data.collate(sorted(items))


def test_accumulated_batches_equal_one_big_batch() -> None:
    """Two batches of 20 make up the same epoch of 40 items as one of 40."""
    weights = []
    for budget, accumulate in ((40, 1), (20, 2), (10, 4)):
        model = HeadOnly(4, 3, seed=1)
        config = settings(batch_budget=budget, accumulate=accumulate, steps=6, learning_rate=0.5)
        result = Trainer(model, [_task(_Ordered(_classes()))], config=config).train()
        assert (result.steps, result.cost) == (6, 240)
        weights.append(model.linear.weight.detach())
    torch.testing.assert_close(weights[1], weights[0], rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(weights[2], weights[0], rtol=1e-12, atol=1e-14)


class _SometimesNan(ToySpeech):
    def __init__(self, bad: Sequence[int]) -> None:
        super().__init__()
        self.bad = bad

    def collate(self, items: Sequence[int], augment: torch.Generator | None = None) -> Batch:
        batch = super().collate(items, augment)
        for row, item in enumerate(items):
            if item in self.bad:
                batch.inputs[row, 0, 0] = float("nan")
        return batch


def test_accumulated_batches_are_those_of_single_steps_masked_each_in_its_own_way() -> None:
    single, double = (
        Trainer(small_model(), [speech_task(ToySpeech(1))], config=settings(accumulate=n)) for n in (1, 2)
    )
    own = [single._load(step)[0]["speaker"].inputs for step in (0, 1)]
    together = [part["speaker"].inputs for part in double._load(0)]
    assert all(torch.equal(one, other) for one, other in zip(own, together, strict=True))
    assert not torch.equal(*together), "the only utterance, masked anew"


def test_non_finite_steps_are_skipped_counted_and_leave_no_trace() -> None:
    lines: list[str] = []
    recorder, model = Recorder(), small_model(seed=1)
    config = settings(steps=12, batch_budget=40, optimizer="adamw", learning_rate=0.01)
    trainer = Trainer(model, [speech_task(_SometimesNan([3]))], [(1.0, recorder)], config=config, log=lines.append)
    result = trainer.train()
    assert result.skipped == 1
    assert result.steps == 12
    assert sum("not finite" in line for line in lines) == 1
    # A NaN input reaches BatchNorm's running statistics already in the forward pass.
    assert all(torch.isfinite(tensor).all() for tensor in snapshot(model).values())
    steps = [*recorder.weights, snapshot(model)]
    parameters = [name for name, _ in model.named_parameters()]
    still = [k for k in range(12) if all(torch.equal(steps[k][n], steps[k + 1][n]) for n in parameters)]
    assert len(still) == 1


def test_training_stops_when_the_loss_stays_non_finite() -> None:
    trainer = Trainer(
        small_model(), [speech_task(_SometimesNan(range(12)))], config=settings(steps=50, max_nonfinite=3)
    )
    with pytest.raises(TrainingError, match=r"4 steps.*`trainer.max_nonfinite` = 3"):
        trainer.train()
    assert trainer.optimizer_step == 3


class _Scripted:
    """A metric that gives figures from a list, one per validation."""

    def __init__(self, script: list[float], calls: list[int]) -> None:
        self.script, self.calls, self.updated = script, calls, False

    def update(self, output: Output) -> None:
        if not self.updated:
            self.calls.append(1)
        self.updated = True

    def summary(self) -> dict[str, float]:
        return {"score": self.script[len(self.calls) - 1] if self.updated else float("nan")}


def _scripted(
    script: list[float], patience: int, steps: int = 20
) -> tuple[Any, list[dict[str, torch.Tensor]], nn.Module]:
    calls: list[int] = []
    weights: list[dict[str, torch.Tensor]] = []
    model = small_model(seed=1)
    check = speech_task(ToySpeech(4, seed=5), metric=lambda: _Scripted(script, calls))
    config = settings(steps=steps, validate_every=2, patience=patience)
    log = lambda line: weights.append(snapshot(model))  # noqa: E731
    return (
        Trainer(model, [speech_task()], config=config, validation=[check], monitor="score", log=log).train(),
        weights,
        model,
    )


def test_early_stopping_and_the_best_weights() -> None:
    result, weights, model = _scripted([5, 3, 4, 2, 2.5, 2.2, 3, 1, 1, 1], patience=3)
    assert [entry["score"] for entry in result.history] == [5, 3, 4, 2, 2.5, 2.2, 3]
    assert result.steps == 14
    assert result.best == result.history[3]
    assert not different(snapshot(model), weights[3])
    assert different(snapshot(model), weights[6])
    assert not model.training


def test_a_tie_goes_to_the_lower_loss() -> None:
    result, _, _ = _scripted([1.0] * 10, patience=0)
    assert result.best is not None
    assert result.best["loss"] == min(entry["loss"] for entry in result.history)


def test_of_equal_validations_the_earlier_is_the_best_and_patience_runs_out() -> None:
    progress, model = Progress(), nn.Linear(1, 1)
    for step in range(3):
        progress.note({"step": step, "score": 1.0, "loss": 2.0}, "score", model)
    assert progress.best == {"step": 0, "score": 1.0, "loss": 2.0} and progress.validations_since_best == 2


def test_a_figure_that_is_no_number_never_wins() -> None:
    nan = float("nan")
    result, weights, model = _scripted([nan, 4, nan, 3, nan], patience=0, steps=10)
    assert result.best is not None and result.best["score"] == 3
    assert not different(snapshot(model), weights[3])


def test_without_validation_the_last_weights_are_kept() -> None:
    recorder, model = Recorder(), small_model(seed=1)
    result = Trainer(model, [speech_task()], [(1.0, recorder)], config=settings()).train()
    assert result.best is None
    assert [entry["step"] for entry in result.history] == [5.0]
    assert math.isfinite(result.history[0]["train_loss"])
    assert different(snapshot(model), recorder.weights[-1])


def test_validation_covers_every_item_once_and_names_the_tasks() -> None:
    data = _classes(33, seed=2)
    model = HeadOnly(4, 3, seed=1)
    checks = [_task(data, "a"), _task(_classes(7), "b")]
    config = settings(batch_budget=10, steps=3)
    result = Trainer(model, [_task()], config=config, validation=checks, monitor="a.error").train()
    wrong = (model.linear(data.inputs).argmax(-1) != data.targets).double().mean()
    assert result.best is not None
    assert set(result.best) == {"step", "train_loss", "a.loss", "a.error", "b.loss", "b.error"}
    assert result.best["a.error"] == pytest.approx(float(wrong))
    expected = nn.functional.cross_entropy(model.linear(data.inputs), data.targets)
    assert result.best["a.loss"] == pytest.approx(float(expected.detach()), rel=1e-12)


def test_the_schedule_rises_falls_and_ends_near_zero() -> None:
    config = TrainerConfig(steps=100, warmup=0.1)
    scales = [scale_at(step, config) for step in range(100)]
    assert scales[0] == pytest.approx(1 / 11)
    assert scales[:11] == sorted(scales[:11]) and scales[10] == 1.0
    assert scales[10:] == sorted(scales[10:], reverse=True)
    assert 0 < scales[-1] < 1e-3
    assert [scale_at(step, TrainerConfig(steps=10, warmup=0.0, schedule="constant")) for step in (0, 5, 9)] == [1, 1, 1]
    assert scale_at(0, TrainerConfig(steps=1)) > 0


def test_clipping_bounds_the_step() -> None:
    for limit, longest in ((0.01, 0.01), (0.0, None)):
        recorder = Recorder()
        config = settings(steps=3, learning_rate=1.0, max_gradient_norm=limit)
        model = HeadOnly(4, 3, seed=1)
        Trainer(model, [_task()], [(1.0, recorder)], config=config).train()
        first, second = recorder.weights[:2]
        moved = torch.cat([(first[name] - second[name]).flatten() for name in first]).norm()
        assert float(moved) == pytest.approx(longest, rel=1e-3) if longest else float(moved) > 0.05


def test_weight_decay_acts_on_matrices_only() -> None:
    optimizer = make_optimizer(small_model(), TrainerConfig(weight_decay=0.1), {})
    for group in optimizer.param_groups:
        assert all((p.ndim > 1) == (group["weight_decay"] > 0) for p in group["params"])


def test_conflicting_options_are_named_all_at_once() -> None:
    class Confused(Recorder):
        streams: Sequence[str] = ("target", "speakr")

    config = TrainerConfig(patience=2, validate_every=5, weight_decay=0.1, device="cpu")
    empty = Stream("empty", ArrayData(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)))
    streams = [speech_task(), speech_task(), empty]
    with pytest.raises(ConfigError) as caught:
        Trainer(small_model(), streams, [(1.0, Confused()), (1.0, L2SP(0.1))], config=config)
    message = str(caught.value)
    for part in (
        "two streams are called 'speaker'",
        "Confused reads the stream 'target', which is not given",
        "Did you mean 'speaker'?",
        "L2SP replaces weight decay",
        "`trainer.patience` needs validation data",
        "the stream 'empty' has no items",
    ):
        assert part in message


def test_patience_without_validations_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"`trainer.patience` needs `trainer.validate_every` above 0"):
        TrainerConfig(patience=2, validate_every=0)


def test_a_monitor_that_no_validation_gives_is_refused_before_training() -> None:
    with pytest.raises(ConfigError, match=r"no figure 'eror' to monitor.*Did you mean 'error'\?"):
        Trainer(HeadOnly(4, 3), [_task()], config=settings(), validation=[_task()], monitor="eror")
    with pytest.raises(ConfigError, match="'loss'"):
        Trainer(HeadOnly(4, 3), [_task()], config=settings(), validation=[_task(name="a"), _task(name="b")])
    with pytest.raises(ConfigError, match=r"no figure 'wer' to monitor, only loss"):
        Progress().note({"loss": 1.0}, "wer", nn.Linear(1, 1))


def test_an_unknown_head_is_refused_before_training() -> None:
    task = Task("t", ToySpeech(), criterion=cross_entropy, head="mian")
    with pytest.raises(ModelError, match=r"no head 'mian'.*Did you mean 'main'\?"):
        Trainer(small_model(), [task], config=settings())


def test_freezing_everything_leaves_nothing_to_train() -> None:
    trainer = Trainer(small_model(), [speech_task()], plan=TransferPlan(Freeze("**")), config=settings())
    with pytest.raises(TrainingError, match="nothing to train"):
        trainer.train()


class _Tapped(Recorder):
    streams: Sequence[str] = ("raw",)
    taps: Sequence[str] = ("encoder.layers.1", "frontend")

    def __init__(self) -> None:
        super().__init__()
        self.outputs: list[Output] = []

    def forward(self, model: nn.Module, outputs: Mapping[str, Output]) -> torch.Tensor:
        self.outputs.append(outputs["raw"])
        return outputs["raw"].vectors("encoder.layers.1", "utterance").square().mean()


def test_unlabelled_streams_and_taps_reach_the_objective() -> None:
    objective, model = _Tapped(), small_model(seed=1)
    Trainer(model, [speech_task(), Stream("raw", ToySpeech(seed=8))], [(0.1, objective)], config=settings()).train()
    assert len(objective.outputs) == 5
    assert objective.outputs[0].logits is None
    assert set(objective.outputs[0].taps) == {"encoder.layers.1", "frontend"}
    with pytest.raises(ValueError, match="give it a `head`"):
        objective.outputs[0].require_logits()
    assert not any(module._forward_hooks for module in model.modules())


def test_vectors_never_contain_padding() -> None:
    model, data = small_model(seed=1, dtype=torch.float64).eval(), ToySpeech(dtype=torch.float64)
    tap = "encoder.layers.1"
    output = run(model, Stream("raw", data), data.collate([0, 1, 2]), [tap])
    assert output.lengths is not None and len(set(output.lengths.tolist())) > 1
    single = [run(model, Stream("raw", data), data.collate([item]), [tap]).taps[tap][0] for item in range(3)]
    torch.testing.assert_close(output.vectors(tap, "frames"), torch.cat(single))
    torch.testing.assert_close(output.vectors(tap, "utterance"), torch.stack([part.mean(0) for part in single]))
    poisoned = output.taps[tap].clone()
    poisoned[int(output.lengths.argmin()), int(output.lengths.min()) :] = float("nan")
    spoilt = Output(None, output.lengths, {tap: poisoned}, output.batch)
    torch.testing.assert_close(spoilt.vectors(tap, "utterance"), output.vectors(tap, "utterance"))
    with pytest.raises(ValueError, match=r"'level'.*'frame'"):
        output.vectors(tap, "frame")
    images = Output(None, None, {"x": torch.zeros(2, 3, 4)}, output.batch)
    assert images.vectors("x", "utterance").shape == (2, 12)


def test_bf16_trains_and_keeps_weights_in_full_precision() -> None:
    model = small_model(seed=1, encoder="bilstm")
    before = snapshot(model)
    result = Trainer(model, [speech_task()], config=settings(precision="bf16", optimizer="adamw")).train()
    assert result.skipped == 0
    assert different(before, snapshot(model))
    assert all(p.dtype == torch.float32 for p in model.parameters())


class _Around(TrainedObjective):
    """An objective with a number of its own, which notes when it is asked for what."""

    def __init__(self, pace: float = 1.0) -> None:
        super().__init__()
        self.own, self.pace = nn.Parameter(torch.zeros((), dtype=torch.float64)), pace
        self.noted: list[str] = []

    @contextmanager
    def around(self, model: nn.Module, parts: Mapping[str, tuple[Stream, Batch]], share: float) -> Iterator[None]:
        """Note the beginning and the end."""
        self.noted.append(f"{'+'.join(parts)} {share}")
        yield
        self.noted.append("end" if next(model.parameters()).grad is not None else "no gradient")

    def forward(self, model: nn.Module, outputs: Mapping[str, Output]) -> torch.Tensor:
        """Pull the number up."""
        self.noted.append("forward")
        return -self.own


def test_an_objective_encloses_both_passes_of_every_batch_where_its_weight_is_not_zero() -> None:
    every, never = _Around(), _Around()
    Trainer(HeadOnly(4, 3), [_task()], [(1.0, every), (0.0, never)], config=settings(steps=1, accumulate=2)).train()
    assert every.noted == ["t 0.5", "forward", "end"] * 2 and never.noted == []


def test_an_objective_s_pace_is_a_factor_on_the_rate_of_its_own_parameters() -> None:
    slow, fast = _Around(), _Around(3.0)
    Trainer(HeadOnly(4, 3), [_task()], [(1.0, slow), (1.0, fast)], config=settings(steps=2)).train()
    assert slow.own.item() == pytest.approx(2 * 0.05) and fast.own.item() == pytest.approx(3 * 2 * 0.05)


def test_a_mixture_apart_has_one_task_in_every_batch() -> None:
    tasks = (_task(_classes(9), "a"), _task(_classes(14, 1), "b"))
    trainer = Trainer(HeadOnly(4, 3), [Mixture("m", tasks, alpha=1.0, apart=True)], config=settings(batch_budget=5))
    seen = [batch for step in range(5) for batch in trainer._load(step)]
    assert all(len(batch) == 1 for batch in seen) and {name for batch in seen for name in batch} == {"a", "b"}
    assert sum(len(part.items) for batch in seen for part in batch.values()) == 23


def test_tasks_that_are_mixed_keep_nothing_together() -> None:
    labelled = _task(together=["x"] * 40)
    with pytest.raises(ConfigError, match="so none of them can be `together`"):
        Mixture("m", (labelled,))
