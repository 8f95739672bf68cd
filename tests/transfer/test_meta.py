"""Meta-learning is plain training where nothing is adapted, and what its papers say where something is."""

from __future__ import annotations

from pathlib import Path

import pytest
import speechbrain as sb
import torch

from asr_transfer.errors import ConfigError
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.training.streams import Task, make_buckets
from asr_transfer.training.trainer import Trainer
from asr_transfer.transfer.meta import Meta, Way, place_of
from asr_transfer.transfer.plan import Freeze, FreezeStatistics, TransferPlan
from tests.small import ToySpeech, different, settings, small_model, snapshot, speech_task

SPEAKERS = ("ann", "bob") * 12
_TRAIN = sb.Stage.TRAIN


def _model() -> AcousticModel:
    return small_model(dropout=0.0, dtype=torch.float64)


def _task() -> Task:
    return speech_task(ToySpeech(24, dtype=torch.float64), augment=False, together=SPEAKERS)


def _meta(model: AcousticModel, way: Way = "fomaml", steps: int = 2, rate: float = 0.1, learn: bool = False) -> Meta:
    course = settings(optimizer="sgd")
    return Meta(way, [name for name, _ in model.named_parameters()], steps, rate, course, 3, learn)


def _trainer(
    model: AcousticModel, meta: Meta | None = None, plan: TransferPlan | None = None, **changes: int
) -> Trainer:
    objectives = [] if meta is None else [(1.0, meta)]
    options = settings(**{"batch_budget": 90, **changes})
    return Trainer(model, [_task()], objectives, plan or TransferPlan(FreezeStatistics()), config=options)


def _trained(model: AcousticModel, meta: Meta | None = None, **changes: int) -> dict[str, torch.Tensor]:
    _trainer(model, meta, **changes).train()
    return snapshot(model)


@pytest.mark.parametrize("way", ["fomaml", "reptile"])
def test_without_inner_steps_it_is_plain_training(way: Way) -> None:
    plain, model = _trained(_model()), _model()
    assert not different(plain, _trained(model, _meta(model, way, steps=0)))


def test_an_inner_rate_of_0_leaves_the_start_where_it_is() -> None:
    plain, model = _trained(_model()), _model()
    assert not different(plain, _trained(model, _meta(model, rate=0.0)))


def test_a_share_of_0_is_plain_training_and_a_share_between_is_neither() -> None:
    plain, model = _trained(_model()), _model()
    meta = _meta(model)
    meta.share = 0.0
    assert not different(plain, _trained(model, meta))
    some, every = _model(), _model()
    half = _meta(some)
    half.share = 0.5
    assert different(plain, _trained(some, half, steps=12)) and different(
        _trained(every, _meta(every), steps=12), snapshot(some)
    )


def test_constant_rates_are_first_order_maml() -> None:
    first, second = _model(), _model()
    learnt = _meta(second, learn=True)
    learnt.pace = 0.0
    assert not different(_trained(first, _meta(first)), _trained(second, learnt))
    assert different(snapshot(first), _trained(_model()))


def test_reptile_feeds_the_sum_of_the_gradients_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """With SGD, the way of all steps over their rate is the sum of the gradients along it."""
    model = _model()
    start, found, reptile = snapshot(model), [], _meta(model, "reptile")
    move = reptile._move

    def noting(optimizer: torch.optim.Optimizer, moved: dict[str, torch.nn.Parameter], step: int) -> None:
        found.append({name: parameter.grad.clone() for name, parameter in moved.items() if parameter.grad is not None})
        move(optimizer, moved, step)

    monkeypatch.setattr(reptile, "_move", noting)
    _trained(model, reptile, steps=1)
    assert len(found) == 3
    for name, parameter in model.named_parameters():
        gradient = sum(step[name] for step in found)
        torch.testing.assert_close(parameter.detach(), start[name] - 0.05 * gradient, rtol=1e-9, atol=1e-12)


