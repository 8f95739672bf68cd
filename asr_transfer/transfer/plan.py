"""Prepares a model by a transfer plan: what is copied from a source model, reset, frozen, and trained at which rate.

A plan is applied once, before training, and says what it did in a table. Actions run in the order given; later ones
win. Nothing is guessed: a selector that matches nothing and a tensor that does not fit raise.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from asr_transfer.errors import ConfigError, SelectionError
from asr_transfer.models.adapters import AdapterSpec, adapter_specs, add_adapter, remove_adapters
from asr_transfer.models.contract import Model
from asr_transfer.transfer.selection import select, select_modules, state_names


@dataclass(frozen=True)
class Copy:
    """Copy the selected tensors from `source` (same names and shapes).

    Attributes:
        selector: tensors, in the model that is prepared.
        source: the model copied from, or its state.
        missing: `error` when the source lacks a selected tensor or has another shape, or `skip` to report it as
            unmatched.
    """

    selector: str
    source: nn.Module | Mapping[str, torch.Tensor]
    missing: Literal["error", "skip"] = "error"

    def __post_init__(self) -> None:
        if self.missing not in ("error", "skip"):
            raise ConfigError(
                f"The 'missing' parameter of Copy must be 'error' or 'skip', got '{self.missing}' instead."
            )


@dataclass(frozen=True)
class Reinit:
    """Reset the selected modules to random initial weights.

    Attributes:
        selector: tensors that it is about.
        seed: random seed of the random weights.
    """

    selector: str
    seed: int = 0


@dataclass(frozen=True)
class Freeze:
    """Keep the selected parameters and buffers (normalisation statistics) exactly as they are.

    Attributes:
        selector: tensors that it is about.
    """

    selector: str


@dataclass(frozen=True)
class FreezeStatistics:
    """Keep the statistics of the selected normalisation layers, but train their scales and shifts.

    A handful of utterances gives poor statistics, and those of the source model are known to work.

    Attributes:
        selector: tensors; layers other than BatchNorm among it are unaffected.
    """

    selector: str = "**"


@dataclass(frozen=True)
class LearningRate:
    """Train the selected parameters at `factor` times the learning rate.

    Attributes:
        selector: tensors that it is about.
        factor: factor above 0.
    """

    selector: str
    factor: float


@dataclass(frozen=True)
class Add:
    """Add an adapter; `Freeze("** - adapters")` behind it trains added parameters alone.

    An adapter of the same kind and size that the model has already is kept as it is, so that adaptation goes on from
    it; one of another size is refused.

    Attributes:
        spec: kind and settings of the adapter.
        selector: Whole blocks of the model that it acts on; empty for those of `spec`.
    """

    spec: AdapterSpec
    selector: str = ""


Action = Copy | Reinit | Freeze | FreezeStatistics | LearningRate | Add


@dataclass
class Applied:
    """What a plan did.

    Attributes:
        origin: `copied`, `new` or `kept` (as the model was before) by tensor name.
        frozen: names of tensors that training leaves alone.
        unmatched: names that a `Copy(missing="skip")` found no counterpart for.
        learning_rate_factors: factors by parameter name.
    """

    origin: dict[str, str]
    frozen: set[str] = field(default_factory=set)
    unmatched: set[str] = field(default_factory=set)
    learning_rate_factors: dict[str, float] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    def rows(self) -> list[tuple[str, int, int, str, str, float]]:
        """Return (module, tensors, values, origin, state, rate factor) per group of equal treatment."""
        groups: dict[tuple[str, str, str, float], list[str]] = {}
        for name, origin in self.origin.items():
            state = "frozen" if name in self.frozen else "trained"
            origin = "unmatched" if name in self.unmatched else origin
            factor = self.learning_rate_factors.get(name, 1.0) if state == "trained" else 0.0
            groups.setdefault((_group(name), origin, state, factor), []).append(name)
        return [
            (module, len(names), sum(self.sizes[name] for name in names), origin, state, factor)
            for (module, origin, state, factor), names in groups.items()
        ]

    def table(self) -> Table:
        """Return the rows as a table for a terminal."""
        table = Table(title="Transfer plan", title_justify="left")
        for heading in ("module", "tensors", "values", "origin", "training", "× rate"):
            table.add_column(heading, justify="right" if heading in ("tensors", "values", "× rate") else "left")
        for module, tensors, values, origin, state, factor in self.rows():
            table.add_row(module, str(tensors), f"{values:,}", origin, state, f"{factor:g}" if factor else "–")
        return table

    def __str__(self) -> str:
        text = io.StringIO()
        Console(width=100, file=text).print(self.table())
        return text.getvalue()


@dataclass(frozen=True)
class Done:
    """A plan that was applied already: what it froze decides what the trainer is given.

    Attributes:
        applied: Account of what was done.
    """

    applied: Applied

    def apply(self, model: nn.Module) -> Applied:
        """Return what was done, and do nothing."""
        return self.applied


class TransferPlan:
    """A list of actions on a model.

    Args:
        actions: actions, run in order.
    """

    def __init__(self, *actions: Action) -> None:
        self.actions = actions

    def apply(self, model: nn.Module) -> Applied:
        """Change `model` in place.

        Raises:
            SelectionError: a selector matches nothing, or a copied tensor is missing or of another shape in the source.
            ConfigError: an adapter does not fit the model.
        """
        sizes = {name: tensor.numel() for name, tensor in model.state_dict().items()}
        applied = Applied({name: "kept" for name in state_names(model)}, sizes=sizes)
        _check(model, self.actions)
        for action in self.actions:
            if isinstance(action, Copy):
                _copy(model, action, applied)
            elif isinstance(action, Reinit):
                _reinit(model, action, applied)
            elif isinstance(action, Freeze):
                _freeze(model, action, applied)
            elif isinstance(action, FreezeStatistics):
                _freeze_statistics(model, action.selector, applied)
            elif isinstance(action, Add):
                _add(model, action, applied)
            else:
                _set_rate(model, action, applied)
        return applied


def _check(model: nn.Module, actions: Sequence[Action]) -> None:
    """Raise before anything is done: a typo in the last action must not leave the first one done."""
    added = []
    try:
        for action in actions:
            if not isinstance(action, Add):
                select(model, action.selector)
            elif _attach(model, action):
                added.append(action.spec.kind)  # selectors behind it may mean it
    finally:
        if isinstance(model, Model):
            remove_adapters(model, added)


def _add(model: nn.Module, action: Add, applied: Applied) -> None:
    if _attach(model, action):
        for name, tensor in model.state_dict().items():
            if name not in applied.origin:
                applied.origin[name], applied.sizes[name] = "new", tensor.numel()


def _attach(model: nn.Module, action: Add) -> bool:
    """Add the adapter and return True, or return False if the model has it."""
    spec = action.spec
    if not isinstance(model, Model):
        raise ConfigError(
            f"Add({spec}): adapters fit models whose blocks are known, not {type(model).__name__}; make it a "
            "`contract.Model`."
        )
    if action.selector:
        spec = replace(spec, blocks=_blocks(model, action))
    for own in adapter_specs(model):
        if own.kind == spec.kind and own.blocks != spec.blocks:
            raise ConfigError(
                f"Add({spec}): the model has the adapter '{own}' already, which acts on other blocks; go on with "
                "those, or remove the adapter first."
            )
        if own.kind == spec.kind and own != spec:
            raise ConfigError(
                f"Add({spec}): the model has an adapter '{own.kind}' of size {own.size} already; go on with that size, "
                "or remove the adapter first."
            )
        if own == spec:
            return False
    add_adapter(model, spec)
    return True


def _blocks(model: Model, action: Add) -> tuple[str, ...]:
    """Return the paths of the blocks that a selector covers whole."""
    names = set(select(model, action.selector))
    own = {block.path: {n for n in state_names(model) if n.startswith(f"{block.path}.")} for block in model.blocks()}
    found = tuple(path for path, tensors in own.items() if tensors and tensors <= names)
    if not found:
        raise SelectionError(
            f"Add({action.spec}): '{action.selector}' covers no whole block; the model's blocks are {', '.join(own)}."
        )
    return found


def _copy(model: nn.Module, action: Copy, applied: Applied) -> None:
    source = action.source.state_dict() if isinstance(action.source, nn.Module) else action.source
    state = model.state_dict()
    names = select(model, action.selector)
    fitting = [name for name in names if name in source and source[name].shape == state[name].shape]
    others = [name for name in names if name not in set(fitting)]
    if others and action.missing == "error":
        name = others[0]
        found = f"has shape {tuple(source[name].shape)}" if name in source else "does not exist"
        raise SelectionError(
            f"Copy('{action.selector}'): '{name}' of shape {tuple(state[name].shape)} {found} in the source; "
            'narrow the selector or pass missing="skip".'
        )
    with torch.no_grad():
        for name in fitting:
            state[name].copy_(source[name])
    applied.origin.update(dict.fromkeys(fitting, "copied"))
    applied.unmatched.difference_update(fitting)
    applied.unmatched.update(others)


def _reinit(model: nn.Module, action: Reinit, applied: Applied) -> None:
    names = set(select(model, action.selector))
    done: set[str] = set()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(action.seed)
        for path in select_modules(model, action.selector):
            module = model.get_submodule(path)
            reset: Any = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
            if callable(reset):
                reset()
                done.update(name for name in names if name.rpartition(".")[0] == path)
    left = sorted(names - done)
    if left:
        raise SelectionError(
            f"Reinit('{action.selector}'): '{left[0]}' cannot be reset, for its module is selected in part or has no "
            "initialisation of its own; select whole layers."
        )
    applied.origin.update(dict.fromkeys(names, "new"))
    applied.unmatched.difference_update(names)


def _freeze(model: nn.Module, action: Freeze, applied: Applied) -> None:
    names = select(model, action.selector)
    parameters = dict(model.named_parameters())
    for name in names:
        if name in parameters:
            parameters[name].requires_grad_(False)
    applied.frozen.update(names)
    _freeze_statistics(model, action.selector, applied)


def _freeze_statistics(model: nn.Module, selector: str, applied: Applied) -> None:
    names = set(select(model, selector))
    for path, module in model.named_modules():
        statistics = [f"{path}.{name}" if path else name for name, _ in module.named_buffers(recurse=False)]
        if isinstance(module, _BatchNorm) and any(name in names for name in statistics):
            # `requires_grad=False` does not stop running statistics, and every `.train()` would switch them on again.
            # Only the norm layer is held in evaluation mode: cuDNN's recurrent layers cannot go backward in it.
            if not getattr(module, "statistics_frozen", False):
                module.register_forward_pre_hook(_hold_statistics)
                module.statistics_frozen = True  # type: ignore[assignment]
            applied.frozen.update(statistics)


def _hold_statistics(module: nn.Module, arguments: Any) -> None:
    if getattr(module, "statistics_frozen", False):
        module.training = False


def _set_rate(model: nn.Module, action: LearningRate, applied: Applied) -> None:
    if not action.factor > 0:
        raise SelectionError(
            f"LearningRate('{action.selector}'): `factor` must be above 0, got {action.factor}; use Freeze."
        )
    parameters = dict(model.named_parameters())
    for name in select(model, action.selector):
        if name in parameters:
            applied.learning_rate_factors[name] = action.factor


def _group(name: str) -> str:
    """Return the module a row of the table stands for: a layer, a head, an adapter or a top-level module."""
    parts = name.split(".")[:-1]
    for depth, part in enumerate(parts):
        if part.isdigit() or ".".join(parts[:depth]) in ("heads", "adapters"):
            return ".".join(parts[: depth + 1])
    return ".".join(parts) or name
