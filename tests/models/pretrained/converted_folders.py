"""Writes small models of random weights as torchaudio and SpeechBrain do, which hold networks of Transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import torchaudio
from speechbrain.dataio.encoder import CTCTextEncoder
from speechbrain.nnet.linear import Linear

from tests.models.pretrained.ctc_folders import STABLE, make, write

YAML = """
wav2vec2_hub: facebook/nowhere
output_neurons: {outputs}
blank_index: 0
sums: !apply:os.system ["touch executed"]
wav2vec2: !new:speechbrain.lobes.models.huggingface_transformers.wav2vec2.Wav2Vec2
    source: !ref <wav2vec2_hub>
    output_norm: {normed}
    save_path: !ref <nowhere>/wav2vec2
ctc_lin: !new:speechbrain.nnet.linear.Linear
    input_size: 16
    n_neurons: !ref <output_neurons>
log_softmax: !new:speechbrain.nnet.activations.Softmax
    apply_log: True
{more}
encoder: !new:speechbrain.nnet.containers.LengthsCapableSequential
    wav2vec2: !ref <wav2vec2>
    {part}ctc_lin: !ref <ctc_lin>
    log_softmax: !ref <log_softmax>
decoding_function: !name:speechbrain.decoders.ctc_greedy_decode
    blank_id: !ref <blank_index>
model: !new:torch.nn.ModuleList
    - [!ref <ctc_lin>]
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        wav2vec2: !ref <wav2vec2>
        asr: !ref <model>
        tokenizer: !ref <tokenizer>
"""


def write_torchaudio(folder: Path, mode: str, letters: str = "ABCD", **more: Any) -> torchaudio.models.Wav2Vec2Model:
    """Write the folder of a small model of torchaudio, and return the model."""
    labels = ["-", "|", *letters]
    plain = {
        "extractor_mode": mode,
        "extractor_conv_layer_config": [(8, 10, 5), (8, 8, 8), (8, 4, 4)],
        "extractor_conv_bias": mode == "layer_norm",
        "encoder_embed_dim": 16,
        "encoder_projection_dropout": 0.1,
        "encoder_pos_conv_kernel": 4,
        "encoder_pos_conv_groups": 2,
        "encoder_num_layers": 2,
        "encoder_num_heads": 2,
        "encoder_attention_dropout": 0.1,
        "encoder_ff_interm_features": 24,
        "encoder_ff_interm_dropout": 0.0,
        "encoder_dropout": 0.1,
        "encoder_layer_norm_first": mode == "layer_norm",
        "encoder_layer_drop": 0.05,
        "aux_num_out": len(labels),
    }
    torch.manual_seed(5)
    model = torchaudio.models.wav2vec2_model(**plain).eval()
    folder.mkdir(exist_ok=True)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / "config.json").write_text(
        json.dumps({"model_type": "torchaudio-wav2vec2", **plain, "labels": labels, "normalize_waveform": True, **more})
    )
    return model


def write_speechbrain(
    folder: Path, normed: bool = True, more: str = "", part: str = "", letters: str = "ab cd"
) -> tuple[Any, Linear]:
    """Write a folder of SpeechBrain, and return encoder and linear layer."""
    outputs = len(set(letters)) + 1
    write(folder, "wav2vec2", **STABLE)
    for name in ("model.safetensors", "vocab.json", "tokenizer_config.json"):
        (folder / name).unlink()
    (folder / "hyperparams.yaml").write_text(YAML.format(normed=normed, more=more, part=part, outputs=outputs))
    encoder = make("wav2vec2", **STABLE).wav2vec2
    torch.manual_seed(9)
    linear = Linear(input_size=16, n_neurons=outputs)
    torch.save({f"model.{name}": tensor for name, tensor in encoder.state_dict().items()}, folder / "wav2vec2.ckpt")
    torch.save(torch.nn.ModuleList([torch.nn.ModuleList([linear])]).state_dict(), folder / "asr.ckpt")
    labels = CTCTextEncoder()
    labels.insert_blank(0)
    labels.update_from_iterable(letters)
    labels.save(folder / "tokenizer.ckpt")
    return encoder, linear
