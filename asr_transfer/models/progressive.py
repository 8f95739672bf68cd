"""Builds progressive networks: a new column beside frozen ones, which it reads from (Rusu et al. 2016)."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, ClassVar

import torch
from torch import nn

from asr_transfer.config import ModelConfig
from asr_transfer.errors import ConfigError, ModelError, nearest_hint
from asr_transfer.models import kinds
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.models.contract import SpeechModel, register
from asr_transfer.models.shared_private import ReadingHead
from asr_transfer.plain import checked


class Lateral(nn.Module):
    """U ReLU(V [α_j h_j]_j): what one hidden layer of the new column hears of the earlier columns' h_j.

    U starts at 0. There are no biases, so that padding of zeros stays zero.

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


@register("progressive")
class ProgressiveModel(AcousticModel):
    """A new column, h_i = layer_i(h_{i-1} + U_i ReLU(V_i α h_{i-1} of the earlier columns)), beside a frozen base.

    The column is an acoustic model in its own right: `frontend`, `encoder` and `heads` are the new ones, and with
    U = 0, as at the start, it is exactly that model alone. `base` is a copy of the given model, frozen for good: its
    parameters require no gradient and its BatchNorm and dropout stay in evaluation mode. Its heads still work by their
    names, outputs unchanged. A base that is progressive itself gives as many earlier columns as it has.

    Laterals join hidden layers, never logits: at the second convolution, every encoder layer and the final LayerNorm.
    A base with random weights is the control that tells what the base has learnt from what its mere size gives.

    Hidden vectors are [the column's | the base's].

    Args:
        base: the earlier model.
        config: sizes of the new column; features, strides and number of layers are the base's.
        heads: tokens (blank included) of each new head, by name.
        rank: rows of each V.

    Raises:
        ConfigError: the columns do not fit beside each other, or a head's name is taken.
    """

    sequential: ClassVar[bool] = False
    takes_heads: ClassVar[bool] = False

    def __init__(self, base: SpeechModel, config: ModelConfig, heads: Mapping[str, int], rank: int = 32) -> None:
        if not isinstance(base, AcousticModel):
            raise ConfigError(
                f"a new column listens to hidden layers of the same number and frame rate, which {type(base).__name__} "
                "does not have; take a model made by `train`, or learn without columns."
            )
        for name in ("features", "strides", "layers"):
            if getattr(base.config, name) != getattr(config, name):
                raise ConfigError(
                    f"`model.{name}` of the new column is {getattr(config, name)} but the base has "
                    f"{getattr(base.config, name)}; give the column the base's."
                )
        if rank < 1:
            raise ConfigError(f"`rank` of the lateral connections must be at least 1, got {rank}.")
        for name in heads:
            if name in base.head_names():
                raise ConfigError(f"the base has a head '{name}' already; give the new column's head another name.")
        super().__init__(config, heads)
        self.rank = rank
        self.base = copy.deepcopy(base).eval().requires_grad_(False)
        sources = [_widths(column) for column in _columns(self.base)]
        self.laterals = nn.ModuleList(
            Lateral(widths, target, rank) for target, *widths in zip(_widths(self), *sources, strict=True)
        )

    def train(self, mode: bool = True) -> ProgressiveModel:
        """Set the new column's mode; the base stays in evaluation mode."""
        super().train(mode)
        self.base.eval()
        return self

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map (batch, time, mels) and (batch,) lengths to hidden (batch, frames, channels) and its (batch,) lengths."""
        columns, sites = _columns(self.base), _sites(self)
        heard: dict[str, list[torch.Tensor]] = {site: [torch.empty(0)] * len(columns) for site in sites}
        # Hooks for the time of a call: they reach inside the layers and leave nothing behind that copies would share.
        with ExitStack() as hooks, torch.no_grad():
            for number, column in enumerate(columns):
                for site in sites:
                    keep = partial(_keep, heard[site], number)
                    hooks.callback(column.get_submodule(site).register_forward_pre_hook(keep).remove)
            seen, _ = self.base(inputs, lengths)
        with ExitStack() as hooks:
            for site, lateral in zip(sites, self.laterals, strict=True):
                add = partial(_add, lateral, heard[site])
                hooks.callback(self.get_submodule(site).register_forward_pre_hook(add).remove)
            hidden, lengths = super().forward(inputs, lengths)
        return torch.cat([hidden, seen], dim=-1), lengths

    def head(self, name: str) -> ReadingHead:
        """Return the head called `name`, of the new column or of the base.

        Raises:
            ModelError: there is none; the message lists those that exist.
        """
        own = self.encoder.dim
        if name in self.heads:
            return ReadingHead(super().head(name), partial(_channels, slice(own)))
        if name not in self.head_names():
            raise ModelError(f"the model has no head '{name}'.{nearest_hint(name, self.head_names())}")
        return ReadingHead(self.base.head(name), partial(_channels, slice(own, None)))

    def head_names(self) -> list[str]:
        """Return the names of all heads, those of earlier columns behind the model's own."""
        return [*self.heads, *self.base.head_names()]

    def own_parts(self, head: str) -> list[str]:
        """See `Model.own_parts`: what the new column hears of the base belongs to it."""
        return [*super().own_parts(head), "laterals"]

    def describe(self) -> dict[str, Any]:
        """See `Model.describe`."""
        return {**super().describe(), "rank": self.rank, "base": kinds.describe(self.base)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], heads: Mapping[str, int], where: str) -> ProgressiveModel:
        """See `Model.from_plain`."""
        config = checked(ModelConfig, plain.get("model"), where, "model")
        base = kinds.build(checked(Mapping[str, Any], plain.get("base"), where, "base"), f"{where}: `base`")
        return cls(base, config, heads, checked(int, plain.get("rank"), where, "rank"))


def _columns(model: AcousticModel) -> list[AcousticModel]:
    """Return a model's columns, the oldest first."""
    return [*(_columns(model.base) if isinstance(model, ProgressiveModel) else []), model]


def _sites(model: AcousticModel) -> list[str]:
    """Return the paths of the modules whose inputs are hidden layers."""
    return ["frontend.layers.1.convolution", *(block.path for block in model.blocks()[2:])]


def _widths(model: AcousticModel) -> list[int]:
    """Return the channels of the inputs of `_sites`."""
    return [model.config.channels, *(block.dim for block in model.blocks()[1:-1])]


def _keep(place: list[torch.Tensor], number: int, module: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
    place[number] = _channels_last(module, arguments[0])


def _add(
    lateral: nn.Module, earlier: Sequence[torch.Tensor], module: nn.Module, arguments: tuple[torch.Tensor, ...]
) -> tuple[torch.Tensor, ...]:
    addition = _channels_last(module, lateral(earlier))
    return arguments[0] + addition.to(arguments[0].dtype), *arguments[1:]


def _channels_last(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Swap (batch, channels, time) of convolutions and (batch, time, channels)."""
    return x.transpose(1, 2) if isinstance(module, nn.Conv1d) else x


def _channels(which: slice, hidden: torch.Tensor) -> torch.Tensor:
    return hidden[..., which]
