"""`learn` on recordings of which only some have a transcript."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import asr_transfer.adaptation.self_training as self_training
from asr_transfer.data.kept_source import FOLDER, load_summaries
from asr_transfer.data.manifest import Utterance, read_manifest
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.languages import learning
from tests.learning import Languages, in_folder, learn, manifest, speech

FEW: tuple[object, ...] = ("--way", "head", "--confidences", "[0.0]")


@pytest.fixture
def partly(languages: Languages, tmp_path: Path) -> Path:
    """Return a manifest of the new language in which each fourth recording has no transcript, one of them a copy."""
    new = read_manifest(languages.new)
    copy = tmp_path / "copy.wav"
    shutil.copy(new[1].audio, copy)
    bare = [replace(u, text="") if n % 4 == 0 else u for n, u in enumerate(new)]
    return manifest(tmp_path / "partly.jsonl", [*bare, replace(new[1], id="copy", audio=str(copy), text="")])


def _used(ran: Any) -> list[str]:
    return list(ran.record["learning"]["untranscribed"]["used"])


def test_they_are_used_where_held_out_recordings_gain(
    languages: Languages, partly: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[tuple[str, int]] = []
    train = learning.learn_language

    def counted(source: Any, spoken: Any, dev: Any, config: Any, folder: Path, *more: Any) -> Any:
        trained.append((folder.name, len(spoken)))
        return train(source, spoken, dev, config, folder, *more)

    monkeypatch.setattr(learning, "learn_language", counted)
    monkeypatch.setattr(self_training, "is_gain", lambda beside, alone: True)
    ran = learn(languages.base, partly, tmp_path / "out", *FEW)
    about, data = ran.record["learning"]["untranscribed"], ran.record["data"]
    bare = {u.id for u in read_manifest(partly, labelled=False) if not u.text} - {"copy"}
    used = _used(ran)
    assert used and set(used) <= bare and data["untranscribed"]["utterances"] >= len(used)
    assert f"without transcript: {about['reason']}" in ran.printed and "on held-out recordings (" in about["reason"]
    assert trained == [
        ("head", data["train"]["utterances"]),
        (f"head-and-{len(used)}-untranscribed", data["train"]["utterances"] + len(used)),
    ], "the model that was chosen labels them, and what was tried is what is taken"
    assert about["reason"] in ran.record["learning"]["reason"]
    model = Recogniser.load(ran.out, "mk")
    assert set(model.offsets) == {"de", "fr", "mk"}
    kept = {u.id for u in load_summaries(ran.out, model.model.inputs)[FOLDER].utterances if u.language == "mk"}
    assert kept and not kept & bare, "what is kept has true texts"


def test_they_are_not_used_where_held_out_recordings_gain_nothing(
    languages: Languages, partly: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_training, "is_gain", lambda beside, alone: False)
    ran = learn(languages.base, partly, tmp_path / "out", *FEW, "--steps", 8)
    assert _used(ran) == [] and "recordings without transcript are not used, for held-out" in ran.printed
    without = learn(languages.base, partly, tmp_path / "without", *FEW, "--steps", 8, "--use_untranscribed", "false")
    assert "untranscribed" not in without.record["learning"] and "untranscribed" not in without.record["data"]
    assert without.record["scores"] == ran.record["scores"]


def test_no_speech_of_people_who_are_scored_is_heard(languages: Languages, partly: Path, tmp_path: Path) -> None:
    ran = learn(languages.base, partly, tmp_path / "out", *FEW, "--steps", 30, "--confidences", "[1.0]")
    held = 48 - ran.record["data"]["untranscribed"]["utterances"]
    assert held == 4 * 4, "four of the twelve speakers choose or are scored"
    assert f"{held} recordings without transcript are of speakers who are held out" in ran.printed


def test_a_folder_with_some_transcripts(tmp_path: Path, languages: Languages) -> None:
    spoken: list[Utterance] = speech(tmp_path, "mk", 140, 1, seed=9)
    folder = in_folder(tmp_path / "mine", spoken)
    for number in range(8):
        (folder / f"{spoken[number].id}.txt").unlink()
    ran = learn(languages.base, folder, tmp_path / "out", "--language", "mk", *FEW, "--steps", 8)
    assert f"{folder}: 132 kept, 8 without transcript" in ran.printed
    assert ran.record["data"]["untranscribed"]["utterances"] == 8 and "without transcript: " in ran.printed
