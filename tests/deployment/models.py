"""Small models of every kind that graphs are made of, with weights far from their initial ones."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch

from asr_transfer.config import EncoderName, FeatureConfig, ModelConfig, TopConfig
from asr_transfer.data.inputs import Waveform
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.deployment import Source
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.models.contract import SpeechModel
from asr_transfer.models.pretrained.transformers_ctc import TransformersCtc
from asr_transfer.models.pretrained.whisper_encoder import WhisperEncoderModel
from asr_transfer.models.pretrained.whisper_layers import WhisperSizes

Model = TypeVar("Model", bound=SpeechModel)
SURE = 20.0
"""Factor of the head's weights, with which many tokens are the likeliest in turn."""
TOKENS = Tokens([*" abc'"])
HEADS = {"en": len(TOKENS)}
WAV2VEC2 = {
    "model_type": "wav2vec2",
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "conv_dim": [8] * 7,
    "num_feat_extract_layers": 7,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}


def acoustic(encoder: EncoderName = "bilstm", strides: tuple[int, int] = (2, 2), **features: object) -> AcousticModel:
    """Return a model of this house, with the features that are named."""
    torch.manual_seed(1)
    config = FeatureConfig(**features)  # type: ignore[arg-type]
    sizes = ModelConfig(encoder, 2, dim=16, channels=16, strides=strides, features=config)
    return _moved(AcousticModel(sizes, HEADS))


def made(kind: str) -> SpeechModel:
    """Return a model by its kind."""
    torch.manual_seed(1)
    if kind in ("whisper", "whisper, silence"):
        top = TopConfig(layers=1, dim=8, least_seconds=0.0 if kind == "whisper" else 1.2)
        return _moved(WhisperEncoderModel(WhisperSizes(80, 16, 1, 2, 16), top, HEADS))
    if kind == "wav2vec2":
        return _moved(TransformersCtc(WAV2VEC2, Waveform(), HEADS))
    if kind == "wav2vec2, layer norms":
        network = {**WAV2VEC2, "feat_extract_norm": "layer", "do_stable_layer_norm": True}
        return _moved(TransformersCtc(network, Waveform(), HEADS))
    return acoustic(kind)  # type: ignore[arg-type]


def source(model: SpeechModel, folder: Path, tokens: Tokens = TOKENS) -> Source:
    """Return a model as what is exported."""
    return Source(Recogniser(model, tokens, "en", {}), "my_model", folder)


def _moved(model: Model) -> Model:
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
        model.head("en").weight.mul_(SURE)
    return model.eval()
