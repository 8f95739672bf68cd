"""Folders of CTC models whose files contradict one another or themselves: one sentence, before anything is computed."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from asr_transfer.decoding.folder import heads_in
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ModelError
from asr_transfer.models.pretrained.door import open_pretrained
from tests.models.pretrained.ctc_folders import SYMBOLS, write, write_vocabulary

Copy = Callable[[str], Path]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that writes a family's folder once; not to be changed."""
    root = tmp_path_factory.mktemp("written")

    def folder(name: str) -> Path:
        if not (root / name).exists():
            write(root / name, name)
        return root / name

    return folder


@pytest.fixture
def copied(written: Callable[[str], Path], tmp_path: Path) -> Copy:
    """Return a function that copies a family's folder."""
    return lambda name: shutil.copytree(written(name), tmp_path / name)


def change(file: Path, **fields: Any) -> None:
    """Change fields of a JSON file; None leaves one out."""
    found = {**json.loads(file.read_text()), **fields}
    file.write_text(json.dumps({name: value for name, value in found.items() if value is not None}))


def refused(folder: Path, sentence: str) -> None:
    """Require that a folder is refused in a sentence, and that no library warns above it."""
    with warnings.catch_warnings(), pytest.raises(ModelError, match=sentence):
        warnings.simplefilter("error")
        open_pretrained(folder)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"model_type": ["wav2vec2"]}, r"`model_type` must be a text"),
        ({"model_type": {"a": 1}}, r"`model_type` must be a text"),
        ({"architectures": 5}, r"`architectures` must be a list"),
        ({"target_lang": 5}, r"`target_lang` must be a text"),
        ({"quantization_config": {"load_in_8bit": True}}, r"`quantization_config` says that the weights are quantised"),
        ({"num_hidden_layers": 0}, r"`num_hidden_layers` is 0, but such a size is at least 1"),
        ({"num_hidden_layers": -1}, r"`num_hidden_layers` is -1"),
        ({"num_hidden_layers": 1}, r"the weights are not those .*layers\.1\..*' is unknown"),
        ({"hidden_size": 0}, r"`hidden_size` is 0"),
        ({"conv_kernel": [10, 0, 4]}, r"`conv_kernel` is \[10, 0, 4\]"),
        ({"conv_stride": [5, -1, 4]}, r"`conv_stride` is \[5, -1, 4\]"),
        ({"conv_stride": "5, 4"}, r"`conv_stride` must be a list"),
        ({"pad_token_id": -1}, r"`pad_token_id` is -1, but the blank is one of the model's outputs, 0 to 11"),
    ],
)
def test_an_impossible_config_is_refused(copied: Copy, fields: dict[str, Any], sentence: str) -> None:
    """Some were tracebacks, and some models transcribed without the layers that were not described."""
    folder = copied("wav2vec2")
    change(folder / "config.json", **fields)
    refused(folder, sentence)


@pytest.mark.parametrize(
    ("name", "fields", "sentence"),
    [
        ("omniasr", {"blank_token_id": -1}, r"`blank_token_id` is -1, but the blank is one of"),
        ("omniasr", {"audio_config": None}, r"`audio_config` must be the encoder's own config"),
        ("parakeet", {"encoder_config": None}, r"`encoder_config` must be the encoder's own config"),
        ("parakeet", {"encoder_config": {}}, r"`encoder_config` must be the encoder's own config"),
        ("parakeet", {"encoder_config": 3}, r"`encoder_config` must be a mapping"),
        ("parakeet", {"encoder_config": {"num_mel_bins": "80"}}, r"`encoder_config.num_mel_bins` must be a whole"),
        ("lasr", {"encoder_config": {"num_hidden_layers": 0}}, r"`num_hidden_layers` is 0"),
    ],
)
def test_an_encoder_that_is_not_described_is_refused_before_one_is_made(
    copied: Copy, name: str, fields: dict[str, Any], sentence: str
) -> None:
    """A Parakeet of 600 million weights was made first."""
    folder = copied(name)
    change(folder / "config.json", **fields)
    refused(folder, sentence)


