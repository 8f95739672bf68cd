"""A published encoder without a head is the source of `learn`, and what comes out of everything that follows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from asr_transfer.config import SpecAugmentConfig, TopConfig
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.languages.learning_settings import STRONG, LearningSettings
from asr_transfer.models.pretrained.whisper_encoder import WhisperEncoderModel
from tests.adapting import Ran, adapt, recordings
from tests.commands.conftest import Lines
from tests.learning import learn, manifest, speech
from tests.models.pretrained.published import whisper_folder


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of a small Whisper."""
    return whisper_folder(tmp_path_factory.mktemp("published") / "whisper")


@pytest.fixture(scope="module")
def german(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a manifest of a language."""
    folder = tmp_path_factory.mktemp("german")
    return manifest(folder / "de.jsonl", speech(folder / "wav", "de", 16))


@pytest.fixture(scope="module")
def learnt(published: Path, german: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Return a run that learnt the language on it, whose ways were left to the command."""
    return learn(published, german, tmp_path_factory.mktemp("learnt") / "de", "--steps", 60)


def test_a_bare_encoder_gets_a_top_and_then_follows(learnt: Ran) -> None:
    about = learnt.record["learning"]
    assert {rung["way"] for rung in about["ladder"]} == {"top", "all"}
    assert "ways tried: top, all: the encoder comes without output layers" in learnt.printed
    model = Recogniser.load(learnt.out).model
    assert model.head_names() == ["de"] and model.untrained() == []
    assert Recogniser.load(learnt.out).origin["base_model"]["name"] == "whisper"


def test_the_top_alone_leaves_the_encoder_as_it_is_and_runs_it_once(
    learnt: Ran, german: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []
    run = WhisperEncoderModel.run

    def counted(self: Any, first: int, last: int, hidden: Any, lengths: Any) -> Any:
        computed.append(len(hidden)) if first == 0 else None
        return run(self, first, last, hidden, lengths)

    monkeypatch.setattr(WhisperEncoderModel, "run", counted)
    monkeypatch.setattr(WhisperEncoderModel, "forward", lambda self, x, n: run(self, 0, len(self.blocks()), x, n))
    french = german.with_name("fr.jsonl")
    french.write_text(german.read_text().replace('"de"', '"fr"').replace('"de-', '"fr-'))
    ran = learn(learnt.out, french, tmp_path / "fr", "--way", "top", "--steps", 60)
    assert 0 < sum(computed) <= 192, "each recording once, however often it is trained on or validated"
    before, after = Recogniser.load(learnt.out).model, Recogniser.load(ran.out, "fr").model
    moved = {n.split(".")[0] for n, t in before.state_dict().items() if not torch.equal(t, after.state_dict()[n])}
    assert moved == {"top", "top_norm"} and set(after.head_names()) == {"de", "fr"}


def test_what_was_learnt_is_adapted_listened_with_and_scored(learnt: Ran, lines: Lines, tmp_path: Path) -> None:
    own = recordings(tmp_path, "ida", 1.1, 6, 9)
    adapted = adapt(learnt.out, own, tmp_path / "profile", "--method", "lhuc", "--steps", 3, "--device", "cpu")
    profile = adapted.out / "profile"
    wav = next(own.glob("*.wav"))
    status, said, error = lines("transcribe", "--model", learnt.out, "--profile", profile, wav)
    assert status == 0 and len(said) == 1, error
    scored = manifest(tmp_path / "test.jsonl", speech(tmp_path / "wav", "de", 1, 3, seed=5))
    assert lines("evaluate", "--model", learnt.out, "--data", scored, "--out", tmp_path / "scores")[0] == 0
    assert json.loads((tmp_path / "scores" / "run.json").read_text())["scores"]
    status, told, _ = lines("profile", "merge", "--model", learnt.out, "--profile", profile, "--out", tmp_path / "new")
    assert status == 0 and Recogniser.load(tmp_path / "new").head == "de", told


def test_the_layers_on_a_bare_encoder_have_the_sizes_that_are_given(
    published: Path, german: Path, learnt: Ran, lines: Lines, tmp_path: Path
) -> None:
    sizes = ("--top.layers", 1, "--top.dim", 7, "--top.dropout", 0.1, "--top.joined", 3)
    ran = learn(published, german, tmp_path / "de", "--way", "top", "--steps", 2, *sizes)
    model = Recogniser.load(ran.out).model
    assert isinstance(model, WhisperEncoderModel) and model.top_sizes == TopConfig(1, 7, 0.1, 3)
    assert model.head("de").in_features == 14
    words = ("--model", learnt.out, "--data", german, "--out", tmp_path / "out", "--top.dim", 7)
    status, _, error = lines("learn", *words)
    assert status == 1 and "`top` are the layers put on a published encoder" in error and error.count("\n") == 1


def test_masks_on_a_published_encoder_are_strong() -> None:
    settings = LearningSettings()
    own, on_published = (settings.configured("top", "characters", False, "fp32", 8, held) for held in (False, True))
    assert own.augment == SpecAugmentConfig() and on_published.augment == STRONG != SpecAugmentConfig()


def test_ways_for_other_models_are_refused_by_name(published: Path, german: Path, lines: Lines, tmp_path: Path) -> None:
    words = ("--model", published, "--data", german, "--out", tmp_path / "out", "--way", "joint")
    status, _, error = lines("learn", *words)
    assert status == 1 and "`joint` mixes speech" in error and not (tmp_path / "out" / "model").exists()
