"""Recordings beyond the window of a whole Whisper are cut, and learnt from with the words that belong to each piece."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_transfer import audio
from asr_transfer.adaptation.long_recordings import cut_long
from asr_transfer.data.manifest import Utterance, write_manifest
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import DataError
from tests.adapting import run
from tests.models.pretrained.whole_whisper import SECONDS, write_whisper
from tests.tones import speak

SENTENCES = ["abe dab", "bad cafe", "fed bed", "deaf cab", "ace face", "dad fad"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("whisper")
    write_whisper(made / "published", 1)
    return made


@pytest.fixture(scope="module")
def source(folder: Path) -> Recogniser:
    return Recogniser.load(folder / "published")


@pytest.fixture(scope="module")
def said(folder: Path) -> list[tuple[float, str]]:
    """Write a recording, and return the middle of each of its sentences in seconds, with the sentence."""
    samples, found = [np.zeros(0, np.float32)], []
    for number, text in enumerate(SENTENCES):
        spoken = speak(text, 1.0, number)
        begin = sum(map(len, samples)) / audio.SAMPLE_RATE
        found.append((begin + len(spoken) / audio.SAMPLE_RATE / 2, text))
        samples += [spoken, np.zeros(audio.SAMPLE_RATE // 5, np.float32)]
    soundfile.write(folder / "long.wav", np.concatenate(samples), audio.SAMPLE_RATE)
    return found


@pytest.fixture(scope="module")
def long(folder: Path, said: list[tuple[float, str]]) -> Utterance:
    duration = audio.probe(folder / "long.wav").duration
    assert duration > 2 * SECONDS
    return Utterance("long", str(folder / "long.wav"), duration, ". ".join(SENTENCES) + ".", "ann", "en")


def _hears(monkeypatch: pytest.MonkeyPatch, said: Sequence[tuple[float, str]]) -> None:
    """Let the model hear those words that are said in the middle of a piece, by their times."""
    words = [(middle + (place - 0.5) * 0.3, word) for middle, text in said for place, word in enumerate(text.split())]

    def listen(self: Recogniser, spoken: Spoken) -> list[str]:
        inside = [(u.start or 0.0, (u.start or 0.0) + u.duration) for u in spoken.utterances]
        return [" ".join(word for time, word in words if begin <= time < end) for begin, end in inside]

    monkeypatch.setattr(Recogniser, "listen", listen)


def test_every_piece_has_its_part_of_the_text(
    source: Recogniser, long: Utterance, said: list[tuple[float, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _hears(monkeypatch, said)
    short = replace(long, id="short", duration=1.0, text="abe")
    lines: list[str] = []
    cut = cut_long(source, [short, long], (1.0,), lines.append)
    assert cut.utterances[0] == short and not cut.left_out
    pieces = cut.utterances[1:]
    assert " ".join(piece.text for piece in pieces) == long.text and len(pieces) >= 3
    assert all(piece.duration <= SECONDS for piece in pieces)
    assert sum(piece.duration for piece in pieces) == pytest.approx(long.duration, abs=1e-3)
    for piece in pieces:
        assert piece.start is not None
        inside = [text for middle, text in said if piece.start <= middle < piece.start + piece.duration]
        assert [word.strip(".") for word in piece.text.split()] == " ".join(inside).split()
    assert f"{long.duration:.1f} of {long.duration:.1f} s are used, in {len(pieces)} pieces" in lines[0]


def test_slower_copies_fit_in_the_window_too(
    source: Recogniser, long: Utterance, said: list[tuple[float, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _hears(monkeypatch, said)
    pieces = cut_long(source, [long], (1.0, 0.8), lambda line: None).utterances
    assert max(piece.duration for piece in pieces) <= 0.8 * SECONDS


def test_what_is_in_doubt_is_left_out_and_named(
    source: Recogniser, long: Utterance, said: list[tuple[float, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _hears(monkeypatch, [*said[:2], *((middle, "xx yy") for middle, _ in said[2:4]), *said[4:]])
    lines: list[str] = []
    cut = cut_long(source, [long], (1.0,), lines.append)
    texts = [piece.text for piece in cut.utterances]
    assert texts and all("fed" not in text and "cab" not in text for text in texts)
    ((name, why),) = cut.left_out
    assert name.startswith("long@") and why == "it is in doubt which words of the text belong to it"
    used = sum(piece.duration for piece in cut.utterances)
    assert f"{used:.1f} of {long.duration:.1f} s are used" in lines[0] and f"{name[5:]} s ({why})" in lines[0]


def test_nothing_left_says_what_to_do(source: Recogniser, long: Utterance, monkeypatch: pytest.MonkeyPatch) -> None:
    _hears(monkeypatch, [])
    with pytest.raises(DataError, match="each is longer than the 2 s that the model hears at once.*cut them"):
        cut_long(source, [long], (1.0,), lambda line: None)


def test_adapt_learns_from_the_pieces(
    folder: Path, long: Utterance, said: list[tuple[float, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _hears(monkeypatch, said)
    write_manifest(folder / "data.jsonl", [long])
    words = ("--model", folder / "published", "--data", folder / "data.jsonl", "--out", folder / "voice")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        options = ("--method", "last-layers", "--check", "false", "--steps", 1, "--device", "cpu")
        assert run("adapt", *words, *options) == 0
    assert "is cut where it is quiet" in printed.getvalue()
    record = json.loads((folder / "voice" / "run.json").read_text(encoding="utf-8"))
    assert record["data"]["adapt"]["utterances"] >= 3 and not record["adaptation"]["left_out"]
