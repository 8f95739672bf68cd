"""The synthetic corpus: what it holds, that it repeats exactly, and that a half-made one is never taken for whole."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asr_transfer import audio
from asr_transfer.data.manifest import Utterance, by_speaker, read_manifest, validate
from asr_transfer.errors import ConfigError, DataError
from data_prep import synthetic
from data_prep.synthetic import number_words, prepare, sentence, split_of

pytestmark = pytest.mark.voices

SPLITS = ("train", "dev", "test")
SMALL: dict[str, Any] = {"train_speakers": 2, "test_speakers": 1, "child_speakers": 1, "utterances_per_speaker": 4}
TINY: dict[str, Any] = {"train_speakers": 1, "test_speakers": 0, "child_speakers": 1, "utterances_per_speaker": 1}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("corpora") / "deep" / "synthetic"
    prepare(out, **SMALL, workers=2)
    return out


@pytest.fixture
def silent_speakers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the making of a speaker, which takes most of the time; the list says who was made."""
    made: list[str] = []

    def make(job: synthetic._Job) -> list[Utterance]:
        made.append(job.speaker)
        job.folder.mkdir(parents=True)
        file = job.folder / f"{job.speaker}-000.flac"
        soundfile.write(str(file), np.zeros(8000, dtype=np.float32), 16000)
        return [Utterance(file.stem, str(file), 0.5, "one", job.speaker, "en")]

    monkeypatch.setattr(synthetic, "_make_speaker", make)
    return made


def files_of(out: Path) -> dict[str, bytes]:
    return {str(file.relative_to(out)): file.read_bytes() for file in sorted(out.rglob("*")) if file.is_file()}


def test_the_splits_hold_the_speakers_that_were_asked_for(corpus: Path) -> None:
    speakers = {split: by_speaker(read_manifest(corpus / f"{split}.jsonl")) for split in SPLITS}
    assert list(speakers["train"]) == ["adult-00", "adult-01"]
    assert list(speakers["dev"]) == ["dev-adult-00", "dev-adult-01", "dev-child-00"]
    assert list(speakers["test"]) == ["test-adult-00", "test-child-00"]
    assert all(len(utterances) == 4 for split in SPLITS for utterances in speakers[split].values())
    assert sorted(path.name for path in corpus.iterdir()) == [
        "dev.jsonl", "synthetic.json", "test.jsonl", "train.jsonl", "wav",
    ]  # fmt: skip


def test_every_utterance_is_usable_and_its_phones_lie_within_it(corpus: Path) -> None:
    utterances = [u for split in SPLITS for u in read_manifest(corpus / f"{split}.jsonl")]
    assert validate(utterances)[1].dropped == []
    for utterance in utterances:
        assert re.fullmatch(r"[a-z']+( [a-z']+)*", utterance.text)
        assert Path(utterance.audio) == corpus / "wav" / utterance.speaker / f"{utterance.id}.flac"
        assert audio.probe(utterance.audio).sample_rate == 16000
        assert utterance.phones
        assert all(0 <= start < end <= utterance.duration + 1e-3 for _, start, end in utterance.phones)
    assert len({u.text for u in utterances if u.speaker == "adult-00"}) == 4


