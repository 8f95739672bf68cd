"""Weights are read whole, in shards and from pickles, and a pickle's code does not run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import safetensors.torch
import torch

from asr_transfer.errors import ModelError
from asr_transfer.models.pretrained.weights import fill, read_tensors

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b.bias": torch.ones(2, dtype=torch.float16)}


def test_shards_are_put_together(tmp_path: Path) -> None:
    places = {}
    for number, (name, tensor) in enumerate(TENSORS.items()):
        places[name] = f"model-{number}.safetensors"
        safetensors.torch.save_file({name: tensor}, tmp_path / places[name])
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    found = read_tensors(tmp_path)
    assert found.keys() == TENSORS.keys() and all(torch.equal(found[n], TENSORS[n].float()) for n in TENSORS)
    (tmp_path / places["b.bias"]).unlink()
    with pytest.raises(ModelError, match=r"model-1\.safetensors: the weights are missing"):
        read_tensors(tmp_path)


def test_older_pickles_of_tensors_are_read(tmp_path: Path) -> None:
    torch.save(TENSORS, tmp_path / "pytorch_model.bin")
    found = read_tensors(tmp_path)
    assert found["b.bias"].dtype == torch.float32 and torch.equal(found["a.weight"], TENSORS["a.weight"])


class _Hostile:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.file),)


def test_the_code_in_a_hostile_pickle_does_not_run(tmp_path: Path) -> None:
    torch.save({**TENSORS, "c": _Hostile(tmp_path / "broken-in")}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pytorch_model\.bin: holds more than tensors, and code of strangers is not"):
        read_tensors(tmp_path)
    assert not (tmp_path / "broken-in").exists()


@pytest.mark.parametrize(("content", "sentence"), [(b"PK\x03\x04", "is cut off or damaged"), (b"", "is cut off")])
def test_a_pickle_that_is_cut_off_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(ModelError, match=sentence):
        read_tensors(tmp_path)


def test_a_folder_without_weights_is_incomplete(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds neither model\.safetensors nor pytorch_model\.bin"):
        read_tensors(tmp_path)


def test_what_is_missing_or_of_another_shape_is_an_error_and_what_is_unknown_is_reported() -> None:
    model = torch.nn.Linear(3, 2)
    names = {"w": "weight", "b": "bias", "more": "other", "left": None}
    tensors = {"w": torch.ones(2, 3), "b": torch.zeros(2), "more": torch.zeros(1), "left": torch.zeros(1)}
    matched = fill(model, tensors, names.__getitem__, "folder")
    assert matched.taken == ("weight", "bias") and matched.ignored == ("left",) and matched.unexpected == ("more",)
    assert torch.equal(model.weight, torch.ones(2, 3))
    with pytest.raises(ModelError, match=r"folder: the weights are not those .*'bias' is missing"):
        fill(model, {"w": torch.ones(2, 3)}, names.__getitem__, "folder")
    with pytest.raises(ModelError, match=r"'weight' has shape \(3, 3\) instead of \(2, 3\)"):
        fill(model, {**tensors, "w": torch.ones(3, 3)}, names.__getitem__, "folder")
    assert fill(model, {"w": torch.ones(2, 3)}, names.__getitem__, "folder", ("bias",)).initialised == ("bias",)
