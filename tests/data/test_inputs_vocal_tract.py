"""Another vocal tract, against a loop over bands and a tone that moves; more and less silence, against real silence."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
import torch

from asr_transfer import audio
from asr_transfer.config import FeatureConfig, Normalisation, SpecAugmentConfig
from asr_transfer.data.features import model_input
from asr_transfer.data.inputs import Inputs, KaldiFbank, LasrMel, LogMel, ParakeetMel, Waveform, WhisperMel
from asr_transfer.data.inputs.spec_augment import mask_spectrum
from asr_transfer.data.inputs.vocal_tract import warp_bands
from asr_transfer.errors import ConfigError


def _mel(hertz: float) -> float:
    return 2595 * math.log10(1 + hertz / 700)


def _by_hand(frames: np.ndarray, factor: float) -> np.ndarray:
    """Return (time, mels) frames whose bands were each looked up where the formula of 2013 says."""
    mels, alpha, half, bend = frames.shape[1], 1 / factor, 8000.0, 4800.0
    step = (_mel(half) - _mel(20)) / (mels + 1)
    result = np.empty_like(frames)
    for band in range(mels):
        hertz = 700 * (10 ** ((_mel(20) + step * (band + 1)) / 2595) - 1)
        least = min(alpha, 1)
        if hertz <= bend * least / alpha:
            origin = hertz * alpha
        else:
            origin = half - (half - bend * least) / (half - bend * least / alpha) * (half - hertz)
        place = (_mel(origin) - _mel(20)) / step - 1
        for number, frame in enumerate(frames):
            result[number, band] = np.interp(place, np.arange(mels), frame)
    return result


@pytest.mark.parametrize("factor", [0.8, 0.95, 1.0, 1.17, 1.4])
def test_bands_are_taken_from_where_the_formula_says(factor: float) -> None:
    frames = np.random.default_rng(0).standard_normal((3, 40))
    warped = warp_bands(torch.from_numpy(frames)[None], torch.tensor([factor]))
    assert np.allclose(warped[0].numpy(), _by_hand(frames, float(torch.tensor(factor))), atol=1e-9)
    if factor == 1:
        assert np.allclose(warped[0].numpy(), frames, atol=1e-9)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_a_tone_moves_by_the_factor_and_means_stay(factor: float) -> None:
    time = torch.arange(8000) / audio.SAMPLE_RATE

    def peak(hertz: float, by: float = 1.0) -> int:
        heard = LogMel().analyse(0.3 * torch.sin(2 * math.pi * hertz * time))
        return int(warp_bands(heard[None], torch.tensor([by]))[0].mean(0).argmax())

    for hertz in (500.0, 1200.0, 2500.0):
        assert abs(peak(hertz, factor) - peak(hertz * factor)) <= 1 < abs(peak(hertz) - peak(hertz * factor))
    block = torch.randn(2, 50, 40)
    centred = block - block.mean(1, keepdim=True)
    warped = warp_bands(centred, torch.tensor([factor, 1.0]))
    assert float(warped.mean(1).abs().max()) < 1e-5
    assert torch.allclose(warped[1], centred[1], atol=1e-5) and not torch.allclose(warped[0], centred[0], atol=0.1)


def test_each_utterance_of_a_batch_has_a_tract_of_its_own() -> None:
    slope = torch.arange(40.0).expand(300, 4, 40)
    lengths = torch.full((300,), 4)
    config = SpecAugmentConfig(0, 0, 0, 0, warp=0.2)
    first, again = (mask_spectrum(slope, lengths, config, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, again) and torch.allclose(first, first[:, :1].expand_as(first), atol=1e-4)
    # A rising line is lower where the band is taken from below: that is a factor above 1.
    shifts = (first - slope)[:, 0, 20]
    ends = [float((warp_bands(slope[:1], torch.tensor([end])) - slope[:1])[0, 0, 20]) for end in (1.2, 0.8)]
    assert ends[0] < float(shifts.min()) < 0.9 * ends[0] and 0.9 * ends[1] < float(shifts.max()) < ends[1]
    generator = torch.Generator().manual_seed(1)
    before = generator.get_state()
    assert torch.equal(mask_spectrum(slope, lengths, SpecAugmentConfig(0, 0, 0, 0), generator), slope)
    assert torch.equal(before, generator.get_state()), "without warping the random numbers of others stay as they were"
    with pytest.raises(ConfigError, match="`augment.warp` must be from 0 to 0.5"):
        SpecAugmentConfig(warp=0.6)


def test_silence_shifts_an_utterance_as_frames_of_silence_would() -> None:
    random = torch.Generator().manual_seed(3)
    floor = torch.randn(1, 1, 12, generator=random) - 6
    speech = floor + 4 + torch.rand(1, 20, 12, generator=random)
    spoken = torch.cat([floor, speech], 1)
    share = 0.25
    longer = torch.cat([spoken, floor.expand(1, 7, 12)], 1)  # 7 of 28 frames are a quarter
    normal, silent = (block - block.mean(1, keepdim=True) for block in (spoken, longer))
    batch = torch.nn.functional.pad(normal, (0, 0, 0, 5)).expand(400, 26, 12)  # padding is no silence
    config = SpecAugmentConfig(0, 0, 0, 0, silence=share)
    found = mask_spectrum(batch, torch.full((400,), 21), config, torch.Generator().manual_seed(1))[:, :21]
    shifts = (found - normal).mean(1)
    most = (silent[:, :21] - normal).mean(1)
    assert torch.allclose(shifts / most, (shifts / most)[:, :1].expand_as(shifts), atol=1e-3)
    sizes = (shifts / most)[:, 0]
    assert 0.95 < float(sizes.max()) <= 1.0001 and -1.0001 <= float(sizes.min()) < -0.95
    with pytest.raises(ConfigError, match="`augment.silence` must be from 0 to below 1"):
        SpecAugmentConfig(silence=1)


def test_the_mean_of_speech_does_not_move_with_silence() -> None:
    random = torch.Generator().manual_seed(4)
    speech = 0.2 * torch.randn(8000, generator=random)
    hiss = 1e-3 * torch.randn(24000, generator=random)
    short, long = torch.cat([hiss[:800], speech, hiss[:800]]), torch.cat([hiss[:8000], speech, hiss[8000:]])
    own, usual = FeatureConfig(normalisation="speech-mean"), FeatureConfig()
    inside = slice(55, 95)  # in the longer one: 50 frames of silence go before, in the shorter one 5
    assert torch.allclose(model_input(long, own)[inside], model_input(short, own)[10:50], atol=0.05)
    assert float((model_input(long, usual)[inside] - model_input(short, usual)[10:50]).mean()) > 3
    # Frames at the edges are softer and count as well.
    assert abs(float(model_input(short, own)[10:50].mean())) < 0.3


MADE = [
    *(LogMel(normalisation=name) for name in get_args(Normalisation)),
    KaldiFbank(),
    WhisperMel(),
    ParakeetMel(),
    LasrMel(),
]


def _own_inputs(kind: Inputs, seed: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what a kind makes of two recordings, padded, in float64, and their lengths."""
    blocks = []
    for number, seconds in enumerate((1.2, 0.7)):
        noise = torch.randn(int(seconds * audio.SAMPLE_RATE), generator=torch.Generator().manual_seed(seed + number))
        blocks.append(kind.compute(0.1 * noise * torch.linspace(0.1, 1, len(noise))).double())
    return torch.nn.utils.rnn.pad_sequence(blocks, batch_first=True), torch.tensor([len(block) for block in blocks])


