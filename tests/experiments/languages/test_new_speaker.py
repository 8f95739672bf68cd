"""A speaker never heard: what each remedy changes, what is scored, and a small experiment from end to end."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asr_transfer.config import ModelConfig, SpecAugmentConfig, TopConfig
from asr_transfer.data.features import FeatureStore, build_store
from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.manifest import Utterance, read_manifest, write_manifest
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.experiments.core.effects import reduction
from asr_transfer.experiments.languages.new_speaker import (
    NewSpeakerConfig,
    learning,
    new_speaker_tables,
    plan_rows,
    run_new_speaker,
    syllables,
    write_syllables,
)
from asr_transfer.experiments.languages.points import Corpora, load_point
from asr_transfer.languages import transfer
from asr_transfer.languages.config import LanguageConfig
from asr_transfer.languages.transfer import learn_language
from asr_transfer.runs.record import read_record
from asr_transfer.training.session import train_recogniser
from tests.language_sweeps import NETWORK, corpora_of, make_folders, moved_in, source_config, trainer
from tests.models.pretrained.whole_whisper import write_whisper
from tests.tones import make_speaker

MASKS = SpecAugmentConfig(1, 4, 1, 4)
MANY = "speeds+channel+silence+speech-mean+adversarial+speakers+balanced"


def _learn(**changes: Any) -> LanguageConfig:
    usual: dict[str, Any] = {"units": "toneless-phones", "trainer": trainer(), "augment": None, "speeds": (1.0,)}
    return LanguageConfig(**{**usual, **changes})


def _config(**changes: Any) -> NewSpeakerConfig:
    usual: dict[str, Any] = {"seeds": (0,), "speeds": (1.0, 1.1), "source": source_config(), "learn": _learn()}
    return NewSpeakerConfig(**{**usual, **changes})


def _pronounced(utterances: list[Utterance]) -> list[Utterance]:
    """Return the utterances as if every letter were a syllable with a tone."""
    said = [" ".join(f"{letter}1" for letter in u.text if letter != " ") for u in utterances]
    return [replace(u, language="fr", pronunciation=own) for u, own in zip(utterances, said, strict=True)]


def _experiment(folder: Path) -> tuple[Corpora, dict[str, str]]:
    """Return two source languages and French by one voice, another voice of it to test, and a further one to train."""
    made = make_folders(folder)
    for split in ("train", "dev", "test"):
        manifest = made["fr"] / f"{split}.jsonl"
        write_manifest(manifest, _pronounced(read_manifest(manifest)))
    for name, shift in (("eve", 1.3), ("gil", 1.8)):
        write_manifest(folder / f"{name}.jsonl", _pronounced(make_speaker(folder / "wav", name, shift, 6, 70)))
    corpora = corpora_of(made)
    taught = [Path(path) for path in corpora.train.values()]
    spoken, lexicon = write_syllables(folder / "eve.jsonl", taught, taught, folder / "syllables")
    tested = replace(corpora, tests={"syllables": str(spoken)}, lexica={"syllables": str(lexicon)})
    return tested, {"gil": str(folder / "gil.jsonl")}


def test_a_remedy_changes_its_own_setting_and_no_other() -> None:
    config = _config(learn=_learn(augment=MASKS), warp=0.2, channel=0.7, silence=0.1, adversarial=0.4)
    plain = learning(config, "plain", 3)
    assert plain == replace(config.learn, trainer=replace(config.learn.trainer, seed=3))
    expected: dict[str, dict[str, Any]] = {
        "speeds": {"speeds": (1.0, 1.1)},
        "warp": {"augment": replace(MASKS, warp=0.2)},
        "channel": {"augment": replace(MASKS, channel=0.7)},
        "silence": {"augment": replace(MASKS, silence=0.1)},
        "speech-mean": {"normalisation": "speech-mean"},
        "adversarial": {"speaker_adversarial": 0.4},
        "speakers": {},
        "balanced": {"speaker_alpha": 0.0},
    }
    for row, changes in expected.items():
        assert learning(config, row, 3) == replace(plain, **changes)
    together = {name: value for changes in expected.values() for name, value in changes.items()}
    together["augment"] = replace(MASKS, warp=0.2, channel=0.7, silence=0.1)
    assert learning(config, "+".join(expected), 3) == replace(plain, **together)
    assert learning(config, "deviation", 3) == replace(plain, normalisation="utterance")
    bare = learning(_config(), "warp", 0).augment
    assert bare is not None and (bare.frequency_masks, bare.time_masks, bare.warp) == (0, 0, 0.15)
    for changes, message in (
        ({"rows": ("plain", "wrap")}, "no remedy 'wrap'. Did you mean 'warp'"),
        ({"rows": ("plain", "warp+warp")}, "names a remedy twice"),
        ({"rows": ("plain", "deviation+speech-mean")}, "features have one normalisation"),
        ({"rows": ("warp",)}, "must hold `plain`"),
        ({"seeds": ()}, "`seeds` must not be empty"),
        ({"learn": _learn(units="characters")}, "`learn.units` must be toneless-phones"),
        ({"learn": _learn(mode="joint")}, "`learn.mode` joint does not fit"),
        ({"learn": _learn(mode="top")}, "top needs a source model on a published encoder"),
        ({"warp": 0.7}, "`warp` must be from 0 to 0.5"),
        ({"speeds": (9.0,)}, "`speeds` must hold numbers from 0.5 to 2"),
    ):
        with pytest.raises(ConfigError, match=message):
            _config(**changes)
    assert _config().shortened().rows == ("plain", "balanced")


def test_syllables_end_at_their_tones_and_the_lexicon_knows_only_what_is_taught(tmp_path: Path) -> None:
    def spoken(name: str, pronunciation: str | None) -> Utterance:
        return Utterance(name, str(tmp_path / "x.wav"), 1.0, name, "s", "cmn", pronunciation=pronunciation)

    assert syllables(spoken("x", "n i3 h ao3 a5")) == ["n i", "h ao", "a"]
    for pronunciation, message in (("n i", "does not end with a tone"), (None, "has no `pronunciation`")):
        with pytest.raises(DataError, match=message):
            syllables(spoken("x", pronunciation))
    files = {}
    for name, said in {"test": ["h a1"], "taught": ["n i3 h ao3", "a1"], "more": ["h i1", "w ao4"]}.items():
        files[name] = tmp_path / f"{name}.jsonl"
        write_manifest(files[name], [spoken(f"{name}{n}", own) for n, own in enumerate(said)])
    manifest, lexicon = write_syllables(
        files["test"], [files["taught"], files["more"]], [files["taught"]], tmp_path / "made"
    )
    assert [(u.text, u.pronunciation) for u in read_manifest(manifest)] == [("h a", "h a1")]
    assert Lexicon.read(lexicon).words == ["a", "h ao", "h i", "n i"]


@dataclass(frozen=True)
class Finished:
    """A finished experiment of three rows: its corpora, settings, rows, points by row, and folder."""

    corpora: Corpora
    further: dict[str, str]
    config: NewSpeakerConfig
    rows: list[Any]
    points: dict[str, Any]
    folder: Path


@pytest.fixture(scope="module")
def finished(feature_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Return a finished experiment."""
    folder = tmp_path_factory.mktemp("finished")
    corpora, further = _experiment(folder / "made")
    config = _config(rows=("plain", "speakers+warp", MANY))
    rows = run_new_speaker(config, corpora, further, folder / "run", 1, lambda line: None)
    points = {job.point.system: job.point for job in plan_rows(config, corpora, further)}
    return Finished(corpora, further, config, list(rows), points, folder / "run")