def test_recordings_vary_in_level_and_hold_some_noise(corpus: Path) -> None:
    samples = [audio.read(u.audio) for u in read_manifest(corpus / "train.jsonl")]
    levels = [20 * np.log10(np.sqrt(np.mean(s**2))) for s in samples]
    assert all(-31 < level < -17 for level in levels)
    assert max(levels) - min(levels) > 3
    for sound in samples:
        frames = sound[: len(sound) // 160 * 160].reshape(-1, 160)
        quietest = 10 * np.log10(np.min(np.mean(frames**2, axis=1)) / np.mean(sound**2))
        assert -50 < quietest < -12


def test_a_speaker_depends_neither_on_the_workers_nor_on_the_other_speakers(corpus: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    prepare(alone, **{**SMALL, "train_speakers": 1, "test_speakers": 0}, workers=1)
    whole, part = files_of(corpus), files_of(alone)
    shared = [name for name in part if name.startswith("wav/") or name == "dev.jsonl"]
    assert len(shared) == 5 * 4 + 1
    assert all(whole[name] == part[name] for name in shared)


def test_another_seed_gives_other_speech(corpus: Path, tmp_path: Path) -> None:
    prepare(tmp_path / "other", **TINY, seed=1)
    first, other = (read_manifest(folder / "train.jsonl")[0] for folder in (corpus, tmp_path / "other"))
    assert (first.text, first.duration) != (other.text, other.duration)


def test_the_same_settings_are_recognised_whatever_the_workers(
    corpus: Path, silent_speakers: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    prepare(corpus, **SMALL, workers=1)
    assert silent_speakers == []
    assert "already there" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}


@pytest.mark.parametrize(("name", "value"), [("seed", 7), ("train_speakers", 3), ("utterances_per_speaker", 5)])
def test_other_settings_are_refused_with_the_mend(corpus: Path, name: str, value: int) -> None:
    with pytest.raises(DataError, match=rf"made with {name} = \d+, not {value}; give another --out, or remove"):
        prepare(corpus, **{**SMALL, name: value})
    assert validate(read_manifest(corpus / "train.jsonl"))[1].kept == 8


@pytest.mark.usefixtures("silent_speakers")
def test_an_interrupted_run_leaves_nothing_and_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(splits: dict[str, Sequence[Utterance]], out: Path) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "synthetic"
    with monkeypatch.context() as patch:
        patch.setattr(synthetic, "write_splits", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare(out, **TINY)
    assert list(out.iterdir()) == []
    (out / ".synthetic.1.partial" / "wav").mkdir(parents=True)  # as after a kill that leaves no time to clean up
    prepare(out, **TINY)
    assert len(read_manifest(out / "train.jsonl")) == 1
    assert (out / "synthetic.json").is_file()


def test_one_failing_speaker_fails_the_run_without_leftovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(texts: Sequence[str], voice: object) -> None:
        raise ConfigError("no such voice")

    monkeypatch.setattr(synthetic, "synthesise", fail)
    with pytest.raises(ConfigError, match="no such voice"):
        prepare(tmp_path / "synthetic", **TINY)
    assert list((tmp_path / "synthetic").iterdir()) == []


@pytest.mark.usefixtures("silent_speakers")
def test_folders_that_hold_something_else_are_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match=r"is not empty, and .* no finished synthetic corpus; give another --out"):
        prepare(tmp_path, **TINY)
    with pytest.raises(DataError, match=r"notes\.txt: is a file, not a folder; give another --out\."):
        prepare(tmp_path / "notes.txt", **TINY)
    with pytest.raises(DataError, match=r"below: cannot be written \(Not a directory\); choose another folder"):
        prepare(tmp_path / "notes.txt" / "below", **TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.usefixtures("silent_speakers")
def test_a_damaged_corpus_is_not_taken_for_whole(tmp_path: Path) -> None:
    out = tmp_path / "synthetic"
    prepare(out, **TINY)
    shutil.move(out / "dev.jsonl", tmp_path)
    with pytest.raises(DataError, match=r"'dev\.jsonl' has been removed from the corpus; give another --out"):
        prepare(out, **TINY)
    for text in ("{", json.dumps([1])):
        (out / "synthetic.json").write_text(text)
        with pytest.raises(DataError, match=r"synthetic\.json: does not hold the settings"):
            prepare(out, **TINY)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"language": "fr"}, r"`language`: .*English only, got 'fr'; use 'en'\."),
        ({"train_speakers": 0}, r"`train_speakers` must be at least 1, got 0; give a larger number\."),
        ({"test_speakers": -1}, r"`test_speakers` must be at least 0, got -1"),
        ({"test_speakers": 0, "child_speakers": 0}, r"there would be no test; give at least one\."),
        ({"utterances_per_speaker": 0}, r"`utterances_per_speaker` must be at least 1"),
        ({"workers": 0}, r"`workers` must be at least 1"),
        ({"seed": -1}, r"`seed` must be at least 0"),
    ],
)
def test_bad_arguments_give_one_clear_sentence(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        prepare(tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (20, "twenty"),
        (42, "forty two"),
        (100, "one hundred"),
        (421, "four hundred and twenty one"),
        (2005, "two thousand and five"),
        (9340, "nine thousand three hundred and forty"),
    ],
)
def test_numbers_are_spelled_as_spoken(number: int, words: str) -> None:
    assert number_words(number) == words


def test_every_number_has_its_own_words() -> None:
    assert len({number_words(number) for number in range(10_000)}) == 10_000
    with pytest.raises(ValueError, match="between 0 and 9999, got 10000"):
        number_words(10_000)


def test_no_sentence_belongs_to_two_splits_and_all_words_can_be_learned() -> None:
    drawn = {split: {sentence(np.random.default_rng([5, index]), split) for index in range(1500)} for split in SPLITS}
    assert not drawn["train"] & drawn["test"] and not drawn["train"] & drawn["dev"] and not drawn["dev"] & drawn["test"]
    assert all(split_of(text) == split for split in SPLITS for text in drawn[split])
    assert all(re.fullmatch(r"[a-z']+( [a-z']+)*", text) for text in drawn["train"] | drawn["dev"] | drawn["test"])
    assert len(drawn["train"]) > 1200
    vocabulary = {split: {word for text in drawn[split] for word in text.split()} for split in SPLITS}
    assert vocabulary["dev"] | vocabulary["test"] <= vocabulary["train"]
