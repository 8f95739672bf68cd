"""Transforms what a model is fed by a linear input network (Neto et al. 1995)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn

from asr_transfer.errors import ConfigError
from asr_transfer.models.adapters.kind import Adapter, register
from asr_transfer.models.contract import Block, Model, SpeechModel
from asr_transfer.models.encoders import valid_frames


@register("lin")
class LinearInput(Adapter):
    """A linear input network x' = A x + b on the inputs (Neto et al. 1995), a discriminative fMLLR.

    `deviation` is A − I and starts at 0: adding it to x is an exact no-op where a product with I may round.
    """

    anywhere: ClassVar[bool] = False

    @staticmethod
    def places(model: Model) -> list[Block]:
        """See `Adapter.places`."""
        return model.front_end()[:1]

    def build(self, model: Model, generator: torch.Generator) -> None:
        """See `Adapter.build`."""
        if not isinstance(model, SpeechModel) or not self.places(model):
            raise ConfigError(
                f"`lin` transforms the features of speech, but {type(model).__name__} has no front end that takes any; "
                "choose another method."
            )
        dim = model.inputs.dim
        self.deviation = nn.Parameter(torch.empty(dim, dim, dtype=torch.float64))
        self.bias = nn.Parameter(torch.empty(dim, dtype=torch.float64))
        self.reset_parameters()
        self.handles.append(model.get_submodule(model.front_end()[0].path).register_forward_pre_hook(self.transform))

    def reset_parameters(self) -> None:
        """Start anew as a no-op."""
        nn.init.zeros_(self.deviation)
        nn.init.zeros_(self.bias)

    def transform(self, module: nn.Module, arguments: tuple[torch.Tensor, torch.Tensor]) -> Any:
        """Return the front end's arguments, (batch, time, dim) transformed where frames are valid."""
        x, lengths = arguments
        moved = nn.functional.linear(x, self.deviation, self.bias)
        # The first convolution reads across an utterance's end, where b would stand instead of zeros.
        return x + moved * valid_frames(lengths, x.shape[1])[:, :, None], lengths
