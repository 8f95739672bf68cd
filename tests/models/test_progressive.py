"""Progressive columns: nothing at first, then listening; the base is frozen in every way."""

from __future__ import annotations

import copy
from typing import Any, get_args

import pytest
import torch
import yaml

from asr_transfer.config import EncoderName, FeatureConfig, ModelConfig
from asr_transfer.errors import ConfigError, ModelError
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.models.adapters import AdapterSpec, add_adapter
from asr_transfer.models.kinds import build, describe
from asr_transfer.models.progressive import Lateral, ProgressiveModel
from asr_transfer.models.shared_private import PrivateConfig, SharedPrivateModel
from asr_transfer.training.criteria import ctc
from asr_transfer.training.forward import run, run_together
from asr_transfer.training.streams import Task
from asr_transfer.training.trainer import Trainer
from asr_transfer.transfer.plan import Freeze, Reinit, TransferPlan
from tests.small import MELS, ToySpeech, different, settings, small_model, snapshot, speech_task

DOUBLE = torch.float64
everywhere = pytest.mark.parametrize("encoder", get_args(EncoderName))


def _config(encoder: Any = "tdnn", dim: int = 12, dropout: float = 0.0, **changes: Any) -> ModelConfig:
    sizes: dict[str, Any] = {"layers": 2, "channels": 6, "strides": (2, 1), "features": FeatureConfig(mels=MELS)}
    return ModelConfig(encoder, dim=dim, dropout=dropout, **{**sizes, **changes})


def _base(encoder: Any = "tdnn", dropout: float = 0.0, seed: int = 3) -> AcousticModel:
    """Return a model with statistics of its own."""
    model = small_model(seed, encoder, heads={"en": 5, "es": 6}, dropout=dropout, dtype=DOUBLE)
    batch = ToySpeech(dtype=DOUBLE).collate(range(8))
    for _ in range(5):
        model(batch.inputs + 1, batch.lengths)
    return model


def _column(base: AcousticModel, config: ModelConfig | None = None, seed: int = 1, rank: int = 4) -> ProgressiveModel:
    torch.manual_seed(seed)
    return ProgressiveModel(base, config or _config(), {"main": 5}, rank).to(DOUBLE)


def _listening(model: ProgressiveModel) -> ProgressiveModel:
    """Give every U values."""
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for lateral in model.laterals:
            assert isinstance(lateral, Lateral)
            lateral.up.copy_(torch.randn(lateral.up.shape, generator=generator))
            lateral.alpha.copy_(torch.rand(lateral.alpha.shape, generator=generator) + 0.5)
    return model


def _gradients(model: AcousticModel, task: Task) -> dict[str, torch.Tensor]:
    model.zero_grad()
    torch.manual_seed(4)
    loss, count = ctc(run(model, task, task.data.collate([0, 3, 5])))
    (loss / count).backward()  # type: ignore[no-untyped-call]
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@everywhere
@pytest.mark.parametrize("below", get_args(EncoderName))
def test_it_starts_as_an_independent_column_outputs_and_gradients(encoder: Any, below: Any) -> None:
    config = _config(encoder, dropout=0.3)
    model = _column(_base(below), config).train()
    torch.manual_seed(1)
    alone = AcousticModel(config, {"main": 5}).to(DOUBLE).train()
    task = speech_task(ToySpeech(dtype=DOUBLE))
    own, wanted = _gradients(model, task), _gradients(alone, task)
    for name, gradient in wanted.items():
        assert torch.equal(own.pop(name), gradient), name
    assert {name for name, g in own.items() if g.any()} == {f"laterals.{n}.up" for n in range(4)}
    state = snapshot(model)
    assert not different(snapshot(alone), {name: state[name] for name in alone.state_dict()})


@everywhere
def test_a_layer_hears_the_base_as_the_formula_says(encoder: Any) -> None:
    model, batch = _listening(_column(_base(encoder), _config(encoder))).eval(), ToySpeech(dtype=DOUBLE).collate([1, 4])

    def hidden_layers(column: AcousticModel, laterals: bool) -> list[torch.Tensor]:
        """Walk through a column layer by layer."""
        lateral = [m([h]) for m, h in zip(model.laterals, below, strict=True)] if laterals else [torch.zeros(())] * 4
        kept = []
        x, lengths = batch.inputs, batch.lengths
        for number, layer in enumerate(column.frontend.layers):
            if number:
                kept.append(x)
                x = x + lateral[0]
            x = layer["norm"](layer["convolution"](x.transpose(1, 2))).relu().transpose(1, 2)  # type: ignore[index]
            lengths = (lengths - 1) // column.frontend.strides[number] + 1
            x = x * (torch.arange(x.shape[1]) < lengths[:, None])[:, :, None]
        x = column.encoder.projection(x)
        for number, layer in enumerate(column.encoder.layers):
            kept.append(x)
            x = layer(x + lateral[number + 1], lengths)
        return [*kept, x, column.encoder.norm(x + lateral[3])]

    below: list[torch.Tensor] = []
    below = hidden_layers(model.base, laterals=False)[:4]
    wanted = hidden_layers(model, laterals=True)[-1]
    hidden, _ = model(batch.inputs, batch.lengths)
    torch.testing.assert_close(hidden[..., : model.encoder.dim], wanted, rtol=1e-10, atol=1e-12)
    first = model.laterals[1]
    assert isinstance(first, Lateral)
    by_hand = (first.alpha * below[1] @ first.down.T).clamp_min(0) @ first.up.T
    torch.testing.assert_close(first([below[1]]), by_hand)


