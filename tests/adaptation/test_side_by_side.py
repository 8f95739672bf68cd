"""Searches side by side find what each finds alone, and a failure ends all of them."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import pytest
import torch

from asr_transfer.adaptation.adapter_likelihood import AdapterLikelihood, most_likely_under
from asr_transfer.adaptation.adapters_together import Own, joined, likelihoods
from asr_transfer.adaptation.side_by_side import most_likely_of_each
from asr_transfer.config import FeatureConfig
from asr_transfer.errors import TrainingError
from asr_transfer.models.adapters import AdapterSpec
from tests.adaptation.test_adapters_together import make_source, rows_of
from tests.small import MELS
from tests.tones import Speech, two_speakers


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Speech:
    """Return recordings of two tone speakers."""
    return two_speakers(tmp_path_factory.mktemp("speech"), FeatureConfig(mels=MELS))


@pytest.mark.parametrize("prior", [1.0, 30.0, float("inf")])
def test_searches_side_by_side_find_what_each_finds_alone(speech: Speech, prior: float) -> None:
    source = make_source("tdnn")
    spec = AdapterSpec("lhuc", 0)
    parts = rows_of(source, speech)
    together = likelihoods([Own(source, rows) for rows in parts], spec)
    # One search is over fewer values than the other, and one is over none, so that they end at different times.
    widths = [torch.full_like(together.start, 0.3), torch.zeros(0, dtype=torch.float64)]
    asked: list[list[int]] = []

    def slopes(tried: Mapping[int, torch.Tensor]) -> dict[int, tuple[float, torch.Tensor]]:
        asked.append(list(tried))
        assert threading.current_thread() is threading.main_thread()
        return together.slopes(tried)

    found, none = most_likely_of_each(slopes, widths, prior, 4)
    assert len(none) == 0 and all(numbers == [0] for numbers in asked)
    first, second = most_likely_of_each(together.slopes, [widths[0], widths[0] / 3], prior, 4)
    for vector, width, rows in ((found, 0.3, parts[0]), (first, 0.3, parts[0]), (second, 0.1, parts[1])):
        alone = AdapterLikelihood(source, spec, [joined(rows)])
        wanted = most_likely_under(alone.slope, torch.full_like(together.start, width), prior, 4)
        torch.testing.assert_close(vector, wanted, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("error", [TrainingError("so it is"), KeyboardInterrupt()])
def test_a_failure_ends_all_searches(error: BaseException) -> None:
    before = set(threading.enumerate())
    calls = []

    def slopes(tried: Mapping[int, torch.Tensor]) -> dict[int, tuple[float, torch.Tensor]]:
        calls.append(len(tried))
        if len(calls) == 2:
            raise error
        return {number: (float(vector.square().sum()) + 1, 2 * vector + 1) for number, vector in tried.items()}

    with pytest.raises(type(error)):
        most_likely_of_each(slopes, [torch.ones(3, dtype=torch.float64)] * 5, 1.0, 8)
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
    assert set(threading.enumerate()) <= before and calls == [5, 5]


def test_a_search_that_fails_is_told_and_the_others_end() -> None:
    def slopes(tried: Mapping[int, torch.Tensor]) -> dict[int, tuple[float, torch.Tensor]]:
        return {number: (1.0, torch.ones(2 if number else 5, dtype=torch.float64)) for number in tried}

    with pytest.raises(RuntimeError, match="must match the size"):
        most_likely_of_each(slopes, [torch.ones(2, dtype=torch.float64)] * 3, 1.0, 4)
