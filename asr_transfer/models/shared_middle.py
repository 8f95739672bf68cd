"""Builds networks whose tasks have inputs of different kinds: first layers of their own, and middle layers they share.

It is the form of multitask learning in which neither the inputs nor the outputs are the same (Caruana 1997): speech and
images go in by an entry each, come to vectors of one width, pass the same layers, and go out by heads of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import nn

from asr_transfer.errors import ConfigError
from asr_transfer.models import kinds
from asr_transfer.models.contract import Block, Model, SpeechModel, register
from asr_transfer.models.encoders import valid_frames
from asr_transfer.plain import checked


class MiddleLayer(nn.Module):
    """A residual layer on vectors: LayerNorm, two linear maps and ReLU, whatever the vectors come from."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear_in = nn.Linear(width, 2 * width)
        self.linear_out = nn.Linear(2 * width, width)

    def forward(self, hidden: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Map (batch, width) to the same shape."""
        result: torch.Tensor = hidden + self.linear_out(torch.relu(self.linear_in(self.norm(hidden))))
        return result


@register("shared-middle")
class SharedMiddle(Model):
    """An entry for speech, one for images, middle layers that both pass, and heads.

    An item leaves its entry as one vector: speech as the mean of its frames. BatchNorm would take what is of one kind
    of input for what is of another, so the middle layers normalise each vector by itself.

    Args:
        speech: Model of speech whose frames come in; its heads are left out.
        images: Model of images whose vectors come in; its heads are left out.
        layers: Number of middle layers.
        width: Length of the vectors in them.
        heads: Number of outputs of each head.

    Raises:
        ConfigError: A number is below 1.
    """

    takes_heads: ClassVar[bool] = True

    def __init__(self, speech: SpeechModel, images: Model, layers: int, width: int, heads: Mapping[str, int]) -> None:
        super().__init__()
        for name, value in (("layers", layers), ("width", width)):
            if value < 1:
                raise ConfigError(f"`{name}` of the shared middle must be at least 1, got {value}.")
        self.width = width
        self.entries = nn.ModuleDict({"speech": speech, "images": images})
        self.projections = nn.ModuleDict(
            {name: nn.Linear(entry.blocks()[-1].dim, width) for name, entry in (("speech", speech), ("images", images))}
        )
        self.middle = nn.ModuleList(MiddleLayer(width) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.make_heads(width, heads)

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor | None = None) -> tuple[torch.Tensor, None]:
        """Map (batch, time, dim) speech with lengths, or (batch, channels, height, width) images, to (batch, width)."""
        name = "images" if lengths is None else "speech"
        hidden, left = self.entries[name](inputs, lengths)
        if left is not None:
            keep = valid_frames(left, hidden.shape[1])[:, :, None]
            hidden = hidden.masked_fill(~keep, 0).sum(1) / left[:, None]
        hidden = self.projections[name](hidden)
        for layer in self.middle:
            hidden = layer(hidden)
        return self.norm(hidden), None

    def blocks(self) -> list[Block]:
        """See `Model.blocks`: those of the entries, beside each other, then the middle layers."""
        own = []
        for name, entry in self.entries.items():
            assert isinstance(entry, Model)
            own += [block._replace(path=f"entries.{name}.{block.path}", role="front-end") for block in entry.blocks()]
            own.append(Block(f"projections.{name}", self.width, "front-end"))
        own += [Block(f"middle.{number}", self.width) for number in range(len(self.middle))]
        return [*own, Block("norm", self.width, "between")]

    def describe(self) -> dict[str, Any]:
        """See `Model.describe`."""
        entries = {name: kinds.describe(entry) for name, entry in self.entries.items() if isinstance(entry, Model)}
        return {"entries": entries, "layers": len(self.middle), "width": self.width}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], heads: Mapping[str, int], where: str) -> SharedMiddle:
        """See `Model.from_plain`."""
        entries = checked(Mapping[str, Any], plain.get("entries"), where, "entries")
        made = {}
        for name in ("speech", "images"):
            own = checked(Mapping[str, Any], entries.get(name), where, f"entries.{name}")
            made[name] = kinds.make(own, f"{where}: `entries.{name}`")
        speech = kinds.require_speech(made["speech"], f"{where}: `entries.speech`")
        layers, width = (checked(int, plain.get(name), where, name) for name in ("layers", "width"))
        return cls(speech, made["images"], layers, width, heads)
