"""Makes Whisper's encoder (Radford et al. 2022) a model with CTC heads, by layers of its own on top.

It hears each utterance at its true length, in place of windows of 30 seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from asr_transfer.config import TopConfig, subsampled
from asr_transfer.data.inputs import Inputs, WhisperMel
from asr_transfer.errors import ConfigError, ModelError
from asr_transfer.models.contract import Block, SpeechModel, register
from asr_transfer.models.encoders import BiLstmLayer, valid_frames
from asr_transfer.models.pretrained.family import Pretrained, family
from asr_transfer.models.pretrained.weights import fill, read_tensors
from asr_transfer.models.pretrained.whisper_layers import Front, Layer, WhisperSizes
from asr_transfer.models.pretrained.whisper_published import ENCODER, as_published, require_features
from asr_transfer.plain import checked, to_plain


class Joined(nn.LayerNorm):
    """A norm behind which neighbouring frames are put side by side, so that there are fewer and wider ones."""

    def __init__(self, dim: int, frames: int) -> None:
        super().__init__(dim)
        self.frames = frames

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
        """Map (batch, time, dim) to ((batch, time / frames, frames * dim), (batch,) lengths); zeros fill the last."""
        x = super().forward(x) * valid_frames(lengths, x.shape[1])[:, :, None]
        x = nn.functional.pad(x, (0, 0, 0, -x.shape[1] % self.frames))
        return x.reshape(x.shape[0], -1, self.frames * x.shape[2]), (lengths - 1) // self.frames + 1


@register("whisper-encoder")
class WhisperEncoderModel(SpeechModel):
    """The encoder, layers on top, and heads by name. Without a head nobody has trained the layers on top.

    Args:
        sizes: Sizes of the encoder.
        top: Layers between the encoder and the heads.
        heads: Tokens (blank included) of each head, by name.
    """

    sequential: ClassVar[bool] = True
    # Three minutes of a speaker: the first two layers at 1e-4, all at 3e-5 took 8 to 13 % of the errors away.
    pace: ClassVar[float] = 0.3

    def __init__(self, sizes: WhisperSizes, top: TopConfig, heads: Mapping[str, int]) -> None:
        super().__init__()
        self.sizes, self.top_sizes = sizes, top
        self.front = Front(sizes)
        self.encoder = nn.ModuleList(Layer(sizes) for _ in range(sizes.layers))
        self.norm = Joined(sizes.dim, top.joined)
        widths = [sizes.dim * top.joined] + [2 * top.dim] * (top.layers - 1)
        self.top = nn.ModuleList(BiLstmLayer(width, top.dim, top.dropout) for width in widths)
        self.top_norm = Joined(2 * top.dim, 1)
        self.make_heads(2 * top.dim, heads)

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See `SpeechModel.forward`."""
        return self.run(0, len(self.blocks()), inputs, lengths)

    @property
    def inputs(self) -> Inputs:
        """See `SpeechModel.inputs`."""
        return WhisperMel(mels=self.sizes.mels, least_seconds=self.top_sizes.least_seconds)

    @property
    def window(self) -> float:
        """See `SpeechModel.window`: nobody knows how well it hears beyond the positions that it was trained on."""
        return 2 * self.sizes.positions * self.inputs.shift

    def frames(self, length: int) -> int:
        """See `SpeechModel.frames`."""
        return subsampled(length, (2, self.top_sizes.joined))

    def blocks(self) -> list[Block]:
        """See `Model.blocks`."""
        own, top = self.sizes.dim, 2 * self.top_sizes.dim
        return [
            Block("front", own, "front-end"),
            *(Block(f"encoder.{number}", own) for number in range(len(self.encoder))),
            Block("norm", own * self.top_sizes.joined, "between"),
            *(Block(f"top.{number}", top) for number in range(len(self.top))),
            Block("top_norm", top, "between"),
        ]

    def published(self) -> list[Block]:
        """See `Model.published`."""
        return self.blocks()[: len(self.encoder) + 2]

    def describe(self) -> dict[str, Any]:
        """See `Model.describe`."""
        return {"encoder": to_plain(self.sizes), "top": to_plain(self.top_sizes)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], heads: Mapping[str, int], where: str) -> WhisperEncoderModel:
        """See `Model.from_plain`."""
        sizes = checked(WhisperSizes, plain.get("encoder"), where, "encoder")
        return cls(sizes, checked(TopConfig, plain.get("top", {}), where, "top"), heads)


@family("Whisper's encoder", frozenset({"whisper"}))
def open_encoder(folder: Path, config: Mapping[str, Any]) -> Pretrained:
    """Open the encoder of a Whisper folder; its decoder is left out.

    Raises:
        ModelError: Something is missing, damaged, or computed otherwise than this encoder does.
    """
    where = str(folder / "config.json")
    if (activation := config.get("activation_function", "gelu")) != "gelu":
        raise ModelError(f"{where}: `activation_function` is {activation!r}, but only gelu can be computed.")
    for name in ENCODER.values():
        if name not in config:
            raise ModelError(f"{where}: the field `{name}` is missing; copy the model again.")
    try:
        sizes = checked(WhisperSizes, {own: config[name] for own, name in ENCODER.items()}, where, "encoder")
        require_features(folder, config)
    except ConfigError as error:
        raise ModelError(f"{as_published(str(error))} Copy the model again.") from None
    model = WhisperEncoderModel(sizes, TopConfig(), {})
    matched = fill(model, read_tensors(folder), _name, str(folder), ("top",))
    return Pretrained(model.eval(), matched=matched)


def _name(name: str) -> str | None:
    """Return the name here of a tensor there: `model.encoder.layers.0.fc1.weight` is `encoder.0.fc1.weight`."""
    _, found, inside = name.rpartition("encoder.") if not name.startswith(_LEFT_OUT) else ("", "", "")
    if not found:
        return None if name.startswith(_LEFT_OUT) else name
    for there, here in _RENAMED.items():
        if inside.startswith(there):
            return here + inside.removeprefix(there)
    return name


_LEFT_OUT = ("model.decoder.", "decoder.", "proj_out.")
_RENAMED = {
    "conv": "front.conv",
    "embed_positions.weight": "front.positions",
    "layers.": "encoder.",
    "layer_norm.": "norm.",
}
