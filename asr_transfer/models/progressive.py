"""Builds progressive networks: a new column beside frozen ones, which it reads from (Rusu et al. 2016)."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, ClassVar

import torch
from torch import nn

from asr_transfer.config import ModelConfig, Normalisation
from asr_transfer.data.inputs import Inputs
from asr_transfer.errors import ConfigError, ModelError, class_of, nearest_hint
from asr_transfer.models import kinds
from asr_transfer.models.contract import Block, Model, SpeechModel, find_kind, register
from asr_transfer.models.shared_private import ReadingHead
from asr_transfer.plain import checked


class Lateral(nn.Module):
    """U ReLU(V [α_j h_j]_j): what one hidden layer of the new column hears of the earlier columns' h_j.

    The maps are of channels, the same at every place, as convolutions of width 1 are, so that it joins layers of any
    widths. U starts at 0. There are no biases, so that padding of zeros stays zero.

    Args:
        sources: channels of the layer in each earlier column.
        target: channels in the new column.
        rank: rows of V.
    """

    def __init__(self, sources: Sequence[int], target: int, rank: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.empty(len(sources)))
        self.down = nn.Parameter(torch.empty(rank, sum(sources)))
        self.up = nn.Parameter(torch.empty(target, rank))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start anew: the column hears nothing yet."""
        nn.init.ones_(self.alpha)
        nn.init.normal_(self.down, std=self.down.shape[1] ** -0.5)
        nn.init.zeros_(self.up)

    def forward(self, earlier: Sequence[torch.Tensor]) -> torch.Tensor:
        """Map one (..., channels) per earlier column to (..., target)."""
        scaled = torch.cat([a * h for a, h in zip(self.alpha.unbind(), earlier, strict=True)], dim=-1)
        return nn.functional.linear(torch.relu(nn.functional.linear(scaled, self.down)), self.up)


