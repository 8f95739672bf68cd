"""Recorded phrases of language courses: a made-up tree, and the real one where a machine has it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from asr_transfer.errors import DataError
from data_prep import artikulate
from data_prep.by_text import split_of
from tests.prepared import NUMBERS, assert_by_text, by_id, left_out, splits_of
from tests.recorded import MakeAudio, distinct


@pytest.fixture
def make_audio(make_audio: MakeAudio) -> MakeAudio:
    return distinct(make_audio)


def phrase(text: str, sound: str) -> str:
    return f"<phrase><text>{text}</text><soundFile>{sound}</soundFile></phrase>"


@pytest.fixture
def courses(tmp_path: Path, make_audio: MakeAudio) -> Path:
    root = tmp_path / "courses"
    phrases = [phrase(text.capitalize() + ".", f"{{{n}}}.ogg") for n, text in enumerate(NUMBERS)]
    phrases += [phrase("Z", "{z}.ogg"), phrase("nie nagrane", "{none}.ogg"), phrase("bez nazwy", "")]
    phrases += [phrase("o 6 w rynku", "{digit}.ogg"), phrase("kto", "{slow}.ogg")]
    for name in [*(f"{{{n}}}" for n in range(len(NUMBERS))), "{z}", "{digit}"]:
        make_audio(root / f"pl/{name}.wav")
    make_audio(root / "pl/{slow}.wav", seconds=4.0)
    (root / "pl/pl.xml").write_text(
        f"<course><units><unit><phrases>{''.join(phrases)}</phrases></unit></units></course>", encoding="utf-8"
    )
    return root


def test_artikulate(tmp_path: Path, courses: Path, capsys: pytest.CaptureFixture[str]) -> None:
    artikulate.prepare(courses, tmp_path / "out", language="pl")
    splits = splits_of(tmp_path / "out")
    assert {name: u.text for name, u in by_id(splits).items()} == {f"{{{n}}}": t for n, t in enumerate(NUMBERS)}
    assert {(u.speaker, u.language) for u in by_id(splits).values()} == {("artikulate-pl", "pl")}
    assert all(u.id.startswith("artikulate-pl/") for utterances in splits.values() for u in utterances)
    assert all(split_of(u.text) == split for split, utterances in splits.items() for u in utterances)
    printed = capsys.readouterr().out
    assert left_out(printed, "the text is a letter, whose name is said") == {"{z}"}
    assert left_out(printed, "the text holds digits or symbols, whose reading is not known") == {"{digit}"}
    assert "fewer than 2 characters per second: the recording holds more than its text: artikulate-pl/{slow}" in printed
    assert "none" not in printed, "what was not recorded is not part of the corpus"


def test_artikulate_wrong_folder(tmp_path: Path, courses: Path) -> None:
    with pytest.raises(DataError, match=r"courses: holds no speech in 'el'; take `--language` pl\."):
        artikulate.prepare(courses, tmp_path / "out", language="el")
    (courses / "pl/pl.xml").write_text("<course>\n<units>")
    with pytest.raises(DataError, match=r"pl.xml line 2: is not XML"):
        artikulate.prepare(courses / "pl", tmp_path / "out")
    (courses / "pl/pl.xml").write_text("<course></course>")
    with pytest.raises(DataError, match=r"holds no recording that pl.xml names"):
        artikulate.prepare(courses / "pl", tmp_path / "out")


@pytest.mark.parametrize(("language", "sizes"), [("pl", (587, 87, 181)), ("el", (271, 38, 71)), ("fr", (137, 20, 53))])
def test_real_artikulate(
    corpus: Callable[[str], Path], tmp_path: Path, language: str, sizes: tuple[int, int, int]
) -> None:
    artikulate.prepare(corpus("artikulate"), tmp_path, language=language)
    splits = splits_of(tmp_path)
    assert tuple(map(len, splits.values())) == sizes
    assert_by_text(splits)
