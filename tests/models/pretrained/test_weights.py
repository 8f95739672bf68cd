"""Weights are read whole, in shards and from pickles, and a pickle's code does not run."""

from __future__ import annotations

import json
import math
import os
import random
from contextlib import suppress
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


@pytest.mark.parametrize("content", [b"PK\x03\x04", b"", b"P", b"\x80", b"<html>"])
def test_what_is_no_whole_pickle_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(ModelError, match=r"pytorch_model\.bin: is cut off or damaged; copy the model again\."):
        read_tensors(tmp_path)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_is_cut_or_has_other_bytes_is_refused_or_read_and_nothing_else(
    tmp_path: Path, zipped: bool
) -> None:
    """PyTorch's reader raised errors of a dozen kinds."""
    file, draw = tmp_path / "pytorch_model.bin", random.Random(0)
    torch.save(TENSORS, file, _use_new_zipfile_serialization=zipped)
    whole = file.read_bytes()
    cut = [whole[:length] for length in (1, 3, 20, len(whole) // 2, len(whole) - 1)]
    for _ in range(100):
        flipped = bytearray(whole)
        for _ in range(5):
            flipped[draw.randrange(len(whole))] = draw.randrange(256)
        file.write_bytes(flipped)
        with suppress(ModelError):
            assert read_tensors(tmp_path)
    for content in cut:
        file.write_bytes(content)
        with pytest.raises(ModelError, match="is cut off or damaged"):
            read_tensors(tmp_path)


@pytest.mark.parametrize("found", [[torch.ones(1)], {0: torch.ones(1)}, {"state_dict": TENSORS}])
def test_a_pickle_of_anything_but_tensors_by_name_is_refused(tmp_path: Path, found: object) -> None:
    torch.save(found, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="holds no tensors by name"):
        read_tensors(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_pointer_of_git_lfs_is_told_from_a_damaged_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 151061672\n")
    with pytest.raises(ModelError, match=rf"{name}: is a pointer of git-lfs .*`git lfs pull`"):
        read_tensors(tmp_path)


@pytest.mark.parametrize(
    ("tensor", "sentence"),
    [
        (torch.tensor([1.0, math.nan]), r"'b\.bias' holds numbers that are none"),
        (torch.tensor([1.0, -math.inf], dtype=torch.float16), r"'b\.bias' holds numbers that are none"),
        (torch.ones(2, dtype=torch.int8), r"'b\.bias' holds numbers of the type int8, as quantised weights do"),
        (torch.ones(2, dtype=torch.complex64), r"'b\.bias' holds numbers of the type complex64"),
    ],
)
def test_numbers_that_no_model_computes_with_are_refused(tmp_path: Path, tensor: torch.Tensor, sentence: str) -> None:
    """Garbage was transcribed with them."""
    safetensors.torch.save_file({**TENSORS, "b.bias": tensor}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=rf"model\.safetensors: {sentence}"):
        read_tensors(tmp_path)


def test_counters_and_empty_tensors_are_read(tmp_path: Path) -> None:
    tensors = {**TENSORS, "norm.num_batches_tracked": torch.tensor(3), "none": torch.empty(0)}
    safetensors.torch.save_file(tensors, tmp_path / "model.safetensors")
    found = read_tensors(tmp_path)
    assert found.keys() == tensors.keys() and found["norm.num_batches_tracked"].dtype == torch.int64


def test_a_sparse_tensor_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.eye(2).to_sparse()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="'a' is no plain tensor; save the model again"):
        read_tensors(tmp_path)


def test_a_folder_without_weights_is_incomplete(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds neither model\.safetensors nor pytorch_model\.bin"):
        read_tensors(tmp_path)


def test_what_is_missing_of_another_shape_or_unknown_is_an_error_and_what_is_left_out_is_reported() -> None:
    model = torch.nn.Linear(3, 2)
    names = {"w": "weight", "b": "bias", "left": None, "norm.num_batches_tracked": "norm.num_batches_tracked"}
    tensors = {"w": torch.ones(2, 3), "b": torch.zeros(2), "left": torch.zeros(1)}
    matched = fill(model, {**tensors, "norm.num_batches_tracked": torch.tensor(3)}, names.__getitem__, "folder")
    assert matched.taken == ("weight", "bias") and matched.ignored == ("left", "norm.num_batches_tracked")
    assert torch.equal(model.weight, torch.ones(2, 3))
    with pytest.raises(ModelError, match="the weights are not those that .*: 'layers.9.weight' is unknown; copy"):
        fill(model, {**tensors, "layers.9.weight": torch.ones(1)}, {"layers.9.weight": "?", **names}.get, "folder")
    with pytest.raises(ModelError, match=r"folder: the weights are not those .*'bias' is missing"):
        fill(model, {"w": torch.ones(2, 3)}, names.__getitem__, "folder")
    with pytest.raises(ModelError, match=r"'weight' has shape \(3, 3\) instead of \(2, 3\)"):
        fill(model, {**tensors, "w": torch.ones(3, 3)}, names.__getitem__, "folder")
    assert fill(model, {"w": torch.ones(2, 3)}, names.__getitem__, "folder", ("bias",)).initialised == ("bias",)
