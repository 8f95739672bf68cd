"""The best method in hindsight is corrected for having been the best."""

from __future__ import annotations

import numpy as np
import pytest

from asr_transfer.errors import DataError
from asr_transfer.experiments.speakers.hindsight import Errors, best_in_hindsight


def test_the_others_choose_for_each_speaker() -> None:
    found = best_in_hindsight(
        {
            "steady": {"a": (10, 7), "b": (10, 7), "c": (10, 7)},
            "lucky": {"a": (10, 0), "b": (10, 9), "c": (10, 9)},
        }
    )
    assert found.method == "lucky" and found.reduction == pytest.approx(1 - 18 / 30)
    assert found.chosen == {"a": "steady", "b": "lucky", "c": "lucky"}
    assert found.corrected == pytest.approx(1 - (7 + 9 + 9) / 30)


def test_a_method_that_is_best_on_everybody_loses_nothing_and_ties_go_to_the_first() -> None:
    same: dict[str, Errors] = {"a": (10, 4), "b": (6, 1)}
    found = best_in_hindsight({"one": same, "two": dict(same), "worse": {"a": (10, 9), "b": (6, 6)}})
    assert (found.method, set(found.chosen.values())) == ("one", {"one"})
    assert found.corrected == found.reduction == pytest.approx(1 - 5 / 16)


def test_chance_alone_gains_nothing_once_it_is_corrected() -> None:
    """Twelve methods that do nothing: the best seems to gain, the corrected figure does not."""
    raw, corrected = [], []
    for seed in range(300):
        random = np.random.default_rng(seed)
        found = best_in_hindsight(
            {f"m{n}": {f"s{s}": (100, int(random.poisson(100))) for s in range(6)} for n in range(12)}
        )
        assert found.corrected is not None
        raw.append(found.reduction)
        corrected.append(found.corrected)
    assert np.mean(raw) > 0.05 and abs(np.mean(corrected)) < 0.01


def test_one_speaker_cannot_be_corrected_and_unlike_methods_are_refused() -> None:
    assert best_in_hindsight({"one": {"a": (0, 0)}}).corrected is None
    with pytest.raises(DataError, match="method two was tried on other"):
        best_in_hindsight({"one": {"a": (3, 1)}, "two": {"b": (3, 1)}})
    with pytest.raises(DataError, match="method two was tried on other"):
        best_in_hindsight({"one": {"a": (3, 1)}, "two": {"a": (4, 1)}})
    with pytest.raises(DataError, match="no method"):
        best_in_hindsight({})
