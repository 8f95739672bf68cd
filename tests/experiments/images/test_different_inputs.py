"""Digits seen and heard are trained in one model, with every control, on made-up sets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from asr_transfer.config import FeatureConfig, ImageConfig, ImageTrainerConfig, ModelConfig
from asr_transfer.data.features import build_store
from asr_transfer.data.images import Images
from asr_transfer.data.manifest import Utterance, write_manifest
from asr_transfer.data.speech import Spoken
from asr_transfer.data.spoken_classes import SpokenClasses
from asr_transfer.errors import DataError
from asr_transfer.experiments.images import different_inputs
from asr_transfer.experiments.images.different_inputs import (
    ARMS,
    WORDS,
    HoldOut,
    InputsConfig,
    inputs_plot,
    inputs_table,
    run_inputs,
)
from asr_transfer.models.kinds import network_inputs
from tests.tones import make_speaker

CONFIG = InputsConfig(
    amounts=(1, 2),
    images=20,
    speech=ModelConfig("tdnn", layers=1, dim=4, channels=4, features=FeatureConfig(mels=20)),
    pictures=ImageConfig(channels=(2,)),
    layers=1,
    width=4,
    frames=400,
    trainer=ImageTrainerConfig(steps=1, batch_budget=10, device="cpu"),
    seeds=(0,),
)


def _made_up(name: str, split: str) -> Images:
    generator = torch.Generator().manual_seed(len(name))
    pixels = torch.randint(0, 256, (30, 1, 8, 8), generator=generator, dtype=torch.uint8)
    return Images(pixels, torch.arange(30) % 10, WORDS)


@pytest.fixture
def spoken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a manifest of made-up words by three speakers, two of each word; fetched images are made up too."""
    monkeypatch.setattr(different_inputs, "read_fetched", _made_up)
    every: list[Utterance] = []
    for number, speaker in enumerate(("amy", "bob", "cat")):
        made = make_speaker(tmp_path / "audio", speaker, 1.0 + number / 10, 20, seed=number)
        every += [replace(one, text=WORDS[place % 10]) for place, one in enumerate(made)]
    write_manifest(tmp_path / "digits.jsonl", every)
    return tmp_path / "digits.jsonl"


def test_every_arm_is_trained_and_tested_on_the_held_out_speaker(
    spoken: Path, feature_cache: Path, tmp_path: Path
) -> None:
    rows = run_inputs(CONFIG, spoken, tmp_path / "run", 1)
    assert [(row.amount, row.arm) for row in rows] == [(amount, arm) for amount in (1, 2) for arm in ARMS]
    assert all(row.change.value == 0 for row in rows if row.arm == "alone")
    assert len(inputs_table(rows, CONFIG).rows) == 2 * len(ARMS) and "clothes" in inputs_plot(rows, CONFIG).svg()


def test_few_recordings_are_among_the_more_and_nobody_trains_on_himself(spoken: Path) -> None:
    job = HoldOut("bob", 3, str(spoken), CONFIG)
    data = job.data()
    train, test = data["train"][1], data["test"][1]
    assert {u.speaker for u in test} == {"bob"} and "bob" not in {u.speaker for u in train}
    one, two = ({u.id for u in job._drawn(train, amount)} for amount in (1, 2))
    assert len(one) == 10 and len(two) == 20 and one < two
    with pytest.raises(DataError, match="but `amounts` asks for 9"):
        job._drawn(train, 9)
    with pytest.raises(DataError, match="has no speaker 'dan'"):
        run_inputs(replace(CONFIG, speakers=("dan",)), spoken, spoken.parent, 1)


def test_a_text_that_is_no_class_is_named(spoken: Path, feature_cache: Path) -> None:
    from asr_transfer.data.manifest import read_manifest

    utterances = read_manifest(spoken)[:3]
    store = build_store(utterances, network_inputs(CONFIG.speech))
    classes = SpokenClasses(Spoken(utterances, store), WORDS)
    assert classes.collate([2, 0]).targets.tolist() == [2, 0] and classes.collate([1]).target_lengths is None
    with pytest.raises(DataError, match="'zero' is none of the classes 'one', 'two'"):
        SpokenClasses(Spoken(utterances, store), ("one", "two"))
