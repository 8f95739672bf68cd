"""Inputs of published CTC models, against the feature extractors that they were published with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

from asr_transfer.data.inputs import LasrMel, ParakeetMel, Waveform
from asr_transfer.errors import ConfigError

COUNTS = pytest.mark.parametrize("count", [1600, 8000, 16_077, 16_159])


def _samples(count: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(3).standard_normal(count) + 0.01).astype(np.float32)


@COUNTS
def test_parakeets_log_mels_are_its_extractors(count: int) -> None:
    samples = _samples(count)
    theirs = transformers.ParakeetFeatureExtractor()(samples, sampling_rate=16_000, return_tensors="pt")
    valid = int(theirs["attention_mask"].sum())
    ours = ParakeetMel().compute(torch.from_numpy(samples))
    assert ours.shape == (valid, 80)
    torch.testing.assert_close(ours, theirs["input_features"][0, :valid], rtol=0, atol=2e-4)


@COUNTS
def test_lasrs_log_mels_are_its_extractors(count: int) -> None:
    samples = _samples(count)
    theirs = transformers.LasrFeatureExtractor()(samples, sampling_rate=16_000, return_tensors="pt")
    torch.testing.assert_close(
        LasrMel().compute(torch.from_numpy(samples)), theirs["input_features"][0], rtol=0, atol=1e-4
    )


@pytest.mark.parametrize("inputs", [ParakeetMel(), LasrMel()])
def test_a_recording_in_pieces_gives_the_same_log_mels(inputs: ParakeetMel | LasrMel) -> None:
    samples = torch.from_numpy(_samples(5000))
    whole, pieces = inputs.analyse(samples), torch.cat(list(inputs.blocks(iter(samples.split(700)))))
    torch.testing.assert_close(pieces, whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("inputs", [ParakeetMel(), LasrMel()])
def test_what_is_shorter_than_a_window_has_one_frame(inputs: ParakeetMel | LasrMel) -> None:
    assert len(inputs.compute(torch.from_numpy(_samples(100)))) == 1


def test_a_quiet_waveform_is_normalised_as_omniasrs_extractor_does_it() -> None:
    samples = 0.01 * _samples(4000)
    theirs = transformers.OmniASRFeatureExtractor()(samples, sampling_rate=16_000)["input_values"][0, 0]
    torch.testing.assert_close(Waveform(floor=1e-5).compute(torch.from_numpy(samples))[:, 0], theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", [ParakeetMel, LasrMel])
def test_other_windows_are_refused(kind: type[ParakeetMel] | type[LasrMel]) -> None:
    with pytest.raises(ConfigError, match="every 10 ms .* leave others out"):
        kind(hop_ms=20.0)
