"""Folders of pretrained models that lack something or are of strangers: a sentence that names it, and nothing else."""

from __future__ import annotations

import json
import os
import pickle
import warnings
from pathlib import Path

import pytest
import safetensors.torch
import torch

from asr_transfer.errors import ModelError
from asr_transfer.models.pretrained.door import open_pretrained
from asr_transfer.models.pretrained.weights import read_file
from tests.adapting import run


class _Code:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.file}",)


def test_a_stranger_pickle_is_refused_without_running_and_without_a_librarys_warning(tmp_path: Path) -> None:
    """The library warned of the pickle's protocol, above the sentence."""
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(_Code(tmp_path / "executed"), protocol=4))
    with warnings.catch_warnings(), pytest.raises(ModelError, match="code of strangers is not run"):
        warnings.simplefilter("error")
        read_file(tmp_path / "pytorch_model.bin")
    assert not (tmp_path / "executed").exists()


def test_a_config_without_a_family_says_so(tmp_path: Path) -> None:
    """The sentence called the family None."""
    (tmp_path / "config.json").write_text(json.dumps({"d_model": 4}))
    with pytest.raises(ModelError, match="the field `model_type` is missing.*whisper") as caught:
        open_pretrained(tmp_path)
    assert "None" not in str(caught.value)


def test_weights_without_a_config_are_a_pretrained_model_cut_short(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sentence asked for a folder that `train` wrote."""
    safetensors.torch.save_file({"one": torch.ones(1)}, tmp_path / "model.safetensors")
    (tmp_path / "a.wav").write_bytes(b"")
    assert run("transcribe", "--model", tmp_path, tmp_path / "a.wav") == 1
    assert "or the config.json of a pretrained model; copy the model again" in capsys.readouterr().err
