"""Knows the families of Transformers' CTC models: how each is made from its config, and of which parts it consists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import nn
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from asr_transfer.errors import ConfigError, nearest_hint
from asr_transfer.models.contract import Block
from asr_transfer.models.pretrained.ctc_blocks import (
    Layer,
    MelFront,
    Norm,
    Positions,
    Projection,
    UtteranceNorm,
    WaveFront,
    biased_attention,
    both_ways,
    keys_alone,
    relative_bias,
    rotary,
)

_UNUSED = {
    "mask_time_prob": 0.0,
    "mask_feature_prob": 0.0,
    "apply_spec_augment": False,
    "layerdrop": 0.0,
}
"""Masks of our own are drawn where training is asked to draw them; a layer that is dropped at random is none of it."""

UTTERANCE_NORM = "utterance_norm"
"""Field of a config that a family has not: whether all hidden vectors of a recording are normalised together."""

_ABOUT = (
    *("_name_or_path", "architectures", "dtype", "torch_dtype", "id2label", "label2id", "transformers_version"),
    "target_lang",
)
"""Parts of a config that say nothing of the network."""


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


@dataclass(frozen=True)
class CtcFamily:
    """A family of models.

    Attributes:
        made_by: Name of the class with a CTC head in transformers.
        encoder: Dotted path of the encoder in it.
        head: Name of the CTC head in it.
        take_apart: Function from the encoder to its parts.
        nested: Field of the config that holds the encoder's; "" where the config is the encoder's itself.
        blank: Field of the config that holds the index of the blank.
    """

    made_by: str
    encoder: str
    head: str
    take_apart: Callable[[Any], Parts]
    nested: str = ""
    blank: str = "pad_token_id"


def plain_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's config as plain values: what says nothing of the network is left out, what is random is off."""
    own = {name: value for name, value in config.items() if name not in _ABOUT and value is not None}
    nested = [name for name in ("encoder_config", "audio_config") if isinstance(own.get(name), Mapping)]
    if nested:
        return {**own, **{name: plain_config(own[name]) for name in nested}}
    return {**own, **_UNUSED}


def make_whole(transformers: Any, plain: Mapping[str, Any], where: str) -> tuple[CtcFamily, nn.Module]:
    """Make a network with its CTC head, with initial weights.

    Args:
        transformers: library.
        plain: its config in plain values, with `model_type`.
        where: file, for messages.

    Raises:
        ConfigError: the family is unknown, or the config is impossible.
    """
    kind = plain.get("model_type")
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise ConfigError(f"{where}: `model_type` is {kind!r}.{nearest_hint(str(kind), FAMILIES)}")
    family = FAMILIES[kind]
    if plain.get("add_adapter"):
        raise ConfigError(
            f"{where}: `add_adapter` shortens the hidden vectors once more, which this version does not know; take a "
            "model without it."
        )
    cls = getattr(transformers, family.made_by, None)
    if cls is None:
        raise ConfigError(
            f"{where}: the installed transformers has no {family.made_by}; install a newer one "
            "(pip install -U transformers)."
        )
    try:
        whole = cls(transformers.CONFIG_MAPPING[kind].from_dict(dict(plain)))
    except Exception as error:  # the library checks configs in many ways and places
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ConfigError(f"{where}: describes no {family.made_by} ({reason}); copy the model again.") from None
    for module in whole.modules():
        module._parameters.pop("masked_spec_embed", None)  # what masked frames are replaced by; here none is
        if is_parametrized(module, "weight"):
            # Direction and length of the weight are one tensor, which can be copied, pickled and exported as any other.
            remove_parametrizations(module, "weight")
    return family, whole


def _wave(encoder: Any, arguments: Callable[[int], Any] | None = None) -> Parts:
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


def _wavlm(encoder: Any) -> Parts:
    layers = encoder.encoder.layers
    for layer in layers:
        layer.attention.torch_multi_head_self_attention = partial(biased_attention, layer.attention)
    return _wave(encoder, lambda number: partial(relative_bias, (layers[0].attention,)))


def _omniasr(encoder: Any) -> Parts:
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


def _parakeet(encoder: Any) -> Parts:
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


def _lasr(encoder: Any) -> Parts:
    config = encoder.config
    front = MelFront(
        encoder.subsampler, [config.subsampling_conv_kernel_size] * 2, [config.subsampling_conv_stride] * 2
    )
    positions = partial(rotary, (encoder.rotary_emb,))
    layers = [Layer(layer, positions) for layer in encoder.layers]
    return Parts(front, layers, config.hidden_size, after={"norm": Norm(encoder.out_norm)})


FAMILIES: dict[str, CtcFamily] = {
    "wav2vec2": CtcFamily("Wav2Vec2ForCTC", "wav2vec2", "lm_head", _wave),
    "hubert": CtcFamily("HubertForCTC", "hubert", "lm_head", _wave),
    "wavlm": CtcFamily("WavLMForCTC", "wavlm", "lm_head", _wavlm),
    "data2vec-audio": CtcFamily("Data2VecAudioForCTC", "data2vec_audio", "lm_head", _wave),
    "unispeech": CtcFamily("UniSpeechForCTC", "unispeech", "lm_head", _wave),
    "unispeech-sat": CtcFamily("UniSpeechSatForCTC", "unispeech_sat", "lm_head", _wave),
    "omniasr_ctc": CtcFamily(
        "OmniASRForCTC", "model.audio_tower", "ctc_head", _omniasr, "audio_config", "blank_token_id"
    ),
    "parakeet_ctc": CtcFamily("ParakeetForCTC", "encoder", "ctc_head", _parakeet, "encoder_config"),
    "lasr_ctc": CtcFamily("LasrForCTC", "encoder", "ctc_head", _lasr, "encoder_config"),
}
"""What this version takes apart, by `model_type`. XLS-R and MMS are `wav2vec2`."""
