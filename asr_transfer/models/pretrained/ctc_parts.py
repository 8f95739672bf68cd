"""Takes the encoders of Transformers' CTC models apart into blocks, each way of putting them together by a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import nn

from asr_transfer.models.contract import Block
from asr_transfer.models.pretrained.ctc_blocks import Norm, Positions, Projection, UtteranceNorm
from asr_transfer.models.pretrained.ctc_fronts import MelFront, WaveFront
from asr_transfer.models.pretrained.ctc_layers import (
    Layer,
    biased_attention,
    both_ways,
    keys_alone,
    relative_bias,
    rotary,
)

UTTERANCE_NORM = "utterance_norm"
"""Field of a config that a family has not: whether all hidden vectors of a recording are normalised together."""


@dataclass
class Parts:
    """A network taken apart: its blocks by name in order of running, and the size of its last hidden vectors."""

    front: WaveFront | MelFront
    layers: list[Layer]
    dim: int
    before: dict[str, nn.Module] = field(default_factory=dict)
    after: dict[str, nn.Module] = field(default_factory=dict)
    width: int = 0

    def blocks(self) -> list[Block]:
        """Return the blocks, named as a model has them that holds `front`, `encoder.layers` and the others by name."""
        return [
            Block("front", self.width or self.dim, "front-end"),
            *(Block(name, self.dim, "between") for name in self.before),
            *(Block(f"encoder.layers.{number}", self.dim) for number in range(len(self.layers))),
            *(Block(name, self.dim, "between") for name in self.after),
        ]


def wave(encoder: Any, arguments: Callable[[int], Any] | None = None) -> Parts:
    """Take apart wav2vec 2.0 and what is built like it."""
    config, inner = encoder.config, encoder.encoder
    embedding = inner.pos_conv_embed
    stable = bool(getattr(config, "do_stable_layer_norm", False))
    projection = encoder.feature_projection
    before = {
        "projection": Projection(
            getattr(projection, "layer_norm", None), projection.projection, config.feat_proj_dropout
        ),
        "positions": Positions(
            list(getattr(embedding, "layers", [embedding])),
            None if stable else inner.layer_norm,
            config.hidden_dropout,
        ),
    }
    layers = [Layer(layer, arguments(n) if arguments else keys_alone) for n, layer in enumerate(inner.layers)]
    after: dict[str, nn.Module] = {"norm": Norm(inner.layer_norm)} if stable else {}
    if getattr(config, UTTERANCE_NORM, False):
        after["utterance_norm"] = UtteranceNorm()
    front = WaveFront(encoder.feature_extractor.conv_layers)
    return Parts(front, layers, config.hidden_size, before, after, config.conv_dim[-1])


def wavlm(encoder: Any) -> Parts:
    """Take apart WavLM, whose layers share a bias of relative positions."""
    layers = encoder.encoder.layers
    for layer in layers:
        layer.attention.torch_multi_head_self_attention = partial(biased_attention, layer.attention)
    return wave(encoder, lambda number: partial(relative_bias, (layers[0].attention,)))


def omniasr(encoder: Any) -> Parts:
    """Take apart OmniASR's encoder."""
    config, front = encoder.config, encoder.subsampling
    before = {
        "projection": Projection(front.layer_norm, front.projection, 0.0),
        "positions": Positions([encoder.encode_positions], None, 0.0),
    }
    layers = [Layer(layer, keys_alone) for layer in encoder.layers]
    return Parts(
        WaveFront(front.conv_layers),
        layers,
        config.hidden_size,
        before,
        {"norm": Norm(encoder.layer_norm)},
        config.conv_dim[-1],
    )


def parakeet(encoder: Any) -> Parts:
    """Take apart Parakeet's Fast Conformer."""
    config, subsample = encoder.config, encoder.subsampling
    count = subsample.num_layers
    front = MelFront(
        subsample,
        [subsample.kernel_size] * count,
        [subsample.stride] * count,
        subsample.padding,
        encoder.input_scale,
        masked=True,
    )
    positions = partial(both_ways, (encoder.encode_positions,))
    return Parts(front, [Layer(layer, positions) for layer in encoder.layers], config.hidden_size)


def lasr(encoder: Any) -> Parts:
    """Take apart LASR's Conformer."""
    config = encoder.config
    front = MelFront(
        encoder.subsampler, [config.subsampling_conv_kernel_size] * 2, [config.subsampling_conv_stride] * 2
    )
    positions = partial(rotary, (encoder.rotary_emb,))
    layers = [Layer(layer, positions) for layer in encoder.layers]
    return Parts(front, layers, config.hidden_size, after={"norm": Norm(encoder.out_norm)})
