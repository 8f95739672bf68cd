"""The gate behind every corpus: repeated recordings, texts that CTC cannot spell, texts in two splits, odd paces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_transfer.data.manifest import Utterance, read_manifest
from asr_transfer.errors import DataError
from data_prep.quality import check, ctc_defect, repeated_audio, write_checked
from data_prep.transcripts import usual_seconds


def make(folder: Path, name: str, text: str = "a word", seed: int | None = None, seconds: float = 1.0) -> Utterance:
    """Write noise and return it as an utterance; equal seeds and durations are equal recordings."""
    seed = sum(name.encode()) if seed is None else seed
    file = folder / f"{name}.wav"
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).uniform(-0.1, 0.1, round(16_000 * seconds))
    soundfile.write(file, noise, 16_000, subtype="PCM_16")
    return Utterance(name, str(file), seconds, text, "ann", "en")


def test_of_a_recording_that_is_there_again_the_last_stays(tmp_path: Path) -> None:
    train, test = make(tmp_path, "train", seed=1), make(tmp_path, "test", seed=1)
    other = make(tmp_path, "other", seed=2)
    flac = tmp_path / "copy.flac"
    soundfile.write(flac, soundfile.read(test.audio)[0], 16_000)
    copy = replace(test, id="copy", audio=str(flac))
    checked = check({"train": [train, other, copy], "test": [test]}, {"train": [("x", "is noise")]})
    assert {split: [u.id for u in kept] for split, kept in checked.splits.items()} == {
        "train": ["other"],
        "test": ["test"],
    }
    again = "the same recording is there again"
    assert checked.left_out == {"train": [("x", "is noise"), ("train", again), ("copy", again)], "test": []}


def test_a_recording_with_two_texts_is_worth_nothing(tmp_path: Path) -> None:
    one, two = make(tmp_path, "one", "yes", seed=1), make(tmp_path, "two", "no", seed=1)
    wrong = "the same recording stands beside another text, and one of the two is wrong"
    assert repeated_audio([one, two]) == {"one": wrong, "two": wrong}


def test_what_only_begins_alike_is_not_the_same(tmp_path: Path) -> None:
    one, two = make(tmp_path, "one", seed=1), make(tmp_path, "two", seed=1)
    samples = soundfile.read(two.audio, dtype="int16")[0]
    samples[-1] ^= 1
    soundfile.write(two.audio, samples, 16_000, subtype="PCM_16")
    assert repeated_audio([one, two]) == {}
    longer = make(tmp_path, "longer", seed=1, seconds=1.5)
    assert repeated_audio([one, longer]) == {}


def test_parts_of_one_file_are_compared_by_their_own_samples(tmp_path: Path) -> None:
    whole = make(tmp_path, "whole")
    parts = [replace(whole, id=name, start=start, duration=0.5) for name, start in (("a", 0.0), ("b", 0.5), ("c", 0.5))]
    assert list(repeated_audio(parts)) == ["b"]


def test_unreadable_recordings_are_left_to_the_check_of_files(tmp_path: Path) -> None:
    good, gone = make(tmp_path, "good"), make(tmp_path, "gone", "other")
    Path(gone.audio).unlink()
    reports = write_checked({"all": [good, gone]}, tmp_path / "out")
    assert [name for name, _ in reports["all"].dropped] == ["gone"]


def test_ctc_needs_a_frame_for_each_symbol_and_a_blank_between_equal_ones() -> None:
    utterance = Utterance("u", "u.wav", 0.2, "abcde", "ann", "en")
    assert ctc_defect(utterance) is None, "five frames of 40 ms"
    assert ctc_defect(replace(utterance, duration=0.199)) == "the text is too long for CTC at 40 ms a frame"
    assert ctc_defect(replace(utterance, text="abbc")) is None
    assert ctc_defect(replace(utterance, text="abbcd")) is not None
    assert ctc_defect(replace(utterance, text="a", pronunciation="zh ong1 zh ong1 g")) is None
    spelled = replace(utterance, text="a", pronunciation="a1 a1 b b c")
    assert ctc_defect(spelled) == "the pronunciation is too long for CTC at 40 ms a frame"


def test_words_that_are_units_of_their_own_are_only_remarked_on(tmp_path: Path) -> None:
    short = make(tmp_path, "short", "three", seconds=0.2)
    assert check({"all": [short]}).left_out["all"] == [("short", "the text is too long for CTC at 40 ms a frame")]
    checked = check({"all": [short]}, fits_ctc=False)
    assert checked.splits["all"] == [short]
    assert checked.remarks == ["1 are too short for CTC in letters at 40 ms a frame: short"]


def test_texts_in_two_splits(tmp_path: Path) -> None:
    splits = {
        "train": [make(tmp_path, "a", "yes"), make(tmp_path, "b", "yes")],
        "test": [make(tmp_path, "c", "yes"), make(tmp_path, "d", "no")],
    }
    several = check(splits)
    assert several.splits == splits
    assert several.remarks == ["test: 1 of its 2 utterances have a text that train has too"]
    one = check(splits, one_voice=True)
    assert one.left_out == {"train": [], "test": [("c", "train has the same text")]} and one.remarks == []


def test_odd_paces_are_remarked_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    usual = [make(tmp_path, f"u{n}", "w" + "or" * n, n, 0.5 + (1 + 2 * n) / 15) for n in range(1, 31)]
    fast = make(tmp_path, "fast", "ab" * 12, seconds=1.0)
    slow = make(tmp_path, "slow", "abcdefgh", seconds=4.0)
    reports = write_checked({"all": [*usual, fast, slow]}, tmp_path / "out")
    assert len(read_manifest(tmp_path / "out/all.jsonl")) == reports["all"].kept == 32, "nothing is left out for it"
    printed = capsys.readouterr().out
    assert "all: 1 of its 32 utterances are more than 2 times as fast as is usual for their length" in printed
    assert "listen to fast\n" in printed
    assert "more than 3 times as slow as is usual for their length; listen to slow" in printed
    assert check({"all": [*usual[:20], fast]}).remarks == [], "too few to say what is usual"


def test_the_usual_line_is_not_moved_by_outliers() -> None:
    line = [(n, 0.4 + 0.05 * n) for n in range(5, 60)]
    around, each = usual_seconds([*line, (10, 60.0), (50, 0.1)])
    assert around == pytest.approx(0.4, abs=0.02) and each == pytest.approx(0.05, abs=1e-3)
    assert usual_seconds(line * 100) == pytest.approx((0.4, 0.05), abs=1e-6), "of many a part is enough"
    assert usual_seconds([]) == (0.0, 0.0) and usual_seconds([(3, 0.5), (3, 0.7)]) == (0.5, 0.0)


def test_an_id_in_two_splits_is_refused_first(tmp_path: Path) -> None:
    one = make(tmp_path, "one")
    with pytest.raises(DataError, match="id 'one' occurs in the splits 'train' and 'test'"):
        check({"train": [one], "test": [one]})
