"""Large corpora that users bring along: made-up trees of their documented layouts."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_transfer.data.manifest import read_manifest
from asr_transfer.errors import DataError
from data_prep import fleurs, librispeech, mls, thchs30, voxpopuli
from tests.recorded import MakeAudio, distinct

SPLITS = ("train", "dev", "test")

Found = dict[str, list[tuple[str, str, str, str]]]


@pytest.fixture
def make_audio(make_audio: MakeAudio) -> MakeAudio:
    return distinct(make_audio)


def read(folder: Path, splits: tuple[str, ...] = SPLITS) -> Found:
    manifests = {split: read_manifest(folder / f"{split}.jsonl") for split in splits}
    return {split: [(u.id, u.speaker, u.text, u.language) for u in found] for split, found in manifests.items()}


def write(file: Path, *lines: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file


@pytest.fixture
def books(tmp_path: Path, make_audio: MakeAudio) -> Path:
    root = tmp_path / "mls_german_opus"
    for split, name in (("train", "10_20_000001"), ("dev", "11_21_000000"), ("test", "12_22_000000")):
        speaker, book, _ = name.split("_")
        make_audio(root / split / "audio" / speaker / book / f"{name}.opus", seconds=2.0)
        write(root / split / "transcripts.txt", f"{name}\tdas ist für {split} gut", f"{speaker}_{book}_000099\tfehlt")
    return root


def test_mls(tmp_path: Path, books: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mls.prepare(books, tmp_path / "out")
    assert read(tmp_path / "out") == {
        "train": [("mls-de/10_20_000001", "mls-10", "das ist für train gut", "de")],
        "dev": [("mls-de/11_21_000000", "mls-11", "das ist für dev gut", "de")],
        "test": [("mls-de/12_22_000000", "mls-12", "das ist für test gut", "de")],
    }
    assert "no recording belongs to it: mls-de/10_20_000099" in capsys.readouterr().out


def test_mls_says_what_is_wrong(tmp_path: Path, books: Path) -> None:
    write(books / "dev/transcripts.txt", "11_21_000000 kein Tabulator")
    with pytest.raises(DataError, match=r"transcripts.txt line 1: is not `SPEAKER_BOOK_NUMBER<TAB>text`"):
        mls.prepare(books, tmp_path / "out")
    with pytest.raises(DataError, match=r"name is not `mls_LANGUAGE`; give the folder of one .* Did you mean 'ger"):
        mls.prepare(books.rename(tmp_path / "mls_germn"), tmp_path / "out")


@pytest.fixture
def chapters(tmp_path: Path, make_audio: MakeAudio) -> Path:
    root = tmp_path / "LibriSpeech"
    for subset, chapter in (("train-clean-100", "19/198"), ("dev-clean", "84/121123"), ("test-other", "367/130732")):
        stem = chapter.replace("/", "-")
        write(root / subset / chapter / f"{stem}.trans.txt", f"{stem}-0000 IT'S 1 O'CLOCK", f"{stem}-0001 GO ON")
        make_audio(root / subset / chapter / f"{stem}-0000.flac", seconds=1.5)
        make_audio(root / subset / chapter / f"{stem}-0001.flac", seconds=1.0)
    return root


def test_librispeech(tmp_path: Path, chapters: Path, capsys: pytest.CaptureFixture[str]) -> None:
    librispeech.prepare(tmp_path, tmp_path / "out")
    assert read(tmp_path / "out", ("train-clean-100", "dev-clean", "test-other")) == {
        "train-clean-100": [("librispeech/19-198-0001", "librispeech-19", "go on", "en")],
        "dev-clean": [("librispeech/84-121123-0001", "librispeech-84", "go on", "en")],
        "test-other": [("librispeech/367-130732-0001", "librispeech-367", "go on", "en")],
    }
    assert sorted(file.name for file in (tmp_path / "out").iterdir())[0] == "dev-clean.jsonl"
    printed = capsys.readouterr().out
    assert "digits or symbols, whose reading is not known: librispeech/19-198-0000" in printed
    assert "dev-clean: 1 of its 1 utterances have a text that train-clean-100 has too" in printed, "and it stays"


def test_librispeech_says_what_is_wrong(tmp_path: Path, chapters: Path) -> None:
    write(chapters / "dev-clean/84/121123/84-121123.trans.txt", "84-121123 NO NUMBER")
    with pytest.raises(DataError, match=r"84-121123.trans.txt line 1: is not `SPEAKER-CHAPTER-NUMBER TEXT`"):
        librispeech.prepare(chapters, tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no subset of LibriSpeech; give the folder that holds train-clean-100"):
        librispeech.prepare(tmp_path / "empty", tmp_path / "out")


def make_fleurs(root: Path, make_audio: MakeAudio, texts: tuple[str, str, str]) -> Path:
    for number, (split, text) in enumerate(zip(SPLITS, texts, strict=True)):
        row = [str(number), f"{number}{number}.wav", text.upper(), text, "| ".join(text), "32000", "FEMALE"]
        write(root / f"{split}.tsv", "\t".join(row), "\t".join([str(number), "9.wav", "7", "7", "7", "1", "MALE"]))
        make_audio(root / "audio" / split / f"{number}{number}.wav", seconds=2.0)
    return root


def test_fleurs(tmp_path: Path, make_audio: MakeAudio, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_fleurs(tmp_path / "pl_pl", make_audio, ("żółw idzie", "kot śpi teraz", "pies je"))
    fleurs.prepare(root, tmp_path / "out")
    assert read(tmp_path / "out") == {
        "train": [("fleurs-pl/00", "fleurs-pl-female", "żółw idzie", "pl")],
        "dev": [("fleurs-pl/11", "fleurs-pl-female", "kot śpi teraz", "pl")],
        "test": [("fleurs-pl/22", "fleurs-pl-female", "pies je", "pl")],
    }
    assert "the text holds digits or symbols, whose reading is not known: fleurs-pl/9" in capsys.readouterr().out
    write(root / "dev.tsv", "1\t11.wav\tkot")
    with pytest.raises(DataError, match=r"dev.tsv line 1: has 3 columns where FLEURS has 7; mend the row"):
        fleurs.prepare(root, tmp_path / "out")
    (root / "dev.tsv").unlink()
    with pytest.raises(DataError, match=r"dev.tsv: there is no such table; give the folder of one language"):
        fleurs.prepare(root, tmp_path / "out")


def test_fleurs_in_mandarin_has_pronunciations(tmp_path: Path, make_audio: MakeAudio) -> None:
    pytest.importorskip("pypinyin", reason="the extra `mandarin` is not installed")
    root = make_fleurs(tmp_path / "cmn_hans_cn", make_audio, ("中 国 银 行", "语 言", "朋 友"))
    fleurs.prepare(root, tmp_path / "out")
    (first,) = read_manifest(tmp_path / "out/train.jsonl")
    assert (first.text, first.pronunciation, first.language) == ("中国银行", "zh ong1 g uo2 in2 h ang2", "cmn")


@pytest.fixture
def newspaper(tmp_path: Path, make_audio: MakeAudio) -> Path:
    root = tmp_path / "data_thchs30"
    texts = {
        "A2_0": ("绿 是 阳春", "lv4 shi4 yang2 chun1", "l v4 sh ix4 ii iang2 ch un1"),
        "A2_1": ("绿 是 阳春", "lv shi4", "l v4"),
        "C4_5": ("中国", "zhong1 guo2", "zh ong1 g uo2"),
        "D7_9": ("中国", "zhong1 guo2", "zh ong1 g uo2"),
    }
    for name, lines in texts.items():
        make_audio(root / f"data/{name}.wav", seconds=1.5)
        write(root / f"data/{name}.wav.trn", *lines)
        split = {"A": "train", "C": "dev", "D": "test"}[name[0]]
        (root / split).mkdir(exist_ok=True)
        (root / split / f"{name}.wav").symlink_to(f"../data/{name}.wav")
        write(root / split / f"{name}.wav.trn", f"../data/{name}.wav.trn")
    return root


def test_thchs30(tmp_path: Path, newspaper: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pypinyin", reason="the extra `mandarin` is not installed")
    thchs30.prepare(tmp_path, tmp_path / "out")
    assert read(tmp_path / "out") == {
        "train": [("thchs30/A2_0", "thchs30-A2", "绿是阳春", "cmn")],
        "dev": [("thchs30/C4_5", "thchs30-C4", "中国", "cmn")],
        "test": [("thchs30/D7_9", "thchs30-D7", "中国", "cmn")],
    }
    (first,) = read_manifest(tmp_path / "out/train.jsonl")
    assert first.pronunciation == "l v4 sh i4 iang2 ch uen1", "finals as in the other Mandarin corpora"
    assert Path(first.audio) == newspaper / "data/A2_0.wav"
    printed = capsys.readouterr().out
    assert "'lv' is no pinyin syllable" in printed and "dev: " in printed
    write(newspaper / "data/C4_5.wav.trn", "中国")
    with pytest.raises(DataError, match=r"C4_5.wav.trn: must hold words and pinyin in two lines"):
        thchs30.prepare(newspaper, tmp_path / "out")
    for link in (newspaper / "dev").iterdir():
        link.unlink()
    with pytest.raises(DataError, match=r"dev: holds no link ID.wav"):
        thchs30.prepare(newspaper, tmp_path / "out")


def test_voxpopuli(tmp_path: Path, make_audio: MakeAudio, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "transcribed_data/cs"
    head = "id\traw_text\tnormalized_text\tspeaker_id\tsplit\tgender"
    for split, speaker in zip(SPLITS, ("28266", "", "None"), strict=True):
        name = f"20120912-0900-PLENARY-9-cs_{split}"
        make_audio(root / f"2012/{name}.ogg", seconds=2.0)
        row = f"{name}\tVážený pane předsedo!\tvážený pane {split}\t{speaker}\t{split}\tmale"
        write(root / f"asr_{split}.tsv", head, row, f"2013-lost\tAno.\tano\t1\t{split}\tmale")
    voxpopuli.prepare(root, tmp_path / "out")
    found = read(tmp_path / "out")
    name = "voxpopuli-cs/20120912-0900-PLENARY-9-cs_train"
    assert found["train"] == [(name, "voxpopuli-28266", "vážený pane train", "cs")]
    assert [found[split][0][1] for split in ("dev", "test")] == ["voxpopuli-cs-unknown"] * 2
    assert "no recording belongs to it: voxpopuli-cs/2013-lost" in capsys.readouterr().out
    write(root / "asr_dev.tsv", head.replace("normalized_text", "text"))
    with pytest.raises(DataError, match=r"asr_dev.tsv line 1: the column 'normalized_text' is missing; restore VoxPop"):
        voxpopuli.prepare(root, tmp_path / "out")
