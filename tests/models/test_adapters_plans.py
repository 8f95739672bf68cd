"""Plans add adapters, model folders keep them, and what cannot be is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from asr_transfer.errors import ConfigError, ModelError, SelectionError
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.models.adapters import KINDS, AdapterSpec, adapter_specs, adapter_state, add_adapter
from asr_transfer.models.configuration import read_config
from asr_transfer.models.folder import load_model, save_model
from asr_transfer.transfer.plan import Add, Copy, Freeze, LearningRate, Reinit, TransferPlan
from asr_transfer.transfer.selection import select, state_names
from tests.small import MELS, ToySpeech, different, small_model, snapshot


def _with(spec: AdapterSpec) -> AcousticModel:
    """Return a model with an adapter that does something."""
    model = small_model(1).eval()
    add_adapter(model, spec)
    generator = torch.Generator().manual_seed(3)
    for tensor in adapter_state(model).values():
        tensor.copy_(0.3 * torch.randn(tensor.shape, generator=generator))
    return model


def _save(folder: Path, model: AcousticModel) -> None:
    save_model(folder, model, "A card.", {"tokens.txt": lambda path: path.write_text("tokens")})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lhcu",), r"'kind' of an adapter is 'lhcu'\. Did you mean 'lhuc'\?"),
        (("lora",), r"'size' of the adapter 'lora', its rank, must be at least 1, got 0"),
        (("residual-adapter", -1), r"its bottleneck, must be at least 1, got -1"),
        (("speaker-code", 2.0), r"must be a whole number, got 2\.0"),
        (("lora", True), r"must be a whole number, got True"),
        (("lhuc", 3), r"'lhuc' has no size; leave 'size' at 0 instead of 3"),
    ],
)  # fmt: skip
def test_impossible_adapters_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AdapterSpec(*arguments)


def test_a_kind_is_added_once() -> None:
    model = _with(AdapterSpec("lora", 2))
    with pytest.raises(ModelError, match="has an adapter 'lora' already"):
        add_adapter(model, AdapterSpec("lora", 3))


def _entries(change: Callable[[list[Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    return lambda config: change(config["adapters"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(adapters="lora"), r"the field `adapters` must be a list, got 'lora'"),
        (_entries(lambda a: a.append("lhuc")), r"`adapters\[1\]` must hold `kind` and `size`, got 'lhuc'"),
        (_entries(lambda a: a[0].pop("size")), r"`adapters\[0\]` must hold `kind` and `size`"),
        (_entries(lambda a: a[0].update(size="two")), r"`adapters\[0\]` is damaged: .* whole number, got 'two'"),
        (_entries(lambda a: a[0].update(kind=["x"])), r"`adapters\[0\]` is damaged: The 'kind'"),
        (_entries(lambda a: a[0].update(kind="lara")), r"`adapters\[0\]` is damaged: .*Did you mean 'lora'\?"),
        (_entries(lambda a: a.append(dict(a[0]))), r"`adapters\[1\]` names 'lora' a second time"),
        (_entries(lambda a: a[0].update(size=3)), r"another architecture: 'adapters\.lora\..* has shape"),
        (lambda c: c.pop("adapters"), r"another architecture: 'adapters\.lora\..* is unknown"),
    ],
)  # fmt: skip
def test_damaged_entries_of_a_folder_are_named(change: Callable[[Any], Any], message: str, tmp_path: Path) -> None:
    _save(tmp_path / "model", _with(AdapterSpec("lora", 2)))
    file = tmp_path / "model" / "config.yaml"
    config = yaml.safe_load(file.read_text())
    change(config)
    file.write_text(yaml.safe_dump(config))
    with pytest.raises(ModelError, match=message) as caught:
        load_model(tmp_path / "model")
    assert str(tmp_path / "model") in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_without_adapters_does_not_mention_them(tmp_path: Path) -> None:
    _save(tmp_path / "model", small_model())
    assert "adapters" not in read_config(tmp_path / "model")
    assert adapter_specs(load_model(tmp_path / "model")) == ()


def test_a_plan_goes_on_from_an_adapter_of_the_same_size_only() -> None:
    spec = AdapterSpec("lora", 2)
    model = _with(spec)
    before, names = snapshot(model), select(model, "adapters")
    applied = TransferPlan(Add(spec), Add(AdapterSpec("lhuc")), Freeze("** - adapters.lhuc")).apply(model)
    assert not different({name: model.state_dict()[name] for name in before}, before)
    assert {applied.origin[name] for name in names} == {"kept"}
    assert {name for name, origin in applied.origin.items() if origin == "new"} == set(select(model, "adapters.lhuc"))
    assert list(applied.origin) == state_names(model)
    assert {n for n, p in model.named_parameters() if p.requires_grad} == set(select(model, "adapters.lhuc"))
    with pytest.raises(ConfigError, match=r"Add\(lora of rank 3\): .*'lora' of size 2 already"):
        TransferPlan(Add(AdapterSpec("lora", 3))).apply(model)


def test_a_plan_adds_in_its_order_and_all_or_nothing() -> None:
    model, source = small_model(1), small_model(2)
    with pytest.raises(SelectionError, match="head"):
        TransferPlan(Copy("**", source), Add(AdapterSpec("lhuc")), Freeze("head")).apply(model)
    assert adapter_specs(model) == () and not different(snapshot(model), snapshot(small_model(1)))
    applied = TransferPlan(
        Copy("**", source),  # before the addition, which the source lacks
        Add(AdapterSpec("lhuc")),
        Freeze("** - adapters"),
        LearningRate("adapters.lhuc.encoder.layers[1]", 0.5),
    ).apply(model)
    assert applied.learning_rate_factors == {"adapters.lhuc.encoder.layers.1.r": 0.5}
    assert {applied.origin[name] for name in snapshot(source)} == {"copied"}
    with pytest.raises(ConfigError, match=r"Add\(lhuc\): adapters fit models whose blocks are known, not Linear"):
        TransferPlan(Add(AdapterSpec("lhuc"))).apply(nn.Linear(2, 2))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "film"])  # which needs a model trained for it
def test_adapters_can_be_started_anew(kind: Any) -> None:
    model = _with(AdapterSpec(kind, 3 if KINDS[kind].measure else 0))
    inputs, lengths = torch.randn(2, 20, MELS, generator=torch.Generator().manual_seed(1)), torch.tensor([20, 9])
    plain = small_model(1).eval()(inputs, lengths)[0]
    assert not torch.allclose(model(inputs, lengths)[0], plain)
    TransferPlan(Reinit("adapters")).apply(model)
    assert torch.equal(model(inputs, lengths)[0], plain)


@pytest.mark.parametrize(
    ("spec", "selector", "places"),
    [
        (AdapterSpec("lhuc"), "encoder.layers[1:]", {"encoder.layers.1"}),
        (AdapterSpec("lhuc"), "frontend", {"frontend.layers.0.norm", "frontend.layers.1.norm"}),
        (AdapterSpec("lora", 2), "frontend | encoder.layers[0]", {"frontend.layers.0.convolution",
         "frontend.layers.1.convolution", "encoder.layers.0.convolution"}),
        (AdapterSpec("residual-adapter", 2), "encoder", {"encoder.layers.0", "encoder.layers.1"}),
    ],
)  # fmt: skip
def test_an_adapter_acts_on_the_blocks_that_are_selected(
    spec: AdapterSpec, selector: str, places: set[str], tmp_path: Path
) -> None:
    model = small_model()
    TransferPlan(Add(spec, selector), Freeze("** - adapters")).apply(model)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    inside = {name.removeprefix(f"adapters.{spec.kind}.") for name in trained}
    assert {next((p for p in places if name.startswith(f"{p}.")), name) for name in inside} == places
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in trained:
                parameter.normal_()
    save_model(tmp_path / "model", model.eval(), "", {})
    again, speech = load_model(tmp_path / "model"), ToySpeech().collate([0, 1])
    assert adapter_specs(again) == adapter_specs(model)
    assert torch.equal(again(speech.inputs, speech.lengths)[0], model(speech.inputs, speech.lengths)[0])


def test_an_adapter_on_no_whole_block_is_refused() -> None:
    model = small_model()
    with pytest.raises(SelectionError, match=r"covers no whole block; the model's blocks are frontend, .*encoder.norm"):
        TransferPlan(Add(AdapterSpec("lhuc"), "encoder.layers.*.norm")).apply(model)
    with pytest.raises(ConfigError, match=r"a Lhuc adapter finds nothing in encoder.norm to act on"):
        TransferPlan(Add(AdapterSpec("lhuc"), "encoder.norm")).apply(model)
    with pytest.raises(ConfigError, match=r"should act on 'encoder.layers.7', which is no block"):
        add_adapter(model, AdapterSpec("lhuc", 0, ("encoder.layers.7",)))
    with pytest.raises(ConfigError, match=r"'lin' stands before the whole model"):
        AdapterSpec("lin", 0, ("frontend",))
    assert adapter_specs(model) == ()
    TransferPlan(Add(AdapterSpec("lhuc"), "frontend")).apply(model)
    with pytest.raises(ConfigError, match=r"'lhuc on frontend' already, which acts on other blocks"):
        TransferPlan(Add(AdapterSpec("lhuc"))).apply(model)
