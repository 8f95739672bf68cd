"""Commands on published CTC models: what a user types with the folder that was fetched."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from asr_transfer.decoding.recogniser import Recogniser
from tests.adapting import recordings, run
from tests.models.pretrained.ctc_folders import write
from tests.small import snapshot

SYMBOLS = ["<pad>", "<unk>", "|", *"abcdef"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small wav2vec 2.0."""
    folder = tmp_path_factory.mktemp("published") / "w2v"
    write(folder, "wav2vec2", SYMBOLS, pad_token_id=0)
    return folder


def test_transcribe_hears_through_a_published_folder(
    folder: Path, make_audio: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [make_audio(tmp_path / f"{seconds}.wav", seconds) for seconds in (1.0, 0.1)]
    assert run("transcribe", "--model", folder, *files) == 0
    heard = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    texts = Recogniser.load(folder).transcribe(files)
    assert heard == [[str(file), text] for file, text in zip(files, texts, strict=True)]
    assert texts[0] and set("".join(texts)) <= set("abcdef ")


def test_a_language_is_said_beside_the_texts_and_changes_none(
    folder: Path, make_audio: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = make_audio(tmp_path / "a.wav", 1.0)
    assert run("transcribe", "--model", folder, file) == run("transcribe", "--model", folder, "--language", "en", file)
    captured = capsys.readouterr()
    first, second = captured.out.splitlines()
    assert first == second and "which does not say its language, is taken for 'en'" in captured.err


def test_adapt_writes_a_model_and_a_profile_for_a_published_folder(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kim, out = recordings(tmp_path / "speaker", "kim", 1.17, 6, 7), tmp_path / "run"
    steps = ("--method", "lhuc", "--steps", 2, "--check", "false", "--learning_rate", 0.1, "--keep_suspicious")
    assert run("adapt", "--model", folder, "--data", kim, "--out", out, *steps) == 0
    capsys.readouterr()
    files = sorted(kim.glob("*.wav"))[:2]
    printed = []
    for chosen in ((out,), (folder, "--profile", out)):
        assert run("transcribe", "--model", *chosen, *files) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] and printed[0].count("\n") == 2
    assert any(name.startswith("adapters.lhuc.") for name in snapshot(Recogniser.load(out / "model").model))


def test_an_unknown_family_is_refused_in_a_sentence(
    make_audio: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text(json.dumps({"model_type": "moonshine"}))
    assert run("transcribe", "--model", tmp_path / "other", make_audio(tmp_path / "a.wav")) == 1
    error = capsys.readouterr().err
    assert "`model_type` is 'moonshine', a family that cannot be opened; known are" in error and "wavlm" in error
    assert "Traceback" not in error