def test_every_remedy_is_tested_with_and_without_the_lexicon(finished: Finished) -> None:
    rows = finished.rows
    assert [(row.test, row.remedies, row.speakers) for row in rows] == [
        (test, name, speakers)
        for test in ("syllables", "syllables-lexicon")
        for name, speakers in (("plain", 1), ("speakers+warp", 2), (MANY, 2))
    ]
    assert rows[0].minutes < rows[1].minutes and rows[0].share is None
    plain, by_lexicon = new_speaker_tables(rows)
    assert plain.title == "Test set `syllables`:" and len(plain.rows) == len(by_lexicon.rows) == 3
    assert by_lexicon.title == "Test set `syllables`, each utterance taken for a syllable of the lexicon:"


def test_rows_hold_the_errors_of_their_points(finished: Finished) -> None:
    for row in finished.rows:
        found, plain = (
            load_point(finished.folder, finished.points[name], row.test) for name in (row.remedies, "plain")
        )
        assert row.rate == found.errors.sum() / found.reference.sum() and row.low is None, "of one seed no interval"
        if row.share is not None:
            change = reduction([plain], [found])
            assert (row.share, row.share_low, row.share_high) == (change.value, change.low, change.high)
    known = set(Lexicon.read(finished.corpora.lexica["syllables"]).words)
    lexicon = finished.folder / "points" / finished.points[MANY].name / "syllables-lexicon" / "hypotheses.jsonl"
    recognised = lexicon.read_text(encoding="utf-8")
    assert any(f'"hypothesis": "{word}"' in recognised for word in known), recognised[:300]


