"""Which source languages harm: one left out of all, one added to a base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asr_transfer.errors import ConfigError
from asr_transfer.evaluation.significance import holm
from asr_transfer.experiments.core.effects import reduction
from asr_transfer.experiments.languages.negative import (
    Effect,
    NegativeConfig,
    negative_tables,
    plan_negative,
    run_negative,
)
from asr_transfer.experiments.languages.points import load_point
from tests.language_sweeps import corpora_of, learning, make_folders, source_config


def _config(**changes: Any) -> NegativeConfig:
    usual: dict[str, Any] = {"minutes": 0.1, "seeds": (0,), "source": source_config(), "learn": learning()}
    return NegativeConfig(**{**usual, **changes})


def test_every_language_is_left_out_and_added_once() -> None:
    config = _config(seeds=(0, 5))
    jobs, points, compared = plan_negative(config, ["cs", "en", "nl"])
    trained = {job.name: job.languages for job in jobs}
    assert trained["all-5"] == ("cs", "en", "nl") and trained["without-en-0"] == ("cs", "nl")
    assert trained["base+en-0"] == ("en",) and len(trained) == 2 * (1 + 3 + 3)
    assert {(c.design, c.language, c.without, c.with_it) for c in compared if c.language == "en"} == {
        ("leave-out", "en", "without-en", "all"),
        ("add", "en", "scratch-long", "base+en"),
    }
    scratch = [point for point in points if point.system == "scratch-long"]
    assert len(points) == 2 * 8 and {point.config.trainer.steps for point in scratch} == {4}
    jobs, points, compared = plan_negative(_config(base=("cs",), designs=("add",)), ["cs", "en", "nl"])
    assert {job.name: job.languages for job in jobs} == {
        "base-0": ("cs",), "base+en-0": ("cs", "en"), "base+nl-0": ("cs", "nl"),
    }  # fmt: skip
    assert {c.without for c in compared} == {"base"} and all(point.source for point in points)
    for changes, message in (
        ({"base": ("sc",)}, "no source utterances in 'sc'. Did you mean 'cs'"),
        ({"languages": ("cs",)}, "there must be two or more"),
    ):
        with pytest.raises(ConfigError, match=message):
            plan_negative(_config(**changes), ["cs", "en"])
    for changes, message in (
        ({"designs": ("leave",)}, "`designs` is 'leave'. Did you mean 'leave-out'"),
        ({"designs": ()}, "`designs` must not be empty"),
        ({"minutes": 0}, "`minutes` must be above 0"),
        ({"seeds": (1, 1)}, "`seeds` must not hold a value twice"),
        ({"learn": learning(mode="scratch")}, "`learn.mode` scratch does not fit"),
    ):
        with pytest.raises(ConfigError, match=message):
            _config(**changes)


def test_effects_come_from_the_points_and_a_second_run_trains_nothing(feature_cache: Path, tmp_path: Path) -> None:
    corpora, config = corpora_of(make_folders(tmp_path / "languages")), _config()
    effects = run_negative(config, corpora, tmp_path / "run", 1, lambda line: None)
    assert [(e.design, e.language) for e in effects] == [
        ("leave-out", "en"), ("leave-out", "nl"), ("add", "en"), ("add", "nl"),
    ]  # fmt: skip
    _, points, _ = plan_negative(config, ["en", "nl"])
    scored = {p.system: load_point(tmp_path / "run", p, "fr") for p in points}
    alone = [
        reduction([scored[one]], [scored[other]])
        for one, other in (("without-en", "all"), ("without-nl", "all"), ("scratch-long", "base+en"))
    ]
    for effect, change in zip(effects, alone, strict=False):
        assert (effect.share, effect.low, effect.high) == (change.value, change.low, change.high)
    assert [e.p for e in effects[:2]] == holm([change.p for change in alone[:2]])
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("*/*/run.json")}
    assert len(stamps) == 5 + 6 and not any("identification" in path.read_text(encoding="utf-8") for path in stamps)
    assert run_negative(config, corpora, tmp_path / "run", 1, lambda line: None) == effects
    assert stamps == {path: path.stat().st_mtime_ns for path in stamps}
    left_out, added = negative_tables(effects)
    assert left_out.title == "Test set `fr`, each language left out of all:" and len(left_out.rows) == 2
    assert added.title == "Test set `fr`, each language added:" and len(added.rows) == 2


def test_the_most_harmful_language_stands_first() -> None:
    effects = [
        Effect("words", "add", name, 0.5, 0.5 * (1 - share), share, share - 0.1, share + 0.1, p, verdict)
        for name, share, p, verdict in (("cs", 0.2, 0.01, "helps"), ("nl", -0.3, 0.02, "harms"), ("en", 0.0, 1.0, ""))
    ]
    (table,) = negative_tables(effects)
    assert [row[0] for row in table.rows] == ["nl", "en", "cs"]
    assert table.rows[0][-2:] == ("0.020", "harms") and table.rows[1][-2:] == ("1.000", "–")
