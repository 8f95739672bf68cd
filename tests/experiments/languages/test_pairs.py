"""Every language from every other: halves, controls, and what each pair gained."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from asr_transfer.data.manifest import read_manifest, write_manifest
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.evaluation.clusters import reduction as figures_over_clusters
from asr_transfer.evaluation.scoring import Alignments, Hypothesis, align
from asr_transfer.experiments.core.effects import difference_over_seeds, pooled_rate, rate_over_seeds, reduction
from asr_transfer.experiments.languages.pairs import (
    Manifests,
    PairsConfig,
    choose_languages,
    halve,
    pairs_tables,
    plan_pairs,
    rates_table,
    run_pairs,
)
from asr_transfer.runs.record import read_record
from tests.language_sweeps import learning, make_folders, source_config, trainer


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Manifests]:
    """Return the manifests of three languages."""
    folders = make_folders(tmp_path_factory.mktemp("languages"))
    return Manifests.by_language(folders, {name: name for name in folders})


def _config(**changes: Any) -> PairsConfig:
    usual: dict[str, Any] = {"minutes": 0.05, "source_minutes": 0.06, "seeds": (0,)}
    return PairsConfig(**{**usual, "source": source_config(), "learn": learning(), **changes})


def test_halves_share_nothing_and_are_the_whole(there: dict[str, Manifests], tmp_path: Path) -> None:
    corpora = halve(there, ["en", "nl"], tmp_path)
    whole = {u.id for u in read_manifest(there["en"].train["en"])}
    source, target = ({u.id for u in read_manifest(tmp_path / f"en-{half}.jsonl")} for half in ("source", "target"))
    assert not source & target and source | target == whole and len(source) == len(target) == 6
    assert corpora["en"].sources == corpora["nl"].sources and set(corpora["en"].sources) == {"en", "nl"}
    assert [u.id for u in corpora["en"].target_utterances()][:6] == [
        u.id for u in read_manifest(tmp_path / "en-target.jsonl")
    ]
    before = (tmp_path / "en-source.jsonl").read_bytes()
    halve(there, ["en", "nl"], tmp_path)
    assert (tmp_path / "en-source.jsonl").read_bytes() == before
    with pytest.raises(DataError, match="is in 'nl' but stands in a corpus of 'en'"):
        halve({"en": there["nl"]}, ["en"], tmp_path)
    write_manifest(tmp_path / "one.jsonl", read_manifest(there["en"].train["en"])[:1])
    with pytest.raises(DataError, match="has 1 training utterance, which cannot be halved"):
        halve({"en": replace(there["en"], train={"en": str(tmp_path / "one.jsonl")})}, ["en"], tmp_path)


@pytest.fixture
def planned(there: dict[str, Manifests], tmp_path: Path) -> Any:
    """Return the sources and points of two languages, of which one is spelled in words, and two seeds."""
    config = _config(source=replace(source_config(), units_of={"nl": "words"}), seeds=(0, 1))
    return plan_pairs(config, halve(there, ["en", "nl"], tmp_path))


def test_every_language_and_seed_has_a_source_of_half_its_speech(planned: Any) -> None:
    sources = [job.source for job in planned[0]]
    assert [source.name for source in sources] == ["en-0", "nl-0", "en-1", "nl-1"]
    assert {source.name: dict(source.config.units_of) for source in sources}["en-0"] == {}
    assert {source.name: source.config.units_of for source in sources}["nl-0"] == {"nl": "words"}
    assert {source.config.trainer.steps for source in sources} == {2}
    assert [source.seconds for source in sources] == [pytest.approx(3.6)] * 4


def test_every_pair_takes_equal_steps_and_the_long_control_takes_both(planned: Any) -> None:
    _, points = planned
    named = {job.point.name: job.point for job in points}
    assert len(named) == len(points) == 2 * 2 * 4
    assert named["scratch-to-nl-0.05-1"].config.trainer.steps == 2
    assert named["scratch-long-to-nl-0.05-1"].config.trainer.steps == 4
    own = named["nl-to-nl-0.05-1"]
    assert own.source == "nl-1" and own.config.units == "words" and own.config.trainer.seed == 1
    assert named["nl-to-en-0.05-0"].config.units == "characters"


@pytest.fixture(scope="module")
def table(there: dict[str, Manifests], feature_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the folder of a finished table of two languages, its pairs and its rates."""
    folder = tmp_path_factory.mktemp("table")
    return folder, *run_pairs(_config(languages=("nl", "en")), there, folder, 1, lambda line: None)


def test_the_table_says_what_each_source_gained(table: Any) -> None:
    folder, pairs, rates = table
    assert [(p.source, p.target) for p in pairs] == [("nl", "nl"), ("nl", "en"), ("en", "nl"), ("en", "en")]
    for pair in pairs:
        assert pair.unit == "character"
        assert pair.gain == pytest.approx((pair.scratch_long - pair.rate) / pair.scratch_long)
        assert pair.plain == pytest.approx((pair.scratch - pair.rate) / pair.scratch)
        assert pair.gain_low is None and pair.gain_p == 1, "one seed says nothing of the next"
        assert rates.cells[pair.source, pair.target].rate == pytest.approx(pair.rate)
    assert read_record(folder / "points" / "nl-to-nl-0.05-0")["scores"]["test"]["cer"] == pytest.approx(pairs[0].rate)


def test_self_transfer_stands_first_and_bold(table: Any) -> None:
    _, pairs, rates = table
    tables = pairs_tables(pairs)
    assert all(one.rows[0][0] == "nl" and one.rows[0][1].startswith("**") for one in tables)
    assert [row[0] for row in tables[2].rows] == ["nl", "en", "scratch", "scratch, all steps"]
    assert "in characters" in tables[2].title and tables[0].headings == ("source \\ target", "nl", "en")
    assert rates_table(rates).rows[0][1].startswith("**") and not rates_table(rates).rows[0][2].startswith("**")


