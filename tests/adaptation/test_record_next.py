"""What to record next: words of a small vocabulary, else letters or sounds; wrong ones, and missing ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from asr_transfer.adaptation.ladder import Judgement
from asr_transfer.adaptation.record_next import MOST, RecordNext, record_next
from asr_transfer.decoding.recogniser import Recogniser
from tests.adaptation.test_forecast import Source, spoken


def asked(source: Source, pairs: Sequence[tuple[str, str]], unjudged: Sequence[str] = ()) -> RecordNext:
    """Return what to record next after texts were heard so; `unjudged` texts were not held out."""
    held = [Judgement(n, 1, 0, 0, 0, 0, heard) for n, (_, heard) in enumerate(pairs)]
    return record_next(cast(Recogniser, source), spoken([text for text, _ in pairs] + list(unjudged)), held)


def test_words_that_come_again_are_named_the_most_wrong_first() -> None:
    pairs = [("abc", "abd"), ("abc", ""), ("xyz", "abc"), ("xyz", "xyz"), ("fed", "fed"), ("fed", "fed")]
    assert asked(Source(), pairs) == RecordNext("words", ("abc", "xyz"))


def test_words_of_a_small_lexicon_that_nobody_recorded_are_named() -> None:
    found = asked(Source(["abc", "xyz", "fed", "bad"]), [("abc", "xyz")], ["fed"])
    assert found == RecordNext("words", ("abc",), ("xyz", "bad"))
    assert str(found) == "the words abc and xyz, bad (never recorded)"


def test_letters_are_named_where_no_word_comes_again() -> None:
    pairs = [("abc xyz", "abc fed"), ("fed cab", "fed cab"), ("gab zed", "gab ced")]
    found = asked(Source(), pairs)
    assert found.kind == "letters" and found.wrong[0] == "z" and set(found.wrong) == {"x", "y", "z"}


def test_phones_are_named_of_a_model_that_writes_them() -> None:
    found = asked(Source(writes="phones"), [("a b c", "a x c"), ("a b d", "a d")])
    assert (found.kind, found.wrong) == ("sounds", ("b",)) and set(found.missing) < set("efgxyz")


def test_at_most_five_are_named_and_two_of_them_may_be_missing() -> None:
    texts = [f"{letter}a" for letter in "bcdefg"]
    found = asked(Source([*texts, "xy", "yz", "zz"]), [(text, "aa") for text in texts])
    assert len(found.wrong) + len(found.missing) == MOST and len(found.missing) == 2


def test_nothing_is_said_where_nothing_is_wrong_or_missing() -> None:
    found = asked(Source(["abc", "xyz"]), [("abc", "abc"), ("xyz", "xyz")])
    assert found == RecordNext("words") and str(found) == ""
