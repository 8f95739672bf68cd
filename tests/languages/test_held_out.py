"""What of a user's recordings is trained on, what chooses, what is scored: never the same, as far apart as can be."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from asr_transfer.data.judged import symbols_of_units
from asr_transfer.data.manifest import Utterance
from asr_transfer.errors import DataError
from asr_transfer.languages.held_out import ENOUGH, Parts, divide

LETTERS = symbols_of_units("characters")


def _utterances(count: int, speakers: int = 1, texts: int | None = None, seconds: float = 2.0) -> list[Utterance]:
    """Return utterances of equal length; every text has one of ten letters and a number in two other ones."""
    made = []
    for number in range(count):
        text = number % (texts or count)
        word = f"{'abcdefghij'[text % 10]} " + bin(text)[2:].replace("0", "o").replace("1", "i")
        made.append(Utterance(f"u{number}", "", seconds, word, f"s{number % speakers}", "eo"))
    return made


def _whole(parts: Parts, utterances: Sequence[Utterance]) -> bool:
    found = [u.id for part in (parts.train, parts.dev, parts.test) for u in part]
    return sorted(found) == sorted(u.id for u in utterances)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("speakers", [1, 3, 12])
@pytest.mark.parametrize("texts", [12, None])
def test_every_recording_is_in_one_part(seed: int, speakers: int, texts: int | None) -> None:
    utterances = _utterances(150, speakers, texts)
    parts = divide(utterances, seed, LETTERS)
    assert _whole(parts, utterances) and len(parts.dev) >= 10 and len(parts.test) >= 10
    assert len(parts.train) >= 0.6 * len(utterances)
    assert {c for u in parts.train for c in u.text} == {c for u in utterances for c in u.text}, "no letter is lost"


def test_whole_speakers_are_held_out_where_there_are_several() -> None:
    parts = divide(_utterances(240, 12), 0, LETTERS)
    speakers = [{u.speaker for u in part} for part in (parts.train, parts.dev, parts.test)]
    assert parts.apart and all(speakers) and sum(map(len, speakers)) == 12
    assert parts.how.count("of speakers who are not trained on") == 2


def test_texts_are_held_out_of_few_speakers() -> None:
    parts = divide([*_utterances(100), *_utterances(100)], 0, LETTERS)
    texts = [{u.text for u in part} for part in (parts.train, parts.dev, parts.test)]
    assert not parts.apart and not (texts[0] & texts[1] or texts[0] & texts[2] or texts[1] & texts[2])
    assert "of speakers who are trained on" in parts.how


def test_single_recordings_are_held_out_of_few_texts() -> None:
    utterances = _utterances(150, 1, 5)
    parts = divide(utterances, 0, LETTERS)
    assert _whole(parts, utterances) and {u.text for u in parts.train} == {u.text for u in utterances}


def test_what_the_user_held_out_is_taken_as_it_is() -> None:
    utterances, own = _utterances(100), _utterances(4, 2)
    parts = divide(utterances, 0, LETTERS, dev=own)
    assert parts.dev == own and "choose the way" not in parts.how and "are scored at the end" in parts.how
    both = divide(utterances, 0, LETTERS, own, own[:2])
    assert (both.train, both.how) == (utterances, "") and both.minutes == pytest.approx(100 * 2 / 60)


def test_not_more_is_held_out_than_tells_enough() -> None:
    parts = divide(_utterances(4000), 0, LETTERS)
    assert len(parts.test) == len(parts.dev) == ENOUGH


def test_the_seed_decides() -> None:
    utterances = _utterances(150)
    first, again, other = (divide(utterances, seed, LETTERS) for seed in (0, 0, 1))
    assert first == again and {u.id for u in first.test} != {u.id for u in other.test}


@pytest.mark.parametrize(
    ("utterances", "message"),
    [
        (_utterances(20), "20 recordings of 0.7 minutes are too few to hold 10 of them out"),
        (_utterances(100, seconds=0.5), "0.6 minutes of speech in 7. recordings are left .* give at least 2 minutes"),
    ],
)
def test_too_little_is_refused(utterances: list[Utterance], message: str) -> None:
    with pytest.raises(DataError, match=message):
        divide(utterances, 0, LETTERS)
