"""Folders of other houses are opened by the family that they name, and others are refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ModelError
from asr_transfer.models.pretrained.door import is_foreign, open_pretrained
from tests.models.pretrained.published import whisper_folder, whisper_tensors


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of a small Whisper."""
    return whisper_folder(tmp_path / "whisper")


def test_a_folder_of_another_house_is_told_from_ours(folder: Path, tmp_path: Path) -> None:
    assert is_foreign(folder)
    assert not is_foreign(tmp_path)
    (folder / "config.yaml").write_text("format: 1\n")
    assert not is_foreign(folder)


def test_weights_are_taken_in_float32_and_what_became_of_each_is_reported(folder: Path) -> None:
    found = open_pretrained(folder, "ctc")
    own, published = found.model.state_dict(), whisper_tensors()
    assert {tensor.dtype for tensor in own.values()} == {torch.float32}
    assert torch.equal(own["encoder.1.fc1.weight"], published["model.encoder.layers.1.fc1.weight"].half().float())
    assert len(found.matched.taken) == len(published) - 1
    assert found.matched.ignored == ("model.decoder.layer_norm.weight",)
    assert all(name.startswith("top") for name in found.matched.initialised)
    assert str(found.matched).startswith("37 tensors taken, 1 ignored")


def test_an_unknown_family_is_named_with_those_that_are_known(tmp_path: Path) -> None:
    folder = whisper_folder(tmp_path / "other", {"model_type": "moonshine"})
    with pytest.raises(ModelError, match=r"config.json: `model_type` is 'moonshine', a family .* known are .*whisper"):
        Recogniser.load(folder)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", r"config.json: is no JSON object; copy the model again\."),
        ("[]", r"config.json: is no JSON object"),
        ('{"model_type": "whisper"}', r"config.json: the field `num_mel_bins` is missing; copy"),
    ],
)
def test_a_damaged_config_is_refused(folder: Path, text: str, sentence: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(ModelError, match=sentence):
        open_pretrained(folder, "ctc")


def test_the_encoder_alone_knows_no_language(folder: Path) -> None:
    bare = Recogniser.load(folder, criterion="ctc")
    assert (bare.head, bare.tokens_by_head, bare.model.head_names()) == ("", {}, [])
