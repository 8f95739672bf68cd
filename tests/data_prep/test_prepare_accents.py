"""Corpora of accents and of dysarthria that a user brings along: small made-up trees of their documented layouts."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from asr_transfer.cli import main
from asr_transfer.data.manifest import Utterance, read_manifest
from asr_transfer.errors import ConfigError, DataError
from data_prep import commonvoice, l2arctic, torgo
from data_prep.transcripts import rate_defect, shared_texts, spoken, text_defect
from tests.recorded import MakeAudio, distinct


@pytest.fixture
def make_audio(make_audio: MakeAudio) -> MakeAudio:
    return distinct(make_audio)


# What they share


@pytest.mark.parametrize(
    ("text", "defect"),
    [
        ("it's fine", None),
        ("žluťoučký kůň", None),
        ("e\u0301tude", None),
        ("", "empty"),
        ("room 24", "digits or symbols"),
        ("1 % of", "digits or symbols"),
        ("wait подожди", "another script"),
    ],
)
def test_text_defect(text: str, defect: str | None) -> None:
    found = text_defect(text)
    assert (found is None) if defect is None else (found is not None and defect in found)


def test_text_of_any_script() -> None:
    assert text_defect("नमस्ते दुनिया", script="") is None
    assert text_defect("नमस्ते २४", script="") is not None


def test_spoken() -> None:
    assert spoken('The "C.I.A."?  That\'s -- well, DEAD-END…') == "the c i a that's well dead end"


@pytest.mark.parametrize(
    ("length", "duration", "fine"),
    [(25, 1.0, True), (26, 1.0, False), (3, 2.0, True), (3, 2.1, False), (5, 2.4, True), (1, 1.4, True), (5, 0, False)],
)
def test_rate_defect(length: int, duration: float, fine: bool) -> None:
    assert (rate_defect("a" * length, duration) is None) == fine


def test_shared_texts() -> None:
    def split(*texts: str) -> list[Utterance]:
        return [Utterance(str(i), "a.wav", 1.0, text, "x", "en") for i, text in enumerate(texts)]

    lines = shared_texts({"train": split("a", "b"), "dev": split("c"), "test": split("b", "b", "c", "d")})
    assert lines == [
        "test: 2 of its 4 utterances have a text that train has too",
        "test: 1 of its 4 utterances have a text that dev has too",
    ]


# L2-ARCTIC


@pytest.fixture
def arctic(tmp_path: Path, make_audio: MakeAudio) -> Path:
    root = tmp_path / "l2arctic"
    for speaker in ("ABA", "HJK"):
        for number, text in (("a0001", "Author of the danger trail, Philip Steels, etc."), ("a0002", "Not at this.")):
            make_audio(root / speaker / "wav" / f"arctic_{number}.wav", seconds=2.5, rate=44_100)
            transcript = root / speaker / "transcript" / f"arctic_{number}.txt"
            transcript.parent.mkdir(exist_ok=True)
            transcript.write_text(text + "\n")
    make_audio(root / "HJK/wav/arctic_b0001.wav")
    (root / "suitcase_corpus").mkdir()
    (root / "README.md").write_text("read me")
    return root


def test_l2arctic(tmp_path: Path, arctic: Path, capsys: pytest.CaptureFixture[str]) -> None:
    l2arctic.prepare(arctic, tmp_path / "out")
    found = read_manifest(tmp_path / "out" / "all.jsonl")
    assert [(u.id, u.speaker, u.text) for u in found[:3]] == [
        ("ABA-arctic_a0001", "ABA", "author of the danger trail philip steels etc"),
        ("ABA-arctic_a0002", "ABA", "not at this"),
        ("HJK-arctic_a0001", "HJK", "author of the danger trail philip steels etc"),
    ]
    assert len(found) == 4
    assert "no transcript belongs to it: HJK-arctic_b0001" in capsys.readouterr().out


def test_l2arctic_of_one_first_language(tmp_path: Path, arctic: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["prepare", "l2arctic", "--root", str(arctic), "--out", str(tmp_path / "out"), "--first_language"]
    assert main([*command, "korean"]) == 0
    assert {u.speaker for u in read_manifest(tmp_path / "out" / "all.jsonl")} == {"HJK"}
    assert main([*command, "hindi"]) == 1
    assert "holds no speaker of hindi (ASI, RRBI, SVBI, TNI) with the folders" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="first language 'Koraen' is not known. Did you mean 'korean'"):
        l2arctic.prepare(arctic, tmp_path / "out", first_language="Koraen")
    assert sorted(len(speakers) for speakers in l2arctic.FIRST_LANGUAGES.values()) == [4] * 6


def test_l2arctic_wrong_folder(tmp_path: Path, arctic: Path) -> None:
    with pytest.raises(DataError, match="holds no speaker with the folders `wav` and `transcript`"):
        l2arctic.prepare(arctic / "ABA", tmp_path / "out")


# TORGO


@pytest.fixture
def torgo_root(tmp_path: Path, make_audio: MakeAudio) -> Path:
    root = tmp_path / "torgo"
    prompts = {
        "0001": "stick",
        "0002": "[say Ah-P-Eee repeatedly]",
        "0003": "input/images/bike.jpg",
        "0004": "xxx",
        "0005": "Except in the winter when the ooze or snow or ice prevents.",
        "0006": "tear [as in tear up that paper]",
    }
    for session in ("F/F01/Session1", "FC/FC02/Session2", "notes/Session1"):
        for number, prompt in prompts.items():
            file = root / session / "prompts" / f"{number}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(prompt + "\n")
            make_audio(root / session / "wav_arrayMic" / f"{number}.wav", seconds=2.5)
    make_audio(root / "FC/FC02/Session2/wav_headMic/0001.wav", seconds=0.7)
    (root / "F/F01/Session1/wav_arrayMic/0005.wav").unlink()
    return root


def test_torgo(tmp_path: Path, torgo_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torgo.prepare(torgo_root, tmp_path / "out")
    dysarthric, control = (read_manifest(tmp_path / "out" / f"{name}.jsonl") for name in ("dysarthric", "control"))
    assert [(u.id, u.speaker, u.text) for u in dysarthric] == [("F01-Session1-0001", "F01", "stick")]
    assert [(u.id, u.speaker, u.text) for u in control] == [
        ("FC02-Session2-0001", "FC02", "stick"),
        ("FC02-Session2-0005", "FC02", "except in the winter when the ooze or snow or ice prevents"),
    ]
    printed = capsys.readouterr().out
    assert "the prompt is an instruction: F01-Session1-0002, F01-Session1-0006" in printed
    assert "the prompt is an image: F01-Session1-0003" in printed
    assert "the prompt is marked xxx: F01-Session1-0004" in printed
    assert "there is no recording in wav_arrayMic: F01-Session1-0005" in printed


def test_torgo_with_the_other_microphone_and_one_group(tmp_path: Path, torgo_root: Path) -> None:
    torgo.prepare(torgo_root / "FC", tmp_path / "out", microphone="head")
    (only,) = read_manifest(tmp_path / "out" / "control.jsonl")
    assert only.duration == pytest.approx(0.7) and "wav_headMic" in only.audio
    assert not (tmp_path / "out" / "dysarthric.jsonl").exists()
    with pytest.raises(DataError, match=r"holds no SPEAKER/Session1/prompts of TORGO"):
        torgo.prepare(torgo_root / "notes", tmp_path / "out")


# Common Voice


@pytest.fixture
def voices(tmp_path: Path, make_audio: MakeAudio) -> Path:
    if "MP3" not in soundfile.available_formats():
        pytest.skip("this libsndfile cannot write MP3")
    root = tmp_path / "cv-corpus" / "en"
    rows = {
        "train": [("ann", "c1.mp3", 'He said "no".', "England English")],
        "dev": [("ben", "c2.mp3", "Where is it?", "")],
        "test": [("eve", "c3", "Well, well.", "India and South Asia (India, Pakistan)")],
        "validated": [
            ("ann", "c1.mp3", 'He said "no".', "England English"),
            ("eve", "c3.mp3", "Well, well.", "India and South Asia (India, Pakistan)"),
            ("eve", "c4.mp3", "Room 24.", "India and South Asia (India, Pakistan)"),
            ("eve", "c5.mp3", "Gone for good.", "India and South Asia (India, Pakistan)"),
            ("tim", "c6.mp3", "One two three.", "India and South Asia (India, Pakistan)"),
        ],
    }
    for number in (1, 2, 3, 4, 6):
        make_audio(root / "clips" / f"c{number}.mp3", seconds=1.0, rate=32_000)
    for split, lines in rows.items():
        table = ["client_id\tpath\tsentence\tup_votes\taccents"]
        table += [f"{who}\t{path}\t{text}\t2\t{accent}" for who, path, text, accent in lines]
        (root / f"{split}.tsv").write_text("\n".join(table) + "\n", encoding="utf-8")
    return root


def test_commonvoice_official_split(tmp_path: Path, voices: Path) -> None:
    commonvoice.prepare(voices, tmp_path / "out")
    found = {split: read_manifest(tmp_path / "out" / f"{split}.jsonl") for split in ("train", "dev", "test")}
    assert {split: [(u.id, u.speaker, u.text, u.language) for u in rows] for split, rows in found.items()} == {
        "train": [("c1", "ann", "he said no", "en")],
        "dev": [("c2", "ben", "where is it", "en")],
        "test": [("c3", "eve", "well well", "en")],
    }


def test_commonvoice_of_one_accent(tmp_path: Path, voices: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commonvoice.prepare(voices, tmp_path / "out", accent="south asia", language="en-IN")
    found = read_manifest(tmp_path / "out" / "all.jsonl")
    assert [(u.id, u.speaker, u.language) for u in found] == [("c3", "eve", "en-IN"), ("c6", "tim", "en-IN")]
    printed = capsys.readouterr().out
    assert "digits or symbols, whose reading is not known: c4" in printed
    assert "c5.mp3: there is no such audio file" in printed
    with pytest.raises(DataError, match="nobody has the accent 'Englnd English'. Did you mean 'England English'"):
        commonvoice.prepare(voices, tmp_path / "out", accent="Englnd English")


def test_commonvoice_of_an_older_release(tmp_path: Path, voices: Path) -> None:
    table = voices / "validated.tsv"
    table.write_text(table.read_text().replace("\taccents\n", "\taccent\n"))
    commonvoice.prepare(voices, tmp_path / "out", accent="England")
    assert [u.id for u in read_manifest(tmp_path / "out" / "all.jsonl")] == ["c1"]


def test_commonvoice_mistakes(tmp_path: Path, voices: Path) -> None:
    table = voices / "dev.tsv"
    whole = table.read_text()
    table.write_text(whole.replace("\t2\t", "\t"))
    with pytest.raises(DataError, match=r"dev\.tsv line 2: has 4 columns where the first line has 5"):
        commonvoice.prepare(voices, tmp_path / "out")
    table.write_text(whole.replace("client_id", "who"))
    with pytest.raises(DataError, match=r"dev\.tsv line 1: the column 'client_id' is missing"):
        commonvoice.prepare(voices, tmp_path / "out")
    table.unlink()
    with pytest.raises(DataError, match=r"dev\.tsv: there is no such table; give the folder of one language"):
        commonvoice.prepare(voices, tmp_path / "out")