@pytest.mark.parametrize(
    ("name", "found", "sentence"),
    [
        ("wav2vec2", {"feature_extractor": 3}, r"`feature_extractor` must be a mapping, got 3"),
        ("wav2vec2", {"feature_extractor": None}, r"`feature_extractor` must be a mapping, got None"),
        ("wav2vec2", {"sampling_rate": "16000"}, r"`sampling_rate` must be a whole number, got '16000'"),
        ("wav2vec2", {"sampling_rate": 8000}, r"the model hears 8000 samples a second"),
        ("wav2vec2", {"do_normalize": "false"}, r"`do_normalize` must be true or false, got 'false'"),
        ("parakeet", {"feature_size": "80"}, r"`feature_size` must be a whole number"),
        ("parakeet", {"feature_size": 0}, r"`feature_size` is 0, but `num_mel_bins` in config.json 80"),
        ("parakeet", {"feature_size": 128}, r"`feature_size` is 128, but `num_mel_bins` in config.json 80"),
        ("parakeet", {"n_fft": "512"}, r"`n_fft` is '512', but 512 is all"),
        ("lasr", {"feature_size": 80}, r"`feature_size` is 80, but `num_mel_bins` in config.json 128"),
    ],
)
def test_settings_of_features_that_the_encoder_does_not_take_are_refused(
    copied: Copy, name: str, found: dict[str, Any], sentence: str
) -> None:
    folder = copied(name)
    (folder / "preprocessor_config.json").write_text(json.dumps(found))
    refused(folder, rf"preprocessor_config\.json: {sentence}")


@pytest.mark.parametrize("head", [torch.tensor(1.0), torch.ones(3), torch.empty(0, 16)])
def test_a_head_without_rows_is_refused(copied: Copy, head: torch.Tensor) -> None:
    folder = copied("wav2vec2")
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    safetensors.torch.save_file({**tensors, "lm_head.weight": head}, folder / "model.safetensors")
    refused(folder, r"'lm_head\.weight' has the shape .*, but a head has a row for each output")


def test_heads_of_pre_training_and_of_classifiers_are_left_out(copied: Copy) -> None:
    folder = copied("wav2vec2")
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    known = open_pretrained(folder).matched
    more = ("quantizer.codevectors", "project_q.weight", "projector.bias", "ctc_proj.weight", "classifier.weight")
    safetensors.torch.save_file({**tensors, **{name: torch.ones(1) for name in more}}, folder / "model.safetensors")
    found = open_pretrained(folder).matched
    assert found.taken == known.taken and set(found.ignored) - set(known.ignored) == set(more)
    assert Recogniser.load(folder).origin["matched"] == str(found)


def _of_languages(folder: Path, adapters: Mapping[str, bool], target: str | None) -> None:
    """Make a folder one of eng and deu, with adapters that hold tensors or none."""
    vocabulary = {symbol: number for number, symbol in enumerate(SYMBOLS)}
    write_vocabulary(folder, {"eng": vocabulary, "deu": vocabulary})
    change(folder / "config.json", target_lang=target)
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    head = {name: tensor for name, tensor in tensors.items() if name.startswith("lm_head.")}
    for language, full in adapters.items():
        safetensors.torch.save_file(head if full else {}, folder / f"adapter.{language}.safetensors")


def test_the_language_is_that_which_the_folder_says_it_is_in(copied: Copy) -> None:
    folder = copied("wav2vec2")
    _of_languages(folder, {"eng": True, "deu": True}, "deu")
    assert Recogniser.load(folder).head == "deu" and Recogniser.load(folder, "eng").head == "eng"
    assert heads_in(folder) == ["eng", "deu"]


def test_no_other_language_is_taken_in_the_place_of_the_folders_own(copied: Copy) -> None:
    """German was transcribed where English had no adapter."""
    folder = copied("wav2vec2")
    _of_languages(folder, {"deu": True}, "eng")
    assert heads_in(folder) == ["eng", "deu"], "so that a command does not take the only one"
    refused(folder, r"adapter\.eng\.safetensors: the adapter of eng is missing.*--language that has one \(deu\)")
    assert Recogniser.load(folder, "deu").head == "deu"


def test_an_adapter_without_tensors_is_refused(copied: Copy) -> None:
    folder = copied("wav2vec2")
    _of_languages(folder, {"eng": False}, "eng")
    refused(folder, r"adapter\.eng\.safetensors: 'lm_head\.\w+' is missing; take the adapter of this very model")


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
def test_a_pointer_of_git_lfs_in_place_of_a_json_file_is_told(copied: Copy, name: str) -> None:
    folder = copied("wav2vec2")
    (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 1\n")
    refused(folder, rf"/{name}: is a pointer of git-lfs and not the file itself")
