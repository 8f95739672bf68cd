"""Knows the families of Transformers' CTC models, and makes their networks from their configs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from asr_transfer.errors import ConfigError, nearest_hint
from asr_transfer.models.pretrained import ctc_parts
from asr_transfer.plain import checked

_UNUSED = {
    "mask_time_prob": 0.0,
    "mask_feature_prob": 0.0,
    "apply_spec_augment": False,
    "layerdrop": 0.0,
}
"""Masks of our own are drawn where training is asked to draw them; a layer that is dropped at random is none of it."""

_ABOUT = (
    *("_name_or_path", "architectures", "dtype", "torch_dtype", "id2label", "label2id", "transformers_version"),
    "target_lang",
)
"""Parts of a config that say nothing of the network."""

_SIZES = (
    *("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
    *("num_conv_pos_embeddings", "num_conv_pos_embedding_groups", "conv_pos_kernel_size", "num_mel_bins"),
    *("conv_kernel_size", "subsampling_conv_channels", "subsampling_conv_kernel_size", "subsampling_conv_stride"),
)
"""Fields that are whole numbers from 1 on."""

_SIZES_OF_LAYERS = ("conv_dim", "conv_kernel", "conv_stride")
"""Fields with such a number for each convolution."""


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
    take_apart: Callable[[Any], ctc_parts.Parts]
    nested: str = ""
    blank: str = "pad_token_id"


def plain_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's config as plain values: what says nothing of the network is left out, what is random is off."""
    own = {name: value for name, value in config.items() if name not in _ABOUT and value is not None}
    nested = [name for name in ("encoder_config", "audio_config") if isinstance(own.get(name), Mapping)]
    if nested:
        return {**own, **{name: plain_config(own[name]) for name in nested}}
    return {**own, **_UNUSED}


def require_sizes(config: Mapping[str, Any], where: str, names: Mapping[str, str] | None = None) -> None:
    """Refuse sizes that no network has, before the library makes something of them.

    Args:
        config: config, or the part of one that describes an encoder.
        where: file, for messages.
        names: names of the fields in `config`, by those in Transformers; None where they are the same.

    Raises:
        ConfigError: a size is below 1, or no whole number.
    """
    for name in (*_SIZES, *_SIZES_OF_LAYERS):
        own = (names or {}).get(name, name)
        if own not in config:
            continue
        value = config[own]
        sizes = checked(list[int] if name in _SIZES_OF_LAYERS else int, value, where, own)
        if min(sizes if isinstance(sizes, list) else [sizes], default=0) < 1:
            raise ConfigError(f"{where}: `{own}` is {value}, but such a size is at least 1; copy the model again.")


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
    inner = plain.get(family.nested) if family.nested else plain
    if not isinstance(inner, Mapping) or not inner.keys() - _UNUSED.keys():
        raise ConfigError(f"{where}: `{family.nested}` must be the encoder's own config; copy the model again.")
    require_sizes(inner, where)
    cls = getattr(transformers, family.made_by, None)
    if cls is None:
        raise ConfigError(
            f"{where}: the installed transformers has no {family.made_by}; install a newer one "
            "(pip install -U transformers)."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the sentence below says it
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


FAMILIES: dict[str, CtcFamily] = {
    "wav2vec2": CtcFamily("Wav2Vec2ForCTC", "wav2vec2", "lm_head", ctc_parts.wave),
    "hubert": CtcFamily("HubertForCTC", "hubert", "lm_head", ctc_parts.wave),
    "wavlm": CtcFamily("WavLMForCTC", "wavlm", "lm_head", ctc_parts.wavlm),
    "data2vec-audio": CtcFamily("Data2VecAudioForCTC", "data2vec_audio", "lm_head", ctc_parts.wave),
    "unispeech": CtcFamily("UniSpeechForCTC", "unispeech", "lm_head", ctc_parts.wave),
    "unispeech-sat": CtcFamily("UniSpeechSatForCTC", "unispeech_sat", "lm_head", ctc_parts.wave),
    "omniasr_ctc": CtcFamily(
        "OmniASRForCTC", "model.audio_tower", "ctc_head", ctc_parts.omniasr, "audio_config", "blank_token_id"
    ),
    "parakeet_ctc": CtcFamily("ParakeetForCTC", "encoder", "ctc_head", ctc_parts.parakeet, "encoder_config"),
    "lasr_ctc": CtcFamily("LasrForCTC", "encoder", "ctc_head", ctc_parts.lasr, "encoder_config"),
}
"""What this version takes apart, by `model_type`. XLS-R and MMS are `wav2vec2`."""
