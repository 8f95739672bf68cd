"""The experiment on published models: an encoder that a source model stands on, and a whole one that is adapted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from asr_transfer.adaptation.settings import AdaptConfig, MethodSettings
from asr_transfer.config import ModelConfig, SourceConfig, SpecAugmentConfig, TopConfig, TrainerConfig
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.decoding.settings import WritingConfig
from asr_transfer.experiments.speakers.config import ExperimentConfig, MethodGrid
from asr_transfer.experiments.speakers.experiment import run_experiment
from asr_transfer.experiments.speakers.protocol import Fold, ProtocolConfig
from asr_transfer.experiments.speakers.rows import adaptation_table, summarise
from asr_transfer.experiments.speakers.trials import Trial
from tests.models.pretrained.whole_whisper import write_whisper
from tests.tones import make_corpus

CONFIG = ExperimentConfig(
    protocol=ProtocolConfig(
        amounts=(2,), draws=1, dev_draws=1, test_utterances=2, others="target", others_utterances=2,
        source_utterances=3, judged_utterances=2, unit="characters",
    ),
    source=SourceConfig(trainer=TrainerConfig(steps=3, validate_every=0, device="cpu"), speeds=(1.0,)),
    adapt=AdaptConfig(steps=2, device="cpu"),
)  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return manifests of a few utterances of each speaker."""
    return make_corpus(tmp_path_factory.mktemp("corpus"), 5)


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small Whisper."""
    folder = tmp_path_factory.mktemp("published") / "whisper"
    write_whisper(folder)
    return folder


def run(corpus: dict[str, Path], config: ExperimentConfig, folder: Path) -> tuple[list[Fold], list[Trial]]:
    """Run an experiment in this process."""
    return run_experiment(corpus, config, folder, 1, lambda line: None)


def test_a_source_model_on_a_published_encoder_is_trained_and_adapted(
    corpus: dict[str, Path], whisper: Path, feature_cache: Path, tmp_path: Path
) -> None:
    model = ModelConfig(pretrained=whisper, top=TopConfig(layers=1, dim=6))
    methods = (
        MethodGrid("first-layers", (0.3,)),
        MethodGrid("first-layers", (0.3,), title="encoder", settings=MethodSettings(first=2)),
        MethodGrid("last-layers", (0.3,), title="top", settings=MethodSettings(first=2)),
        MethodGrid("lhuc", (0.3,), title="lhuc-encoder", settings=MethodSettings(blocks="encoder")),
    )
    source = replace(CONFIG.source, model=model, augment=SpecAugmentConfig(2, 20, 3, 30))
    folds, trials = run(corpus, replace(CONFIG, source=source, methods=methods), tmp_path)
    loaded = Recogniser.load(tmp_path / "models" / "si").model
    assert len(loaded.published()) == 4 and loaded.inputs.kind == "whisper-mel"
    rows = summarise(folds, trials)
    assert [row.method for row in rows] == ["none", *(grid.called for grid in methods)]
    assert all(row.capped is None for row in rows) and "runaways" not in adaptation_table(rows).headings


def test_a_whole_whisper_is_scored_with_and_without_its_guard_and_adapted(
    corpus: dict[str, Path], whisper: Path, feature_cache: Path, tmp_path: Path
) -> None:
    methods = (
        MethodGrid("none", title="without-guard", writing=WritingConfig(guard=False)),
        MethodGrid("lora+replay", (0.01,)),
    )
    folds, trials = run(corpus, replace(CONFIG, model=whisper, methods=methods), tmp_path)
    assert not (tmp_path / "models").exists(), "nothing is trained before"
    rows = {row.method: row for row in summarise(folds, trials)}
    assert [(name, row.amount) for name, row in rows.items()] == [
        ("none", 0), ("without-guard", 0), ("lora+replay", 2),
    ]  # fmt: skip
    for row in rows.values():
        assert row.capped is not None and row.capped <= row.wer and row.clips == 4
    # The random decoder writes on to the end of its window; the guard cuts that.
    assert rows["none"].wer < rows["without-guard"].wer and rows["without-guard"].over == 4
    assert {t.profile for t in trials} == {"basic"}, "capitals and punctuation are no errors"
    table = adaptation_table(list(rows.values()))
    assert "capped CER speaker %" in table.headings and "4 of 4" in table.markdown()
