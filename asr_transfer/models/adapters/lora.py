"""Adds matrices of low rank to weights (Hu et al. 2022)."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import nn

from asr_transfer.errors import ConfigError
from asr_transfer.models.adapters.kind import Adapter, register
from asr_transfer.models.contract import Block, Model

_WEIGHTS: tuple[tuple[type[nn.Module], tuple[str, ...]], ...] = (
    (nn.LSTM, ("weight_ih_l0", "weight_hh_l0")),
    (nn.Linear, ("weight",)),
    (nn.Conv1d, ("weight",)),
    (nn.Conv2d, ("weight",)),
    (nn.MultiheadAttention, ("in_proj_weight",)),
)


@register("lora")
class Lora(Adapter):
    """Low-rank additions W + B A to weight matrices (Hu et al. 2022), A random and B = 0 at the start.

    It covers the LSTM, linear and convolution weights (out × (in·kernel)) and the joint query, key and value projection
    of the layers and the front end, but not the attention's output projection.
    """

    measure: ClassVar[str] = "rank"

    @staticmethod
    def places(model: Model) -> list[Block]:
        """See `Adapter.places`."""
        return [block for block in model.blocks() if block.role != "between"]

    def build(self, model: Model, generator: torch.Generator) -> None:
        """See `Adapter.build`."""
        matrices = list(_matrices(model, self.chosen(model)))
        if not matrices:
            raise ConfigError(
                f"`lora` finds no linear, convolution, LSTM or attention weights in the blocks of "
                f"{type(model).__name__}; choose another method."
            )
        for path, module, names in matrices:
            additions = _Additions(module, names, self.size, generator)
            self.place(path, additions)
            self.handles.append(module.register_forward_pre_hook(additions.put_in))
            # Called after a failing forward too: the base must never be left with the sums.
            self.handles.append(module.register_forward_hook(additions.put_back, always_call=True))

    @torch.no_grad()
    def fold(self, model: Model) -> bool:
        """Add B A to the base's weights, in the very arithmetic of the forward pass."""
        for path, module, _ in _matrices(model, self.chosen(model)):
            additions = self.get_submodule(path)
            assert isinstance(additions, _Additions)
            for name, total in additions.sums(module).items():
                module.get_parameter(name).copy_(total)
        return True


class _Factors(nn.Module):
    """B A in the shape of one weight, which counts as a matrix of out × all other axes."""

    def __init__(self, shape: torch.Size, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        self.shape = shape
        self.A = nn.Parameter(torch.empty(rank, shape[1:].numel(), dtype=torch.float64))
        self.B = nn.Parameter(torch.empty(shape[0], rank, dtype=torch.float64))
        self.reset_parameters(generator)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        nn.init.normal_(self.A, std=self.A.shape[1] ** -0.5, generator=generator)
        nn.init.zeros_(self.B)

    def forward(self) -> torch.Tensor:
        return (self.B @ self.A).view(self.shape)


class _Additions(nn.Module):
    """Factors for the weights of one module, whose sums stand in the weights' places while that module runs.

    The module reads its weights as ever, so fused kernels stay in use and gradients reach factors and base alike.
    """

    def __init__(self, module: nn.Module, names: tuple[str, ...], rank: int, generator: torch.Generator) -> None:
        super().__init__()
        for name in names:
            self.add_module(name, _Factors(module.get_parameter(name).shape, rank, generator))
        self.originals: dict[str, nn.Parameter | None] = {}
        self.lists: tuple[list[Any], list[Any]] | None = None

    def sums(self, module: nn.Module) -> dict[str, torch.Tensor]:
        """Return W + B A by the weight's name."""
        found = {}
        for name, factors in self.named_children():
            weight = module.get_parameter(name)
            with torch.autocast(weight.device.type, enabled=False):
                found[name] = weight + factors()
        return found

    def put_in(self, module: nn.Module, arguments: Any) -> None:
        """Swap the sums in, as a forward pre-hook."""
        self.put_back(module)  # an interrupt from the keyboard skips even hooks that are always called
        sums = self.sums(module)
        self.originals = {name: module._parameters[name] for name in sums}
        if isinstance(module, nn.LSTM):
            # It reads a list of its own, and makes it anew (on a GPU: moves the weights) when the references differ.
            self.lists = module._flat_weights, module._flat_weight_refs
            names = module._flat_weights_names
            weights: list[Any] = [sums.get(name, old) for name, old in zip(names, module._flat_weights, strict=True)]
            module._flat_weights = weights
            module._flat_weight_refs = [weakref.ref(weight) for weight in weights]
        module._parameters.update(sums)  # type: ignore[arg-type]  # not `setattr`, which refuses plain tensors

    def put_back(self, module: nn.Module, *call: Any) -> None:
        """Swap the base's weights in again, as a forward hook."""
        module._parameters.update(self.originals)
        self.originals = {}
        if self.lists is not None:
            module._flat_weights, module._flat_weight_refs = self.lists  # type: ignore[assignment]
            self.lists = None


def _matrices(model: Model, blocks: Sequence[Block]) -> Iterator[tuple[str, nn.Module, tuple[str, ...]]]:
    """Yield (path, module, names of its weights) of all that low-rank additions reach."""
    attention = ""
    inside = tuple(f"{block.path}." for block in blocks)
    for path, module in model.named_modules():
        if not f"{path}.".startswith(inside) or (attention and path.startswith(attention)):
            continue  # attention reads its output projection's weight itself, without calling that module
        if isinstance(module, nn.MultiheadAttention):
            attention = f"{path}."
        for kind, names in _WEIGHTS:
            own = tuple(name for name in names if module._parameters.get(name) is not None)
            if isinstance(module, kind) and own:
                yield path, module, own
