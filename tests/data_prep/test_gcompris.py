"""Recorded words of a game for children: a made-up tree, and the real one where a machine has it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from asr_transfer.errors import DataError
from data_prep import gcompris
from tests.prepared import NUMBERS, assert_by_text, by_id, left_out, splits_of
from tests.recorded import MakeAudio, distinct


@pytest.fixture
def make_audio(make_audio: MakeAudio) -> MakeAudio:
    return distinct(make_audio)


@pytest.fixture
def words(tmp_path: Path, make_audio: MakeAudio) -> Path:
    root = tmp_path / "gcompris"
    texts = {f"{n}.ogg": f"die {text.capitalize()}" for n, text in enumerate(NUMBERS)}
    texts |= {"brackets.ogg": "(mono)bloc", "empty.ogg": "", "absent.ogg": "weg"}
    for name in texts:
        if name != "absent.ogg":
            make_audio(root / f"de/words/{name}", seconds=0.6)
    (root / "content-de.json").write_text(json.dumps(texts), encoding="utf-8")
    return root


def test_gcompris(tmp_path: Path, words: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gcompris.prepare(words, tmp_path / "out", language="de")
    splits = splits_of(tmp_path / "out")
    assert {u.text for u in by_id(splits).values()} == {f"die {text}" for text in NUMBERS}
    assert {(u.speaker, u.language) for u in by_id(splits).values()} == {("gcompris-de", "de")}
    assert all(u.id.startswith("gcompris-de/") for utterances in splits.values() for u in utterances)
    assert_by_text(splits)
    printed = capsys.readouterr().out
    assert left_out(printed, "the text holds brackets or strokes, whose reading is not known") == {"brackets"}
    assert left_out(printed, "the transcript is empty") == {"empty"} and "absent" not in printed


def test_gcompris_wrong_folder(tmp_path: Path, words: Path) -> None:
    with pytest.raises(DataError, match=r"gcompris: holds no speech in 'ro'; take `--language` de\."):
        gcompris.prepare(words, tmp_path / "out", language="ro")
    (words / "content-de.json").write_text('{"1.ogg": 3}')
    with pytest.raises(DataError, match=r"content-de.json: must map the names of recordings to their words"):
        gcompris.prepare(words, tmp_path / "out")
    (words / "content-de.json").write_text('{\n"1.ogg"')
    with pytest.raises(DataError, match=r"content-de.json line 2: is not JSON"):
        gcompris.prepare(words, tmp_path / "out")


@pytest.mark.parametrize(
    ("language", "sizes"), [("de", (741, 114, 195)), ("es", (391, 56, 108)), ("ro", (392, 51, 104))]
)
def test_real_gcompris(
    corpus: Callable[[str], Path], tmp_path: Path, language: str, sizes: tuple[int, int, int]
) -> None:
    gcompris.prepare(corpus("gcompris-voices"), tmp_path, language=language)
    splits = splits_of(tmp_path)
    assert tuple(map(len, splits.values())) == sizes
    assert_by_text(splits)
