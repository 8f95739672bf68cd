"""A folder that another command wrote, given as a model, is called by what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_transfer.adaptation import keywords, profile
from asr_transfer.cli import main
from asr_transfer.decoding.folder import model_folder
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ModelError


@pytest.mark.parametrize(
    ("facts", "weights", "words"),
    [
        (profile.FACTS, profile.TENSORS, "is a speaker's profile, not a model; give the model that it was made with."),
        (keywords.FACTS, keywords.TENSORS, "is a set of keywords, not a model; give the model that listens for them."),
    ],
)
def test_profiles_and_keywords_are_told_from_damaged_models(
    facts: str, weights: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / facts).write_text("format: 1\n", encoding="utf-8")
    (tmp_path / weights).write_bytes(b"")
    with pytest.raises(ModelError, match=words):
        Recogniser.load(tmp_path)
    assert main(["transcribe", "--model", str(tmp_path), str(tmp_path / "a.wav")]) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("whisper-small", "the hub by its whole name, such as `openai/whisper-small`, or get one with `asr-transfer f"),
        ("whisper-tny", "`asr-transfer fetch whisper-tiny`. Did you mean 'whisper-tiny'?"),
        ("my_modle", "make one with `asr-transfer train` or `adapt`, give a model of the hub"),
        ("runs/absent/model", "correct the path, or make one with"),
    ],
)
def test_a_name_of_nothing_says_where_models_are_to_be_had(
    name: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASR_TRANSFER_DATA", str(tmp_path / "data"))
    with pytest.raises(ModelError, match="there is no such model folder") as caught:
        model_folder(name)
    assert words in str(caught.value)


@pytest.mark.parametrize("config", ["config.yaml", "config.json", "hyperparams.yaml"])
def test_a_file_of_a_model_names_its_folder(config: str, tmp_path: Path) -> None:
    (tmp_path / config).write_text("{}", encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="is a file, and a model is a folder") as caught:
        model_folder(tmp_path / "model.safetensors")
    assert str(caught.value).endswith(f"give that, perhaps {tmp_path}.")


def test_an_adapter_of_peft_is_to_be_merged_first(tmp_path: Path) -> None:
    """The sentence asked for a copy of the model, which the folder never was."""
    (tmp_path / "adapter_config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="holds an adapter .* merge both with peft's `merge_and_unload`"):
        model_folder(tmp_path)
