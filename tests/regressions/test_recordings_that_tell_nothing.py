"""Recordings that no method can learn from are refused before an earlier run is replaced, and change nobody's sitting.

They were refused after `--overwrite` had emptied the folder, or learnt from: one recording of a fifth of a second.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

from asr_transfer.adaptation.online_statistics import StatisticsSession
from asr_transfer.adaptation.profile import WEIGHTS, Profile
from asr_transfer.audio import SAMPLE_RATE
from asr_transfer.data.manifest import Utterance, write_manifest
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.models.adapters import AdapterSpec
from asr_transfer.models.speaker_space import FILE, SpeakerSpace
from tests.adapting import adapt, recordings, run
from tests.tones import make_speaker, speak, two_speakers


@pytest.fixture(scope="module")
def model(tone_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the tone model with directions of nine speakers' profiles."""
    folder = tmp_path_factory.mktemp("model")
    shutil.copytree(tone_run / "model", folder / "model")
    made = [u for number in range(9) for u in make_speaker(folder, f"s{number}", 0.9 + 0.025 * number, 3, number)]
    write_manifest(folder / "train.jsonl", made)
    options = ("--model", folder / "model", "--data", folder / "train.jsonl", "--device", "cpu")
    assert run("profile", "speakers", *options) == 0
    return folder / "model"


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return recordings with transcripts of another voice."""
    return recordings(tmp_path_factory.mktemp("voice"), "lea", 1.1, 4, 41)


@pytest.fixture(scope="module")
def instant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a manifest of one recording of a fifth of a second with a text of one letter."""
    folder = tmp_path_factory.mktemp("instant")
    samples = speak("a cab", 1.0, 1)[: SAMPLE_RATE // 5]
    soundfile.write(folder / "a.wav", samples, SAMPLE_RATE)
    write_manifest(folder / "a.jsonl", [Utterance("a", str(folder / "a.wav"), 0.2, "a", "lea", "en")])
    return folder / "a.jsonl"


@pytest.mark.parametrize(
    "method",
    ["warp", "warp-untranscribed", "eigen-profile", "eigen-profile-untranscribed", "nearest-profile", "mixture-profile",
     "lhuc", "full", "suta", "auto"],
)  # fmt: skip
def test_an_earlier_run_outlives_them(
    method: str, model: Path, instant: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "good" / "model").mkdir(parents=True)
    (tmp_path / "good" / "run.json").write_text('{"format": 1, "status": "finished"}', encoding="utf-8")
    given = ("--model", model, "--data", instant, "--out", tmp_path / "good", "--method", method, "--overwrite")
    assert run("adapt", *given) == 1
    said = capsys.readouterr().err.strip()
    assert f"`{method}` has 0.2 s of speech to go by, which tells nothing of a speaker; give at least 0.3 s" in said
    assert "\n" not in said and (tmp_path / "good" / "model").is_dir()


def test_so_it_does_a_damaged_prior(
    model: Path, voice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(model, tmp_path / "model")
    facts = yaml.safe_load((tmp_path / "model" / "config.yaml").read_text(encoding="utf-8"))
    facts["origin"]["warp"] = {"width": -1, "speakers": 8}
    (tmp_path / "model" / "config.yaml").write_text(yaml.safe_dump(facts), encoding="utf-8")
    (tmp_path / "good" / "model").mkdir(parents=True)
    (tmp_path / "good" / "run.json").write_text('{"format": 1, "status": "finished"}', encoding="utf-8")
    given = ("--model", tmp_path / "model", "--data", voice, "--out", tmp_path / "good", "--overwrite")
    for method in ("warp", "warp+lhuc"):
        assert run("adapt", *given, "--method", method) == 1
        said = capsys.readouterr().err.strip()
        assert "origin.warp" in said and "\n" not in said and (tmp_path / "good" / "model").is_dir()


def test_silence_says_nothing_of_who_will_speak(tone_run: Path, tmp_path: Path) -> None:
    source = Recogniser.load(tone_run)
    speech = two_speakers(tmp_path, source.model.inputs)
    soundfile.write(tmp_path / "silent.wav", np.zeros(2 * SAMPLE_RATE), SAMPLE_RATE)
    spoken, first = Spoken(speech.own, speech.store), speech.own[0]
    silent = [replace(first, id=first.id, audio=str(tmp_path / "silent.wav"), duration=2.0)] * 3
    mixed = Spoken([*silent, *speech.own], speech.store)
    session, alone = StatisticsSession(source), StatisticsSession(source)
    assert session.listen(mixed)[3:] == alone.listen(spoken)
    assert session.plain() == alone.plain()


def test_directions_of_another_adapter_are_named(
    model: Path, voice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(model, tmp_path / "model")
    space = SpeakerSpace.load(model / FILE)
    replace(space, spec=AdapterSpec("lora", 4)).save(tmp_path / "model" / FILE)
    options = ("--model", tmp_path / "model", "--data", voice, "--keep_suspicious", "--method", "eigen-profile")
    assert run("adapt", *options, "--out", tmp_path / "out") == 1
    said = capsys.readouterr().err.strip()
    assert "make them anew with `asr-transfer profile speakers`" in said and "\n" not in said
    replace(space, deviations=-space.deviations).save(tmp_path / "model" / FILE)
    assert run("adapt", *options, "--out", tmp_path / "out") == 1
    assert "`deviations` holds numbers below 0" in capsys.readouterr().err


def test_few_numbers_stay_few_and_cost_what_they_cost(model: Path, voice: Path, tmp_path: Path) -> None:
    options = ("--keep_suspicious", "--check", "false", "--device", "cpu")
    described = adapt(model, voice, tmp_path / "a", *options, "--method", "eigen-profile", "--settings.directions", 3)
    warped = adapt(model, voice, tmp_path / "b", *options, "--method", "warp", "--profile", described.out)
    assert set(Profile.load(warped.out / "profile").tensors) == {WEIGHTS, "adapters.warp.factor"}
    assert warped.record["adaptation"]["cpu_seconds"] > 0
    mean = adapt(model, voice, tmp_path / "c", *options, "--method", "eigen-profile", "--settings.prior", "inf")
    assert not torch.any(Profile.load(mean.out / "profile").tensors[WEIGHTS])


def test_a_described_speaker_is_checked_on_held_out_recordings(model: Path, voice: Path, tmp_path: Path) -> None:
    ran = adapt(model, voice, tmp_path / "out", "--keep_suspicious", "--device", "cpu", "--method", "eigen-profile")
    said = " ".join(ran.printed.split())
    assert ran.record["adaptation"]["ladder"] and "chosen: " in said and "leave --check on" not in said
