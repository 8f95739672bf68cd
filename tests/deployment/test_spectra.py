"""Features that a graph computes are those that the model was trained on."""

from __future__ import annotations

import pytest
import torch

from asr_transfer.data.inputs import Inputs, KaldiFbank, LasrMel, LogMel, Waveform, WhisperMel
from asr_transfer.deployment.spectra import Spectra, can_be_computed


@pytest.mark.parametrize(
    "inputs",
    [
        LogMel(),
        LogMel(mels=40, window_ms=20.0),
        LogMel(remove_offset=True),
        LogMel(mels=40, window_ms=20.0, remove_offset=True),
        KaldiFbank(),
        WhisperMel(),
        WhisperMel(least_seconds=0.8),
        Waveform(),
    ],
)
@pytest.mark.parametrize("count", [4_000, 16_000, 16_079, 16_080, 16_159])
def test_a_graph_computes_the_same_features(inputs: Inputs, count: int) -> None:
    wave = 0.1 * torch.randn(count, generator=torch.Generator().manual_seed(count)) + 0.001
    features, lengths = Spectra(inputs)(wave[None])
    wanted = inputs.analyse(wave)
    assert lengths.tolist() == [len(wanted)]
    torch.testing.assert_close(features[0], wanted, atol=2e-3, rtol=1e-4)


def test_a_recording_shorter_than_a_window_is_one_frame() -> None:
    for inputs in (LogMel(), KaldiFbank()):
        features, lengths = Spectra(inputs)(torch.full((1, 200), 0.1))
        assert features.shape == (1, 1, 80) and lengths.tolist() == [1] and features.isfinite().all()


def test_kinds_that_no_graph_computes_are_told() -> None:
    assert can_be_computed(LogMel()) and not can_be_computed(LasrMel(mels=128))
