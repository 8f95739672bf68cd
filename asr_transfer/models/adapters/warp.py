"""Warps the frequencies of what a model is fed: vocal tract length normalisation (Lee and Rose 1996)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn

from asr_transfer.errors import ConfigError
from asr_transfer.models.adapters.kind import Adapter, register
from asr_transfer.models.contract import Block, Model, SpeechModel


@register("warp")
class Warp(Adapter):
    """One number for a speaker: the factor by which all frequencies of the features are multiplied.

    It is no weight: no gradient moves it, and it is chosen among a few (`adaptation.warp`). 1 is an exact no-op.
    """

    anywhere: ClassVar[bool] = False
    factor: torch.Tensor

    @staticmethod
    def places(model: Model) -> list[Block]:
        """See `Adapter.places`."""
        return model.front_end()[:1]

    def build(self, model: Model, generator: torch.Generator) -> None:
        """See `Adapter.build`."""
        if not isinstance(model, SpeechModel) or not self.places(model):
            raise ConfigError(
                f"`warp` moves the bands of speech, but {type(model).__name__} has no front end that takes any; choose "
                "another method."
            )
        model.inputs.require_bands("`warp`")
        self.inputs = model.inputs
        self.register_buffer("factor", torch.ones((), dtype=torch.float64))
        # Before all others that act on the inputs: a vocal tract comes before everything else.
        front = model.get_submodule(self.places(model)[0].path)
        self.handles.append(front.register_forward_pre_hook(self.transform, prepend=True))

    def reset_parameters(self) -> None:
        """Start anew as a no-op."""
        nn.init.ones_(self.factor)

    def transform(self, module: nn.Module, arguments: tuple[torch.Tensor, torch.Tensor]) -> Any:
        """Return the front end's arguments, the (batch, time, dim) inputs warped."""
        x, lengths = arguments
        with torch.autocast(x.device.type, enabled=False):  # mixed precision would round the features
            return self.inputs.warped(x, lengths, self.factor), lengths