def test_first_order_maml_is_the_gradient_behind_the_adaptation() -> None:
    model = _model()
    start, meta = snapshot(model), _meta(model)
    trainer = _trainer(model, meta)
    part = trainer._load(0)[0]
    with trainer._around(part, 1.0):
        adapted = snapshot(model)
        trainer.compute_objectives(trainer.compute_forward(part, _TRAIN), part, _TRAIN).backward()
    kept = {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert not different(start, snapshot(model))
    assert different(start, adapted) == set(kept)
    other = _model()
    other.load_state_dict(adapted)
    again = _trainer(other)
    again.compute_objectives(again.compute_forward(part, _TRAIN), part, _TRAIN).backward()
    for name, parameter in other.named_parameters():
        torch.testing.assert_close(parameter.grad, kept[name], rtol=1e-12, atol=1e-12)


def test_the_gradient_of_the_rates_is_that_of_the_loss_behind_one_step() -> None:
    """One step's way does not depend on the factors but by its length, so that the first order is exact."""
    model = _model()
    meta = _meta(model, steps=1, learn=True)
    trainer = _trainer(model, meta)
    part = trainer._load(0)[0]

    def loss() -> torch.Tensor:
        torch.manual_seed(3)
        with trainer._around(part, 1.0):
            value = trainer.compute_objectives(trainer.compute_forward(part, _TRAIN), part, _TRAIN)
            value.backward()
        return value.detach()

    loss()
    assert meta.logarithms is not None and meta.logarithms.grad is not None
    gradient, numbers = meta.logarithms.grad.clone(), []
    assert list(meta.factors()) == [
        "frontend",
        "encoder.layers.0",
        "encoder.layers.1",
        "encoder.norm",
        "heads",
    ]
    for row in range(len(gradient)):
        sides = []
        for way in (1e-5, -1e-5):
            with torch.no_grad():
                meta.logarithms[row] = way
            sides.append(loss())
            with torch.no_grad():
                meta.logarithms[row] = 0.0
        numbers.append((sides[0] - sides[1]) / 2e-5)
    torch.testing.assert_close(gradient, torch.stack(numbers), rtol=1e-4, atol=1e-8)


def test_rates_alone_are_learnt_on_a_frozen_model_whose_statistics_and_weights_stay() -> None:
    model = _model()
    start, meta = snapshot(model), _meta(model, learn=True)
    _trainer(model, meta, TransferPlan(Freeze("**"))).train()
    assert not different(start, snapshot(model))
    assert all(factor != 1 for factor in meta.factors().values())


def test_inner_steps_leave_statistics_alone() -> None:
    model = _model()
    before, trainer = (
        snapshot(model),
        Trainer(model, [_task()], [(1.0, _meta(model))], config=settings(batch_budget=90)),
    )
    model.train()
    with trainer._around(trainer._load(0)[0], 1.0):
        pass
    assert not different(before, snapshot(model))


def test_batches_hold_items_of_one_label_and_every_item_once() -> None:
    buckets = make_buckets(_task(), 90, 0)
    batches = [buckets.batch(step).tolist() for step in range(20)]
    assert all(len({SPEAKERS[item] for item in batch}) == 1 for batch in batches)
    seen: list[int] = []
    for batch in batches:
        seen += batch if len(seen) < 24 else []
    assert sorted(seen) == list(range(24))


def _gradients(step: int) -> dict[str, torch.Tensor]:
    model = _model()
    trainer = _trainer(model, _meta(model))
    part = trainer._load(step)[0]
    torch.manual_seed(step)
    with trainer._around(part, 1.0):
        trainer.compute_objectives(trainer.compute_forward(part, _TRAIN), part, _TRAIN).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def test_several_batches_of_a_step_add_up() -> None:
    model = _model()
    alone = [_gradients(step) for step in (0, 1)]
    trainer = _trainer(model, _meta(model))
    for step in (0, 1):
        part = trainer._load(step)[0]
        torch.manual_seed(step)
        with trainer._around(part, 0.5):
            (trainer.compute_objectives(trainer.compute_forward(part, _TRAIN), part, _TRAIN) / 2).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, (alone[0][name] + alone[1][name]) / 2)


def test_mistakes_are_told() -> None:
    model = _model()
    with pytest.raises(ConfigError, match="fewer than the 3 to adapt to; take smaller batches"):
        _trained(model, _meta(model), batch_budget=10_000)
    with pytest.raises(ConfigError, match="no rates are learnt"):
        _meta(model, "reptile", learn=True)


def test_places_are_blocks_and_heads() -> None:
    model = _model()
    assert place_of("frontend.layers.1.norm.bias", model) == "frontend"
    assert place_of("adapters.lhuc.encoder.layers.1.r", model) == "encoder.layers.1"
    assert place_of("heads.main.weight", model) == "heads"


def test_stopped_midway_and_resumed_it_ends_in_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(folder: Path) -> tuple[AcousticModel, Meta, Trainer]:
        model = small_model(dtype=torch.float64)
        meta = _meta(model, learn=True)
        meta.share = 0.5
        options = settings(batch_budget=90, steps=6, checkpoint_every=2, accumulate=2)
        plan = TransferPlan(FreezeStatistics())
        return model, meta, Trainer(model, [_task()], [(1.0, meta)], plan, config=options, folder=folder)

    whole, learnt, trainer = made(tmp_path / "whole")
    trainer.train()
    _, _, trainer = made(tmp_path / "parts")
    load = trainer._load

    def failing(step: int) -> object:
        if step == 5:
            raise RuntimeError("power cut")
        return load(step)

    monkeypatch.setattr(trainer, "_load", failing)
    with pytest.raises(RuntimeError, match="power cut"):
        trainer.train()
    resumed, again, trainer = made(tmp_path / "parts")
    trainer.train()
    assert not different(snapshot(whole), snapshot(resumed)) and learnt.factors() == again.factors()
