"""Folders of SpeechBrain that hold the networks of Transformers, and YAML that must not run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from asr_transfer.data.subwords import train_subwords
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.folder import heads_in
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ModelError
from asr_transfer.models.pretrained.door import is_foreign
from tests.models.pretrained.converted_folders import write_speechbrain

SAMPLES = 0.1 * torch.randn(1, 4000, generator=torch.Generator().manual_seed(0))


def _logits(recogniser: Recogniser) -> torch.Tensor:
    inputs = recogniser.model.inputs.compute(SAMPLES[0])
    with torch.no_grad():
        return recogniser.logits(inputs[None], torch.tensor([len(inputs)]))[0]


@pytest.mark.parametrize("normed", [True, False])
def test_speechbrains_logits_are_the_same_and_its_yaml_does_not_run(
    normed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "sb"
    encoder, linear = write_speechbrain(folder, normed)
    assert is_foreign(folder) and heads_in(folder) == ["main"]
    ours = Recogniser.load(folder)
    assert not (tmp_path / "executed").exists() and not (folder / "executed").exists()
    assert ours.tokens == Tokens([*"ab cd"])
    with torch.no_grad():
        hidden = encoder(torch.nn.functional.layer_norm(SAMPLES, SAMPLES.shape[1:])).last_hidden_state
        if normed:
            hidden = torch.nn.functional.layer_norm(hidden, hidden.shape[1:])
        torch.testing.assert_close(_logits(ours), linear(hidden), rtol=0, atol=1e-4)
    ours.save(tmp_path / "saved", "", {})
    assert torch.equal(_logits(Recogniser.load(tmp_path / "saved")), _logits(ours))


def test_norms_over_a_recording_are_the_same_in_a_batch(tmp_path: Path) -> None:
    write_speechbrain(tmp_path / "sb")
    model = Recogniser.load(tmp_path / "sb").model
    inputs = torch.randn(2, 4000, 1, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        together, lengths = model(inputs, torch.tensor([4000, 2500]))
        alone, _ = model(inputs[1:, :2500], torch.tensor([2500]))
    torch.testing.assert_close(together[1, : lengths[1]], alone[0], rtol=0, atol=1e-4)


def test_speechbrains_pieces_of_words_are_read(tmp_path: Path) -> None:
    write_speechbrain(tmp_path / "sb")
    model = train_subwords(["abba baba", "ab ba"], 5)
    (tmp_path / "sb" / "tokenizer.ckpt").write_bytes(model.data)
    assert len(model.pieces) + 1 <= 6
    tokens = Recogniser.load(tmp_path / "sb").tokens
    assert tokens.units == "subwords" and tokens.symbols[1:] == model.pieces
    assert tokens.encode("abba") == Tokens(model.pieces, "subwords", model).encode("abba")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("'a' => -4\n====", "tokenizer.ckpt line 1: the index is -4"),
        ("'a' => 1\n'a' => 2\n====", "tokenizer.ckpt line 2: 'a' or the index 2 stands there a second time"),
        ("'a' => 1\n'b' => 1\n====", "tokenizer.ckpt line 2: 'b' or the index 1 stands there a second time"),
        ("version https://git-lfs.github.com/spec/v1\n", "tokenizer.ckpt: is a pointer of git-lfs"),
    ],
)
def test_a_damaged_text_encoder_is_refused(text: str, message: str, tmp_path: Path) -> None:
    """Indices below 0 counted from the end."""
    write_speechbrain(tmp_path / "sb")
    (tmp_path / "sb" / "tokenizer.ckpt").write_text(text)
    with pytest.raises(ModelError, match=message):
        Recogniser.load(tmp_path / "sb")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("blank_index: 0", "blank_index: abc", "`blank_index` is 'abc', but the blank is one of the model's outputs"),
        ("blank_index: 0", "blank_index: -1", "`blank_index` is -1"),
        ("blank_index: 0", "blank_index: 6", "`blank_index` is 6, .*0 to 5; copy"),
        ("output_norm: True", "output_norm: maybe", "`output_norm` is 'maybe'; it is True or False"),
    ],
)
def test_a_damaged_setting_is_refused(old: str, new: str, message: str, tmp_path: Path) -> None:
    write_speechbrain(tmp_path / "sb")
    file = tmp_path / "sb" / "hyperparams.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(ModelError, match=f"hyperparams.yaml: {message}"):
        Recogniser.load(tmp_path / "sb")


def test_a_linear_layer_without_rows_is_refused(tmp_path: Path) -> None:
    write_speechbrain(tmp_path / "sb")
    torch.save({"0.w.weight": torch.tensor(1.0)}, tmp_path / "sb" / "asr.ckpt")
    with pytest.raises(ModelError, match="'w.weight' has the shape .*a row for each output"):
        Recogniser.load(tmp_path / "sb")


DNN = "enc: !new:speechbrain.lobes.models.VanillaNN.VanillaNN\n    dnn_blocks: 2"


def test_another_network_behind_the_encoder_is_refused(tmp_path: Path) -> None:
    write_speechbrain(tmp_path / "sb", more=DNN, part="enc: !ref <enc>\n    ")
    with pytest.raises(
        ModelError,
        match=r"hyperparams.yaml: the encoder has the part 'enc' \(.*VanillaNN\).* one linear layer behind it",
    ):
        Recogniser.load(tmp_path / "sb")


def test_other_models_of_speechbrain_are_refused(tmp_path: Path) -> None:
    (tmp_path / "hyperparams.yaml").write_text("encoder: !new:speechbrain.lobes.models.CRDNN.CRDNN\n    dim: 3\n")
    with pytest.raises(ModelError, match="describes no `encoder` that begins with a wav2vec 2.0"):
        Recogniser.load(tmp_path)
    (tmp_path / "hyperparams.yaml").write_text("a: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(ModelError, match="is no YAML of SpeechBrain"):
        Recogniser.load(tmp_path)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("config.json", "the encoder is that of facebook/nowhere, whose config.json|no model of that name"),
        ("wav2vec2.ckpt", r"wav2vec2\.ckpt"),
        ("tokenizer.ckpt", "tokenizer.ckpt: the tokenizer is missing"),
    ],
)
def test_what_is_missing_is_named(missing: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    write_speechbrain(tmp_path / "sb")
    (tmp_path / "sb" / missing).unlink()
    with pytest.raises(ModelError, match=message):
        Recogniser.load(tmp_path / "sb")


class _Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("executed"),))


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_speechbrain(tmp_path / "sb")
    torch.save({"model.a": _Hostile()}, tmp_path / "sb" / "wav2vec2.ckpt")
    with pytest.raises(ModelError, match="wav2vec2.ckpt: holds more than tensors, and code of strangers is not run"):
        Recogniser.load(tmp_path / "sb")
    assert not (tmp_path / "executed").exists()