def test_a_finished_source_is_taken_as_it_is_and_what_is_finished_is_not_run_again(
    finished: Finished, tmp_path: Path
) -> None:
    source = finished.folder / "sources" / "all-0"
    stamps = {path: path.stat().st_mtime_ns for path in finished.folder.glob("*/*/run.json")}
    again = run_new_speaker(
        finished.config, finished.corpora, finished.further, finished.folder, 1, lambda line: None, source=source
    )
    assert again == finished.rows and stamps == {path: path.stat().st_mtime_ns for path in stamps}
    shutil.copytree(source, tmp_path / "given")
    only, said = _config(rows=("plain",)), list[str]()
    other = run_new_speaker(only, finished.corpora, {}, tmp_path / "other", 1, said.append, source=tmp_path / "given")
    rows = finished.rows
    assert [row.rate for row in other] == [rows[0].rate, rows[3].rate] and "0 source models" in said[0]
    record = read_record(tmp_path / "other" / "points" / finished.points["plain"].name)
    assert record["data"]["train"]["speakers"] == 1


def test_layers_on_a_published_encoder_learn_a_language_and_it_stays_as_it_is(
    feature_cache: Path, tmp_path: Path
) -> None:
    write_whisper(tmp_path / "whisper")
    network = ModelConfig(pretrained=tmp_path / "whisper", top=TopConfig(layers=1, dim=6))
    corpora, further = _experiment(tmp_path / "made")
    source = replace(source_config(), model=network)
    config = _config(rows=("plain", "speakers+balanced"), source=source, learn=_learn(mode="top"))
    rows = run_new_speaker(config, corpora, further, tmp_path / "run", 1, lambda line: None)
    assert [row.speakers for row in rows] == [1, 2, 1, 2]
    before = Recogniser.load(tmp_path / "run" / "sources" / "all-0", "en").model
    for job in plan_rows(config, corpora, further):
        after = Recogniser.load(tmp_path / "run" / "points" / job.point.name / "model", "fr").model
        blocks = (before.published(), before.on_published())
        assert [moved_in(before, after, own) for own in blocks] == [False, True], job.point.name