@pytest.mark.parametrize("kind", MADE, ids=lambda kind: f"{kind.kind}-{kind.normalisation}")
def test_a_factor_of_one_changes_no_bit_and_another_leaves_normalised_inputs(kind: Inputs) -> None:
    inputs, lengths = _own_inputs(kind)
    assert torch.equal(kind.warped(inputs, lengths, torch.tensor(1.0)), inputs)
    warped = kind.warped(inputs, lengths, torch.tensor(0.85))
    alone = kind.warped(inputs[1:, : lengths[1]], lengths[1:], torch.tensor(0.85))
    assert torch.allclose(warped[1, : lengths[1]], alone[0], atol=1e-9), "padding is not listened to"
    assert not torch.allclose(warped, inputs, atol=0.05) and not warped[1, lengths[1] :].any()
    for before, after, length in zip(inputs, warped, lengths, strict=True):
        if kind.normalisation in ("utterance", "utterance-mean"):
            assert float(after[:length].mean(0).abs().max()) < 1e-5
        if kind.normalisation == "utterance":
            deviations = [block[:length].std(0, correction=0) for block in (before, after)]
            assert torch.allclose(*deviations, atol=0.02), "interpolated bands alone would have smaller ones"
    if isinstance(kind, WhisperMel):
        quiet = inputs.clone()
        quiet[:, 5] = inputs.max() - 2  # the least value that there can be
        found = kind.warped(quiet, lengths, torch.tensor(0.85))
        for own, length in zip(found, lengths, strict=True):
            assert float(own[:length].min()) >= float(own[:length].max()) - 2


@pytest.mark.parametrize("kind", [WhisperMel(), ParakeetMel(), LasrMel(), KaldiFbank(normalisation="none")])
def test_a_tone_moves_by_the_factor_on_every_scale(kind: Inputs) -> None:
    time = torch.arange(8000) / audio.SAMPLE_RATE

    def peak(hertz: float, by: float = 1.0) -> int:
        heard = kind.analyse(0.3 * torch.sin(2 * math.pi * hertz * time))[None]
        band, scale = kind.band, kind.scale
        assert scale is not None
        return int(warp_bands(heard, torch.tensor([by]), band, scale)[0].mean(0).argmax())

    for hertz, factor in ((600.0, 1.25), (1200.0, 0.8), (2500.0, 1.25), (3000.0, 0.8)):
        assert abs(peak(hertz, factor) - peak(hertz * factor)) <= 1 < abs(peak(hertz) - peak(hertz * factor))


def test_waveforms_have_no_bands() -> None:
    with pytest.raises(ConfigError, match=r"moves bands in mel, which inputs of the kind .*, not waveform"):
        Waveform().warped(torch.zeros(1, 400, 1), torch.tensor([400]), torch.tensor(0.9))
