"""Holds what all kinds of adapters have in common: their registry, and the hooks by which they act.

A parameter stands at the path of what it adapts: `adapters.lhuc.encoder.layers.0.r`. All of them start as an exact
no-op, and all leave padded frames without influence on valid ones.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, TypeVar

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from asr_transfer.errors import ConfigError, class_of
from asr_transfer.models.contract import Block, Model

PREFIX = "adapters."
"""All added names begin with it, none of the base's."""

SEED = 20
"""Of the generator of all random starts, so that adding an adapter takes nothing from the global random numbers."""


class Adapter(nn.Module):
    """Base of the kinds: parameters at the paths of what they adapt, and handles of the hooks.

    A kind says where it can act (`places`) and makes its parameters there (`build`); `@register("its name")` makes it
    known to methods, plans, profiles and model folders.

    Args:
        model: the model whose layers are hooked.
        size: rank, bottleneck or length of the code; read by the kinds that have one.
        blocks: Paths of the blocks that it acts on; none for all that it can act on.

    Raises:
        ConfigError: there is nothing in the model, or in these blocks, that it could act on.

    Attributes:
        measure: Name of what `size` counts; empty where a kind has no size.
        anywhere: Whether it can be given blocks to act on.
    """

    measure: ClassVar[str] = ""
    anywhere: ClassVar[bool] = True

    def __init__(self, model: Model, size: int, blocks: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.size, self.blocks = size, blocks
        self.handles: list[RemovableHandle] = []
        # Plain numbers of the highest precision are drawn and then rounded, so that every precision starts alike.
        self.build(model, torch.Generator().manual_seed(SEED))

    @staticmethod
    def places(model: Model) -> list[Block]:
        """Return the blocks, or parts of blocks, of a model that it acts on where none are named."""
        raise NotImplementedError

    def build(self, model: Model, generator: torch.Generator) -> None:
        """Make the parameters in float64 on the CPU and hook them into `model`."""
        raise NotImplementedError

    def chosen(self, model: Model) -> list[Block]:
        """Return those of its `places` that are in the adapter's blocks, all of them where none are named.

        Raises:
            ConfigError: none is.
        """
        inside = tuple(f"{path}." for path in self.blocks)
        found = [place for place in self.places(model) if not inside or f"{place.path}.".startswith(inside)]
        if not found:
            where = f"in {', '.join(self.blocks)} " if self.blocks else ""
            raise ConfigError(f"{class_of(self)} adapter finds nothing {where}to act on; choose other blocks.")
        return found

    def detach_hooks(self) -> None:
        """Take all hooks off the model."""
        for handle in self.handles:
            handle.remove()
        self.handles = []

    def fold(self, model: Model) -> bool:
        """Add the adapter to the base's weights if that is exact for every input; return whether it was done."""
        return False

    def place(self, path: str, module: nn.Module) -> None:
        """Make `module` the submodule at a dotted `path` below this one."""
        *parents, name = path.split(".")
        node: nn.Module = self
        for parent in parents:
            if parent not in node._modules:
                node.add_module(parent, nn.Module())
            node = node.get_submodule(parent)
        node.add_module(name, module)

    def after(
        self, model: nn.Module, path: str, module: nn.Module, act: Callable[[torch.Tensor], torch.Tensor] | None = None
    ) -> None:
        """Place `module` at `path` and let it, or `act`, map the output of the model's module there."""
        self.place(path, module)
        self.behind(model, path, act or module)

    def behind(self, model: nn.Module, path: str, act: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Let `act` map the output of the model's module at `path`."""
        # Copies of the model get copies of the hook, bound to their own parameters: `partial` is copied deeply.
        hook = partial(_map_output, act)
        self.handles.append(model.get_submodule(path).register_forward_hook(hook))


Class = TypeVar("Class", bound=type[Adapter])

KINDS: dict[str, type[Adapter]] = {}
"""All kinds by name."""


def register(name: str) -> Callable[[Class], Class]:
    """Return a decorator that makes a class of adapters known by `name`."""

    def known(cls: Class) -> Class:
        KINDS[name] = cls
        return cls

    return known


def _map_output(act: Callable[[torch.Tensor], torch.Tensor], module: nn.Module, arguments: Any, output: Any) -> Any:
    hidden = output[0] if isinstance(output, tuple) else output
    # In mixed precision the sum or product is exact up to this one rounding.
    mapped = act(hidden).to(hidden.dtype)
    return (mapped, *output[1:]) if isinstance(output, tuple) else mapped


def channels_last(act: Callable[[torch.Tensor], torch.Tensor], axis: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return `act`, which maps (..., channels), for hidden vectors that have their channels on another axis."""
    return act if axis == -1 else partial(_moved, act, axis)


def _moved(act: Callable[[torch.Tensor], torch.Tensor], axis: int, hidden: torch.Tensor) -> torch.Tensor:
    return act(hidden.movedim(axis, -1)).movedim(-1, axis)
