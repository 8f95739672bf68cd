"""What is promised of every figure: nobody is judged on what was learnt, and intervals are what they are called.

Each of these tests fails on a bug that would leave every other test as it is.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from asr_transfer.cli import main
from asr_transfer.config import FeatureConfig, ModelConfig
from asr_transfer.data.features import build_store
from asr_transfer.data.inputs import LogMel
from asr_transfer.data.manifest import Utterance, read_manifest
from asr_transfer.data.speech import Spoken
from asr_transfer.evaluation import clusters
from asr_transfer.evaluation.normalisation import DEFAULT
from asr_transfer.evaluation.scoring import Hypothesis, align
from asr_transfer.experiments.core.effects import reduction
from asr_transfer.experiments.core.jobs import run_job
from asr_transfer.experiments.languages import points, sources
from asr_transfer.experiments.languages.points import Corpora, Point, TrainPoint
from asr_transfer.experiments.speakers import adapting
from asr_transfer.experiments.speakers import sources as sources_of_folds
from asr_transfer.experiments.speakers.config import AUTOMATIC, WITHOUT_SOURCE, ExperimentConfig, MethodGrid
from asr_transfer.experiments.speakers.protocol import Draw, Fold
from asr_transfer.experiments.speakers.sources import TrainFold
from asr_transfer.training import session
from asr_transfer.training.streams import members
from data_prep.multilingual import SOURCE_SPLITS, SOURCES
from tests.language_sweeps import corpora_of, learning, make_folders, source_config
from tests.tones import TINY

PARTS = ("train", "dev")


class Learnt(Exception):
    """Carries what would have been learnt from, instead of learning."""


def _fold(**changes: Any) -> Fold:
    draws = (Draw("s", 0, ("a",), ("b", "c")), Draw("t", 0, ("d",), ("e",)), Draw("t", 1, ("e",), ("d",)))
    usual = {"train": ("f", "g"), "others": (), "dev": (), "test": draws, "judged": ("i",)}
    return Fold("f", **{**usual, **changes})


def _shop(folder: Path | None = None) -> Any:
    known = {name: Utterance(name, "", 1.0, "a", "s", "en") for name in "abcdefghij"}
    source = SimpleNamespace(normalisation=DEFAULT, can_run_away=False, model=None)
    config = replace(ExperimentConfig(), methods=tuple(MethodGrid(name) for name in ("full", *AUTOMATIC)))
    return SimpleNamespace(
        utterances=lambda: known, store=lambda: None, source=lambda fold: source, config=config, folder=str(folder)
    )


@pytest.mark.parametrize("method", ["full", *AUTOMATIC])
def test_a_trial_never_learns_its_draws_test_utterances(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = Draw("s", 0, pool=("a", "b", "c"), test=("d", "e"))
    fold = _fold(others=("h",), test=(draw,), source=("f", "g"))

    def caught(source: object, spoken: Spoken, *rest: Any, **named: Any) -> None:
        more = [part for part in (*rest, *named.values()) if isinstance(part, Spoken)]
        raise Learnt([u.id for u in spoken.utterances], {u.id for part in more for u in part.utterances})

    monkeypatch.setattr(adapting, "adapt", caught)
    monkeypatch.setattr(adapting, "adapt_by_choice", caught)
    with pytest.raises(Learnt) as found:
        adapting._run_trial((_shop(), fold, ("f", draw, 2, method, 0.0)))
    learnt, beside = found.value.args
    assert learnt == ["a", "b"] and not beside & {*draw.test, *fold.others}
    assert beside == (set() if method == WITHOUT_SOURCE else {"f", "g"} | ({"i"} if method == "auto" else set()))


def test_the_source_model_of_a_fold_learns_its_training_utterances_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def caught(train: Spoken, dev: Spoken, *rest: Any) -> None:
        raise Learnt([u.id for u in train.utterances], dev.utterances)

    monkeypatch.setattr(sources_of_folds, "train_source", caught)
    with pytest.raises(Learnt) as found:
        run_job(tmp_path, TrainFold(_shop(tmp_path), _fold()))
    assert found.value.args == (["f", "g"], [])


@pytest.mark.parametrize(("others", "watched"), [((), ["e"]), (("h",), ["h"])])
def test_forgetting_is_measured_on_others_alone(
    others: tuple[str, ...], watched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def heard(recogniser: object, spoken: Spoken) -> list[Hypothesis]:
        asked.append([u.id for u in spoken.utterances])
        return [Hypothesis(u.id, "s", "en", "a", "a") for u in spoken.utterances]

    monkeypatch.setattr(adapting, "hypotheses", heard)
    fold = _fold(others=others)
    adapting._run_trial((_shop(), fold, ("f", fold.test[0], 0, "none", 0.0)))
    assert asked == [["b", "c"], watched]


def test_a_point_is_never_chosen_on_its_test_set(
    tmp_path: Path, feature_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpora = corpora_of(make_folders(tmp_path / "languages"))
    kept = {u.id for path in corpora.tests.values() for u in read_manifest(path)}
    chosen_on = {u.id for path in corpora.dev.values() for u in read_manifest(path)}

    def caught(source: object, train: Any, dev: Any, *rest: Any) -> None:
        raise Learnt({u.id for u in train.utterances}, {u.id for u in dev.utterances})

    monkeypatch.setattr(points, "learn_language", caught)
    config = learning(mode="scratch", model=ModelConfig(encoder="tdnn", layers=1, dim=8, channels=8))
    with pytest.raises(Learnt) as found:
        run_job(tmp_path, TrainPoint(corpora, Point("scratch", 0.1, 0, None, config), (0.1,)))
    train, dev = found.value.args
    assert train and dev and dev <= chosen_on and not (train | dev) & kept and not train & dev


def test_joint_training_reads_no_source_speech_that_is_kept_from_training(
    tmp_path: Path, feature_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpora = corpora_of(make_folders(tmp_path / "languages"))
    heard = {u.id for path in corpora.sources.values() for u in read_manifest(path)}

    def caught(source: object, train: Any, dev: Any, *rest: Any) -> None:
        raise Learnt({u.id for u in rest[-1].utterances})

    network = SimpleNamespace(model=SimpleNamespace(inputs=LogMel(mels=8)))
    monkeypatch.setattr(points, "load_source", lambda folder: network)
    monkeypatch.setattr(points, "learn_language", caught)
    with pytest.raises(Learnt) as found:
        run_job(tmp_path, TrainPoint(corpora, Point("joint", 0.1, 0, "all", learning(mode="joint")), (0.1,)))
    assert found.value.args == (heard,)


@pytest.mark.parametrize("languages", [("en",), ("en", "nl")])
def test_development_speech_is_listened_to_and_never_learnt(
    languages: tuple[str, ...], tmp_path: Path, feature_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = make_folders(tmp_path)
    train, dev = ([u for name in languages for u in read_manifest(folders[name] / f"{split}.jsonl")] for split in PARTS)
    store = build_store([*train, *dev], FeatureConfig(mels=16))

    def caught(model: object, streams: Any, *rest: Any, validation: Any, **named: Any) -> None:
        sides = ([stream for group in side for stream in members(group)] for side in (streams, validation))
        raise Learnt(*({u.id for stream in side for u in stream.data.utterances} for side in sides))

    monkeypatch.setattr(session, "Trainer", caught)
    with pytest.raises(Learnt) as found:
        session.train_recogniser(Spoken(train, store), Spoken(dev, store), source_config())
    assert found.value.args == ({u.id for u in train}, {u.id for u in dev})


def test_a_source_model_learns_its_own_languages_alone(tmp_path: Path) -> None:
    corpora = corpora_of(make_folders(tmp_path))
    for languages, heard in ((("nl",), {"nl"}), ((), {"en", "nl"})):
        for seconds in (None, 5.0):
            chosen = sources._chosen(sources.SourceModel("one", languages, seconds, source_config()), corpora)
            assert {u.language for u in chosen} == heard


def test_speakers_and_utterances_that_are_judged_on_are_not_trained_on(
    tone_corpus: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    every = read_manifest(tone_corpus["train"])
    rest, held_out = session.hold_out_speakers(every, 2, 0)
    assert len({u.speaker for u in held_out}) == 2 and len(rest) + len(held_out) == len(every)
    assert not {u.speaker for u in rest} & {u.speaker for u in held_out}
    for option in ("--dev", "--test"):
        speech = str(tone_corpus["train"])
        words = ["train", "--train", speech, option, speech, "--out", str(tmp_path / "run"), *TINY]
        assert main([*words, "--trainer.steps", "1"]) == 1
        assert f"stands in the training and the {option[2:]} manifest" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_source_models_are_trained_on_no_speech_that_is_kept_from_training(tmp_path: Path) -> None:
    for name in SOURCES:
        for split in ("train", "dev", "test", "others"):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / f"{split}.jsonl").touch()
    corpora = Corpora.from_folders({name: tmp_path / name for name in SOURCES}, {}, splits=SOURCE_SPLITS)
    assert not set(corpora.sources.values()) & set(corpora.source_tests.values())
    # The speakers that other experiments hold out of AN4, for choosing and for testing.
    assert {Path(path).stem for name, path in corpora.sources.items() if name.startswith("an4 ")} == {"train"}


def _scored(errors: np.ndarray) -> Any:
    """Return utterances of ten words of one speaker, with so many errors each."""
    pairs = [("a " * 10, "a " * (10 - n) + "b " * n) for n in errors.tolist()]
    return align([Hypothesis(f"u{n}", "s", "en", *pair) for n, pair in enumerate(pairs)])


def test_seeds_that_disagree_widen_the_interval() -> None:
    random = np.random.default_rng(0)
    before = [_scored(random.binomial(10, 0.4, 200)) for _ in range(4)]
    alike = [_scored(random.binomial(10, 0.3, 200)) for _ in range(4)]
    apart = [_scored(random.binomial(10, rate, 200)) for rate in (0.1, 0.25, 0.35, 0.5)]
    one, other = reduction(before, alike), reduction(before, apart)
    assert other.value == pytest.approx(one.value, abs=0.05)
    assert one.low is not None and one.high is not None and other.low is not None and other.high is not None
    assert other.high - other.low > 3 * (one.high - one.low), "seeds vary, not only utterances"


def test_an_interval_that_is_called_95_per_cent_is_one() -> None:
    random = np.random.default_rng(1)
    units = np.full(4000, 10)
    errors, better = random.binomial(units, 0.2), random.binomial(units, 0.15)
    own, change = clusters.rate(errors, units), clusters.difference(errors, better, units)
    for found, spread in ((own, errors.std() / 10), (change, (better - errors).std() / 10)):
        assert found.low is not None and found.high is not None
        width = (found.high - found.low) / (2 * spread / np.sqrt(len(units)))
        assert width == pytest.approx(1.96, rel=0.04), "1.645 would be 90 %"


def test_features_of_another_part_of_a_file_are_others(tmp_path: Path, make_audio: Any) -> None:
    file = make_audio(tmp_path / "long.wav", seconds=3.0)
    first = Utterance("u", str(file), 1.0, "a", "s", "en", start=0.0)
    stores = [
        build_store([replace(first, start=start)], FeatureConfig(mels=8), cache=tmp_path / "cache")
        for start in (0.0, 1.5, 0.0)
    ]
    assert not np.array_equal(stores[0].frames, stores[1].frames)
    assert np.array_equal(stores[0].frames, stores[2].frames)