class Columns(Model):
    """A new column, h_i = layer_i(h_{i-1} + U_i ReLU(V_i α h_{i-1} of the earlier columns)), beside a frozen base.

    The column is a model in its own right, of any kind: its parts and `heads` stand here under their own names, and
    with U = 0, as at the start, it is exactly that model alone. `base` is a copy of the given model, frozen for good:
    its parameters require no gradient and its BatchNorm and dropout stay in evaluation mode. Its heads still work by
    their names, outputs unchanged. A base that is progressive itself gives as many earlier columns as it has.

    Laterals join hidden layers, never logits: where the models say that hidden vectors enter a part
    (`Model.junctions`). A base with random weights is the control that tells what the base has learnt from what its
    mere size gives.

    Hidden vectors are [the column's | the base's].

    Args:
        base: the earlier model.
        column: the new one, or the settings of a network; inputs, frames and number of junctions are the base's.
        heads: tokens (blank included) of each new head, by name, where `column` are settings.
        rank: rows of each V.

    Raises:
        ConfigError: the columns do not fit beside each other, or a head's name is taken.
    """

    sequential: ClassVar[bool] = False
    takes_heads: ClassVar[bool] = False
    base: Model

    def __init__(
        self, base: Model, column: Model | ModelConfig, heads: Mapping[str, int] | None = None, rank: int = 32
    ) -> None:
        super().__init__()
        if isinstance(column, ModelConfig):
            _refuse_other_sizes(base, column)
        if rank < 1:
            raise ConfigError(f"`rank` of the lateral connections must be at least 1, got {rank}.")
        for name in heads or (column.head_names() if isinstance(column, Model) else ()):
            if name in base.head_names():
                raise ConfigError(f"the base has a head '{name}' already; give the new column's head another name.")
        if isinstance(column, ModelConfig):
            column = kinds.make_network(column, heads or {})
        _refuse_other_frames(base, column)
        # In a tuple, for the column is no part of this model: its parts are, and they are the same objects.
        self._column = (column,)
        for name, child in column.named_children():
            if name in ("base", "laterals"):
                raise ConfigError(f"a part of {type(column).__name__} is called '{name}', as one of columns is.")
            self.add_module(name, child)
        self._parameters, self._buffers = column._parameters, column._buffers
        self.rank = rank
        self.base = copy.deepcopy(base).eval().requires_grad_(False)
        sources = [[junction.dim for junction in earlier.junctions()] for earlier in self._earlier()]
        self.laterals = nn.ModuleList(
            Lateral(widths, junction.dim, rank) for junction, *widths in zip(column.junctions(), *sources, strict=True)
        )

    def _own(self) -> Model:
        return self._column[0]

    def _earlier(self) -> list[Model]:
        """Return the columns of the base, the oldest first."""
        return _columns(self.base)

    def train(self, mode: bool = True) -> Columns:
        """Set the new column's mode; the base stays in evaluation mode."""
        super().train(mode)
        self._own().training = mode
        self.base.eval()
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Columns:
        """Set whether the new column is trained; the base stays frozen."""
        super().requires_grad_(requires_grad)
        self.base.requires_grad_(False)
        return self

    def forward(self, inputs: torch.Tensor, lengths: Any = None) -> tuple[torch.Tensor, Any]:
        """Map inputs and their lengths to hidden (batch, ..., channels) and its lengths, as the column does."""
        own, columns = self._own(), self._earlier()
        heard: list[list[torch.Tensor]] = [[torch.empty(0)] * len(columns) for _ in self.laterals]
        # Hooks for the time of a call: they reach inside the layers and leave nothing behind that copies would share.
        with ExitStack() as hooks, torch.no_grad():
            for number, column in enumerate(columns):
                for junction, place in zip(column.junctions(), heard, strict=True):
                    keep = partial(_keep, place, number, junction.axis)
                    hooks.callback(column.get_submodule(junction.path).register_forward_pre_hook(keep).remove)
            seen, _ = self.base(inputs, lengths)
        with ExitStack() as hooks:
            for junction, lateral, place in zip(own.junctions(), self.laterals, heard, strict=True):
                add = partial(_add, lateral, place, junction.axis)
                hooks.callback(self.get_submodule(junction.path).register_forward_pre_hook(add).remove)
            hidden, lengths = own(inputs, lengths)
        return torch.cat([hidden, seen], dim=-1), lengths

    def blocks(self) -> list[Block]:
        """See `Model.blocks`: the column's."""
        return self._own().blocks()

    def units(self) -> list[Block]:
        """See `Model.units`: the column's."""
        return self._own().units()

    def junctions(self) -> list[Block]:
        """See `Model.junctions`: the column's."""
        return self._own().junctions()

    def head(self, name: str) -> ReadingHead:
        """Return the head called `name`, of the new column or of the base.

        Raises:
            ModelError: there is none; the message lists those that exist.
        """
        own = self.blocks()[-1].dim
        if name in self.heads:
            return ReadingHead(self._own().head(name), partial(_channels, slice(own)))
        if name not in self.head_names():
            raise ModelError(f"the model has no head '{name}'.{nearest_hint(name, self.head_names())}")
        return ReadingHead(self.base.head(name), partial(_channels, slice(own, None)))

    def head_names(self) -> list[str]:
        """Return the names of all heads, those of earlier columns behind the model's own."""
        return [*self.heads, *self.base.head_names()]

    def own_parts(self, head: str) -> list[str]:
        """See `Model.own_parts`: what the new column hears of the base belongs to it."""
        if head not in self.heads and head in self.base.head_names():
            return [f"base.{path}" for path in self.base.own_parts(head)]
        return [*self._own().own_parts(head), "laterals"]

    def outside(self) -> list[str]:
        """See `Model.outside`."""
        return [name for name in super().outside() if not name.startswith(("base.", "laterals."))]

    def describe(self) -> dict[str, Any]:
        """See `Model.describe`."""
        own = kinds.describe(self._own())
        for name in ("heads", "adapters"):
            own.pop(name, None)  # they are this model's
        kind = own.pop("kind", kinds.PLAIN)
        column = own if kind == kinds.PLAIN else {"column": {"kind": kind, **own}}
        return {**column, "rank": self.rank, "base": kinds.describe(self.base)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], heads: Mapping[str, int], where: str) -> Columns:
        """See `Model.from_plain`."""
        base = kinds.make(checked(Mapping[str, Any], plain.get("base"), where, "base"), f"{where}: `base`")
        own = plain.get("column", plain)
        kind = checked(Mapping[str, Any], own, where, "column").get("kind") if "column" in plain else kinds.PLAIN
        column = find_kind(kind, where).from_plain(own, heads, where)
        return cls(base, column, rank=checked(int, plain.get("rank"), where, "rank"))


