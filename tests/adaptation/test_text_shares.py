"""A text is shared out over the pieces of its recording where what is heard leaves no doubt."""

from __future__ import annotations

import pytest

from asr_transfer.adaptation.text_shares import Share, share_out

FIRST, SECOND = "One, two three — four.", "No, no no five; six and/or seven!"
TEXT = f"{FIRST} {SECOND}"


@pytest.mark.parametrize(
    ("heard", "found"),
    [
        (["one two", "three four", "no no no five six and or seven"], ["One, two", "three — four.", SECOND]),
        (["one too", "three for", "no no no five six and or seven"], []),
        (["one two", "three four no no", "five six and or seven"], ["One, two"]),
        (["", "one two three four", "no no no five six and or seven"], ["", FIRST, SECOND]),
        (["", "two three four", "no no no five six and or seven"], [SECOND]),
        (["one two three four no no no five six and", "or seven"], []),
        (["one two three four", "", "no no no five six and or seven"], [FIRST, "", SECOND]),
        (["thanks for watching", "one no", "seven"], []),
        (["", "", ""], []),
    ],
)  # fmt: skip
def test_borders_are_sure_where_words_on_both_sides_match(heard: list[str], found: list[str]) -> None:
    shares = share_out(TEXT, heard, [1.0] * len(heard), 1.0, "basic", "en")
    assert [share.text for share in shares] == found
    assert all(share.last == share.first + 1 for share in shares)


def test_a_border_in_doubt_costs_nothing_inside_a_run() -> None:
    heard = ["one two", "three four no no", "five six", "and or seven"]
    for most, runs in (
        (4.0, [(0, 4)]),
        (3.0, [(0, 3), (3, 4)]),
        (2.0, [(0, 1), (1, 3), (3, 4)]),
        (1.5, [(0, 1), (3, 4)]),
        (0.5, []),
    ):
        shares = share_out(TEXT, heard, [1.0] * 4, most, "basic", "en")
        assert [(share.first, share.last) for share in shares] == runs
        if most == 4.0:
            assert shares == [Share(0, 4, TEXT)]


def test_texts_without_spaces_are_shared_out_by_characters() -> None:
    shares = share_out("今天天气很好。我们走吧", ["今天天汽很好", "我们走吧"], [5.0, 5.0], 6.0, "mandarin", "zh")
    assert [share.text for share in shares] == ["今天天气很好。", "我们走吧"]


def test_two_hours_of_words_are_shared_out_at_once() -> None:
    words = [f"w{number * number % 997}" for number in range(20_000)]
    heard = [" ".join(words[first : first + 25]) for first in range(0, 20_000, 25)]
    shares = share_out(" ".join(words), heard, [9.0] * 800, 30.0, "none", "en")
    assert " ".join(share.text for share in shares) == " ".join(words) and len(shares) == 267
