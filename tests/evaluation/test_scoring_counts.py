"""Counts of errors add up, and impossible ones are refused."""

from __future__ import annotations

import doctest
import math
from typing import Any

import numpy as np
import pytest

from asr_transfer import plain
from asr_transfer.errors import DataError
from asr_transfer.evaluation import scoring
from asr_transfer.evaluation.breakdown import per_speaker
from asr_transfer.evaluation.scoring import Counts, Hypothesis, align


def test_the_sum_of_the_speakers_counts_is_the_corpus() -> None:
    said = [("a", "so it goes", "so it went"), ("a", "yes", "yes yes"), ("b", "no", ""), ("b", "", "oh")]
    aligned = align([Hypothesis(str(n), speaker, "en", *texts) for n, (speaker, *texts) in enumerate(said)])
    parts = [group.counts for group in per_speaker(aligned)]
    assert sum(parts, Counts()) == aligned.counts() == Counts(5, 1, 1, 1)
    assert sum(parts, Counts()).rate == 3 / 5 != sum(part.rate for part in parts) / 2
    assert math.isnan(Counts().rate) and Counts() + parts[0] == parts[0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"reference": -1}, "`reference` of counts must be a whole number of at least 0, got -1"),
        ({"reference": 3, "insertions": 0.5}, "`insertions` of counts .* got 0.5"),
        ({"reference": True}, "`reference` of counts .* got True"),
        ({"reference": 3, "substitutions": 2, "deletions": 2}, "2 substitutions and 2 deletions are more than the 3"),
    ],
)
def test_impossible_counts_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Counts(**given)


def test_counts_are_neither_averaged_nor_added_to_numbers() -> None:
    parts = [Counts(10, 1), Counts(np.int64(90), 4)]  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="add them up"):
        sum(parts, Counts()) / len(parts)
    with pytest.raises(TypeError):
        parts[0] + 1  # type: ignore[operator]
    with pytest.raises(TypeError):
        sum(parts)  # type: ignore[arg-type]


@pytest.mark.parametrize("module", [plain, scoring])
def test_the_examples_of_docstrings_hold(module: Any) -> None:
    done = doctest.testmod(module)
    assert done.attempted and not done.failed