def test_the_table_is_made_again_without_training(table: Any, there: dict[str, Manifests]) -> None:
    folder, pairs, _ = table
    stamps = {path: path.stat().st_mtime_ns for path in folder.glob("*/*/run.json")}
    assert len(stamps) == 2 + 2 * 4
    again, _ = run_pairs(_config(languages=("nl", "en")), there, folder, 1, lambda line: None)
    assert again == pairs and stamps == {path: path.stat().st_mtime_ns for path in stamps}


def test_what_makes_no_table_is_refused(there: dict[str, Manifests], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no speech in 'ln'. Did you mean 'nl'"):
        choose_languages(_config(languages=("en", "ln")), there)
    with pytest.raises(ConfigError, match="there is only en"):
        choose_languages(_config(), {"en": there["en"]})
    for changes, message in (
        ({"languages": ("en",)}, "two or more different ones"),
        ({"minutes": 0}, "`minutes` must be above 0"),
        ({"seeds": ()}, "`seeds` must not be empty"),
        ({"learn": learning(mode="joint")}, "`learn.mode` joint does not fit"),
    ):
        with pytest.raises(ConfigError, match=message):
            _config(**changes)
    (tmp_path / "train.jsonl").write_text("", encoding="utf-8")
    assert Manifests.by_language({"gcin": tmp_path}, {"gcin": "cmn"}) == {}
    small = _config(languages=("en", "fr", "nl", "de"), source=replace(source_config(), trainer=trainer(400)))
    assert small.shortened().languages == ("en", "fr", "nl") and small.shortened().source.trainer.steps == 40


def _scored(wrong: int, seed: int = 0) -> Alignments:
    rows = [Hypothesis(f"{s}-{n}", f"s{s}", "en", "a", "b" if n < wrong else "a") for s in range(6) for n in range(10)]
    return align(rows)


def test_a_reduction_is_a_share_with_its_interval() -> None:
    before, after = [_scored(n) for n in (4, 5, 4, 5, 4, 5)], [_scored(n) for n in (2, 2, 3, 2, 2, 3)]
    halved = reduction(before, after)
    assert halved.value == pytest.approx(1 - 14 / 27) and halved.p < 0.05
    assert halved.low is not None and halved.high is not None and halved.low < halved.value < halved.high
    same = reduction(before, before)
    assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)
    worse = reduction([_scored(2)], [_scored(3)])
    assert worse.value == pytest.approx(-0.5) and (worse.low, worse.high, worse.p) == (None, None, 1)


def test_rates_over_seeds_count_seeds_and_speakers() -> None:
    random = np.random.default_rng(0)

    def seeds(mean: float) -> list[Alignments]:
        return [_scored(int(n)) for n in random.binomial(10, mean, 6)]

    worse, better = seeds(0.6), seeds(0.3)
    found, change = rate_over_seeds(worse), difference_over_seeds(worse, better)
    assert found.low is not None and found.high is not None and found.low < found.value < found.high
    assert (found.clusters, change.clusters) == (6, 6) and change.low is not None and change.high is not None
    assert change.low < change.value < change.high < 0 and change.p < 0.05
    assert change.value == pytest.approx(pooled_rate(better) - pooled_rate(worse))
    assert rate_over_seeds(worse[:3]).low is None and difference_over_seeds(worse[:3], better[:3]).p >= 0.25
    with pytest.raises(DataError, match="different utterances"):
        rate_over_seeds([worse[0], align([Hypothesis("u", "s", "en", "a", "a")])])


def test_no_finding_rests_on_fewer_seeds_than_an_exact_test_needs() -> None:
    for seeds, p in ((3, 0.25), (5, 0.0625)):
        found = reduction([_scored(5)] * seeds, [_scored(1)] * seeds)
        assert found.p == pytest.approx(p) and found.clusters == seeds and (found.low is None) == (seeds < 4)
    for before, after, message in (([], [], "0 and 0 seeds"), ([_scored(1)], [], "1 and 0 seeds")):
        with pytest.raises(DataError, match=message):
            reduction(before, after)
    with pytest.raises(DataError, match="different utterances"):
        reduction([_scored(1)], [align([Hypothesis("x", "s", "en", "a", "a")])])


@pytest.mark.parametrize(("clusters", "rate"), [(4, 0.1), (7, 0.45)])
def test_the_interval_of_a_reduction_is_the_jackknifes(clusters: int, rate: float) -> None:
    random = np.random.default_rng(clusters)
    before, after = (random.binomial(90, own, clusters) for own in (0.5, rate))
    found = figures_over_clusters(before, after)

    def figure(one: float, other: float) -> float:
        return math.log((other + 0.5) / (one + 0.5))

    left_out = [figure(before.sum() - a, after.sum() - b) for a, b in zip(before, after, strict=True)]
    error = math.sqrt((clusters - 1) * np.var(left_out))
    weights = before + after
    freedom = weights.sum() ** 2 / (weights**2).sum() - 1
    centre, reach = figure(before.sum(), after.sum()), float(stats.t.ppf(0.975, freedom)) * error
    assert found.value == pytest.approx(1 - after.sum() / before.sum())
    assert (found.low, found.high) == pytest.approx((1 - math.exp(centre + reach), 1 - math.exp(centre - reach)))
    p = 2 * stats.t.sf(abs(centre) / error, freedom)
    assert found.p == pytest.approx(max(p, 2.0 ** (1 - clusters))), "a sign test of so few can say no more"
    assert (p < 2.0 ** (1 - clusters)) == (clusters == 4), "both happen"
