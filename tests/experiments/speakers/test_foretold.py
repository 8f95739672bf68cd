"""Forecasts beside what more recordings gave: the experiment on a toy corpus, the shares that hold, table and plot."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asr_transfer.adaptation.forecast import KINDS, Constants
from asr_transfer.adaptation.settings import AdaptConfig
from asr_transfer.config import ModelConfig, SourceConfig, TrainerConfig
from asr_transfer.errors import ConfigError
from asr_transfer.experiments.speakers.calibrated import calibration_plot, calibration_table, curve_of, judge
from asr_transfer.experiments.speakers.config import MethodGrid
from asr_transfer.experiments.speakers.foretold import Foretold, ForetoldConfig, Measured, read_cases, run_foretold
from asr_transfer.experiments.speakers.protocol import ProtocolConfig
from asr_transfer.plain import to_plain
from tests.real_runs import ROOT, load

CONFIG = ForetoldConfig(
    protocol=ProtocolConfig(amounts=(8,), draws=1, dev_draws=1, others="target", source_utterances=40),
    source=SourceConfig(
        model=ModelConfig(encoder="tdnn", layers=2, dim=32, channels=32),
        trainer=TrainerConfig(steps=30, learning_rate=0.01, validate_every=0, device="cpu"),
        speeds=(1.0,),
    ),
    adapt=AdaptConfig(steps=4, device="cpu"),
    methods=(MethodGrid("full", (0.003,)),),
    starts=(4, 6),
    more=(2, 4),
)


def case(
    speaker: str, exponent: float, start: int = 8, development: bool = False, constants: Constants = KINDS["words"]
) -> Foretold:
    """Return a case of many recordings whose errors follow the law."""
    count = 400
    amount = start * 0.75
    held = int(start - amount)

    def rate(n: float) -> float:
        return float(0.4 * (1 + n / constants.knee) ** -exponent)

    before, after = rate(0), rate(amount)
    measured = {n: Measured(rate(n) * 4e5, 4e5, 1e-4) for n in (0, start + 10, start + 50)}
    return Foretold(
        "si", speaker, 0, start, development, True, count // held,
        (10.0,) * count, (10 * before,) * count, (10 * after,) * count, (before,) * count, (after,) * count, measured,
    )  # fmt: skip


def test_a_speaker_who_follows_the_law_is_held() -> None:
    told = judge(case("ann", KINDS["words"].exponent))
    assert [(one.start, one.more) for one in told] == [(8, 10), (8, 50)]
    for one in told:
        assert one.rate == pytest.approx(one.measured, rel=0.1) and one.low < one.measured < one.high
        assert one.rate < one.now and one.holds() and one.holds(0.5) and one.place == pytest.approx(0.5, abs=0.2)


def test_a_speaker_who_leaves_the_law_is_not() -> None:
    kept = case("ann", 0.5)
    worse = {n: replace(one, errors=one.errors * 5) for n, one in kept.measured.items()}
    first, second = judge(replace(kept, measured=worse))
    assert not first.holds() and first.place > 0.9 and not second.holds(0.9) and first.measured > first.high


def test_a_small_test_set_is_doubted() -> None:
    """More errors by six tenths are beyond an interval in ten thousand characters, and within the doubt of ten."""
    kept = case("ann", 0.5)
    for units, deviation, holds in ((1e4, 0.001, False), (10.0, 0.15, True)):
        found = {
            n: Measured(one.errors / one.units * 1.6 * units, units, deviation) for n, one in kept.measured.items()
        }
        assert judge(replace(kept, measured=found))[0].holds() == holds


def test_the_table_counts_what_holds_and_keeps_development_speakers_apart() -> None:
    bad = case("eve", 0.5)
    bad = replace(bad, measured={n: replace(one, errors=one.errors * 5) for n, one in bad.measured.items()})
    cases = [case(name, 0.5) for name in ("ann", "bob", "cid")] + [bad, case("dan", 0.5, development=True)]
    table = calibration_table({"digits": cases})
    assert {len(row) for row in table.rows} == {len(table.headings)}
    assert [row[1:5] for row in table.rows] == [
        ("4", "8", "10", "4"), ("4", "8", "50", "4"), ("4", "all", "", "8"),
        ("1 (constants chosen on them)", "8", "10", "1"), ("1 (constants chosen on them)", "8", "50", "1"),
        ("1 (constants chosen on them)", "all", "", "2"),
    ]  # fmt: skip
    assert [row[-2] for row in table.rows] == ["75", "75", "75", "100", "100", "100"]
    assert "…" in table.rows[0][-1] and table.rows[3][-1] == "–"


def test_the_plot_is_of_speakers_on_whom_nothing_was_chosen() -> None:
    chosen = [case("dan", 0.5, development=True)]
    plot = calibration_plot({"digits": [case("ann", 0.5), *chosen], "none": chosen})
    assert plot.name == "calibration" and "digits: " in plot.alt and "none" not in plot.alt
    assert plot.svg() == plot.svg() and "as they say" in plot.svg()


def test_shares_are_right_of_speakers_whom_the_constants_describe() -> None:
    """Cases drawn from the forecast's own curves hold as often as their intervals say."""
    random, constants = np.random.default_rng(0), KINDS["words"]
    held: list[bool] = []
    for number in range(200):
        kept = case(f"s{number}", 0.5)
        curve = curve_of(kept)
        level, exponent = random.multivariate_normal(curve.mean, curve.covariance)
        logs = {n: level - exponent * math.log1p(n / constants.knee) for n in (18, 58)}
        truth = {n: math.exp(value + random.normal(0, constants.extra)) for n, value in logs.items()}
        measured = {n: Measured(4e5 * rate, 4e5, 1e-6) for n, rate in truth.items()}
        held += [one.holds() for one in judge(replace(kept, measured=measured))]
    assert 0.74 < np.mean(held) < 0.86