@register("progressive")
class ProgressiveModel(Columns, SpeechModel):
    """Columns that listen to speech; see `Columns`."""

    base: SpeechModel

    def __init__(
        self,
        base: SpeechModel,
        column: SpeechModel | ModelConfig,
        heads: Mapping[str, int] | None = None,
        rank: int = 32,
    ) -> None:
        super().__init__(base, column, heads, rank)
        if self._speech().criterion != base.criterion:
            raise ConfigError(
                f"the base is trained by {base.criterion} and the new column by {self._speech().criterion}; take one "
                "of the base's kind."
            )

    def _speech(self) -> SpeechModel:
        own = self._own()
        if not isinstance(own, SpeechModel):
            raise ConfigError(
                f"a column beside a model of speech listens to speech, which {type(own).__name__} does not."
            )
        return own

    @property
    def inputs(self) -> Inputs:
        """See `SpeechModel.inputs`."""
        return self._speech().inputs

    @property
    def window(self) -> float | None:
        """See `SpeechModel.window`."""
        return self._speech().window

    @property
    def network(self) -> ModelConfig | None:
        """See `SpeechModel.network`."""
        return self._speech().network

    def frames(self, length: int) -> int:
        """See `SpeechModel.frames`."""
        return self._speech().frames(length)

    def renormalised(self, normalisation: Normalisation) -> ProgressiveModel:
        """See `SpeechModel.renormalised`: all columns hear the same inputs."""
        model = copy.copy(self)
        model._column = (self._speech().renormalised(normalisation),)
        model._modules = {**self._modules, "base": self.base.renormalised(normalisation)}
        return model


@register("progressive-images")
class ProgressiveImageModel(Columns):
    """Columns that look at images; see `Columns`."""


def _columns(model: Model) -> list[Model]:
    """Return a model's columns, the oldest first."""
    return [*(_columns(model.base) if isinstance(model, Columns) else []), model]


def _refuse_other_sizes(base: Model, config: ModelConfig) -> None:
    network = base.network if isinstance(base, SpeechModel) else None
    if network is None:
        raise ConfigError(
            f"settings of a network make no column beside {class_of(base)}; give a new model of its kind."
        )
    for name in ("features", "strides", "layers"):
        if getattr(network, name) != getattr(config, name):
            raise ConfigError(
                f"`model.{name}` of the new column is {getattr(config, name)} but the base has "
                f"{getattr(network, name)}; give the column the base's."
            )


def _refuse_other_frames(base: Model, column: Model) -> None:
    """Refuse columns whose hidden layers are not of the same number and frame rate."""
    own, *others = (len(model.junctions()) for model in (column, *_columns(base)))
    if any(other != own for other in others):
        raise ConfigError(
            f"the new column has {own} places where it could listen to another and the base has {others[0]}; give it "
            "as many layers as the base has."
        )
    if not isinstance(base, SpeechModel) or not isinstance(column, SpeechModel):
        return
    if base.inputs != column.inputs:
        raise ConfigError(
            f"the new column listens to {column.inputs} but the base to {base.inputs}; give it the base's inputs."
        )
    lengths = (1000, 1001, 1002, 1003, 20_000)
    if [base.frames(n) for n in lengths] != [column.frames(n) for n in lengths]:
        raise ConfigError("the new column has another frame rate than the base; give it one that subsamples as much.")


def _keep(
    place: list[torch.Tensor], number: int, axis: int, module: nn.Module, arguments: tuple[torch.Tensor, ...]
) -> None:
    place[number] = arguments[0].movedim(axis, -1)


def _add(
    lateral: nn.Module,
    earlier: Sequence[torch.Tensor],
    axis: int,
    module: nn.Module,
    arguments: tuple[torch.Tensor, ...],
) -> tuple[torch.Tensor, ...]:
    addition = lateral(earlier).movedim(-1, axis)
    return arguments[0] + addition.to(arguments[0].dtype), *arguments[1:]


def _channels(which: slice, hidden: torch.Tensor) -> torch.Tensor:
    # As the column alone has them in memory: products of numbers that lie apart round otherwise in the last bit.
    return hidden[..., which].contiguous()
