"""Source models of an experiment make profiles of their training speakers, where methods go by them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asr_transfer.config import ModelConfig, SourceConfig, SpecAugmentConfig, TrainerConfig
from asr_transfer.data.manifest import write_manifest
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.experiments.speakers.config import ExperimentConfig, MethodGrid
from asr_transfer.experiments.speakers.experiment import run_experiment
from asr_transfer.experiments.speakers.protocol import ProtocolConfig
from asr_transfer.models.speaker_space import FILE, SpeakerSpace
from tests.real_runs import ROOT, load
from tests.tones import make_speaker

CONFIG = ExperimentConfig(
    protocol=ProtocolConfig(amounts=(1,), draws=1, dev_draws=1, test_utterances=2, others_utterances=2),
    source=SourceConfig(
        model=ModelConfig(encoder="tdnn", layers=1, dim=16, channels=16),
        trainer=TrainerConfig(steps=3, validate_every=0, device="cpu", precision="fp32"),
        augment=SpecAugmentConfig(1, 4, 1, 4),
        speeds=(1.0,),
    ),
    speaker_profiles="lhuc",
    methods=(MethodGrid("mean-profile"), MethodGrid("nearest-profile")),
)


def test_every_source_model_has_them_and_methods_go_by_them(tmp_path: Path, feature_cache: Path) -> None:
    manifests = {}
    for split, count in (("train", 9), ("dev", 1), ("test", 1)):
        names = [f"{split}{number}" for number in range(count)]
        made = [
            u for number, name in enumerate(names) for u in make_speaker(tmp_path, name, 1 + 0.02 * number, 3, number)
        ]
        manifests[split] = tmp_path / f"{split}.jsonl"
        write_manifest(manifests[split], made)
    _, trials = run_experiment(manifests, CONFIG, tmp_path / "run", 1, lambda line: None)
    assert {(trial.method, trial.amount) for trial in trials if trial.speaker == "test0"} == {
        ("none", 0), ("mean-profile", 1), ("nearest-profile", 1),
    }  # fmt: skip
    space = SpeakerSpace.load(tmp_path / "run" / "models" / "si" / "model" / FILE)
    assert len(space.speakers) == 9 and all(name.startswith("train") for name in space.speakers)


def test_too_few_speakers_are_named_before_any_training(tmp_path: Path, feature_cache: Path) -> None:
    manifests = {split: tmp_path / f"{split}.jsonl" for split in ("train", "dev", "test")}
    for split, path in manifests.items():
        names = [f"{split}{number}" for number in range(7 if split == "train" else 1)]
        write_manifest(path, [u for n, name in enumerate(names) for u in make_speaker(tmp_path, name, 1.0, 3, n)])
    with pytest.raises(DataError, match="fold 'si': has 7 training speakers with 2 recordings.*`speaker_profiles`"):
        run_experiment(manifests, CONFIG, tmp_path / "run", 1, lambda line: None)
    assert not (tmp_path / "run" / "models").exists()


def test_methods_that_go_by_them_ask_for_them() -> None:
    with pytest.raises(
        ConfigError, match="mean-profile goes by the profiles of the training speakers.*`speaker_profiles`"
    ):
        replace(CONFIG, speaker_profiles=None)


def test_the_recipe_of_few_utterances_can_begin() -> None:
    recipe = load(ROOT / "recipes" / "speaker_adaptation" / "run.py")
    seen: list[Any] = []
    file = str(ROOT / "recipes" / "speaker_adaptation" / "hparams" / "an4_few.yaml")
    assert recipe.script(recipe.Recipe, seen.append, ["--config", file, "--out", "x"]) == 0
    assert seen[0].protocol.amounts == (1, 3, 6) and seen[0].speaker_profiles == "lhuc"
    assert {"lhuc", "eigen-profile", "mean-profile", "nearest-profile"} < {grid.name for grid in seen[0].methods}
