"""A sweep over amounts, systems and seeds: killed and continued, its table, and what it refuses."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from asr_transfer.config import ModelConfig, TopConfig
from asr_transfer.data.manifest import read_manifest, write_manifest
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.evaluation.scoring import Hypothesis, write_scores
from asr_transfer.experiments.core.tables import markdown
from asr_transfer.experiments.languages.curve import (
    Row,
    all_points,
    curve_tables,
    run_curve,
    saved_speech,
    summarise,
    tried,
    write_plots,
)
from asr_transfer.experiments.languages.points import Corpora, Point, check_languages
from asr_transfer.experiments.languages.savings import savings, savings_table
from asr_transfer.experiments.languages.search import UNCHANGED, Candidate, ScratchSearch
from asr_transfer.experiments.languages.systems import SYSTEMS, CurveConfig, plan
from asr_transfer.languages.config import LanguageConfig
from asr_transfer.runs.record import RunRecord, read_record
from tests.language_sweeps import corpora_of, curve_config, make_folders, moved_in, run_until, source_config
from tests.models.pretrained.whole_whisper import write_whisper
from tests.small import in_child


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return folders of manifests by language."""
    return make_folders(tmp_path_factory.mktemp("languages"))


def _timeless(rows: Any) -> list[dict[str, Any]]:
    return [{n: v for n, v in asdict(row).items() if not n.endswith("seconds")} for row in rows]


def test_a_killed_sweep_goes_on_and_ends_in_the_same_table(
    folders: dict[str, Path], feature_cache: Path, tmp_path: Path
) -> None:
    config, corpora = curve_config(), corpora_of(folders)
    whole = run_curve(config, corpora, tmp_path / "whole", 1, lambda line: None)
    child = in_child(run_until, "point 'transfer-0.05-0'", config, corpora, tmp_path / "cut")
    child.join(120)
    assert child.exitcode == -9
    done = {path.parent.name for path in (tmp_path / "cut" / "points").glob("*/run.json")}
    assert done == {"scratch-0.05-0", "transfer-0.05-0"}
    # A point that was under way: its folder is there, its record is not finished.
    half = tmp_path / "cut" / "points" / "transfer-0.05-0" / "run.json"
    record = json.loads(half.read_text(encoding="utf-8"))
    half.write_text(json.dumps({**record, "status": "running"}), encoding="utf-8")
    before = {name: (tmp_path / "cut" / name / "run.json").stat().st_mtime_ns for name in _finished()}
    again = run_curve(config, corpora, tmp_path / "cut", 1, lambda line: None)
    assert _timeless(again) == _timeless(whole)
    assert before == {name: (tmp_path / "cut" / name / "run.json").stat().st_mtime_ns for name in _finished()}
    for name in ("scratch-0.1-0", "transfer-0.05-0"):
        one, other = (
            (tmp_path / side / "points" / name / "fr" / "hypotheses.jsonl").read_bytes() for side in ("whole", "cut")
        )
        assert one == other
    write_plots(tmp_path / "cut", again)
    text = markdown(curve_tables(again, saved_speech(config, corpora, tmp_path / "cut")))
    assert text.count("\n| 0.05 | ") == 2 and "fewer errors than `transfer`" not in text
    assert (tmp_path / "cut" / "curve-fr.svg").stat().st_size > 1000
    found = read_record(tmp_path / "cut" / "sources" / "all-0")["identification"]
    assert found["utterances"] == 8 and set(found["languages"]) == {"en", "nl"}
    with pytest.raises(ConfigError, match="cannot be resumed.*trainer.steps"):
        learn = replace(config.learn, trainer=replace(config.learn.trainer, steps=3))
        run_curve(replace(config, learn=learn), corpora, tmp_path / "cut", 1, lambda line: None)


def _finished() -> tuple[str, str]:
    return "sources/all-0", "points/scratch-0.05-0"


@dataclass(frozen=True)
class Whole:
    """A finished sweep over all kinds of sources: its systems, rows, folder, and what was said."""

    config: CurveConfig
    rows: list[Row]
    folder: Path
    said: list[str]


