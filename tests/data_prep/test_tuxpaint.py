"""Recorded captions of stamps: a made-up tree, and the real one where a machine has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_transfer.errors import DataError
from data_prep import tuxpaint
from data_prep.fetch import data_folder
from tests.prepared import NUMBERS, assert_by_text, by_id, left_out, splits_of
from tests.recorded import MakeAudio, distinct


@pytest.fixture
def make_audio(make_audio: MakeAudio) -> MakeAudio:
    return distinct(make_audio)


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
    splits = splits_of(tmp_path / "out")
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


@pytest.mark.parametrize(("language", "sizes"), [("fr", (481, 71, 157)), ("ca", (453, 65, 102))])
def test_real_tuxpaint(tmp_path: Path, language: str, sizes: tuple[int, int, int]) -> None:
    root = data_folder() / "tuxpaint"
    if not root.is_dir():
        pytest.skip("the stamps are absent: fetch them with `asr-transfer fetch tuxpaint`")
    tuxpaint.prepare(root, tmp_path, language=language)
    splits = splits_of(tmp_path)
    assert tuple(map(len, splits.values())) == sizes
    assert_by_text(splits)
