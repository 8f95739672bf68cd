"""Adapters: parameters added to a model for a speaker, while its own tensors keep their names and values."""

from __future__ import annotations

from collections.abc import Collection, MutableMapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import torch
from torch import nn

from asr_transfer.errors import ConfigError, ModelError, nearest_hint
from asr_transfer.models.adapter_kinds import KINDS, Adapter
from asr_transfer.models.contract import Model

AdapterKind = Literal["lhuc", "lin", "lora", "residual-adapter", "speaker-code"]

PREFIX = "adapters."
"""All added names begin with it, none of the base's."""

_SIZES = {"lora": "rank", "residual-adapter": "bottleneck", "speaker-code": "length"}


@dataclass(frozen=True)
class AdapterSpec:
    """Which adapter.

    Attributes:
        kind: `lhuc` scales hidden units, `lin` transforms the features, `lora` adds low-rank matrices to weights,
            `residual-adapter` puts a bottleneck behind every encoder layer, `speaker-code` a bias from one vector.
        size: rank of `lora`, bottleneck of `residual-adapter`, length of `speaker-code`; 0 for the others.
        blocks: Paths of the blocks that it acts on, as the model names them; none for all that it can act on.

    Raises:
        ConfigError: the kind is unknown, or the size is missing or has no meaning.
    """

    kind: AdapterKind
    size: int = 0
    blocks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in get_args(AdapterKind):
            hint = nearest_hint(str(self.kind), get_args(AdapterKind))
            raise ConfigError(f"The 'kind' of an adapter is '{self.kind}'.{hint}")
        if type(self.size) is not int:
            raise ConfigError(f"The 'size' of the adapter '{self.kind}' must be a whole number, got {self.size!r}.")
        if self.kind in _SIZES and self.size < 1:
            raise ConfigError(
                f"The 'size' of the adapter '{self.kind}', its {_SIZES[self.kind]}, must be at least 1, "
                f"got {self.size}."
            )
        if self.kind not in _SIZES and self.size != 0:
            raise ConfigError(f"The adapter '{self.kind}' has no size; leave 'size' at 0 instead of {self.size}.")

        if self.kind == "lin" and self.blocks:
            raise ConfigError("The adapter 'lin' stands before the whole model; leave 'blocks' out.")

    def __str__(self) -> str:
        name = f"{self.kind} of {_SIZES[self.kind]} {self.size}" if self.kind in _SIZES else self.kind
        return f"{name} on {', '.join(self.blocks)}" if self.blocks else name

    def plain(self) -> dict[str, Any]:
        """Return what `specs_from_plain` reads."""
        return {"kind": self.kind, "size": self.size, **({"blocks": list(self.blocks)} if self.blocks else {})}


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
    return tuple(
        AdapterSpec(kind, adapter.size, adapter.blocks)  # type: ignore[arg-type]
        for kind, adapter in _adapters(model).items()
    )


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


def adapter_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the adapters' part of the model's state; the tensors are the model's own."""
    return {name: tensor for name, tensor in model.state_dict().items() if name.startswith(PREFIX)}


def specs_from_plain(entries: Any, where: str) -> tuple[AdapterSpec, ...]:
    """Read adapters from plain values as YAML holds them: a list of `{kind, size}`, perhaps with `blocks`.

    Args:
        entries: the list.
        where: the file, which messages name with the field.

    Raises:
        ModelError: an entry is damaged, or a kind stands twice.
    """
    if not isinstance(entries, list):
        raise ModelError(f"{where}: the field `adapters` must be a list, got {entries!r}; copy the folder again.")
    specs: list[AdapterSpec] = []
    for index, entry in enumerate(entries):
        field = f"{where}: the field `adapters[{index}]`"
        blocks = entry.get("blocks", []) if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or set(entry) - {"blocks"} != {"kind", "size"}:
            raise ModelError(f"{field} must hold `kind` and `size`, got {entry!r}; copy the folder again.")
        if not isinstance(blocks, list) or not all(isinstance(path, str) for path in blocks):
            raise ModelError(f"{field}: `blocks` must be a list of paths, got {blocks!r}; copy the folder again.")
        try:
            specs.append(AdapterSpec(entry["kind"], entry["size"], tuple(blocks)))
        except (ConfigError, TypeError) as error:
            raise ModelError(f"{field} is damaged: {error}") from None
        if any(spec.kind == entry["kind"] for spec in specs[:-1]):
            raise ModelError(f"{field} names '{entry['kind']}' a second time; copy the folder again.")
    return tuple(specs)


def _adapters(model: nn.Module) -> MutableMapping[str, Adapter]:
    found = getattr(model, "adapters", None)
    return cast(MutableMapping[str, Adapter], found) if isinstance(found, nn.ModuleDict) else {}