@pytest.fixture(scope="module")
def whole(folders: dict[str, Path], feature_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Return a sweep of one amount and one seed over transfer and all that is meant to help it."""
    helped = ("transfer", "adversarial", "shared-private", "progressive", "progressive-random")
    config = curve_config(amounts=(0.1,), systems=("scratch", *helped))
    folder, said = tmp_path_factory.mktemp("whole"), list[str]()
    return Whole(config, list(run_curve(config, corpora_of(folders), folder, 1, said.append)), folder, said)


def test_every_system_stands_beside_plain_transfer(whole: Whole) -> None:
    rows = whole.rows
    assert [row.system for row in rows] == list(whole.config.systems)
    assert [row.versus is None for row in rows] == [True, True, False, False, False, False]
    assert [row.baseline for row in rows] == ["", *["scratch"] * 5]
    assert all(row.low is row.high is None for row in rows), "one seed says nothing of the next"
    assert all(row.by_seed == (row.rate,) for row in rows)
    (table,) = curve_tables(rows, [])
    assert "fewer errors than `transfer` %" in table.headings and len(table.headings) == 12


def test_every_system_has_its_source(whole: Whole) -> None:
    sources = whole.folder / "sources"
    assert sorted(path.name for path in sources.iterdir()) == ["adversarial-0", "all-0", "shared-private-0"]
    history = read_record(sources / "shared-private-0")["history"][-1]
    assert history["encoder.domain_loss"] > 0 and 0 <= history["orthogonality"] <= 1
    settings = {name: read_record(sources / name)["config"] for name in ("all-0", "adversarial-0")}
    assert "kind" not in settings["all-0"] and settings["adversarial-0"]["separation"]["adversarial"] == 0.05
    assert whole.rows[3].source_seconds > 0 and whole.rows[5].source_seconds == 0
    ready = [line for line in whole.said if line.startswith("source model 'all-0' ready")]
    assert any("tells 2 languages apart in" in line for line in ready)


@pytest.fixture
def all_systems() -> CurveConfig:
    """Return an experiment of every system that has settings of its own."""
    own = {name for name, system in SYSTEMS.items() if system.tuned or system.published or system.mode == "top"}
    names = tuple(name for name in SYSTEMS if name not in own)
    return CurveConfig(amounts=(1, 2), systems=names, seeds=(0, 1), one="nl", few=1, extra_seeds=(7,))


def test_plans_name_sources_and_points(folders: dict[str, Path], all_systems: CurveConfig) -> None:
    corpora = corpora_of(folders)
    jobs, points = plan(all_systems, corpora, ["en", "nl"])
    assert {job.name for job in jobs} == {
        f"{kind}-{seed}" for kind in ("all", "some", "one", "adversarial", "shared-private") for seed in (0, 1, 7)
    }
    assert len({point.name for point in points}) == len(points) == len(all_systems.systems) * (3 + 2)
    named = {job.name for job in jobs}
    assert all(point.source is None or point.source in named for point in points)
    dutch = sum(u.duration for u in corpora.source_utterances() if u.language == "nl")
    assert {job.seconds for job in jobs if job.name.startswith("some")} == {dutch}
    long = next(point for point in points if point.system == "scratch-long")
    assert long.config.trainer.steps == all_systems.source.trainer.steps + all_systems.learn.trainer.steps


def test_plans_may_share_sources_and_leave_points_out(folders: dict[str, Path], all_systems: CurveConfig) -> None:
    corpora = corpora_of(folders)
    _, points = plan(all_systems, corpora, ["en", "nl"])
    shared, same = plan(replace(all_systems, source_seed=4), corpora, ["en", "nl"])
    assert {job.name for job in shared} == {
        f"{kind}-4" for kind in ("all", "some", "one", "adversarial", "shared-private")
    }
    assert {point.source for point in same} == {job.name for job in shared} | {None}
    assert [point.name for point in same] == [point.name for point in points]
    few = replace(all_systems, seeds_of={"joint": (1,)}, amounts_of={"joint": (2,)})
    assert [p.name for p in plan(few, corpora, ["en", "nl"])[1] if p.system == "joint"] == ["joint-2-1"]
    small = all_systems.shortened()
    assert small.seeds == (0,) and small.extra_seeds == () and small.learn.trainer.steps == 100
    assert [p.name for p in plan(small, corpora, ["en", "nl"])[1] if p.system.startswith("scratch")] == [
        "scratch-1-0", "scratch-long-1-0", "scratch-2-0",
    ]  # fmt: skip


def test_plans_that_make_no_sense_are_refused(folders: dict[str, Path], all_systems: CurveConfig) -> None:
    corpora = corpora_of(folders)
    for changes, message in (
        ({"one": "nk"}, "`one` is 'nk'. Did you mean 'nl'"),
        ({"systems": ("one-language",), "one": "de"}, "`one` is 'de'"),
    ):
        with pytest.raises(ConfigError, match=message):
            plan(replace(all_systems, **changes), corpora, ["en", "nl"])
    with pytest.raises(ConfigError, match="no source languages, which the system `transfer` needs"):
        plan(replace(all_systems, systems=("scratch", "transfer")), corpora, [])
    for changes, message in (
        ({"systems": ("transfr",)}, "there is no 'transfr'. Did you mean 'transfer'"),
        ({"amounts": (2, 1)}, "rising"),
        ({"seeds": (0, 0)}, "no seed may stand twice"),
        ({"seeds_of": {"scratch": (5,)}}, "`seeds_of.scratch` names 5, which is not among the seeds; add it there"),
        ({"amounts_of": {"scrtch": (0.05,)}}, "`amounts_of`: there is no system 'scrtch'. Did you mean 'scratch'"),
    ):
        with pytest.raises(ConfigError, match=message):
            curve_config(**changes)


def test_what_transfer_is_held_against_is_the_better_start_from_scratch(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    config = curve_config(amounts=(0.1,), systems=("scratch", "scratch-long", "transfer"))
    rows = run_curve(config, corpora_of(folders), tmp_path, 1, lambda line: None)
    assert {row.baseline for row in rows} == {"scratch", ""} or {row.baseline for row in rows} == {"scratch-long", ""}
    points = plan(config, corpora_of(folders), ["en", "nl"])[1]
    for better, worse in (("scratch", "scratch-long"), ("scratch-long", "scratch")):
        for name, error in ((better, 0.3), (worse, 0.4)):
            file = tmp_path / "points" / f"{name}-0.1-0" / "run.json"
            record = json.loads(file.read_text(encoding="utf-8"))
            file.write_text(json.dumps({**record, "best": {"wer": error}}), encoding="utf-8")
        found = {row.system: row.baseline for row in summarise(tmp_path, points, ["fr"])}
        assert found == {better: "", worse: better, "transfer": better}, "the development speech decides"


CANDIDATES = (Candidate("small", dim=8), Candidate("decay", weight_decay=0.3), Candidate("masks", masks=3))


@pytest.fixture(scope="module")
def searched(folders: dict[str, Path], feature_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Return a sweep whose start from scratch was searched for among the candidates."""
    systems = ("transfer", "scratch-long", "scratch-tuned")
    config = curve_config(
        systems=systems, seeds=(0, 1), seeds_of={"scratch-long": (0,)}, search=ScratchSearch(0.05, CANDIDATES)
    )
    folder, said = tmp_path_factory.mktemp("searched"), list[str]()
    return Whole(config, list(run_curve(config, corpora_of(folders), folder, 1, said.append)), folder, said)


TOP = (("sources/all-0", "en"), ("points/transfer-top-0.1-0", "fr"))


def test_curves_begin_with_published_encoders_too(
    folders: dict[str, Path], feature_cache: Path, tmp_path: Path
) -> None:
    published = tmp_path / "whisper"
    write_whisper(published)
    systems = ("scratch", "transfer", "published-top", "published")
    config = curve_config(amounts=(0.1,), systems=systems, pretrained=published)
    rows = run_curve(config, corpora_of(folders), tmp_path / "own", 1, lambda line: None)
    assert {row.system for row in rows} == set(systems)
    for system in ("published-top", "published"):
        assert Recogniser.load(tmp_path / f"own/points/{system}-0.1-0/model").model.published()
    # And a source model may stand on one, where a start from scratch has a network of its own.
    network = ModelConfig(pretrained=published, top=TopConfig(layers=1, dim=6))
    config = curve_config(amounts=(0.1,), systems=("transfer",), source=replace(source_config(), model=network))
    assert plan(replace(config, systems=("scratch",)), corpora_of(folders), ["en"])[1][0].config.model == ModelConfig()
    run_curve(replace(config, systems=("transfer", "transfer-top")), corpora_of(folders), tmp_path / "source", 1, print)
    assert Recogniser.load(tmp_path / "source/points/transfer-0.1-0/model", "fr").model.published()
    loaded = [Recogniser.load(tmp_path / f"source/{name}/model", language).model for name, language in TOP]
    moved = [moved_in(*loaded, blocks) for blocks in (loaded[0].published(), loaded[0].on_published())]
    assert moved == [False, True], "the encoder stays as it is, and the layers on it go on"
    with pytest.raises(ConfigError, match="published-top begins with a published encoder; give `pretrained`"):
        curve_config(systems=("scratch", "published-top"))
    with pytest.raises(ConfigError, match="transfer-top needs source models on a published encoder; give `source.mod"):
        curve_config(systems=("scratch", "transfer-top"))


def test_settings_for_a_start_from_scratch_are_listed_by_their_errors(searched: Whole) -> None:
    systems = searched.config.systems
    assert [row.system for row in searched.rows] == [*systems, *systems]
    found = tried(searched.config, searched.folder)
    assert {one.name for one in found} == {UNCHANGED, "small", "decay", "masks"}
    assert [one.error for one in found] == sorted(one.error for one in found)
    assert [one.chosen for one in found] == [True, False, False, False]
    assert any(f"the settings '{found[0].name}' err least" in line for line in searched.said)
    text = markdown(curve_tables(searched.rows, [], found))
    assert "Settings tried for a start from scratch" in text and "| unchanged |" in text


@pytest.mark.parametrize(("name", "key", "value"), [("small", "model.dim", 8), ("decay", "trainer.weight_decay", 0.3)])
def test_a_start_from_scratch_gets_the_settings_that_err_least_on_development_speech(
    name: str, key: str, value: float, searched: Whole, folders: dict[str, Path], tmp_path: Path
) -> None:
    """Another winner on the development speech, and other settings are planned everywhere."""
    config, folder = searched.config, tmp_path / "run"
    shutil.copytree(searched.folder, folder)
    for point in (folder / "points").glob("s*-0.05-0"):
        file = point / "run.json"
        record = json.loads(file.read_text(encoding="utf-8"))
        best = {config.learn.monitor: 0.1 if name in point.name else 0.5}
        file.write_text(json.dumps({**record, "best": best}), encoding="utf-8")
    own = [p for p in all_points(config, corpora_of(folders), folder) if p.system == "scratch-tuned"]
    assert [p.name for p in own] == [f"scratch-tuned-{a}-{s}" for a in (0.05, 0.1) for s in (0, 1)]
    outer, inner = key.split(".")
    assert {getattr(getattr(p.config, outer), inner) for p in own} == {value}
    steps = {p.config.trainer.steps for p in own}
    assert steps == {config.search_start.config.trainer.steps}, "as many steps as without a search"


def test_syllables_and_words_of_a_lexicon_are_counted_beside_phones(tmp_path: Path) -> None:
    learn = LanguageConfig(mode="scratch", units="toneless-phones")
    points = [Point("scratch", 5, seed, None, learn) for seed in (0, 1)]
    heard = (("n i h ao", "n i m ao"), ("h ao d e", "h ao d")), (("n i h ao", "n i h ao"), ("h ao d e", "h ao d e i"))
    words = (("你好", "你好"), ("好的", "不")), (("你好", "你"), ("好的", "好的"))
    for point, phones, taken in zip(points, heard, words, strict=True):
        folder = tmp_path / "points" / point.name
        RunRecord(folder, {}).finish(training={"cpu_seconds": 1.0})
        for test, pairs in (("words", phones), ("words-lexicon", taken)):
            write_scores(folder / test, [Hypothesis(str(n), "a", "cmn", *pair) for n, pair in enumerate(pairs)])
    (row,) = summarise(tmp_path, points, ["words"])
    assert row.rate == pytest.approx(3 / 16)  # m for h, e left out; one i too many
    assert row.syllables == pytest.approx(3 / 8)  # n+i m+ao, h+ao d; h+ao d+e i
    assert row.lexicon == pytest.approx(3 / 8) and row.lexicon_spread == pytest.approx(0.25 / 2**0.5)
    head = markdown(curve_tables([row], [])).splitlines()[2]
    assert "syllable error % | CER by lexicon % | ± seeds" in head and "than" not in head
    for point in points:
        (tmp_path / "points" / point.name / "words-lexicon" / "hypotheses.jsonl").unlink()
    (row,) = summarise(tmp_path, [replace(p, config=replace(learn, units="characters")) for p in points], ["words"])
    assert row.syllables is row.lexicon is row.lexicon_spread is None
    assert "lexicon" not in markdown(curve_tables([row], [])) and "syllable" not in markdown(curve_tables([row], []))


def test_corpora_that_do_not_fit_together_are_refused_by_name(folders: dict[str, Path], tmp_path: Path) -> None:
    corpora = corpora_of(folders)
    french, english = (str(folders[name] / "train.jsonl") for name in ("fr", "en"))
    assert check_languages(corpora) == (["en", "nl"], "fr")
    with pytest.raises(DataError, match="'fr' is among the sources too"):
        check_languages(replace(corpora, sources={**corpora.sources, "fr": french}))
    with pytest.raises(DataError, match="manifests are in en, fr; give those of one language"):
        check_languages(replace(corpora, train={**corpora.train, "en": english}))
    with pytest.raises(DataError, match="the corpora 'en train' and 'en again' both claim the id 'en-0'"):
        check_languages(replace(corpora, sources={**corpora.sources, "en again": english}))
    with pytest.raises(DataError, match="no train manifest"):
        check_languages(replace(corpora, train={}))
    with pytest.raises(DataError, match="no test manifest"):
        check_languages(replace(corpora, tests={}))
    empty = tmp_path / "empty.jsonl"
    write_manifest(empty, [])
    with pytest.raises(DataError, match=r"empty\.jsonl: holds no utterances"):
        check_languages(replace(corpora, dev={"fr": str(empty)}))
    with pytest.raises(DataError, match=r"dev\.jsonl: there is no such manifest"):
        write_manifest(tmp_path / "lone" / "train.jsonl", read_manifest(french))
        Corpora.from_folders({}, {"fr": tmp_path / "lone"})


def test_speech_saved_is_asked_at_each_error_from_scratch(tmp_path: Path) -> None:
    wrong = {"scratch": {5: 80, 10: 40}, "transfer": {5: 40, 10: 20, 20: 10}}
    points = [
        Point(system, minutes, seed, None, LanguageConfig(units="words"))
        for system, own in wrong.items()
        for minutes in own
        for seed in ((0, 1, 2, 3, 7) if minutes == 5 else (0, 1, 2, 3))
    ]
    for point in points:
        errors = 100 if point.seed == 7 else wrong[point.system][int(point.minutes)]
        heard = " ".join("x" if n < errors else "a" for n in range(100))
        folder = tmp_path / "points" / point.name / "words"
        write_scores(folder, [Hypothesis(name, "ann", "cmn", " ".join("a" * 100), heard) for name in "1234"])
    at_first, at_last = savings(tmp_path, points, "words")
    assert (at_first.minutes, at_first.error, at_first.needed) == (5, pytest.approx(0.8), None)
    assert at_first.factor == pytest.approx(1) and at_first.told == "at least 1" and at_first.low is None
    assert (at_last.minutes, at_last.error) == (10, pytest.approx(0.4)), "seed 7 was not run at ten minutes"
    assert at_last.needed == pytest.approx(5) and at_last.factor == at_last.low == at_last.high == pytest.approx(2)
    row = Row("words", "transfer", 5, 2, 0.4, 0.0, None, None, None, 1.0, 1.0)
    table = markdown(curve_tables([row], [at_first, at_last]))
    assert "| transfer | scratch | 10 | 40.0 | 5.0 | 2 [2, 2], n = 4 |" in table
    assert len(savings_table([at_first, at_last]).rows) == 2
