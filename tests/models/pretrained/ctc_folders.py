"""Writes small CTC models of random weights as Transformers does, in the format of each family."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers

STILL = dict.fromkeys(
    ("hidden_dropout", "activation_dropout", "attention_dropout", "feat_proj_dropout", "final_dropout", "dropout"), 0.0
)
"""No dropout, so that what is left at random in training is what the families draw of their own: masks and layers."""

WAVE: dict[str, Any] = {
    **STILL,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": [8, 8, 8],
    "conv_kernel": [10, 8, 4],
    "conv_stride": [5, 8, 4],
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
}
MEL: dict[str, Any] = {
    **STILL,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "intermediate_size": 24,
    "subsampling_conv_channels": 8,
    "conv_kernel_size": 5,
}
STABLE = {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}
SYMBOLS = ["<s>", "<pad>", "</s>", "<unk>", "|", *"ABCDEF'"]
"""A vocabulary whose blank is not the first, as Transformers writes it."""

FAMILIES: dict[str, dict[str, Any]] = {
    "wav2vec2": {"model_type": "wav2vec2", **WAVE},
    "wav2vec2-layer-norm": {"model_type": "wav2vec2", **WAVE, **STABLE},
    "hubert": {"model_type": "hubert", **WAVE},
    "hubert-batch-norm": {"model_type": "hubert", **WAVE, "conv_pos_batch_norm": True},
    "wavlm": {"model_type": "wavlm", **WAVE},
    "wavlm-layer-norm": {"model_type": "wavlm", **WAVE, **STABLE},
    "data2vec": {"model_type": "data2vec-audio", **WAVE},
    "unispeech": {"model_type": "unispeech", **WAVE},
    "unispeech-sat": {"model_type": "unispeech-sat", **WAVE},
    "omniasr": {
        "model_type": "omniasr_ctc",
        "audio_config": {"model_type": "omniasr_audio", **WAVE},
        "blank_token_id": 1,
        "pad_token_id": 0,
    },
    "parakeet": {
        "model_type": "parakeet_ctc",
        "encoder_config": {"model_type": "parakeet_encoder", **MEL, "num_mel_bins": 80},
    },
    "lasr": {"model_type": "lasr_ctc", "encoder_config": {"model_type": "lasr_encoder", **MEL, "num_mel_bins": 128}},
}
"""Configs by name, one for every way that a network is put together."""

EXTRACTORS = {
    "omniasr": transformers.OmniASRFeatureExtractor,
    "parakeet": transformers.ParakeetFeatureExtractor,
    "lasr": transformers.LasrFeatureExtractor,
}


def make(name: str, **more: Any) -> Any:
    """Return a model of a family with random weights, in evaluation mode."""
    config = {"vocab_size": len(SYMBOLS), "pad_token_id": 1, **FAMILIES[name], **more}
    torch.manual_seed(7)
    model = transformers.AutoModelForCTC.from_config(
        transformers.CONFIG_MAPPING[config["model_type"]].from_dict(config)
    ).eval()
    head = model.lm_head if hasattr(model, "lm_head") else model.ctc_head
    with torch.no_grad():  # so that something is heard
        head.weight.mul_(40)
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model


def write(folder: Path, name: str, symbols: list[str] | None = None, **more: Any) -> Any:
    """Write a family's folder with a vocabulary, and return the model."""
    symbols = SYMBOLS if symbols is None else symbols
    model = make(name, **{"vocab_size": len(symbols), **more})
    model.save_pretrained(folder)
    extractor(name).save_pretrained(folder)
    write_vocabulary(folder, {symbol: index for index, symbol in enumerate(symbols)})
    return model


def extractor(name: str) -> Any:
    """Return a family's feature extractor."""
    kind = EXTRACTORS.get(name, transformers.Wav2Vec2FeatureExtractor)
    return kind(feature_size=128 if name == "lasr" else 80) if name in ("lasr", "parakeet") else kind()


def write_vocabulary(folder: Path, vocabulary: Any, **about: Any) -> None:
    """Write `vocab.json` and `tokenizer_config.json`."""
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    plain = {"tokenizer_class": "Wav2Vec2CTCTokenizer", "pad_token": "<pad>", "word_delimiter_token": "|", **about}
    (folder / "tokenizer_config.json").write_text(json.dumps(plain), encoding="utf-8")