@everywhere
def test_padding_has_no_influence(encoder: Any) -> None:
    model, data = _listening(_column(_base(encoder), _config(encoder))).eval(), ToySpeech(6, dtype=DOUBLE)
    batch = data.collate(range(6))
    hidden, lengths = model(batch.inputs, batch.lengths)
    together = model.head("main")(hidden)
    for item in range(6):
        alone = data.collate([item])
        own = model.head("main")(model(alone.inputs, alone.lengths)[0])
        torch.testing.assert_close(together[item : item + 1, : lengths[item]], own, rtol=1e-8, atol=1e-10)


def test_training_leaves_the_base_and_its_heads_as_they_were_and_uses_the_laterals() -> None:
    base = _base(dropout=0.4)
    before, given = snapshot(base), base.training
    model = _column(base, _config(dropout=0.2))
    old = Task("old", ToySpeech(seed=2, dtype=DOUBLE), ctc, head="es", weight=0.0, augment=False)
    batch = old.data.collate([0, 1])
    with torch.no_grad():
        logits = [run(m.eval(), old, batch).require_logits() for m in (copy.deepcopy(base), model)]
    assert torch.equal(*logits)
    task = speech_task(ToySpeech(dtype=DOUBLE))
    start = snapshot(model)
    config = settings(steps=60, optimizer="adamw", learning_rate=0.01, weight_decay=0.1, validate_every=30)
    result = Trainer(model, [task, old], config=config, validation=[task, old], monitor="speaker.loss").train()
    losses = [entry["speaker.loss"] for entry in result.history]
    assert losses[-1] < losses[0]
    assert len({entry["old.loss"] for entry in result.history}) == 1
    with torch.no_grad():
        assert torch.equal(run(model, old, batch).require_logits(), logits[0])
    assert not different(before, snapshot(model.base))
    moved = different(start, snapshot(model))
    assert {f"laterals.{n}.{part}" for n in range(4) for part in ("up", "down", "alpha")} <= moved
    # The given model is copied, not taken over.
    assert not different(before, snapshot(base)) and base.training == given
    assert all(p.requires_grad for p in base.parameters())


def test_the_base_stays_in_evaluation_mode_and_gets_no_gradient() -> None:
    model = _listening(_column(_base(dropout=0.5), _config(dropout=0.5))).train()
    assert model.encoder.norm.training and not any(m.training for m in model.base.modules())
    assert not any(p.requires_grad for p in model.base.parameters())
    task, old = speech_task(ToySpeech(dtype=DOUBLE)), Task("old", ToySpeech(dtype=DOUBLE), ctc, head="en")
    assert not any(name.startswith("base.") for name in _gradients(model, task))
    assert not any(gradient.any() for gradient in _gradients(model, old).values())
    batch = old.data.collate([0, 2])
    outputs = run_together(model, {"speaker": (task, batch), "old": (old, batch)}, {"speaker": (), "old": ()})
    torch.testing.assert_close(outputs["old"].logits, run(model, old, batch).logits, rtol=1e-10, atol=1e-12)


def test_what_the_base_has_learnt_is_heard_and_a_random_base_is_the_control() -> None:
    """The new column itself is frozen, so that its head lives on what the laterals bring."""
    data = _Marked()
    base = small_model(3, heads={"en": 5}, dropout=0.0)
    config = settings(steps=150, batch_budget=400, optimizer="adamw", learning_rate=0.01)
    Trainer(base, [Task("base", data, ctc, head="en", augment=False)], config=config).train()
    losses = []
    for below in (base, small_model(5, heads={"en": 5})):
        torch.manual_seed(1)
        model = ProgressiveModel(below, _config(dim=4, channels=4), {"main": 5}, rank=4)
        task, plan = speech_task(data, augment=False), TransferPlan(Freeze("frontend | encoder"))
        short = settings(steps=60, batch_budget=400, optimizer="adamw", learning_rate=0.03)
        result = Trainer(model, [task], plan=plan, config=short, validation=[task]).train()
        losses.append(result.history[-1]["loss"])
    assert losses[0] < 0.5 * losses[1], losses


