"""A transfer plan does exactly what its table says, and what it freezes stays the same to the last bit."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from torch import nn

from asr_transfer.config import EncoderName
from asr_transfer.errors import ConfigError, SelectionError
from asr_transfer.training.trainer import Trainer
from asr_transfer.transfer.plan import Copy, Freeze, FreezeStatistics, LearningRate, Reinit, TransferPlan
from asr_transfer.transfer.selection import select, state_names
from tests.small import Recorder, ToySpeech, different, settings, small_model, snapshot, speech_task


def _train(model: nn.Module, plan: TransferPlan | None = None, **options: Any) -> nn.Module:
    config = settings(**{"optimizer": "adamw", "learning_rate": 0.01, **options})
    Trainer(model, [speech_task()], plan=plan, config=config).train()
    return model


def test_copy_takes_the_selected_tensors_and_no_others() -> None:
    model, source = small_model(1), small_model(2)
    # Trained, so that the statistics differ as well.
    _train(source)
    before, given = snapshot(model), snapshot(source)
    applied = TransferPlan(Copy("encoder.layers[1:] | heads", source)).apply(model)
    after = snapshot(model)
    chosen = set(select(model, "encoder.layers.1 | heads"))
    assert "encoder.layers.1.norm.running_mean" in chosen
    assert different(after, given) & chosen == set()
    assert different(after, before) <= chosen
    assert {name for name, origin in applied.origin.items() if origin == "copied"} == chosen
    assert not different(snapshot(source), given)


def test_copy_takes_a_state_as_well_as_a_model_and_does_not_share_memory() -> None:
    model, source = small_model(1), small_model(2)
    TransferPlan(Copy("**", source.state_dict())).apply(model)
    assert not different(snapshot(model), snapshot(source))
    with torch.no_grad():
        model.heads["main"].bias.add_(1)
    assert different(snapshot(model), snapshot(source)) == {"heads.main.bias"}


def test_copy_of_what_does_not_fit_is_refused_or_reported() -> None:
    model, source = small_model(1, heads={"main": 7, "new": 3}), small_model(2)
    with pytest.raises(SelectionError, match=r"'heads.main.weight' of shape \(7, 8\) has shape \(5, 8\) in the source"):
        TransferPlan(Copy("heads.main", source)).apply(model)
    with pytest.raises(SelectionError, match=r"'heads.new.weight'.*does not exist in the source.*missing=\"skip\""):
        TransferPlan(Copy("heads.new", source)).apply(model)
    before = snapshot(model)
    applied = TransferPlan(Copy("**", source, missing="skip")).apply(model)
    assert applied.unmatched == set(select(model, "heads"))
    assert different(snapshot(model), before).isdisjoint(applied.unmatched)
    with pytest.raises(ConfigError, match=r"'missing' parameter of Copy.*'ignore'"):
        Copy("**", source, missing="ignore")


def test_reinit_is_random_repeatable_and_leaves_the_global_state_alone() -> None:
    models = []
    for seed in (3, 3, 4):
        model = _train(small_model(1))
        torch.manual_seed(12)
        before = snapshot(model)
        applied = TransferPlan(Reinit("encoder.layers[0] | heads", seed)).apply(model)
        assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(12)))
        chosen = set(select(model, "encoder.layers[0] | heads"))
        assert different(snapshot(model), before) == chosen
        assert {name for name, origin in applied.origin.items() if origin == "new"} == chosen
        assert not snapshot(model)["encoder.layers.0.norm.running_mean"].any()
        models.append(snapshot(model))
    assert not different(models[0], models[1])
    assert "heads.main.weight" in different(models[0], models[2])


@pytest.mark.parametrize("encoder", get_args(EncoderName))
def test_reinit_reaches_every_tensor_of_every_encoder(encoder: Any) -> None:
    model = small_model(1, encoder)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.fill_(7)
    TransferPlan(Reinit("**")).apply(model)
    left = [name for name, tensor in model.state_dict().items() if (tensor == 7).any()]
    assert not left


def test_reinit_of_half_a_layer_is_refused() -> None:
    with pytest.raises(SelectionError, match=r"'heads.main.bias' cannot be reset.*select whole layers"):
        TransferPlan(Reinit("heads.main.bias")).apply(small_model())


@pytest.mark.parametrize("encoder", get_args(EncoderName))
def test_frozen_parameters_and_statistics_stay_the_same_bits(encoder: Any) -> None:
    model = small_model(1, encoder)
    before = snapshot(model)
    frozen = set(select(model, "frontend | encoder.layers[0]"))
    plan = TransferPlan(Freeze("frontend | encoder.layers[0]"))
    trainer = Trainer(model, [speech_task()], plan=plan, config=settings(optimizer="adamw", learning_rate=0.01))
    trainer.train()
    model.train()
    model(torch.randn(2, 20, 8), torch.tensor([20, 20]))
    changed = different(snapshot(model), before)
    assert changed.isdisjoint(frozen)
    assert changed == set(state_names(model)) - frozen
    assert trainer.applied is not None and trainer.applied.frozen == frozen
    assert any("running_mean" in name for name in frozen)


def test_frozen_statistics_still_let_scales_and_shifts_train() -> None:
    model = small_model(1)
    before = snapshot(model)
    _train(model, TransferPlan(FreezeStatistics()))
    changed = different(snapshot(model), before)
    assert changed == {name for name, _ in model.named_parameters()}


def test_frozen_statistics_of_one_layer_only() -> None:
    model = small_model(1)
    before = snapshot(model)
    _train(model, TransferPlan(FreezeStatistics("frontend")))
    kept = set(before) - different(snapshot(model), before)
    assert kept == {name for name in before if name.startswith("frontend") and ("running" in name or "tracked" in name)}


def test_learning_rate_factors_scale_the_step() -> None:
    moves = []
    for factor in (1.0, 0.25):
        recorder, model = Recorder(), small_model(1, dtype=torch.float64)
        plan = TransferPlan(LearningRate("encoder", 3.0), LearningRate("encoder.layers[0]", factor))
        Trainer(model, [speech_task(_double())], [(1.0, recorder)], plan, settings(steps=1)).train()
        moves.append({name: snapshot(model)[name] - first for name, first in recorder.weights[0].items()})
    for name, _ in small_model(1).named_parameters():
        ratio = 0.25 if name.startswith("encoder.layers.0.") else 1.0
        torch.testing.assert_close(moves[1][name], ratio * moves[0][name], rtol=1e-6, atol=1e-14)
    plain, model = snapshot(small_model(1, dtype=torch.float64)), small_model(1, dtype=torch.float64)
    Trainer(model, [speech_task(_double())], config=settings(steps=1)).train()
    for name in select(model, "encoder.layers[1].convolution"):
        moved = snapshot(model)[name] - plain[name]
        torch.testing.assert_close(moves[0][name], 3 * moved, rtol=1e-6, atol=1e-14)


def _double() -> ToySpeech:
    return ToySpeech(dtype=torch.float64)


def test_a_factor_of_nothing_is_refused() -> None:
    with pytest.raises(SelectionError, match="`factor` must be above 0, got 0; use Freeze"):
        TransferPlan(LearningRate("encoder", 0)).apply(small_model())


def test_later_actions_win() -> None:
    source = small_model(2)
    for actions, origin in (
        ([Copy("heads", source), Reinit("heads")], "new"),
        ([Reinit("heads"), Copy("heads", source)], "copied"),
        ([Copy("heads", small_model(2, heads={"main": 9}), missing="skip"), Reinit("heads")], "new"),
    ):
        applied = TransferPlan(*actions).apply(small_model(1))
        assert {row[3] for row in applied.rows() if row[0].startswith("heads")} == {origin}


def test_the_table_tells_what_was_done() -> None:
    model, source = small_model(1, heads={"main": 7}), small_model(2)
    plan = TransferPlan(
        Copy("**", source, missing="skip"),
        Freeze("encoder.layers[-1:]"),
        Reinit("frontend.layers[0]"),
        LearningRate("frontend.layers[0]", 0.5),
    )
    applied = plan.apply(model)
    rows = {row[0]: row[1:] for row in applied.rows() if row[0] in ("heads.main", "encoder.layers.1")}
    assert rows["heads.main"] == (2, 63, "unmatched", "trained", 1.0)
    layer = model.encoder.layers[1].state_dict().values()
    assert rows["encoder.layers.1"] == (len(layer), sum(t.numel() for t in layer), "copied", "frozen", 0.0)
    assert sum(row[2] for row in applied.rows()) == sum(t.numel() for t in model.state_dict().values())
    text = str(applied)
    for word in ("Transfer plan", "heads.main", "unmatched", "frozen", "copied", "new", "0.5"):
        assert word in text


def test_copying_nothing_equals_training_from_scratch() -> None:
    source = _train(small_model(2))
    scratch = snapshot(_train(small_model(1)))
    assert not different(snapshot(_train(small_model(1), TransferPlan())), scratch)
    # A plan that puts back what it copied is the same again.
    start = snapshot(small_model(1))
    back = TransferPlan(Copy("encoder", source), Copy("encoder", start))
    assert not different(snapshot(_train(small_model(1), back)), scratch)


def test_copying_everything_and_training_nothing_else_equals_the_source() -> None:
    source = _train(small_model(2))
    plan = TransferPlan(Copy("**", source), Freeze("** - heads.main.bias"))
    model = _train(small_model(1), plan)
    assert different(snapshot(model), snapshot(source)) == {"heads.main.bias"}
    copied = small_model(1)
    TransferPlan(Copy("**", source), Freeze("**")).apply(copied)
    inputs, lengths = torch.randn(2, 30, 8), torch.tensor([30, 21])
    first, second = copied.eval()(inputs, lengths)[0], source.eval()(inputs, lengths)[0]
    assert torch.equal(copied.heads["main"](first), source.heads["main"](second))
    assert not any(p.requires_grad for p in copied.parameters())


def test_a_plan_with_a_typo_changes_nothing() -> None:
    model = small_model(1)
    before = snapshot(model)
    with pytest.raises(SelectionError, match="Did you mean 'heads'"):
        TransferPlan(Copy("**", small_model(2)), Freeze("encoder"), Freeze("head")).apply(model)
    assert not different(snapshot(model), before)
    assert all(p.requires_grad for p in model.parameters())
