"""Serves the CTC models of Transformers by one class: wav2vec 2.0, XLS-R, MMS, HuBERT, WavLM, Parakeet-CTC and others.

The library's own layers run one by one (`ctc_layers`), so that methods speak of them as of any model's. A saved folder
holds the family's config, and needs the folder that it was read from no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import nn

from asr_transfer.data.inputs import Inputs, inputs_from_plain
from asr_transfer.models.contract import Block, SpeechModel, register
from asr_transfer.models.pretrained.ctc_families import CtcFamily, make_whole, plain_config
from asr_transfer.models.pretrained.ctc_layers import Layer
from asr_transfer.models.pretrained.library import transformers
from asr_transfer.plain import checked, to_plain

LARGE = 200_000_000
"""Weights of the layers from which on activations are computed anew: those of minutes of speech fill gigabytes."""


@register("transformers-ctc")
class TransformersCtc(SpeechModel):
    """An encoder of one of the `ctc_families` with linear CTC heads by name.

    Args:
        network: its config in plain values, as the family's `config.json` has it.
        inputs: inputs of the model.
        heads: outputs of each head; none for a bare encoder.
        where: file, for messages.
        whole: family and network with weights, to be taken apart; None makes one with initial weights.
        checkpointing: choice of that attribute; None decides by size: from `LARGE` weights on.

    Raises:
        ConfigError: the family is unknown, or its config impossible.
        ModelError: transformers is not installed.
    """

    sequential: ClassVar[bool] = True
    # As Whisper's encoder, on which it was measured.
    pace: ClassVar[float] = 0.3

    def __init__(
        self,
        network: Mapping[str, Any],
        inputs: Inputs,
        heads: Mapping[str, int],
        where: str = "config",
        whole: tuple[CtcFamily, nn.Module] | None = None,
        checkpointing: bool | None = None,
    ) -> None:
        super().__init__()
        self.plain = plain_config(network)
        self._inputs = inputs
        family, body = whole or make_whole(transformers(where), self.plain, where)
        parts = family.take_apart(body.get_submodule(family.encoder))
        self.front: nn.Module = parts.front
        self.layer_blocks = parts.blocks()
        for name, module in {**parts.before, **parts.after}.items():
            self.add_module(name, module)
        self.encoder = nn.Module()  # so that selectors are those of other models: encoder.layers[:2]
        self.encoder.layers = nn.ModuleList(parts.layers)
        self.make_heads(parts.dim, heads)
        self.large = sum(parameter.numel() for parameter in self.encoder.parameters()) >= LARGE
        self.checkpointing = self.large if checkpointing is None else checkpointing

    @property
    def checkpointing(self) -> bool:
        """Whether the layers' activations are computed anew for the gradient: a third slower, far less memory."""
        return any(layer.checkpointing for layer in self.modules() if isinstance(layer, Layer))

    @checkpointing.setter
    def checkpointing(self, wanted: bool) -> None:
        for layer in self.modules():
            if isinstance(layer, Layer):
                layer.checkpointing = wanted

    @property
    def inputs(self) -> Inputs:
        """See `SpeechModel.inputs`."""
        return self._inputs

    def frames(self, length: int) -> int:
        """See `SpeechModel.frames`."""
        return self.front.frames(length)  # type: ignore[operator, no-any-return]

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map (batch, time, dim) inputs and (batch,) lengths to hidden (batch, frames, dim) and its lengths."""
        return self.run(0, len(self.layer_blocks), inputs, lengths)

    def blocks(self) -> list[Block]:
        """See `Model.blocks`."""
        return list(self.layer_blocks)

    def published(self) -> list[Block]:
        """See `Model.published`: all of them; nothing of our own stands between them and the heads."""
        return self.blocks()

    def describe(self) -> dict[str, Any]:
        """See `Model.describe`."""
        return {
            "network": to_plain(self.plain),
            "inputs": to_plain(self._inputs.plain()),
            **({"checkpointing": self.checkpointing} if self.checkpointing != self.large else {}),
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], heads: Mapping[str, int], where: str) -> TransformersCtc:
        """See `Model.from_plain`."""
        network = checked(Mapping[str, Any], plain.get("network"), where, "network")
        inputs = inputs_from_plain(checked(Mapping[str, Any], plain.get("inputs"), where, "inputs"), where)
        checkpointing = checked(bool | None, plain.get("checkpointing"), where, "checkpointing")
        return cls(network, inputs, heads, where, checkpointing=checkpointing)