def test_mixed_precision_trains_it() -> None:
    torch.manual_seed(1)
    model = ProgressiveModel(small_model(3, heads={"en": 5}), _config(), {"main": 5}, rank=4)
    task = speech_task()
    result = Trainer(model, [task], config=settings(precision="bf16"), validation=[task]).train()
    assert result.skipped == 0 and torch.isfinite(torch.tensor(result.history[-1]["loss"]))
    assert all(bool(lateral.up.any()) for lateral in model.laterals)  # type: ignore[union-attr,operator]


class _Marked(ToySpeech):
    """Toy speech in which each label is a loud mel band for some frames."""

    def __init__(self) -> None:
        super().__init__(16, seed=5)
        for number, (block, labels) in enumerate(zip(self.blocks, self.labels, strict=True)):
            spread = torch.linspace(2, len(block) - 6, len(labels)).long()
            marked = 0.3 * block
            for first, label in zip(spread.tolist(), labels.tolist(), strict=True):
                marked[first : first + 4, label] += 4
            self.blocks[number] = marked


def test_a_third_column_hears_both_earlier_ones() -> None:
    second = _listening(_column(_base("bilstm")))
    torch.manual_seed(2)
    third = ProgressiveModel(second, _config(dim=4), {"it": 7}, rank=3).to(DOUBLE)
    widths = [lateral.down.shape[1] for lateral in third.laterals]  # type: ignore[union-attr,index]
    assert widths == [8 + 6, 8 + 12, 16 + 12, 16 + 12]
    assert third.head_names() == ["it", "main", "en", "es"]
    batch = ToySpeech(dtype=DOUBLE).collate([0, 1])
    third.eval()
    second.eval()
    hidden, (below, _) = third(batch.inputs, batch.lengths)[0], second(batch.inputs, batch.lengths)
    for name in ("main", "en", "es"):
        assert torch.equal(third.head(name)(hidden), second.head(name)(below))
    assert third.head("it").out_features == 7 and third.head("es").out_features == 6
    # The new column's output moves with either of the two scales.
    _listening(third)
    before = third(batch.inputs, batch.lengths)[0][..., :4]
    for column in (0, 1):
        changed = copy.deepcopy(third)
        with torch.no_grad():
            changed.laterals[2].alpha[column] *= 2  # type: ignore[index,operator]
        assert not torch.allclose(changed(batch.inputs, batch.lengths)[0][..., :4], before)


def test_a_description_builds_the_same_model_again() -> None:
    torch.manual_seed(0)
    shared = SharedPrivateModel(_config(), {"en": 5, "es": 4}, PrivateConfig(1, 4)).to(DOUBLE)
    add_adapter(shared, AdapterSpec("lora", 2))
    progressive = _listening(_column(shared))
    add_adapter(progressive, AdapterSpec("residual-adapter", 3))
    batch = ToySpeech(dtype=DOUBLE).collate([0, 1])
    for model in (_base(), shared, _column(_base()), progressive):
        again = build(yaml.safe_load(yaml.safe_dump(describe(model))), "config.yaml").to(DOUBLE)
        assert type(again) is type(model)
        again.load_state_dict(model.state_dict())
        for name in model.head_names():
            logits = [m.eval().head(name)(m(batch.inputs, batch.lengths)[0]) for m in (model, again)]
            assert torch.equal(*logits)
    plain = describe(_base())
    assert set(plain) == {"model", "heads"}
    with pytest.raises(ModelError, match="config.yaml: `kind` is 'progresive'.*'progressive'"):
        build({**plain, "kind": "progresive"}, "config.yaml")


def test_laterals_are_reset_by_a_plan() -> None:
    model = _listening(_column(_base()))
    TransferPlan(Reinit("laterals", seed=1)).apply(model)
    for lateral in model.laterals:
        assert isinstance(lateral, Lateral)
        assert not lateral.up.any() and bool((lateral.alpha == 1).all()) and lateral.down.any()


def test_columns_that_do_not_fit_are_refused() -> None:
    base = _base()
    for changes, field in (
        ({"layers": 3}, "`model.layers` of the new column is 3 but the base has 2"),
        ({"strides": (1, 2)}, "`model.strides`"),
        ({"features": FeatureConfig(mels=9)}, "`model.features`"),
    ):
        with pytest.raises(ConfigError, match=field):
            ProgressiveModel(base, _config(**changes), {"main": 5})
    with pytest.raises(ConfigError, match="head 'en' already"):
        ProgressiveModel(base, _config(), {"en": 5})
    with pytest.raises(ConfigError, match="`rank`.*at least 1"):
        ProgressiveModel(base, _config(), {"main": 5}, rank=0)
    with pytest.raises(ModelError, match="no head 'mains'.*'main'"):
        _column(base).head("mains")
