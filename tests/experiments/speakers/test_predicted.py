"""Predicted beside measured loss of others: the figures of the table, and the experiment on a toy corpus."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asr_transfer.adaptation.settings import AdaptConfig
from asr_transfer.config import ModelConfig, SourceConfig, TrainerConfig
from asr_transfer.data.kept_source import JUDGED, load_summaries
from asr_transfer.data.manifest import read_manifest
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.experiments.speakers.config import MethodGrid
from asr_transfer.experiments.speakers.experiment import run_experiment
from asr_transfer.experiments.speakers.predicted import (
    WAYS,
    Agreement,
    Case,
    PredictedConfig,
    agreements,
    forgetting_table,
    run_predicted,
)
from asr_transfer.experiments.speakers.protocol import ProtocolConfig, speaker_folds
from tests.real_runs import ROOT, load

CONFIG = PredictedConfig(
    protocol=ProtocolConfig(
        amounts=(6,), draws=1, dev_draws=1, others="target", source_utterances=40, judged_utterances=10
    ),
    source=SourceConfig(
        model=ModelConfig(encoder="tdnn", layers=2, dim=32, channels=32),
        trainer=TrainerConfig(steps=30, learning_rate=0.01, validate_every=0, device="cpu"),
        speeds=(1.0,),
    ),
    adapt=AdaptConfig(steps=4, device="cpu"),
    methods=(MethodGrid("full", (0.003, 0.03)), MethodGrid("full+replay", (0.003,))),
    speakers=1,
)


def case(method: str, trained: float, held_out: float, measured: float) -> Case:
    """Return a case of which only the figures matter."""
    return Case("si", "ann", 0, 5, method, 0.1, trained, held_out, held_out, measured, 100)


CASES = [case("full", 0.0, 0.05, 0.06), case("full", 0.004, 0.01, 0.02), case("full", 0.002, 0.0, 0.03),
         case("lhuc", 0.0, 0.02, 0.0)]  # fmt: skip


@pytest.fixture
def agreed() -> tuple[Agreement, Agreement, Agreement]:
    """Return how four predictions agree with what was measured: of two methods, and of all."""
    full, lhuc, every = agreements(CASES, 0.01)
    return full, lhuc, every


def test_agreement_is_mean_distance_correlation_and_harm_let_through(
    agreed: tuple[Agreement, Agreement, Agreement],
) -> None:
    full, lhuc, every = agreed
    assert (full.method, full.cases, lhuc.cases, every.method, every.cases) == ("full", 3, 1, "all", 4)
    measured, told = np.array([0.06, 0.02, 0.03, 0.0]), np.array([0.05, 0.01, 0.0, 0.02])
    assert every.measured == pytest.approx(measured.mean()) and every.spread == pytest.approx(measured.std(ddof=1))
    assert every.error["held_out"] == pytest.approx((0.01 + 0.01 + 0.03 + 0.02) / 4)
    assert every.correlation["held_out"] == pytest.approx(np.corrcoef(told, measured)[0, 1])
    assert every.harmed == 3 and every.missed["trained"] == 3, "predictions within the tolerance let it through"
    assert every.missed["held_out"] == 2 and full.missed["held_out"] == 2 and lhuc.correlation["trained"] is None
    assert every.needless == {"trained": 0, "held_out": 1, "adapted": 1}


def test_the_table_of_agreement_names_harm_let_through_and_refused_without_need() -> None:
    table = forgetting_table({"one": CASES, "two": CASES[:1]}, 0.01)
    assert {len(row) for row in table.rows} == {len(table.headings)} and len(table.rows) == 3 + 3 + 2 + 3
    assert table.rows[0][:7] == ("one", "full", "0.1", "3", "+3.67 (± 2.08)", "+0.20 (3.47)", "+2.00 (1.67)")
    assert (table.rows[4][1], table.rows[5][1]) == ("harm let through, of 3", "refused without need, of 1")


def test_predictions_and_measurements_are_of_speech_that_nothing_was_trained_on(
    tone_corpus: dict[str, Path], feature_cache: Path, tmp_path: Path
) -> None:
    lines: list[str] = []
    cases = run_predicted(tone_corpus, CONFIG, tmp_path, 1, lines.append)
    assert {(c.speaker, c.draw, c.method, c.learning_rate) for c in cases} == {
        (cases[0].speaker, draw, method, rate)
        for draw in (0,)
        for method, rate in (("full", 0.003), ("full", 0.03), ("full+replay", 0.003))
    }
    assert all(np.isfinite([getattr(c, way) for way in (*WAYS, "measured")]).all() and c.units > 50 for c in cases)
    assert len({c.measured for c in cases}) > 1 and "1 of 1 draws done" in lines[-1]
    # What is in its file is not run again.
    assert run_predicted(tone_corpus, CONFIG, tmp_path, 1, lines.append) == cases and "draws done" not in lines[-1]
    # The source model is the one of the adaptation recipe: it keeps what it was not trained on.
    splits = {name: read_manifest(path) for name, path in tone_corpus.items()}
    (fold,) = speaker_folds(splits, CONFIG.protocol)
    model = tmp_path / "models" / "si"
    kept = load_summaries(model, Recogniser.load(model).model.inputs)[JUDGED]
    assert {u.id for u in kept.utterances} == set(fold.judged) and len(fold.judged) == 10
    assert not set(fold.judged) & {*fold.train, *fold.source, *(i for d in fold.test for i in d.pool + d.test)}
    assert len(fold.train) == 144 - 10
    # A model that is given may have been trained on what is judged on.
    given = replace(CONFIG, model=model)
    assert run_predicted(tone_corpus, given, tmp_path / "same", 1, lines.append) == cases
    other = replace(given, protocol=replace(CONFIG.protocol, seed=1))
    for run in (run_predicted, run_experiment):
        with pytest.raises(DataError, match="perhaps on those that are held out to judge on"):
            run(tone_corpus, other, tmp_path / "other", 1, lines.append)  # type: ignore[operator]


def test_what_cannot_be_measured_is_refused(tone_corpus: dict[str, Path], feature_cache: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`protocol.judged_utterances` is 0"):
        PredictedConfig()
    with pytest.raises(ConfigError, match="`protocol.judged_utterances` must be at least 0"):
        ProtocolConfig(judged_utterances=-1)
    with pytest.raises(ConfigError, match="`speakers` must be at least 0"):
        replace(CONFIG, speakers=-1)


@pytest.mark.parametrize("corpus", ["an4", "fsdd"])
def test_the_recipes_settings_parse(corpus: str) -> None:
    recipe = load(ROOT / "recipes" / "speaker_adaptation" / "forgetting.py")
    path = ROOT / "recipes" / "speaker_adaptation" / "hparams" / f"forgetting_{corpus}.yaml"
    seen: list[object] = []
    assert recipe.script(recipe.Recipe, seen.append, ["--config", str(path), "--out", "x", "--quick"]) == 0
    assert seen[0].corpus == corpus and seen[0].quick and len(seen[0].methods) >= 4  # type: ignore[attr-defined]
