"""A race counts up to the target, tells a bound where the peer does not get there, and is told by its courses."""

from __future__ import annotations

import math
from dataclasses import asdict

import pytest

from benchmarks.race import OURS, PEER, Course, Entry, race_table
from docs import tables

ENTRIES = (Entry("tdnn", 1e-3), Entry("bilstm", 3e-3))


def _course(*points: tuple[float, int, float]) -> Course:
    return Course(list(points))


def test_a_course_counts_up_to_the_first_validation_at_the_target() -> None:
    course = _course((1.0, 10, 0.5), (2.0, 20, 0.15), (3.0, 30, 0.2), (4.0, 40, 0.05))
    assert course.until(0.15) == (2.0, 20) and course.until(0.1) == (4.0, 40) and course.until(0.01) is None
    assert course.is_over(0.05, math.inf) and course.is_over(0.01, 4.0) and not course.is_over(0.01, 5.0)
    assert not Course().is_over(1.0, 0.0)


def test_the_table_tells_how_many_times_fewer_and_a_bound_where_the_peer_does_not_get_there() -> None:
    ours = [_course((10.0, 5, 0.14), (30.0, 9, 0.08)), _course((20.0, 6, 0.15), (40.0, 9, 0.07))]
    theirs = [_course((45.0, 5, 0.14), (90.0, 9, 0.08)), _course((60.0, 6, 0.15), (70.0, 8, 0.1))]
    entries = {OURS: ENTRIES[0], PEER: ENTRIES[1]}
    rows = race_table({OURS: ours, PEER: theirs}, entries, (0.15, 0.08), "").rows
    assert [row[3:5] for row in rows[:2]] == [("2 of 2", "15 (10 … 20)"), ("2 of 2", "52 (45 … 60)")]
    assert rows[0][6:] == ("3.5", "≥ 3", "yes") and rows[1][6:] == ("", "", "")
    assert rows[2][6:] == ("at least 2.3", "", "") and rows[3][3] == "1 of 2"
    behind = race_table({OURS: theirs, PEER: ours}, entries, (0.08,), "").rows
    assert behind[0][6:] == ("–", "≥ 3", "no"), "nothing is claimed where ours does not get there"


def test_a_page_shows_the_table_of_the_courses_that_a_record_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    courses = {OURS: [[[10.0, 5, 0.2], [20.0, 9, 0.14]]], PEER: [[[50.0, 5, 0.2], [70.0, 9, 0.16]]]}
    tried = {
        side: [
            {"entry": asdict(one), "cpu": None, "spent": 9.0, "best": best}
            for one, best in zip(ENTRIES, (0.3, 0.2), strict=True)
        ]
        for side in courses
    }
    values = {
        "name": "race",
        "config": {"targets": [15.0]},
        "scores": {"tried": tried, "courses": courses},
        "tables": {"race": [{"headings": ["WER"], "rows": [["old"]], "note": "where it ran"}]},
    }
    monkeypatch.setattr(tables, "record", lambda name: values)
    monkeypatch.setattr(tables, "measured", lambda name: True)
    monkeypatch.setattr(tables, "made", lambda values: "Made so")
    page = tables.table("race race")
    assert f"| 15 % | ours | {ENTRIES[1]} | 1 of 1 | 20 (20 … 20) | 9 (9 … 9) | at least 3.5 | ≥ 3 | yes |" in page
    assert page.endswith("where it ran\n\nMade so.\n") and "old" not in page
