"""Transcripts of folders are written in the case of the model that they are for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile

from asr_transfer.audio import SAMPLE_RATE
from asr_transfer.cli import main
from asr_transfer.config import FeatureConfig, ModelConfig
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.models.acoustic import AcousticModel
from tests.tones import speak

CONFIG = ModelConfig("tdnn", 1, dim=16, channels=16, features=FeatureConfig())


@pytest.fixture
def speaker(tmp_path: Path) -> Path:
    for number, text in enumerate(["Cab Ace", "FACE deed", "dab"]):
        file = tmp_path / "speaker" / f"{number}.wav"
        file.parent.mkdir(exist_ok=True)
        soundfile.write(file, speak(text.lower(), 1.0, number), SAMPLE_RATE)
        file.with_suffix(".txt").write_text(text, "utf-8")
    return tmp_path / "speaker"


def model(folder: Path, symbols: str, language: str = "en") -> Path:
    tokens = Tokens(symbols)
    own = Recogniser(AcousticModel(CONFIG, {language: len(tokens)}).eval(), tokens, language, {})
    own.save(folder / "model", "# A model\n", {})
    return folder


def references(run: Path) -> list[str]:
    lines = (run / "hypotheses.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["reference"] for line in lines]


@pytest.mark.parametrize(
    ("symbols", "expected"),
    [
        ("ABCDEF ", ["CAB ACE", "FACE DEED", "DAB"]),
        ("abcdef ", ["cab ace", "face deed", "dab"]),
        ("abcdefABCDEF ", ["Cab Ace", "FACE deed", "dab"]),
    ],
)
def test_evaluate_takes_the_case_of_the_tokens(
    symbols: str, expected: list[str], speaker: Path, feature_cache: Path, tmp_path: Path
) -> None:
    own = model(tmp_path / "m", symbols)
    assert main(["evaluate", "--model", str(own), "--data", str(speaker), "--out", str(tmp_path / "out")]) == 0
    assert references(tmp_path / "out") == expected


def test_adapt_and_tune_take_it_too(speaker: Path, feature_cache: Path, tmp_path: Path) -> None:
    own = model(tmp_path / "m", "ABCDEF ")
    adapt = ["adapt", "--model", str(own), "--data", str(speaker), "--test", str(speaker.parent / "test")]
    (speaker.parent / "test").mkdir()
    soundfile.write(speaker.parent / "test" / "x.wav", speak("fad", 1.0, 9), SAMPLE_RATE)
    (speaker.parent / "test" / "x.txt").write_text("Fad", "utf-8")
    adapt += ["--method", "lhuc", "--steps", "2", "--device", "cpu", "--check", "false", "--keep_suspicious"]
    assert main([*adapt, "--out", str(tmp_path / "adapted")]) == 0
    assert references(tmp_path / "adapted") == ["FAD"]
    (tmp_path / "words.txt").write_text("CAB\nACE\nFACE\nDEED\nDAB\n", "utf-8")
    tune = ["tune", "--model", str(own), "--data", str(speaker), "--lexicon", str(tmp_path / "words.txt")]
    assert main([*tune, "--out", str(tmp_path / "tuned.yaml")]) == 0


def test_tune_says_what_of_a_manifest_the_model_cannot_write(
    speaker: Path, feature_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prepare", "folder", "--root", str(speaker), "--out", str(tmp_path / "prepared")]) == 0
    (tmp_path / "hot.txt").write_text("FACE\n", "utf-8")
    tune = ["tune", "--data", str(tmp_path / "prepared" / "all.jsonl"), "--overwrite"]
    tune += ["--out", str(tmp_path / "tuned.yaml")]
    own = ["--model", str(model(tmp_path / "m", "ABCDEF "))]
    (tmp_path / "words.txt").write_text("CAB\nACE\nFACE\n", "utf-8")
    for given, count in (("hotwords", 3), ("lexicon", 2)):
        file = tmp_path / ("hot.txt" if given == "hotwords" else "words.txt")
        assert main([*tune, *own, f"--{given}", str(file)]) == 0
        told = f"{count} of 3 references hold characters that the model cannot write"
        assert told in " ".join(capsys.readouterr().out.split())
    small = ["--model", str(model(tmp_path / "small", "abcdef "))]
    (tmp_path / "hot.txt").write_text("face\n", "utf-8")
    assert main([*tune, *small, "--hotwords", str(tmp_path / "hot.txt")]) == 0
    assert "cannot write" not in capsys.readouterr().out


def test_it_is_the_case_of_the_language(speaker: Path, feature_cache: Path, tmp_path: Path) -> None:
    (speaker / "0.txt").write_text("kız işi", "utf-8")
    own = model(tmp_path / "m", "ABCDEFIİKZŞ ", "tr")
    assert main(["evaluate", "--model", str(own), "--data", str(speaker), "--out", str(tmp_path / "out")]) == 0
    assert references(tmp_path / "out")[0] == "KIZ İŞİ"
