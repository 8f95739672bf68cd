"""Corpus layouts to manifests: small made-up trees of each layout, and the real corpora where they are present."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from asr_transfer.cli import main
from asr_transfer.data.manifest import Utterance, read_manifest
from asr_transfer.errors import DataError
from data_prep import an4, fsdd
from data_prep.common import SHOWN, write_splits
from tests.recorded import MakeAudio, distinct


@pytest.fixture
def make_audio(make_audio: MakeAudio) -> MakeAudio:
    return distinct(make_audio)


# write_splits


def spoken(make_audio: MakeAudio, path: Path, speaker: str = "ann", text: str = "hello") -> Utterance:
    return Utterance(path.stem, str(make_audio(path, seconds=0.5)), 0.5, text, speaker, "en")


def test_splits_are_written_and_described(
    tmp_path: Path, make_audio: MakeAudio, capsys: pytest.CaptureFixture[str]
) -> None:
    cast = {"u1": "ann", "u2": "ben", "u3": "ann"}
    train = [spoken(make_audio, tmp_path / f"{name}.wav", speaker) for name, speaker in cast.items()]
    mute = spoken(make_audio, tmp_path / "mute.wav", text=" ")
    test = [spoken(make_audio, tmp_path / "t.wav")]
    reports = write_splits({"train": [*train, mute], "test": test}, tmp_path / "out", {"test": [("x", "is noise")]})
    assert read_manifest(tmp_path / "out" / "train.jsonl") == train
    assert read_manifest(tmp_path / "out" / "test.jsonl") == test
    assert reports["train"].kept == 3 and reports["train"].dropped == [("mute", "the transcript is empty")]
    assert capsys.readouterr().out.splitlines() == [
        "train: 3 utterances, 2 speakers, 0.0 minutes, 1 left out",
        "  left out, the transcript is empty: mute",
        "test: 1 utterance, 1 speaker, 0.0 minutes, 1 left out",
        "  left out, is noise: x",
    ]


def test_a_terminal_is_spared_most_of_what_is_left_out(
    tmp_path: Path, make_audio: MakeAudio, capsys: pytest.CaptureFixture[str]
) -> None:
    good = spoken(make_audio, tmp_path / "a.wav")
    write_splits({"all": [good]}, tmp_path / "few", {"all": [(str(n), "is noise") for n in range(SHOWN)]})
    assert not (tmp_path / "few" / "left_out.txt").exists() and "0, 1, 2, 3, 4, 5, 6, 7\n" in capsys.readouterr().out
    write_splits({"all": [good]}, tmp_path / "out", {"all": [(str(n), "is noise") for n in range(SHOWN + 2)]})
    file = tmp_path / "out" / "left_out.txt"
    assert f"  left out, is noise: 0, 1, 2, 3, 4, 5, 6, 7 and 2 more; {file} names all\n" in capsys.readouterr().out
    assert "is noise: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9\n" in file.read_text(encoding="utf-8")


def test_an_id_belongs_to_one_split(tmp_path: Path, make_audio: MakeAudio) -> None:
    one = spoken(make_audio, tmp_path / "a.wav")
    with pytest.raises(DataError, match="id 'a' occurs in the splits 'train' and 'test'"):
        write_splits({"train": [one], "test": [one]}, tmp_path / "out")


def test_nothing_is_written_when_a_later_split_is_empty(tmp_path: Path, make_audio: MakeAudio) -> None:
    good = spoken(make_audio, tmp_path / "a.wav")
    mute = spoken(make_audio, tmp_path / "b.wav", text="")
    with pytest.raises(DataError, match=r"split 'test': none of its 1 utterance can .*b: the transcript is empty"):
        write_splits({"train": [good], "test": [mute]}, tmp_path / "out")
    with pytest.raises(DataError, match="split 'test' holds no utterances"):
        write_splits({"train": [good], "test": []}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_output_that_is_a_file(tmp_path: Path, make_audio: MakeAudio) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(DataError, match=r"all\.jsonl: cannot be written \(.*\); free space"):
        write_splits({"all": [spoken(make_audio, tmp_path / "a.wav")]}, tmp_path / "out")


# AN4


@pytest.fixture
def an4_root(tmp_path: Path, make_audio: MakeAudio) -> Path:
    root = tmp_path / "an4"
    for name in ("an4_clstk/ann/a1-ann-b", "an4_clstk/ann/a2-ann-b", "an4_clstk/ben/a1-ben-b"):
        make_audio(root / "wav" / f"{name}.flac")
    make_audio(root / "wav/an4test_clstk/eve/a1-eve-b.sph")
    make_audio(root / "wav/an4test_clstk/eve/a2-eve-b.wav")
    (root / "etc").mkdir()
    (root / "etc/an4_train.fileids").write_text(
        "an4_clstk/ann/a1-ann-b\nan4_clstk/ann/a2-ann-b\nan4_clstk/ben/a1-ben-b\n"
    )
    (root / "etc/an4_train.transcription").write_text(
        "<s> YES </s> (a1-ann-b)\n<s> A(2) <sil> B ++NOISE++ SIL C </s> (a2-ann-b)\n<s> GO </s> (a1-ben-b)\n"
    )
    (root / "etc/an4_test.fileids").write_text("an4test_clstk/eve/a1-eve-b\nan4test_clstk/eve/a2-eve-b\n")
    (root / "etc/an4_test.transcription").write_text("ERASE SILVER (a1-eve-b)\nTEN (a2-eve-b)\n")
    return root


def test_an4(tmp_path: Path, an4_root: Path) -> None:
    an4.prepare(an4_root, tmp_path / "out")
    train = read_manifest(tmp_path / "out" / "train.jsonl")
    assert [(one.id, one.text, one.speaker, one.language) for one in train] == [
        ("a1-ann-b", "yes", "ann", "en"),
        ("a2-ann-b", "a b c", "ann", "en"),
        ("a1-ben-b", "go", "ben", "en"),
    ]
    assert {one.duration for one in train} == {0.5}
    test = read_manifest(tmp_path / "out" / "test.jsonl")
    assert [(one.id, one.text, Path(one.audio).suffix) for one in test] == [
        ("a1-eve-b", "erase silver", ".sph"),
        ("a2-eve-b", "ten", ".wav"),
    ]


def edit(file: Path, old: str, new: str) -> None:
    content = file.read_text(encoding="utf-8")
    assert old in content
    file.write_text(content.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("train.transcription", "(a2-ann-b)", "a2-ann-b", r"train\.transcription line 2: is not of the form"),
        (
            "train.transcription",
            "(a2-ann-b)",
            "(a1-ann-b)",
            r"transcription line 2: id 'a1-ann-b' .* on line 1 already",
        ),
        (
            "train.fileids",
            "a1-ben-b",
            "a9-ben-b",
            r"train\.fileids line 3: id 'a9-ben-b' has no transcript in an4_train",
        ),
        ("train.fileids", "ben/a1", "bob/a1", r"train\.fileids line 3: there is no audio .*bob.* \.flac, \.wav, \.sph"),
        ("train.fileids", "an4_clstk/ben/a1-ben-b", "a1-ben-b", r"fileids line 3: 'a1-ben-b' is not of the form"),
        ("train.fileids", "an4_clstk/ben/a1-ben-b", "/x/a1-ben-b", r"fileids line 3: '/x/a1-ben-b' is not of the form"),
        ("train.fileids", "ann/a2-ann-b", "ann/a1-ann-b", r"fileids line 2: id 'a1-ann-b' is already on line 1"),
    ],
)
def test_an4_mistake_in_a_list(tmp_path: Path, an4_root: Path, name: str, old: str, new: str, message: str) -> None:
    edit(an4_root / "etc" / f"an4_{name}", old, new)
    with pytest.raises(DataError, match=message):
        an4.prepare(an4_root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an4_broken_audio_is_named_with_its_line(tmp_path: Path, an4_root: Path) -> None:
    (an4_root / "wav/an4_clstk/ben/a1-ben-b.flac").write_bytes(b"")
    with pytest.raises(DataError, match=r"an4_train\.fileids line 3: .*a1-ben-b\.flac: the file is empty"):
        an4.prepare(an4_root, tmp_path / "out")


def test_an4_headerless_audio_asks_for_a_conversion(tmp_path: Path, an4_root: Path) -> None:
    audio = an4_root / "wav/an4_clstk/ben/a1-ben-b.flac"
    audio.rename(audio.with_suffix(".raw"))
    with pytest.raises(DataError, match=r"line 3: .*a1-ben-b\.raw has no header .* convert the corpus"):
        an4.prepare(an4_root, tmp_path / "out")


def test_an4_speakers_must_be_disjoint(tmp_path: Path, an4_root: Path, make_audio: MakeAudio) -> None:
    make_audio(an4_root / "wav/an4test_clstk/ann/a9-ann-b.wav")
    edit(an4_root / "etc/an4_test.fileids", "an4test_clstk/eve/a2-eve-b", "an4test_clstk/ann/a9-ann-b")
    edit(an4_root / "etc/an4_test.transcription", "a2-eve-b", "a9-ann-b")
    with pytest.raises(DataError, match=r"the speakers ann occur in an4_train\.fileids and in an4_test\.fileids"):
        an4.prepare(an4_root, tmp_path / "out")


def test_an4_transcripts_without_file_are_counted(
    tmp_path: Path, an4_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(an4_root / "etc/an4_train.fileids", "an4_clstk/ann/a2-ann-b\n", "")
    an4.prepare(an4_root, tmp_path / "out")
    assert "an4_train.transcription: 1 transcripts belong to no line of an4_train.fileids" in capsys.readouterr().out


def test_an4_wrong_folder(tmp_path: Path, an4_root: Path) -> None:
    with pytest.raises(DataError, match=r"none: there is no such folder; give the folder that holds AN4's `etc`"):
        an4.prepare(tmp_path / "none", tmp_path / "out")
    with pytest.raises(DataError, match=r"etc: holds no folder `etc`; give the AN4 folder"):
        an4.prepare(an4_root / "etc", tmp_path / "out")
    (an4_root / "etc/an4_test.fileids").unlink()
    with pytest.raises(DataError, match=r"an4_test\.fileids: there is no such file; AN4 keeps its lists"):
        an4.prepare(an4_root, tmp_path / "out")


# Free Spoken Digit Dataset


@pytest.mark.parametrize("inside", [True, False])
def test_fsdd(tmp_path: Path, make_audio: MakeAudio, capsys: pytest.CaptureFixture[str], inside: bool) -> None:
    recordings = tmp_path / "fsdd" / "recordings"
    for name in ("0_jackson_10.wav", "0_jackson_9.wav", "7_theo_0.opus", "9_theo_0.flac"):
        make_audio(recordings / name, rate=8_000)
    make_audio(recordings / "7_theo_0.wav", rate=8_000)
    make_audio(recordings / "ten_theo_0.wav", rate=8_000)
    (recordings / "8_theo_0.wav").touch()
    (recordings / "._8_theo_1.wav").touch()
    fsdd.prepare(recordings if inside else recordings.parent, tmp_path / "out")
    found = read_manifest(tmp_path / "out" / "all.jsonl")
    assert [(one.id, one.text, one.speaker) for one in found] == [
        ("0_jackson_9", "zero", "jackson"),
        ("0_jackson_10", "zero", "jackson"),
        ("7_theo_0", "seven", "theo"),
        ("9_theo_0", "nine", "theo"),
    ]
    printed = capsys.readouterr().out
    assert "all: 4 utterances, 2 speakers" in printed and "3 left out" in printed
    assert "the name is not {digit}_{speaker}_{n}: ten_theo_0.wav" in printed
    assert "under another suffix: 7_theo_0.wav" in printed
    assert "8_theo_0.wav: the file is empty" in printed


def test_fsdd_wrong_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no such folder; give the folder that holds the Free Spoken Digit"):
        fsdd.prepare(tmp_path / "none", tmp_path / "out")
    with pytest.raises(DataError, match=r"holds no usable recording named \{digit\}_\{speaker\}_\{n\}"):
        fsdd.prepare(tmp_path, tmp_path / "out")


# The real corpora


def test_real_an4(tmp_path: Path, corpus: Callable[[str], Path]) -> None:
    an4.prepare(corpus("an4"), tmp_path)
    train, test = (read_manifest(tmp_path / f"{split}.jsonl") for split in ("train", "test"))
    assert (len(train), len(test)) == (948, 130)
    speakers = {one.speaker for one in train}, {one.speaker for one in test}
    assert (len(speakers[0]), len(speakers[1])) == (74, 10) and not speakers[0] & speakers[1]
    assert set("".join(one.text for one in (*train, *test))) == set("abcdefghijklmnopqrstuvwxyz ")
    assert len({word for one in (*train, *test) for word in one.text.split()}) == 101
    assert sum(one.duration for one in (*train, *test)) / 60 == pytest.approx(48.4, abs=0.5)


def test_real_fsdd(tmp_path: Path, corpus: Callable[[str], Path]) -> None:
    fsdd.prepare(corpus("fsdd"), tmp_path)
    found = read_manifest(tmp_path / "all.jsonl")
    assert set(Counter((one.speaker, one.text) for one in found).values()) == {50}
    assert len(found) == 3_000 and len({one.speaker for one in found}) == 6


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["folder", "--workers", "0"], "`workers` must be at least 1, got 0"),
        (["languages", "--workers", "-3"], "`workers` must be at least 1, got -3"),
        (["synthetic", "--workers", "0"], "`workers` must be at least 1, got 0"),
        (["noisy", "--manifest", "m.jsonl", "--seed", "-1"], "`seed` must be at least 0, got -1"),
    ],
)
def test_a_number_that_cannot_be_is_refused_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    root = ["--root", str(tmp_path)] if options[0] == "folder" else []
    assert main(["prepare", *options, *root, "--out", str(tmp_path / "out")]) == 1
    assert words in capsys.readouterr().err and not (tmp_path / "out").exists()
