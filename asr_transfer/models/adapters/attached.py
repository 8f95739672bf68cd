"""Adds adapters to models, takes them off, folds them in, and tells their tensors from the base's."""

from __future__ import annotations

from collections.abc import Collection, MutableMapping
from typing import cast

import torch
from torch import nn

from asr_transfer.errors import ConfigError, ModelError
from asr_transfer.models.adapters.kind import KINDS, PREFIX, Adapter
from asr_transfer.models.adapters.spec import AdapterSpec
from asr_transfer.models.contract import Model
from asr_transfer.models.weight_files import checksum


def add_adapter(model: Model, spec: AdapterSpec) -> None:
    """Add an adapter as `model.adapters[spec.kind]`; the outputs stay equal bit for bit until it is trained.

    Where several act on the same layer, they act in the order in which they were added.

    Raises:
        ModelError: the model has an adapter of this kind already.
        ConfigError: the model has nothing that the kind could act on, or no such blocks.
    """
    if any(own.kind == spec.kind for own in adapter_specs(model)):
        raise ModelError(f"the model has an adapter '{spec.kind}' already; remove it first or train it further.")
    known = [block.path for block in model.blocks()]
    if lacking := [path for path in spec.blocks if path not in known]:
        raise ConfigError(
            f"the adapter '{spec.kind}' should act on '{lacking[0]}', which is no block of the model; its blocks are "
            f"{', '.join(known)}."
        )
    like = next(model.parameters())
    # Moving after hooking is safe: a parameter keeps its identity, and hooks are bound to modules.
    adapter = KINDS[spec.kind](model, spec.size, spec.blocks).to(like.device, like.dtype).train(model.training)
    if not isinstance(getattr(model, "adapters", None), nn.ModuleDict):
        model.adapters = nn.ModuleDict()
    _adapters(model)[spec.kind] = adapter


def adapter_specs(model: nn.Module) -> tuple[AdapterSpec, ...]:
    """Return the model's adapters in the order in which they were added."""
    return tuple(AdapterSpec(kind, adapter.size, adapter.blocks) for kind, adapter in _adapters(model).items())


def remove_adapters(model: Model, kinds: Collection[str] | None = None) -> None:
    """Take adapters off, parameters and hooks; without any, the model is the base again, bit for bit.

    Args:
        model: model to take them off.
        kinds: kinds of adapters; None for all.
    """
    adapters = _adapters(model)
    for kind in list(adapters):
        if kinds is None or kind in kinds:
            adapters[kind].detach_hooks()
            del adapters[kind]
    if not adapters and hasattr(model, "adapters"):
        del model.adapters


def merge_adapters(model: Model) -> tuple[AdapterSpec, ...]:
    """Fold into the base's weights what can be folded exactly, and return what stays attached.

    That is `lora`. A bottleneck is not linear; scales and shifts of hidden units would have to pass the final
    LayerNorm; the shift of an input network stops at an utterance's end, which no convolution bias does.
    """
    folded = [kind for kind, adapter in _adapters(model).items() if adapter.fold(model)]
    remove_adapters(model, folded)
    return adapter_specs(model)


def base_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the model's state without adapters; the tensors are the model's own."""
    return {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(PREFIX)}


def base_checksum(model: nn.Module) -> str:
    """Return the SHA-256 of the names, types, shapes and bytes of the model's own tensors, whatever its adapters."""
    return checksum(base_state(model))


def adapter_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the adapters' part of the model's state; the tensors are the model's own."""
    return {name: tensor for name, tensor in model.state_dict().items() if name.startswith(PREFIX)}


def _adapters(model: nn.Module) -> MutableMapping[str, Adapter]:
    found = getattr(model, "adapters", None)
    return cast(MutableMapping[str, Adapter], found) if isinstance(found, nn.ModuleDict) else {}
