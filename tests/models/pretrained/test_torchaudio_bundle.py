"""Checkpoints of torchaudio that hold the networks of Transformers under other names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ModelError
from asr_transfer.models.pretrained.door import open_pretrained
from tests.models.pretrained.converted_folders import write_torchaudio

SAMPLES = 0.1 * torch.randn(1, 4000, generator=torch.Generator().manual_seed(0))


def _logits(recogniser: Recogniser) -> torch.Tensor:
    inputs = recogniser.model.inputs.compute(SAMPLES[0])
    with torch.no_grad():
        return recogniser.logits(inputs[None], torch.tensor([len(inputs)]))[0]


@pytest.mark.parametrize("mode", ["group_norm", "layer_norm"])
def test_torchaudios_logits_are_the_same(mode: str, tmp_path: Path) -> None:
    theirs = write_torchaudio(tmp_path / "bundle", mode)
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
        (
            {"extractor_conv_layer_config": [[8, 10, 5], [8, 8, 0]]},
            r"`extractor_conv_layer_config\[1\]` is \[8, 8, 0\]",
        ),
        ({"labels": [*"-|ABBD"]}, "`labels` has 'B' more than once"),
        ({"encoder_num_layers": -1}, "`encoder_num_layers` is -1, but such a size is at least 1"),
        ({"encoder_num_layers": 1}, "the weights are not those .*layers.1.* is unknown"),
        ({"encoder_embed_dim": "x"}, "`encoder_embed_dim` must be a whole number"),
    ],
)
def test_a_damaged_bundle_is_refused(more: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_torchaudio(tmp_path / "bundle", "group_norm", **more)
    with pytest.raises(ModelError, match=message):
        open_pretrained(tmp_path / "bundle")


def test_a_hyphen_may_be_a_letter_beside_the_blank_of_that_name(tmp_path: Path) -> None:
    write_torchaudio(tmp_path / "bundle", "group_norm", labels=[*"-|AB-D"])
    assert Recogniser.load(tmp_path / "bundle").tokens == Tokens([" ", *"AB-D"])


def test_a_bundle_without_its_arguments_is_refused(tmp_path: Path) -> None:
    write_torchaudio(tmp_path, "group_norm")
    (tmp_path / "config.json").write_text('{"model_type": "torchaudio-wav2vec2"}')
    with pytest.raises(ModelError, match="`extractor_conv_bias` is missing; write all arguments of torchaudio"):
        open_pretrained(tmp_path)
