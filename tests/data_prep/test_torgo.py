"""TORGO, dysarthric speech that a user brings along: a small made-up tree of its documented layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_transfer.data.manifest import read_manifest
from asr_transfer.errors import DataError
from data_prep import torgo
from tests.recorded import MakeAudio, distinct


@pytest.fixture
def make_audio(make_audio: MakeAudio) -> MakeAudio:
    return distinct(make_audio)


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
