"""Opens checkpoints of torchaudio's wav2vec 2.0 and HuBERT models, such as its bundles hold.

A folder of one is written where there is a network, in three lines::

    bundle = torchaudio.pipelines.WAV2VEC2_ASR_BASE_960H
    torch.save(bundle.get_model().state_dict(), "folder/pytorch_model.bin")
    json.dump({"model_type": "torchaudio-wav2vec2", **bundle._params, "labels": bundle.get_labels(),
               "normalize_waveform": bundle._normalize_waveform}, open("folder/config.json", "w"))
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asr_transfer.data.inputs import Waveform
from asr_transfer.errors import ConfigError, ModelError
from asr_transfer.models.pretrained.ctc_families import require_sizes
from asr_transfer.models.pretrained.ctc_folder import assemble
from asr_transfer.models.pretrained.ctc_weights import rows_of
from asr_transfer.models.pretrained.family import Pretrained, family
from asr_transfer.models.pretrained.vocabulary import arranged
from asr_transfer.models.pretrained.weights import read_tensors
from asr_transfer.plain import checked

MODEL_TYPE = "torchaudio-wav2vec2"

_SAME = {
    "extractor_conv_bias": "conv_bias",
    "encoder_embed_dim": "hidden_size",
    "encoder_projection_dropout": "feat_proj_dropout",
    "encoder_pos_conv_kernel": "num_conv_pos_embeddings",
    "encoder_pos_conv_groups": "num_conv_pos_embedding_groups",
    "encoder_num_layers": "num_hidden_layers",
    "encoder_num_heads": "num_attention_heads",
    "encoder_attention_dropout": "attention_dropout",
    "encoder_ff_interm_features": "intermediate_size",
    "encoder_ff_interm_dropout": "activation_dropout",
    "encoder_dropout": "hidden_dropout",
    "encoder_layer_norm_first": "do_stable_layer_norm",
}
"""Arguments of `torchaudio.models.wav2vec2_model`, and what Transformers calls them."""

_NAMES = {
    "aux.": "lm_head.",
    "encoder.transformer.": "wav2vec2.encoder.",
    "encoder.feature_projection.": "wav2vec2.feature_projection.",
    "feature_extractor.": "wav2vec2.feature_extractor.",
}
"""How names of weights begin, there and in Transformers."""


@family("torchaudio", frozenset({MODEL_TYPE}))
def open_bundle(folder: Path, config: Mapping[str, Any]) -> Pretrained:
    """Open a folder with a checkpoint, the arguments that its model was made by, and its labels.

    Raises:
        ModelError: something is missing or damaged.
    """
    file = folder / "config.json"
    try:
        network = _network(config, str(file))
        labels: list[str] = checked(list[str], config.get("labels", []), str(file), "labels")
        normalised: bool = checked(bool, config.get("normalize_waveform", False), str(file), "normalize_waveform")
    except ConfigError as error:
        raise ModelError(str(error)) from None
    tensors = {}
    for name, tensor in read_tensors(folder).items():
        here = next((own for own in _NAMES if name.startswith(own)), "")
        tensors[_NAMES.get(here, "") + name.removeprefix(here)] = tensor
    vocabulary = None
    if (head := tensors.get("lm_head.weight")) is not None:
        if len(labels) != (outputs := rows_of(head, "aux.weight", str(folder))):
            raise ModelError(
                f"{file}: `labels` has {len(labels)} entries, but the model {outputs} outputs; write what the "
                "bundle's `get_labels` returns."
            )
        # The first may stand there again, for it is the blank's name, and a hyphen is a letter of some languages.
        if twice := [label for label, count in Counter(labels[1:]).items() if count > 1]:
            raise ModelError(
                f"{file}: `labels` has '{twice[0]}' more than once; write what the bundle's `get_labels` returns."
            )
        # As torchaudio's bundles have them: the blank is the first.
        vocabulary = arranged(file, {label: row for row, label in enumerate(labels)}, 0, "|")
    return assemble(folder, network, tensors, Waveform(normalised, 1e-5), vocabulary)


def _network(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the config that Transformers has for the same network."""
    lacking = [name for name in (*_SAME, "extractor_mode", "extractor_conv_layer_config") if name not in config]
    if lacking:
        raise ConfigError(
            f"{where}: the field `{lacking[0]}` is missing; write all arguments of torchaudio.models.wav2vec2_model."
        )
    mode = config["extractor_mode"]
    if mode not in ("group_norm", "layer_norm"):
        raise ConfigError(f"{where}: `extractor_mode` is {mode!r}; it is group_norm or layer_norm.")
    layers: list[tuple[int, int, int]] = checked(
        list[tuple[int, int, int]], config["extractor_conv_layer_config"], where, "extractor_conv_layer_config"
    )
    for number, layer in enumerate(layers):
        if min(layer) < 1:
            raise ConfigError(
                f"{where}: `extractor_conv_layer_config[{number}]` is {list(layer)}, but its sizes are at least 1; "
                "write what the bundle has."
            )
    require_sizes(config, where, {theirs: own for own, theirs in _SAME.items()})
    return {
        "model_type": "wav2vec2",
        "feat_extract_norm": mode.removesuffix("_norm"),
        "num_feat_extract_layers": len(layers),
        "conv_dim": [layer[0] for layer in layers],
        "conv_kernel": [layer[1] for layer in layers],
        "conv_stride": [layer[2] for layer in layers],
        "pad_token_id": 0,
        **{theirs: config[own] for own, theirs in _SAME.items()},
    }
