"""A corpus whose recordings are all equally long is judged without a warning of the library behind it."""

from __future__ import annotations

import warnings

import pytest

from data_prep.transcripts import usual_seconds


@pytest.mark.parametrize("utterances", [
    [(3 + number % 7, 1.0) for number in range(40)],
    [(3 + (number == 5), 1.0) for number in range(40)],
    [(3, 1.0), (4, 1.0)],
    [(3, 1.0)] * 30,
])  # fmt: skip
def test_no_warning(utterances: list[tuple[int, float]]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert usual_seconds(utterances) == (1.0, 0.0)
