"""Builds a shared encoder, and a private one for every language (Bousmalis et al. 2016; Chen and Cardie 2018)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar

import torch
from torch import nn

from asr_transfer.config import MOST_LAYERS, Channels, ModelConfig
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.models.contract import register
from asr_transfer.models.encoders import Encoder, valid_frames
from asr_transfer.plain import checked, to_plain
from asr_transfer.ranges import Range, Ranged


class ReadingHead(nn.Module):
    """A head that reads its own features out of hidden vectors in which a model puts several things side by side.

    What a head needs may depend on the head: a column, or a branch that runs for this head alone. `model.head(name)`
    makes such a module at each call, so that `model.head(name)(hidden)` holds for every model. It owns nothing.

    Args:
        output: the layer that makes logits.
        read: function that maps the model's hidden (batch, frames, channels) to what `output` reads.
    """

    def __init__(self, output: nn.Module, read: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.output, self.read = output, read

    @property
    def out_features(self) -> int:
        """Return the number of tokens."""
        return int(self.output.out_features)  # type: ignore[arg-type]

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Map the model's hidden vectors to logits."""
        logits: torch.Tensor = self.output(self.read(hidden))
        return logits


@dataclass(frozen=True)
class PrivateConfig(Ranged, section="private"):
    """The private encoders, which are of the shared encoder's kind.

    Attributes:
        layers: number of layers of each.
        dim: width of a layer (per direction for `bilstm`); smaller than the shared one's, or nothing is shared.
    """

    layers: Annotated[int, Range(at_least=1, at_most=MOST_LAYERS)] = 1
    dim: Channels = 48


@register("shared-private")
class SharedPrivateModel(AcousticModel):
    """Front end and encoder are shared; the head of a language reads them beside those of its private encoder.

    `private.NAME` runs when the head NAME does, on its stream's items alone: a batch of one language gives the other
    languages' encoders and heads no gradient at all, nor any item for their normalisation layers' statistics.

    Hidden vectors are [shared encoder | front end | 1 at valid frames, 0 at padding].

    Args:
        config: sizes of the shared part.
        heads: tokens (blank included) of each head, by name.
        private: sizes of the private encoders.
    """

    sequential: ClassVar[bool] = False

    def __init__(self, config: ModelConfig, heads: Mapping[str, int], private: PrivateConfig | None = None) -> None:
        super().__init__(config, {})
        self.private_config = private or PrivateConfig()
        layers, dim = self.private_config.layers, self.private_config.dim
        encoders = {name: Encoder(config.encoder, config.channels, layers, dim, config.dropout) for name in heads}
        if encoders:
            self.make_heads(self.encoder.dim + next(iter(encoders.values())).dim, heads)
        self.private = nn.ModuleDict(encoders)  # behind the heads, which refuse impossible names

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map (batch, time, mels) and (batch,) lengths to hidden (batch, frames, channels) and its (batch,) lengths."""
        front, lengths = self.frontend(inputs, lengths)
        valid = valid_frames(lengths, front.shape[1])[:, :, None].to(front.dtype)
        return torch.cat([self.encoder(front, lengths), front, valid], dim=-1), lengths

    def head(self, name: str) -> ReadingHead:
        """Return the head called `name` with its private encoder.

        Raises:
            ModelError: there is none; the message lists those that exist.
        """
        return ReadingHead(super().head(name), partial(self._read, name))

    def _read(self, name: str, hidden: torch.Tensor) -> torch.Tensor:
        shared, front, valid = torch.split(hidden, [self.encoder.dim, self.config.channels, 1], dim=-1)
        private = self.private[name](front, (valid[:, :, 0] != 0).sum(1))
        return torch.cat([shared, private], dim=-1)

    def own_parts(self, head: str) -> list[str]:
        """See `Model.own_parts`."""
        return [*super().own_parts(head), f"private.{head}"]

    def describe(self) -> dict[str, Any]:
        """See `Model.describe`."""
        return {**super().describe(), "private": to_plain(self.private_config)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], heads: Mapping[str, int], where: str) -> SharedPrivateModel:
        """See `Model.from_plain`."""
        config = checked(ModelConfig, plain.get("model"), where, "model")
        return cls(config, heads, checked(PrivateConfig, plain.get("private"), where, "private"))