def test_rows_with_further_speakers_need_some(finished: Finished) -> None:
    with pytest.raises(ConfigError, match=r"the row `speakers\+warp` needs further speakers"):
        plan_rows(finished.config, finished.corpora, {})


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Utterance], list[Utterance], FeatureStore]:
    """Return English, and French by two speakers of whom one says much more, with their features."""
    folder = tmp_path_factory.mktemp("voices")
    english = make_speaker(folder, "anna", 1.0, 12, 1)
    french = [
        replace(u, language="fr")
        for name, shift, count in (("eve", 1.3, 12), ("gil", 1.8, 4))
        for u in make_speaker(folder, name, shift, count, 2)
    ]
    return english, french, build_store(english + french, NETWORK.features, (1.0,), tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def source(voices: Any) -> Recogniser:
    """Return a recogniser of English."""
    return train_recogniser(Spoken(voices[0], voices[2]), Spoken([], voices[2]), source_config())[0]


def test_speakers_are_domains_that_share_a_head(
    voices: Any, source: Recogniser, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, french, store = voices
    learn = LanguageConfig(trainer=trainer(3), augment=None, speeds=(1.0,))
    seen: list[tuple[Any, Any]] = []

    class Watched(transfer.Trainer):
        def __init__(self, model: Any, streams: Any, objectives: Any = (), **options: Any) -> None:
            seen.append((streams, objectives))
            super().__init__(model, streams, objectives, **options)

    monkeypatch.setattr(transfer, "Trainer", Watched)
    learnt = learn_language(
        source, Spoken(french, store), Spoken([], store), replace(learn, speaker_alpha=0.0, speaker_adversarial=0.5)
    )
    (mixture,), ((weight, adversary),) = seen[0]
    assert mixture.sampling() == {"speaker eve": 0.5, "speaker gil": 0.5} and weight == 0.5
    assert {task.head for task in mixture.tasks} == {"fr"} and adversary.streams == ("speaker eve", "speaker gil")
    assert [len(task.data) for task in mixture.tasks] == [12, 4]
    assert learnt.result.history[-1]["encoder.norm.domain_loss"] > 0, "it listens to what the encoder gives"
    assert set(learnt.recogniser.model.heads) == {"en", "fr"}
    learn_language(source, Spoken(french, store), Spoken([], store), learn)
    assert len(seen[1][0]) == 1 and seen[1][0][0].name == "fr" and not seen[1][1]
    with pytest.raises(DataError, match="all training utterances are of the speaker 'eve'"):
        learn_language(source, Spoken(french[:12], store), Spoken([], store), replace(learn, speaker_alpha=0.5))
    for changes, message in (
        ({"speaker_alpha": 2}, "`language.speaker_alpha` must be from 0 to 1"),
        ({"speaker_adversarial": -1}, "`language.speaker_adversarial` must be at least 0"),
        ({"speaker_alpha": 0, "mode": "joint"}, "do not go with the mode joint"),
    ):
        with pytest.raises(ConfigError, match=message):
            LanguageConfig(**changes)


def test_a_language_is_learnt_on_features_of_another_normalisation(
    voices: Any, source: Recogniser, tmp_path: Path
) -> None:
    _, french, store = voices
    other = build_store(french, replace(NETWORK.features, normalisation="utterance"), (1.0,), tmp_path)
    learn = LanguageConfig(trainer=trainer(), augment=None, speeds=(1.0,), normalisation="utterance")
    learnt = learn_language(source, Spoken(french, other), Spoken([], other), learn)
    assert learnt.recogniser.model.inputs == other.inputs
    assert source.model.config.features.normalisation == "utterance-mean"
    # What is copied is the source's; only the features are others.
    still = learn_language(
        source, Spoken(french, other), Spoken([], other), replace(learn, trainer=trainer(1, learning_rate=1e-12))
    )
    before, after = source.model.state_dict(), still.recogniser.model.state_dict()
    weights = [name for name in before if name.endswith("weight") and "head" not in name]
    assert weights and all(np.allclose(before[name], after[name], atol=1e-6) for name in weights)
    with pytest.raises(ConfigError, match="the features that are given differ"):
        learn_language(source, Spoken(french, store), Spoken([], store), learn)
    for mode in ("head", "progressive"):
        with pytest.raises(ConfigError, match="leaves the source's layers as they are"):
            replace(learn, mode=mode)
    with pytest.raises(ConfigError, match="`language.normalisation` is 'utterence'. Did you mean 'utterance'"):
        replace(learn, normalisation="utterence")  # type: ignore[arg-type]
