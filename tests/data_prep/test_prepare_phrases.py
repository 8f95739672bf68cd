"""Recorded words, phrases and captions: made-up trees of three layouts, and real ones where a machine has them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from asr_transfer.data.manifest import Utterance, read_manifest
from asr_transfer.errors import DataError
from data_prep import artikulate, gcompris, tuxpaint
from data_prep.by_text import plain_text, split_of
from data_prep.fetch import data_folder
from tests.recorded import MakeAudio, distinct


@pytest.fixture
def make_audio(make_audio: MakeAudio) -> MakeAudio:
    return distinct(make_audio)


NUMBERS = [
    "eins",
    "zwei",
    "drei",
    "vier",
    "fünf",
    "sechs",
    "sieben",
    "acht",
    "neun",
    "zehn",
    "elf",
    "zwölf",
    "dreizehn",
    "achtzehn",
]


def read(folder: Path) -> dict[str, list[Utterance]]:
    return {split: read_manifest(folder / f"{split}.jsonl") for split in ("train", "dev", "test")}


def by_id(splits: dict[str, list[Utterance]]) -> dict[str, Utterance]:
    """Return utterances by what stands behind corpus and language in their ids."""
    return {utterance.id.partition("/")[2]: utterance for utterances in splits.values() for utterance in utterances}


def left_out(printed: str, reason: str) -> set[str]:
    lines = [line for line in printed.splitlines() if line.startswith(f"  left out, {reason}: ")]
    return {name.partition("/")[2] for line in lines for name in line.rpartition(": ")[2].split(", ")}


def assert_by_text(splits: dict[str, list[Utterance]]) -> None:
    """Check that no text is in two splits."""
    texts = [{u.text for u in utterances} for utterances in splits.values()]
    assert len(set.union(*texts)) == sum(map(len, texts))


def test_splits_follow_the_checksum_of_the_text() -> None:
    for text in NUMBERS:
        bucket = zlib.crc32(text.encode()) % 100
        assert split_of(text) == ("test" if bucket < 20 else "dev" if bucket < 30 else "train")
        assert split_of(text, {"dev": 100}) == "dev" and split_of(text, {}) == "train"
    counts = [split_of(f"text {n}", {"test": 30, "dev": 10}) for n in range(2000)]
    assert 0.27 < counts.count("test") / 2000 < 0.33 and 0.07 < counts.count("dev") / 2000 < 0.13


def test_plain_texts() -> None:
    assert plain_text("L'hôtel, s'il vous plaît !") == ("l'hôtel s'il vous plaît", None)
    assert plain_text("(mono)bloc")[1] == "the text holds brackets or strokes, whose reading is not known"
    assert plain_text("et/ou")[1] == "the text holds brackets or strokes, whose reading is not known"
    assert plain_text("à 6 heures")[1] == "the text holds digits or symbols, whose reading is not known"
    assert plain_text("...") == ("", "the transcript is empty")
    assert plain_text("γάτα", "GREEK") == ("γάτα", None)
    assert plain_text("γάτα")[1] == "the text holds letters of another script"


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
    splits = read(tmp_path / "out")
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
    splits = read(tmp_path / "out")
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


@pytest.fixture
def stamps(tmp_path: Path, make_audio: MakeAudio) -> Path:
    root = tmp_path / "usr/share/tuxpaint/stamps"
    for n, text in enumerate(NUMBERS):
        caption = f"une {text} " * (1 + n % 4)
        # A pause of half a second and 15 characters per second.
        make_audio(root / f"food/{'x' * (n + 1)}_desc_fr.wav", seconds=0.5 + len(caption.strip()) / 15).rename(
            root / f"food/{n}_desc_fr.ogg"
        )
        (root / f"food/{n}.txt").write_text(f"English.\nfr_CA.utf8=non\nfr.utf8={caption}\n", encoding="utf-8")
    make_audio(root / "drifted_desc_fr.wav", seconds=1.0).rename(root / "drifted_desc_fr.ogg")
    (root / "drifted.txt").write_text("A.\nfr.utf8=une lettre assez longue\n")
    make_audio(root / "doubted_desc_fr.ogg", seconds=1.0)
    (root / "doubted.txt").write_text("A.\nfr.utf8=une femme\n")
    for copy, original, caption in (("copy", "food/0", "Une eins!"), ("doubt", "doubted", "un homme")):
        (root / f"{copy}_desc_fr.ogg").write_bytes((root / f"{original}_desc_fr.ogg").read_bytes())
        (root / f"{copy}.txt").write_text(f"A.\nfr.utf8={caption}\n")
    make_audio(root / "alone_desc_fr.ogg")
    make_audio(root / "other_desc_ro.ogg")
    make_audio(root / "foreign_desc_fr.ogg")
    (root / "foreign.txt").write_text("A.\nde.utf8=ein Ding\n")
    return tmp_path


def test_tuxpaint(tmp_path: Path, stamps: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tuxpaint.prepare(stamps, tmp_path / "out", language="fr")
    splits = read(tmp_path / "out")
    assert {name: u.text for name, u in by_id(splits).items()} == {
        f"food/{n}": " ".join([f"une {text}"] * (1 + n % 4)) for n, text in enumerate(NUMBERS)
    }
    assert_by_text(splits)
    printed = capsys.readouterr().out
    assert left_out(printed, "more than 1.7 times as fast as is usual for a caption of its length") == {"drifted"}
    assert left_out(printed, "no caption belongs to it") == {"alone", "foreign"}
    assert left_out(printed, "the same recording is there again") == {"copy"}
    doubt = "the same recording stands beside another text, and one of the two is wrong"
    assert left_out(printed, doubt) == {"doubt", "doubted"}


def test_tuxpaint_wrong_folder(tmp_path: Path, stamps: Path) -> None:
    with pytest.raises(DataError, match=r"holds no speech in 'da'; take `--language` fr or ro\."):
        tuxpaint.prepare(stamps, tmp_path / "out", language="da")
    for file in stamps.rglob("*.ogg"):
        file.unlink()
    with pytest.raises(
        DataError, match=r"holds no NAME_desc_da.ogg; get the stamps with `asr-transfer fetch tuxpaint`"
    ):
        tuxpaint.prepare(stamps, tmp_path / "out", language="da")


@pytest.mark.parametrize(("language", "sizes"), [("pl", (587, 87, 181)), ("el", (271, 38, 71)), ("fr", (137, 20, 53))])
def test_real_artikulate(
    corpus: Callable[[str], Path], tmp_path: Path, language: str, sizes: tuple[int, int, int]
) -> None:
    artikulate.prepare(corpus("artikulate"), tmp_path, language=language)
    splits = read(tmp_path)
    assert tuple(map(len, splits.values())) == sizes
    assert_by_text(splits)


@pytest.mark.parametrize(
    ("language", "sizes"), [("de", (741, 114, 195)), ("es", (391, 56, 108)), ("ro", (392, 51, 104))]
)
def test_real_gcompris(
    corpus: Callable[[str], Path], tmp_path: Path, language: str, sizes: tuple[int, int, int]
) -> None:
    gcompris.prepare(corpus("gcompris-voices"), tmp_path, language=language)
    splits = read(tmp_path)
    assert tuple(map(len, splits.values())) == sizes
    assert_by_text(splits)


@pytest.mark.parametrize(("language", "sizes"), [("fr", (481, 71, 157)), ("ca", (453, 65, 102))])
def test_real_tuxpaint(tmp_path: Path, language: str, sizes: tuple[int, int, int]) -> None:
    root = data_folder() / "tuxpaint"
    if not root.is_dir():
        pytest.skip("the stamps are absent: fetch them with `asr-transfer fetch tuxpaint`")
    tuxpaint.prepare(root, tmp_path, language=language)
    splits = read(tmp_path)
    assert tuple(map(len, splits.values())) == sizes
    assert_by_text(splits)
