"""Tests of significance: identities, known variances, and agreement with slow plain counterparts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from asr_transfer.errors import DataError
from asr_transfer.evaluation import clusters
from asr_transfer.evaluation.scoring import Alignments, Hypothesis, align
from asr_transfer.evaluation.significance import change, compare, error_rate, holm, mapsswe
from asr_transfer.plain import to_plain

Corpus = tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """Errors of two systems on utterances of 25 speakers, some of whom are hard."""
    random = np.random.default_rng(1)
    speaker = np.sort(random.integers(0, 25, 600))
    hard = random.uniform(0.03, 0.3, 25)[speaker]
    units = random.integers(3, 30, 600)
    return random.binomial(units, hard), random.binomial(units, 0.9 * hard), units, [f"s{n}" for n in speaker]


def _alignments(pairs: Sequence[tuple[str, str]], speakers: Sequence[str] | None = None) -> Alignments:
    return align([Hypothesis(f"u{n}", speakers[n] if speakers else "s", "en", r, h) for n, (r, h) in enumerate(pairs)])


@pytest.mark.parametrize("clustered", [True, False])
def test_identical_systems_differ_by_nothing(corpus: Corpus, clustered: bool) -> None:
    errors, _, units, speakers = corpus
    found = change(errors, errors, units, speakers if clustered else None)
    assert (found.difference, found.low, found.high, found.p, found.improvement) == (0, 0, 0, 1, 0.5)
    assert found.differing == 0


@pytest.mark.parametrize("clustered", [True, False])
def test_exchanging_the_systems_turns_the_signs_around_exactly(corpus: Corpus, clustered: bool) -> None:
    first, second, units, speakers = corpus
    there = change(first, second, units, speakers if clustered else None)
    back = change(second, first, units, speakers if clustered else None)
    assert there.difference is not None and there.low is not None and there.high is not None
    assert (back.difference, back.low, back.high) == (-there.difference, -there.high, -there.low)
    assert (back.p, back.improvement) == (there.p, pytest.approx(1 - there.improvement, abs=1e-12))
    assert there.low <= there.difference <= there.high < 0 and there.improvement > 0.97


def test_intervals_are_over_speakers_where_there_are_four(corpus: Corpus) -> None:
    first, second, units, speakers = corpus
    own = change(first, second, units, speakers)
    assert (own.over, own.clusters, own.speakers, own.note) == ("speakers", 25, 25, "")
    assert own.low == clusters.difference(first, second, units, speakers).low
    assert own.low != change(first, second, units).low
    assert own.differing == (first != second).sum()


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([""], "speakers are not known"),
        (["s"], "one speaker only"),
        (["s", "t"], "2 speakers only"),
        (["s", "t", "u"], "3 speakers only"),
    ],
)
def test_fewer_speakers_fall_back_to_utterances_and_are_told(corpus: Corpus, names: list[str], said: str) -> None:
    first, second, units, _ = corpus
    found = change(first, second, units, names * (len(units) // len(names)))
    assert (found.over, found.clusters) == ("utterances", len(units)) and found.note.startswith(said)
    assert (found.low, found.high) == (change(first, second, units).low, change(first, second, units).high)


def test_draws_of_an_utterance_are_one_observation(corpus: Corpus) -> None:
    first, second, units, _ = (part[:40] for part in corpus)
    ids = [f"u{n}" for n in range(40)]
    once = change(first, second, units, ids=ids)
    thrice = change(
        *(np.tile(part, 3) for part in (first, second, units)), ids=[f"{u}#{n}" for n in range(3) for u in ids]
    )
    assert (thrice.clusters, thrice.utterances) == (40, 120)
    assert thrice.low == pytest.approx(once.low) and thrice.high == pytest.approx(once.high)
    # Names that only look like draws, all of one utterance, stand for themselves.
    assert change(first, second, units, ids=[f"u#{n}" for n in range(40)]).clusters == 40


def test_of_three_utterances_there_is_no_interval() -> None:
    found = change([3, 4, 5], [1, 1, 1], [9, 9, 9])
    assert found.difference == pytest.approx(-9 / 27) and (found.low, found.high, found.p) == (None, None, 0.25)
    # Utterances in which nothing could go wrong are no observations.
    assert change([3, 4, 5, 0, 0], [1, 1, 1, 0, 0], [9, 9, 9, 0, 0]).clusters == 3


def test_without_references_there_is_no_difference() -> None:
    found = change([], [], [])
    assert (found.difference, found.low, found.rate, found.p) == (None, None, None, 1)
    assert error_rate(_alignments([("", "x")])) is None


def test_an_error_rates_interval_is_over_speakers_too(corpus: Corpus) -> None:
    errors, _, units, speakers = corpus
    texts = [("a " * int(n), "a " * int(n - wrong) + "b " * int(wrong)) for n, wrong in zip(units, errors, strict=True)]
    wide, narrow = error_rate(_alignments(texts, speakers)), error_rate(_alignments(texts))
    assert wide is not None and narrow is not None and (wide.clusters, narrow.clusters) == (25, 600)
    assert wide.low is not None and wide.high is not None and narrow.low is not None and narrow.high is not None
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_arrays_of_unlike_length_are_refused() -> None:
    with pytest.raises(DataError, match=r"\[1, 2\] observations cannot be compared"):
        change([1, 2], [1, 2], [3, 4], ["a"])


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5]) == [0.5] and holm([]) == []
    assert holm([0.9, 0.8]) == [1, 1]


def test_holm_keeps_order_and_lies_between_the_value_and_bonferronis() -> None:
    values = np.random.default_rng(2).uniform(size=30).tolist()
    corrected = holm(values)
    assert all(p <= c <= min(1, 30 * p) for p, c in zip(values, corrected, strict=True))
    assert (np.diff(np.array(corrected)[np.argsort(values)]) >= 0).all()


def _slow_segments(first: Alignments, second: Alignments) -> list[int]:
    """Differences of errors per segment, from the alignments unit by unit."""
    changes = []
    for row in range(len(first.ids)):
        slots = []
        for side in (first, second):
            errors, at = [0] * (2 * len(side.references[row]) + 1), 0
            for operation, r, _ in side.pairs(row):
                if r is None:
                    errors[2 * at] += 1
                else:
                    errors[2 * at + 1] += operation != "equal"
                    at += 1
            slots.append(errors)
        segments, current = [], [0, 0]
        for n in range(len(slots[0])):
            bound = 0 < n < len(slots[0]) - 1 and n % 2 == 0
            if bound and not any(side[m] for side in slots for m in (n - 1, n, n + 1)):
                segments.append(current)
                current = [0, 0]
            current = [current[0] + slots[0][n], current[1] + slots[1][n]]
        changes += [b - a for a, b in [*segments, current] if a or b]
    return changes


def _random_pair(seed: int) -> tuple[Alignments, Alignments]:
    random = np.random.default_rng(seed)

    def recognised(words: list[str]) -> str:
        changed = [w if random.random() > 0.15 else str(random.choice(["x", "", "y z"])) for w in words]
        return " ".join(changed)

    references = [list(map(str, random.choice(list("abcdefgh"), random.integers(1, 20)))) for _ in range(150)]
    first, second = ([(" ".join(r), recognised(r)) for r in references] for _ in range(2))
    return _alignments(first), _alignments(second)


@pytest.mark.parametrize("seed", range(3))
def test_mapsswe_equals_a_slow_one(seed: int) -> None:
    first, second = _random_pair(seed)
    changes = np.array(_slow_segments(first, second))
    found = mapsswe(first, second)
    assert (found.segments, found.mean) == (len(changes), pytest.approx(changes.mean()))
    z = changes.mean() / (changes.std(ddof=1) / np.sqrt(len(changes)))
    assert found.z == pytest.approx(z) and found.p == pytest.approx(2 * stats.norm.sf(abs(z)))


def test_mapsswe_of_identical_and_of_exchanged_systems() -> None:
    first, second = _random_pair(9)
    same = mapsswe(first, first)
    assert (same.mean, same.z, same.p) == (0, 0, 1)
    there, back = mapsswe(first, second), mapsswe(second, first)
    assert there.z is not None and (back.mean, back.z, back.p) == (-there.mean, -there.z, there.p)


def test_mapsswe_segments_are_bounded_by_two_right_words() -> None:
    right = "a b c d e f"
    apart = mapsswe(_alignments([(right, right)]), _alignments([(right, "x b c d e x")]))
    joined = mapsswe(_alignments([(right, right)]), _alignments([(right, "a x c x e f")]))
    assert (apart.segments, joined.segments) == (2, 1)
    inserted = mapsswe(_alignments([(right, right)]), _alignments([(right, "x b y c x e f")]))
    assert inserted.segments == 1
    perfect = mapsswe(_alignments([(right, right), ("", "x")]), _alignments([(right, right), ("", "")]))
    assert (perfect.segments, perfect.p) == (0, 1)


def test_segments_that_differ_alike_have_the_sign_tests_p() -> None:
    good, bad = [("a", "a")] * 5, [("a", "b")] * 5
    assert (mapsswe(_alignments(good), _alignments(bad)).p) == 2 / 2**5
    assert mapsswe(_alignments(good[:1]), _alignments(bad[:1])).p == 1


def test_comparing_many_systems_corrects_both_tests() -> None:
    first, second = _random_pair(11)
    found = compare(first, [second, first])
    assert [c.p_change for c in found] == holm([c.change.p for c in found])
    assert [c.p_mapsswe for c in found] == holm([c.mapsswe.p for c in found])
    assert (found[1].change.difference, found[1].p_change, found[1].p_mapsswe) == (0, 1, 1)
    assert found[0].change.rate == second.counts().rate
    assert to_plain(found[0])["change"]["over"] == "utterances"


def test_systems_of_another_task_are_refused() -> None:
    base = [Hypothesis("u", "s", "en", "a b", "a")]
    for other, message in (
        (align(base, profile="basic"), "normalisations 'none' and 'basic'"),
        (align(base, "character"), "scored by word, the other by character"),
        (align([Hypothesis("v", "s", "en", "a b", "a")]), "different utterances"),
        (align([Hypothesis("u", "s", "en", "a c", "a")]), "utterance 'u': .* different references"),
    ):
        with pytest.raises(DataError, match=message):
            compare(align(base), [other])
