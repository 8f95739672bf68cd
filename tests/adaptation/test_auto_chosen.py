"""What `auto` says of its candidates comes from records with about as many recordings and the same candidates."""

from __future__ import annotations

from collections import Counter

from asr_transfer.adaptation.auto_chosen import COLUMNS, Chosen, describe_candidates, near
from asr_transfer.adaptation.ladder import Candidate

TRIED = ("full+replay", "lin")
KNOWN = [
    Chosen("digits", TRIED, 1, 6, 0.1, Counter({"lin": 7})),
    Chosen("digits", TRIED, 5, 6, 0.25, Counter({"full+replay": 20, "none": 4})),
    Chosen("names", TRIED, 8, 4, -0.02, Counter({"full+replay": 3, "lin": 9})),
    Chosen("others", ("lin",), 5, 4, 0.5, Counter({"lin": 9})),
]


def test_of_each_record_the_nearest_amount_counts_where_it_is_near_and_the_same_was_tried() -> None:
    assert near(TRIED, 5, KNOWN) == [KNOWN[1], KNOWN[2]]
    assert near(TRIED, 2, KNOWN) == [KNOWN[0]]
    assert near(("lin",), 6, KNOWN) == [KNOWN[3]]
    assert not near(TRIED, 40, KNOWN)


def test_the_line_adds_the_draws_up_and_names_the_records() -> None:
    told = describe_candidates([Candidate("full+replay", 1e-4), Candidate("lin", 1e-3)], 6, known=KNOWN)
    assert told == (
        "auto tries full+replay, the usual choice, lin; with about as many recordings it chose, in 36 draws: "
        "full+replay 23, lin 9, none 4 (digits: 5 of each of 6 speakers, 25 % fewer errors; names: 8 of each of 4 "
        "speakers, 2 % more errors)"
    )


def test_where_no_record_says_anything_that_is_what_is_said() -> None:
    tried = [Candidate("warp+lin", 1e-3), Candidate("warp", 0.0)]
    told = describe_candidates(tried, 50, known=KNOWN)
    assert told.startswith("auto tries lin, the usual choice, all on top of a warp, and the warp alone; no record")


def test_where_there_is_no_usual_choice_none_is_named() -> None:
    tried = [Candidate("first-layers", 1e-4), Candidate("lora", 1e-3)]
    assert describe_candidates(tried, 8, usual=False, known=()).startswith("auto tries first-layers, lora; no record")


def test_the_table_of_the_package_can_be_read_and_written_again() -> None:
    for row in Chosen.read():
        assert Chosen._of(dict(zip(COLUMNS, row.cells(), strict=True))) == row
        assert set(row.chosen) <= {"none", "warp", *row.tried, *(f"warp+{name}" for name in row.tried)}