def test_forecasts_and_measurements_come_from_one_experiment(
    tone_corpus: dict[str, Path], feature_cache: Path, tmp_path: Path
) -> None:
    lines: list[str] = []
    cases = run_foretold(tone_corpus, CONFIG, tmp_path, 1, lines.append)
    assert {one.start: sorted(one.measured) for one in cases} == {4: [0, 6, 8], 6: [0, 8]}
    for one in cases:
        assert one.folds == 3 and len(one.units) == len(one.loss_after) == one.start and not one.single
        assert min(one.units) > 0 and len({found.units for found in one.measured.values()}) == 1
    assert len({one.speaker for one in cases}) == len(cases) / 2 and "draws done" in lines[-1]
    assert run_foretold(tone_corpus, CONFIG, tmp_path, 1, lines.append) == cases, "what is in its file is not run again"
    assert read_cases(json.loads(json.dumps(to_plain(cases)))) == cases
    with pytest.raises(ConfigError, match="names 'nobody', who is no test speaker"):
        run_foretold(tone_corpus, replace(CONFIG, development=("nobody",)), tmp_path, 1, lines.append)


def test_a_pool_that_holds_no_further_recordings_is_refused() -> None:
    with pytest.raises(ConfigError, match="`protocol.amounts` ends at 5, but 4 recordings and 2 more are 6"):
        replace(CONFIG, protocol=replace(CONFIG.protocol, amounts=(5,)))


@pytest.mark.parametrize("corpus", ["an4", "fsdd", "fillets"])
def test_the_recipes_settings_parse(corpus: str) -> None:
    recipe = load(ROOT / "recipes" / "speaker_adaptation" / "calibration.py")
    path = ROOT / "recipes" / "speaker_adaptation" / "hparams" / f"calibration_{corpus}.yaml"
    seen: list[Any] = []
    assert recipe.script(recipe.Recipe, seen.append, ["--config", str(path), "--out", "x"]) == 0
    assert seen[0].corpus == corpus and len(seen[0].methods) == 1
    assert set(seen[0].development) <= set(seen[0].speakers or seen[0].development)
