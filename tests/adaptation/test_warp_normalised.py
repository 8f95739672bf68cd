"""Training speakers are heard through their own warps in a second training, and without any it is the first again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from asr_transfer.adaptation import warp_normalised
from asr_transfer.adaptation.adaptable_source import train_source
from asr_transfer.adaptation.warp_normalised import HEARD, normalise
from asr_transfer.config import FeatureConfig, ModelConfig, SourceConfig, SpecAugmentConfig, TrainerConfig
from asr_transfer.data.features import build_store
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.training.checkpoints import AtomicCheckpointer
from asr_transfer.training.objective import TrainedObjective
from asr_transfer.training.streams import Output
from tests.small import MELS, different, snapshot
from tests.tones import make_speaker

SHIFTS = {"anna": 0.9, "ben": 1.0, "carl": 1.0, "dora": 1.12}
CONFIG = SourceConfig(
    model=ModelConfig("tdnn", 2, 8, 8, features=FeatureConfig(mels=MELS)),
    trainer=TrainerConfig(steps=6, validate_every=3, batch_budget=400, precision="fp32", device="cpu"),
    augment=SpecAugmentConfig(),
    speeds=(1.0,),
)


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> tuple[Spoken, Spoken]:
    """Return training and development speech."""
    folder = tmp_path_factory.mktemp("speech")
    train = [u for n, (name, shift) in enumerate(SHIFTS.items()) for u in make_speaker(folder, name, shift, 7, n)]
    dev = make_speaker(folder, "gus", 1.05, 4, 9)
    store = build_store([*train, *dev], CONFIG.model.features, (1.0,), folder / "cache")
    return Spoken(train, store), Spoken(dev, store)


def _normalised(**changes: object) -> SourceConfig:
    return SourceConfig(**{**vars(CONFIG), "warp_normalised": True, **changes})  # type: ignore[arg-type]


def test_without_any_warp_the_second_training_is_the_first_again(
    speech: tuple[Spoken, Spoken], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, once, _ = train_source(*speech, CONFIG)
    monkeypatch.setattr(warp_normalised, "_factors", lambda *given: dict.fromkeys(SHIFTS, 1.0))
    again, twice, _ = train_source(*speech, _normalised())
    assert not different(snapshot(plain.model), snapshot(again.model))
    assert twice.steps == 2 * once.steps and twice.cost == 2 * once.cost
    assert [entry["step"] for entry in twice.history] == [3, 6, 9, 12]
    assert once.best is not None and twice.best is not None and twice.best["step"] == once.best["step"] + 6


def test_the_second_training_hears_each_speaker_through_his_own_factor(
    speech: tuple[Spoken, Spoken], monkeypatch: pytest.MonkeyPatch
) -> None:
    train, dev = speech
    factors = {"anna": 1.08, "ben": 1.0, "carl": 1.0, "dora": 0.88, "gus": 0.96}
    monkeypatch.setattr(warp_normalised, "_factors", lambda *given: factors)
    lines: list[str] = []
    plain, *_ = train_source(train, dev, CONFIG)
    found = normalise(plain, train, dev, 0, lines.append)
    inputs, store = train.store.inputs, train.store
    for spoken in (found.train, found.dev):
        for utterance in spoken.utterances:
            block = store.load(store.view(utterance.id))
            factor, heard = factors[utterance.speaker], spoken.store.load(spoken.store.view(utterance.id))
            wanted = inputs.warped(block[None], torch.tensor([len(block)]), torch.tensor(factor))[0]
            assert torch.equal(heard, block if factor == 1 else wanted)
    assert lines == ["warps of 5 training speakers: 0.88 to 1.08, median 1.00, 2 of them none"]
    other, *_ = train_source(train, dev, _normalised())
    assert different(snapshot(plain.model), snapshot(other.model))


class _Counting(TrainedObjective):
    """Adds what it learns, so that an objective which has been trained before trains another model."""

    def __init__(self) -> None:
        super().__init__()
        self.learnt = nn.Parameter(torch.ones(()))

    def forward(self, model: nn.Module, outputs: Mapping[str, Output]) -> torch.Tensor:
        """Pull a weight of the model to what is learnt."""
        assert isinstance(model, AcousticModel)
        return (self.learnt - model.heads["en"].bias.sum()).square()


def test_objectives_begin_anew_in_the_second_training(
    speech: tuple[Spoken, Spoken], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, *_ = train_source(*speech, CONFIG, objectives=[(1.0, _Counting())])
    monkeypatch.setattr(warp_normalised, "_factors", lambda *given: dict.fromkeys(SHIFTS, 1.0))
    again, *_ = train_source(*speech, _normalised(), objectives=[(1.0, _Counting())])
    assert not different(snapshot(plain.model), snapshot(again.model))


@pytest.mark.parametrize("stops", [1, 3])
def test_stopped_in_either_training_and_resumed_it_ends_in_the_same_bits(
    stops: int, speech: tuple[Spoken, Spoken], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    factors = {"anna": 1.08, "ben": 1.0, "carl": 1.0, "dora": 0.88, "gus": 0.96}
    monkeypatch.setattr(warp_normalised, "_factors", lambda *given: factors)
    config = _normalised(trainer=replace(CONFIG.trainer, checkpoint_every=2))
    whole, *_ = train_source(*speech, config, tmp_path / "whole")
    save, saved = AtomicCheckpointer.save, list[int]()

    def stopping(self: AtomicCheckpointer, step: int) -> None:
        save(self, step)
        saved.append(step)
        if len(saved) > 3 * (stops // 2) + 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(AtomicCheckpointer, "save", stopping)
        train_source(*speech, config, tmp_path / "resumed")
    again, *_ = train_source(*speech, config, tmp_path / "resumed")
    assert not different(snapshot(whole.model), snapshot(again.model))


def test_factors_are_those_under_which_the_first_model_understands(tone_run: Path, tmp_path: Path) -> None:
    """A trained model of tone speakers finds who has been shifted, and how far."""
    source = Recogniser.load(tone_run)
    shifts = {"low": 0.87, "usual": 1.0, "same": 1.0, "high": 1.15}
    train: list[Utterance] = []
    for number, (name, shift) in enumerate(shifts.items()):
        train += make_speaker(tmp_path, name, shift, HEARD + 2, number)
    dev = make_speaker(tmp_path, "new", 1.15, 3, 9)
    store = build_store([*train, *dev], source.model.inputs, cache=tmp_path / "cache")
    found = normalise(source, Spoken(train, store), Spoken(dev, store), 0)
    assert found.factors.keys() == {*shifts, "new"}
    assert found.factors["high"] < 1 < found.factors["low"] and found.factors["new"] < 1
    for name in ("usual", "same"):
        assert abs(found.factors[name] - 1) < 0.06
    again = normalise(source, Spoken(train, store), Spoken(dev, store), 0)
    assert again.factors == found.factors
    nobody = Spoken([replace(utterance, speaker="unknown") for utterance in dev], store)
    heard = normalise(source, Spoken(train, store), nobody, 0)
    assert heard.factors.keys() == shifts.keys(), "recordings that name nobody may be of several"
    view = store.view(dev[0].id)
    assert torch.equal(heard.dev.store.load(view), store.load(view))
