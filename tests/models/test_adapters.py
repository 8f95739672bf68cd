"""Adapters begin as nothing, train alone, act by their formula, and come off or fold in without a trace."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import nn

from asr_transfer.config import EncoderName
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.models.adapters import (
    AdapterSpec,
    adapter_specs,
    adapter_state,
    add_adapter,
    base_state,
    merge_adapters,
    remove_adapters,
)
from asr_transfer.models.configuration import read_config
from asr_transfer.models.folder import load_model, save_model
from asr_transfer.training.trainer import Trainer
from asr_transfer.transfer.plan import Add, Applied, Freeze, FreezeStatistics, TransferPlan
from asr_transfer.transfer.selection import state_names
from tests.small import MELS, ToySpeech, different, settings, small_model, snapshot, speech_task

SPECS = [
    AdapterSpec("lhuc"),
    AdapterSpec("lin"),
    AdapterSpec("lora", 2),
    AdapterSpec("residual-adapter", 3),
    AdapterSpec("speaker-code", 4),
]
ENCODERS = get_args(EncoderName)
every = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
everywhere = pytest.mark.parametrize("encoder", ENCODERS)


def _inputs(dtype: torch.dtype = torch.float32, seed: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(3, 26, MELS, generator=generator, dtype=torch.float64).to(dtype)
    lengths = torch.tensor([26, 9, 17])
    return x * (torch.arange(26) < lengths[:, None])[:, :, None], lengths


def _outputs(model: AcousticModel, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    logits: torch.Tensor = model.heads["main"](model(*_inputs(dtype))[0])
    return logits


def _stir(model: AcousticModel, seed: int = 3) -> AcousticModel:
    """Set all adapter parameters to random values, as if they had been trained."""
    generator = torch.Generator().manual_seed(seed)
    for tensor in adapter_state(model).values():
        tensor.copy_(0.3 * torch.randn(tensor.shape, generator=generator, dtype=torch.float64))
    return model


def _with(spec: AdapterSpec, encoder: Any = "bilstm", dtype: torch.dtype = torch.float64) -> AcousticModel:
    model = small_model(1, encoder, dtype=dtype).eval()
    add_adapter(model, spec)
    return _stir(model)


def _adapt(model: AcousticModel, *specs: AdapterSpec, **options: Any) -> Trainer:
    plan = TransferPlan(FreezeStatistics(), *(Add(spec) for spec in specs), Freeze("** - adapters"))
    config = settings(**{"optimizer": "adamw", "learning_rate": 0.02, **options})
    trainer = Trainer(model, [speech_task()], plan=plan, config=config)
    trainer.train()
    model.requires_grad_(True)  # attention without gradients takes another kernel, which rounds differently
    return trainer


def _source(encoder: Any) -> AcousticModel:
    """Return a trained model with BatchNorm statistics of its own and much dropout."""
    model = small_model(1, encoder, dropout=0.3)
    Trainer(model, [speech_task(ToySpeech(seed=9))], config=settings(optimizer="adamw")).train()
    return model


@every
@everywhere
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_an_added_adapter_changes_no_bit_and_no_name(spec: AdapterSpec, encoder: Any, dtype: torch.dtype) -> None:
    model = small_model(1, encoder, dtype=dtype).eval()
    before, outputs = snapshot(model), _outputs(model, dtype)
    torch.manual_seed(12)
    add_adapter(model, spec)
    assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(12)))
    assert torch.equal(_outputs(model, dtype), outputs)
    assert not different(base_state(model), before)
    added = state_names(model)[len(before) :]
    assert added and all(name.startswith(f"adapters.{spec.kind}.") for name in added)
    assert all(tensor.dtype == dtype for tensor in model.state_dict().values() if tensor.is_floating_point())
    assert adapter_specs(model) == (spec,)
    again = small_model(7, encoder, dtype=dtype)
    add_adapter(again, spec)
    assert not different(adapter_state(again), adapter_state(model)), "the start does not depend on the model"
    # The same dropout with and without.
    for module in (model, again):
        module.train()
    torch.manual_seed(4)
    first = _outputs(model, dtype)
    remove_adapters(model)
    model.load_state_dict(before)
    torch.manual_seed(4)
    assert torch.equal(_outputs(model, dtype), first)


@every
@everywhere
def test_only_added_parameters_get_gradients_when_the_rest_is_frozen(spec: AdapterSpec, encoder: Any) -> None:
    model = _with(spec, encoder)
    TransferPlan(Freeze("** - adapters")).apply(model)
    _outputs(model.train(), torch.float64)[..., 1].sum().backward()
    reached = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached == {name for name, _ in model.named_parameters() if name.startswith("adapters.")}
    # And the base's get theirs too when they are trained.
    model.requires_grad_(True).zero_grad()
    _outputs(model, torch.float64).log_softmax(-1)[..., 1].sum().backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]


@every
@everywhere
def test_gradients_are_those_of_finite_differences(spec: AdapterSpec, encoder: Any) -> None:
    model = _with(spec, encoder)
    weights = torch.randn(3, 13, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    # Beyond the ends all channels may be 0, where LayerNorm is steep.
    weights *= (torch.arange(13) < torch.tensor([13, 5, 9])[:, None])[:, :, None]
    (_outputs(model, torch.float64) * weights).sum().backward()
    for name, parameter in model.named_parameters():
        if name.startswith(("adapters.", "encoder.layers.0.")):
            direction = torch.randn(parameter.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
            ends = []
            for step in (1e-7, -1e-7):
                with torch.no_grad():
                    parameter.add_(direction, alpha=step)
                    ends.append((_outputs(model, torch.float64) * weights).sum())
                    parameter.sub_(direction, alpha=step)
            assert parameter.grad is not None
            slope = float((ends[0] - ends[1]) / 2e-7)
            assert float((parameter.grad * direction).sum()) == pytest.approx(slope, rel=1e-4, abs=1e-6), name


@pytest.mark.parametrize("path", ["frontend.layers.0.norm", "frontend.layers.1.norm", "encoder.layers.0"])
def test_the_gradient_of_lhuc_is_that_of_its_papers(path: str) -> None:
    model = small_model(1, "tdnn", dtype=torch.float64).eval()
    seen: list[torch.Tensor] = []

    def see(module: nn.Module, arguments: Any, output: torch.Tensor) -> None:
        output.retain_grad()
        seen.append(output)

    model.get_submodule(path).register_forward_hook(see)  # before the adapter's
    add_adapter(model, AdapterSpec("lhuc"))
    model.get_submodule(path).register_forward_hook(see)
    _stir(model)
    _outputs(model, torch.float64).log_softmax(-1)[..., 2].sum().backward()
    hidden, scaled = seen
    r = model.get_parameter(f"adapters.lhuc.{path}.r")
    shape = (-1, 1) if path.startswith("frontend") else (-1,)
    torch.testing.assert_close(scaled, hidden * 2 / (1 + (-r.view(shape)).exp()), rtol=1e-12, atol=1e-14)
    assert scaled.grad is not None and r.grad is not None
    axes = (0, 2) if path.startswith("frontend") else (0, 1)
    slope = 2 * torch.sigmoid(r) * (1 - torch.sigmoid(r))
    torch.testing.assert_close(r.grad, slope * (hidden * scaled.grad).sum(axes), rtol=1e-10, atol=1e-12)


def test_a_linear_input_network_is_the_model_on_transformed_features() -> None:
    model = _with(AdapterSpec("lin"), "tdnn")
    matrix = torch.eye(MELS) + model.get_parameter("adapters.lin.deviation")
    bias = model.get_parameter("adapters.lin.bias")
    x, lengths = torch.randn(2, 20, MELS, dtype=torch.float64), torch.tensor([20, 20])
    adapted = model(x, lengths)[0]
    remove_adapters(model)
    torch.testing.assert_close(adapted, model(x @ matrix.T + bias, lengths)[0], rtol=1e-10, atol=1e-12)


@everywhere
def test_low_rank_additions_are_the_model_with_other_weights(encoder: Any) -> None:
    model = _with(AdapterSpec("lora", 2), encoder)
    adapted, factors = _outputs(model, torch.float64), dict(adapter_state(model))
    remove_adapters(model)
    state, covered = model.state_dict(), set()
    for name, weight in state.items():
        if f"adapters.lora.{name}.A" in factors:
            covered.add(name)
            weight += (factors[f"adapters.lora.{name}.B"] @ factors[f"adapters.lora.{name}.A"]).reshape(weight.shape)
    torch.testing.assert_close(_outputs(model, torch.float64), adapted, rtol=1e-10, atol=1e-12)
    left = {name for name, t in state.items() if t.ndim > 1 and not name.startswith("heads")} - covered
    assert left == {f"encoder.layers.{i}.attention.out_proj.weight" for i in (0, 1) if encoder == "conformer"}


@pytest.mark.parametrize("kind", ["residual-adapter", "speaker-code"])
@everywhere
def test_additions_behind_layers_follow_their_formula(kind: Any, encoder: Any) -> None:
    model = _with(AdapterSpec(kind, 3), encoder)
    added = dict(adapter_state(model))
    x, lengths = _inputs(torch.float64)
    adapted = model(x, lengths)[0]
    remove_adapters(model)
    hidden, lengths = model.frontend(x, lengths)
    hidden = model.encoder.projection(hidden)
    for index, layer in enumerate(model.encoder.layers):
        hidden = layer(hidden, lengths)
        place = f"adapters.{kind}.encoder.layers.{index}"
        if kind == "speaker-code":
            hidden = hidden + added[f"{place}.weight"] @ added[f"adapters.{kind}.code"]
        else:
            inner = (hidden @ added[f"{place}.down"].T).clamp(min=0)
            hidden = hidden + inner @ added[f"{place}.up"].T
    torch.testing.assert_close(adapted, model.encoder.norm(hidden), rtol=1e-10, atol=1e-12)


@every
@everywhere
def test_training_moves_the_adapter_alone_and_removing_it_gives_the_base(spec: AdapterSpec, encoder: Any) -> None:
    model = _source(encoder)
    before, plain = snapshot(model), _outputs(model)
    trainer = _adapt(model, spec)
    assert not different(base_state(model), before)
    assert not torch.allclose(_outputs(model), plain, atol=1e-3), "training must have done something"
    assert isinstance(trainer.applied, Applied)
    rows = {row[0]: row[1:] for row in trainer.applied.rows()}
    added = adapter_state(model)
    assert rows[f"adapters.{spec.kind}"] == (len(added), sum(t.numel() for t in added.values()), "new", "trained", 1.0)
    assert trainer.applied.frozen == set(before)
    remove_adapters(model)
    assert not different(snapshot(model), before)
    assert torch.equal(_outputs(model), plain)


@every
@everywhere
def test_saved_and_loaded_gives_the_same_outputs(spec: AdapterSpec, encoder: Any, tmp_path: Path) -> None:
    model = _source(encoder)
    _adapt(model, spec)
    _save(tmp_path / "model", model)
    again = load_model(tmp_path / "model")
    assert adapter_specs(again) == (spec,) and not again.training
    assert torch.equal(_outputs(again), _outputs(model))
    assert read_config(tmp_path / "model")["heads"] == {"main": 5}


@every
@everywhere
def test_merging_changes_no_output_beyond_rounding(spec: AdapterSpec, encoder: Any, tmp_path: Path) -> None:
    model = _source(encoder)
    before = snapshot(model)
    _adapt(model, spec)
    _save(tmp_path / "model", model)
    again, outputs = load_model(tmp_path / "model"), _outputs(model)
    left = merge_adapters(again)
    torch.testing.assert_close(_outputs(again), outputs, rtol=1e-5, atol=1e-6)
    assert left == adapter_specs(again) == (() if spec.kind == "lora" else (spec,)), "what is merged is gone"
    assert (different(base_state(again), before) != set()) == (spec.kind == "lora")
    _save(tmp_path / "merged", again)
    torch.testing.assert_close(_outputs(load_model(tmp_path / "merged")), outputs, rtol=1e-5, atol=1e-6)


def _save(folder: Path, model: AcousticModel) -> None:
    save_model(folder, model, "A card.", {"tokens.txt": lambda path: path.write_text("tokens")})


@every
@everywhere
def test_removing_leaves_no_hook(spec: AdapterSpec, encoder: Any) -> None:
    model = _with(spec, encoder)
    remove_adapters(model)
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_always_called")
    assert not any(getattr(module, name) for module in model.modules() for name in hooks)
    assert not hasattr(model, "adapters")
    assert state_names(model) == state_names(small_model(1, encoder))
    remove_adapters(model)  # nothing to do is nothing done


@every
@everywhere
def test_padding_and_the_batch_have_no_influence(spec: AdapterSpec, encoder: Any) -> None:
    model = _with(spec, encoder)
    x, lengths = _inputs(torch.float64)
    together, frames = model(nn.functional.pad(x, (0, 0, 0, 11)), lengths)
    for row, length in enumerate(lengths.tolist()):
        alone, _ = model(x[row : row + 1, :length], torch.tensor([length]))
        torch.testing.assert_close(together[row, : frames[row]], alone[0], rtol=1e-9, atol=1e-11)


@every
@everywhere
def test_a_copy_is_independent(spec: AdapterSpec, encoder: Any) -> None:
    model = _with(spec, encoder)
    outputs, state = _outputs(model, torch.float64), snapshot(model)
    twin = copy.deepcopy(model)
    assert torch.equal(_outputs(twin, torch.float64), outputs)
    _stir(twin, seed=8)
    assert not torch.allclose(_outputs(twin, torch.float64), outputs), "the copy uses its own adapters"
    assert torch.equal(_outputs(model, torch.float64), outputs), "and the original its own"
    assert not different(snapshot(model), state)
    remove_adapters(twin)
    assert torch.equal(_outputs(twin, torch.float64), _outputs(small_model(1, encoder, dtype=torch.float64).eval(),
                                                               torch.float64))  # fmt: skip
    assert torch.equal(_outputs(model, torch.float64), outputs)


@every
def test_mixed_precision_trains_too(spec: AdapterSpec) -> None:
    model = _source("bilstm")
    before = base_state(copy.deepcopy(model))
    with torch.autocast("cpu", torch.bfloat16):
        plain = _outputs(model)
        add_adapter(model, spec)
        assert torch.equal(_outputs(model), plain)
    start = {name: tensor.clone() for name, tensor in adapter_state(model).items()}
    _adapt(model, spec, precision="bf16")
    changed = different(adapter_state(model), start)
    assert changed == set(start)
    assert all(t.dtype == torch.float32 and t.isfinite().all() for t in adapter_state(model).values())
    assert not different(base_state(model), before)


def test_adapters_of_several_kinds_act_together_in_their_order(tmp_path: Path) -> None:
    model = _source("tdnn")
    plain = _outputs(model)
    for spec in reversed(SPECS):
        add_adapter(model, spec)
    assert torch.equal(_outputs(model), plain)
    outputs = _outputs(_stir(model))
    assert adapter_specs(model) == tuple(reversed(SPECS))
    _save(tmp_path / "model", model)
    again = load_model(tmp_path / "model")
    assert adapter_specs(again) == tuple(reversed(SPECS))
    assert torch.equal(_outputs(again), outputs)
    remove_adapters(again, ["lora", "lin"])
    assert [spec.kind for spec in adapter_specs(again)] == ["speaker-code", "residual-adapter", "lhuc"]
    assert not torch.allclose(_outputs(again), outputs)
    assert [spec.kind for spec in merge_adapters(model)] == ["speaker-code", "residual-adapter", "lin", "lhuc"]
    torch.testing.assert_close(_outputs(model), outputs, rtol=1e-5, atol=1e-6)
    remove_adapters(again)
    assert torch.equal(_outputs(again), plain)


def test_a_failing_or_interrupted_forward_leaves_the_base_weights_in_place() -> None:
    model = _with(AdapterSpec("lora", 2))
    before, outputs = snapshot(model), _outputs(model, torch.float64)
    lstm = model.encoder.layers[0].forward_lstm
    with pytest.raises(RuntimeError):
        lstm(torch.zeros(1, 3, 99, dtype=torch.float64))
    assert not different(snapshot(model), before)
    flat = lstm._flat_weights

    def interrupt(module: nn.Module, arguments: Any) -> None:
        raise KeyboardInterrupt

    handle = lstm.register_forward_pre_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        _outputs(model, torch.float64)
    handle.remove()
    assert torch.equal(_outputs(model, torch.float64), outputs)
    assert lstm._flat_weights is flat
    assert all(w is getattr(lstm, n) for n, w in zip(lstm._flat_weights_names, flat, strict=True))
    assert not different(snapshot(model), before)
