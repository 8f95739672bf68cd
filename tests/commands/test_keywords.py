"""Keywords on the command line: words learnt from folders of recordings, found in others, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_transfer.audio import SAMPLE_RATE
from tests.commands.conftest import Lines
from tests.tones import speak


def _record(folder: Path, word: str, takes: int, seed: int = 0) -> list[Path]:
    """Write recordings of a word of tones below `folder`, in a folder that is called like it."""
    files = []
    for take in range(takes):
        file = folder / word / f"{take}.wav"
        file.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(file, speak(word, 1.0, seed + take), SAMPLE_RATE)
        files.append(file)
    return files


@pytest.fixture
def words(tmp_path: Path) -> Path:
    for word in ("face", "abba", "deed"):
        _record(tmp_path / "words", word, 3)
    return tmp_path / "words"


def test_words_are_learnt_and_found_by_any_model_and_others_are_none(
    tone_run: Path, words: Path, tmp_path: Path, lines: Lines
) -> None:
    out = tmp_path / "keywords"
    status, told, _ = lines("keywords", "learn", "--model", tone_run, "--data", words, "--out", out)
    assert status == 0
    assert told[0] == f"{out}: 3 words (abba 3, deed 3, face 3) by 1 speakers"
    assert told[1] == "of 9 recordings, each judged by the others, 9 are found" and told[2].startswith("threshold 0.")
    new = [_record(tmp_path / "new", word, 1, 50)[0] for word in ("deed", "abba", "face", "cccc")]
    status, told, _ = lines("keywords", "find", "--keywords", out, *new)
    assert status == 0
    found = [line.split("\t") for line in told]
    assert [name for name, _, _ in found] == [str(file) for file in new]
    assert [word for _, word, _ in found[:3]] == ["deed", "abba", "face"]
    unknown, known = float(found[3][2]), min(float(score) for _, _, score in found[:3])
    assert unknown < known
    between = f"{(unknown + known) / 2:.6f}"
    status, told, _ = lines("keywords", "find", "--keywords", out, "--threshold", between, *new)
    assert status == 0 and [line.split("\t")[1] for line in told] == ["deed", "abba", "face", "none"]
    status, told, _ = lines("keywords", "find", "--keywords", out, "--together", "true", *new[:3])
    assert status == 0 and [line.split("\t")[1] for line in told] == ["deed", "abba", "face"]


def test_silence_and_what_cannot_be_read_are_named_and_the_rest_is_found(
    tone_run: Path, words: Path, tmp_path: Path, lines: Lines
) -> None:
    out, silent = tmp_path / "keywords", tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(SAMPLE_RATE, np.float32), SAMPLE_RATE)
    lines("keywords", "learn", "--model", tone_run, "--data", words, "--out", out)
    new = _record(tmp_path / "new", "deed", 1, 50)[0]
    status, told, error = lines("keywords", "find", "--keywords", out, silent, tmp_path / "gone.wav", new)
    assert status == 1 and [line.split("\t")[1] for line in told] == ["deed"]
    assert f"{silent} is silent" in error and "gone.wav" in error and "Traceback" not in error
    for file in (words / "abba").iterdir():
        soundfile.write(file, np.zeros(SAMPLE_RATE, np.float32), SAMPLE_RATE)
    status, _, error = lines("keywords", "learn", "--model", tone_run, "--data", words, "--out", tmp_path / "other")
    assert status == 1 and "no recording of the word 'abba' can be used" in error


def test_a_word_with_one_recording_needs_a_threshold_or_other_speech(
    tone_run: Path, tone_corpus: dict[str, Path], tmp_path: Path, lines: Lines
) -> None:
    for word in ("face", "abba"):
        _record(tmp_path / "words", word, 1)
    given = ("keywords", "learn", "--model", tone_run, "--data", tmp_path / "words")
    new = _record(tmp_path / "new", "abba", 1, 50)[0]
    status, told, _ = lines(*given, "--out", tmp_path / "bare")
    assert status == 0 and told[-1].startswith("no threshold: the word 'abba' has one recording")
    find = ("keywords", "find", "--keywords", tmp_path / "bare")
    status, _, error = lines(*find, new)
    assert status == 1 and "has one recording" in error
    status, told, _ = lines(*find, "--threshold", "0.1", new)
    assert status == 0 and told[0].split("\t")[1] == "abba"
    status, told, _ = lines(*given, "--out", tmp_path / "more", "--background", tone_corpus["dev"])
    assert status == 0 and told[-1].startswith("threshold ")


def test_another_model_than_the_one_learnt_with_is_refused(
    tone_run: Path, languages_run: Path, words: Path, tmp_path: Path, lines: Lines
) -> None:
    out = tmp_path / "keywords"
    lines("keywords", "learn", "--model", tone_run, "--data", words, "--out", out)
    file = words / "face" / "0.wav"
    status, _, error = lines("keywords", "find", "--keywords", out, "--model", languages_run, file)
    assert status == 1 and "is not the model that" in error and "learn the keywords again" in error


def test_data_that_is_no_set_of_words_is_refused(tone_run: Path, words: Path, tmp_path: Path, lines: Lines) -> None:
    given = ("keywords", "learn", "--model", tone_run, "--out", tmp_path / "keywords", "--data")
    _record(tmp_path / "one", "face", 2)
    status, _, error = lines(*given, tmp_path / "one")
    assert status == 1 and "are of 1 word (face)" in error
    (words / "empty").mkdir()
    status, _, error = lines(*given, words)
    assert status == 1 and "empty: holds no recording" in error
    status, _, error = lines(*given, tmp_path / "one" / "face")
    assert status == 1 and "lies in no word's folder" in error
    assert not (tmp_path / "keywords").exists()
