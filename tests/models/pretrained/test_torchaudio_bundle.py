"""Checkpoints of torchaudio that hold the networks of Transformers under other names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torchaudio

from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ModelError
from asr_transfer.models.pretrained.door import open_pretrained

LABELS = ("-", "|", *"ABCD")
SAMPLES = 0.1 * torch.randn(1, 4000, generator=torch.Generator().manual_seed(0))


def _logits(recogniser: Recogniser) -> torch.Tensor:
    inputs = recogniser.model.inputs.compute(SAMPLES[0])
    with torch.no_grad():
        return recogniser.logits(inputs[None], torch.tensor([len(inputs)]))[0]


def _bundle(folder: Path, mode: str, **more: Any) -> torchaudio.models.Wav2Vec2Model:
    """Write the folder of a small model of torchaudio, and return the model."""
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
        "aux_num_out": len(LABELS),
    }
    torch.manual_seed(5)
    model = torchaudio.models.wav2vec2_model(**plain).eval()
    folder.mkdir(exist_ok=True)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / "config.json").write_text(
        json.dumps({"model_type": "torchaudio-wav2vec2", **plain, "labels": LABELS, "normalize_waveform": True, **more})
    )
    return model


@pytest.mark.parametrize("mode", ["group_norm", "layer_norm"])
def test_torchaudios_logits_are_the_same(mode: str, tmp_path: Path) -> None:
    theirs = _bundle(tmp_path / "bundle", mode)
    ours = Recogniser.load(tmp_path / "bundle")
    assert ours.tokens == Tokens([" ", *"ABCD"])
    with torch.no_grad():
        wanted, _ = theirs(torch.nn.functional.layer_norm(SAMPLES, SAMPLES.shape))
    torch.testing.assert_close(_logits(ours), wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"labels": ["-", "A"]}, "`labels` has 2 entries, but the model 6 outputs"),
        ({"extractor_mode": "batch_norm"}, "`extractor_mode` is 'batch_norm'; it is group_norm or layer_norm"),
        ({"extractor_conv_layer_config": [[8, 10]]}, "extractor_conv_layer_config"),
    ],
)
def test_a_damaged_bundle_is_refused(more: dict[str, Any], message: str, tmp_path: Path) -> None:
    _bundle(tmp_path / "bundle", "group_norm", **more)
    with pytest.raises(ModelError, match=message):
        open_pretrained(tmp_path / "bundle")


def test_a_bundle_without_its_arguments_is_refused(tmp_path: Path) -> None:
    _bundle(tmp_path, "group_norm")
    (tmp_path / "config.json").write_text('{"model_type": "torchaudio-wav2vec2"}')
    with pytest.raises(ModelError, match="`extractor_conv_bias` is missing; write all arguments of torchaudio"):
        open_pretrained(tmp_path)
