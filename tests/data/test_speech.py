"""Speech batches hold the right features and targets, masks stay inside utterances, and CTC can spell what is kept."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from asr_transfer.config import FeatureConfig, ModelConfig, SpecAugmentConfig, subsampled
from asr_transfer.data.features import FeatureStore, build_store
from asr_transfer.data.inputs.spec_augment import mask_spectrum
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.remarks import Remark, collected
from asr_transfer.training.session import speech_task

TOKENS = Tokens(["a", "b", " "])
SPEEDS = (0.9, 1.0, 1.1)


@pytest.fixture
def spoken(tmp_path: Path, make_audio: Callable[..., Path]) -> tuple[list[Utterance], FeatureStore]:
    """Return three utterances and their store."""
    utterances = []
    for number, (seconds, text) in enumerate([(0.5, "ab"), (0.3, "a"), (0.7, "ba b")]):
        recording = make_audio(tmp_path / f"{'r' * (number + 1)}.wav", seconds)
        utterances.append(Utterance(f"u{number}", str(recording), seconds, text, "s", "en"))
    return utterances, build_store(utterances, FeatureConfig(mels=20), SPEEDS, cache=tmp_path / "cache")


def test_a_batch_holds_features_targets_and_lengths(spoken: tuple[list[Utterance], FeatureStore]) -> None:
    utterances, store = spoken
    data = Spoken(utterances, store, TOKENS, SPEEDS)
    assert len(data) == 3 and len(data.costs()) == 9
    items = [7, 0, 5]
    batch = data.collate(items)
    assert batch.lengths is not None and batch.target_lengths is not None
    for row, item in enumerate(items):
        utterance, speed = utterances[item // 3], SPEEDS[item % 3]
        assert data.utterance(item) is utterance
        block = store.load(store.view(utterance.id, speed))
        length, labels = int(batch.lengths[row]), int(batch.target_lengths[row])
        assert length == len(block) == data.costs()[item]
        assert torch.equal(batch.inputs[row, :length], block)
        assert not batch.inputs[row, length:].any() and not batch.targets[row, labels:].any()
        assert TOKENS.decode(batch.targets[row, :labels].tolist()) == utterance.text
    assert batch.items.tolist() == items


def test_augmentation_is_seeded_and_only_with_a_generator(spoken: tuple[list[Utterance], FeatureStore]) -> None:
    utterances, store = spoken
    data = Spoken(utterances, store, TOKENS, spec_augment=SpecAugmentConfig(2, 5, 2, 10, 0.5))
    plain = data.collate([0, 1]).inputs
    masked = [data.collate([0, 1], torch.Generator().manual_seed(seed)).inputs for seed in (1, 1, 2)]
    assert torch.equal(masked[0], masked[1])
    assert not torch.equal(masked[0], masked[2]) and not torch.equal(masked[0], plain)
    without = Spoken(utterances, store, TOKENS)
    assert torch.equal(without.collate([0, 1], torch.Generator().manual_seed(1)).inputs, plain)


@pytest.mark.parametrize("seed", range(5))
def test_masks_are_stretches_within_their_limits_and_inside_the_utterance(seed: int) -> None:
    lengths = torch.tensor([200, 90, 40, 3, 1])
    ones = torch.ones(5, 200, 30)
    generator = torch.Generator().manual_seed(seed)
    bands = SpecAugmentConfig(1, 8, 0, 0, 1.0)
    kept = mask_spectrum(ones, lengths, bands, generator)
    assert torch.equal(kept, kept[:, :1].expand_as(kept))
    assert int((kept[:, 0] == 0).sum(1).max()) <= 8
    times = SpecAugmentConfig(0, 0, 1, 30, 0.2)
    kept = mask_spectrum(ones, lengths, times, generator)[:, :, 0]
    for row, length in enumerate(lengths.tolist()):
        masked = torch.nonzero(kept[row] == 0).flatten().tolist()
        assert len(masked) <= min(30, 0.2 * length)
        assert masked == list(range(masked[0], masked[0] + len(masked))) if masked else True
        assert not masked or masked[-1] < length
    untouched = mask_spectrum(ones, lengths, SpecAugmentConfig(0, 0, 0, 0), generator)
    assert torch.equal(untouched, ones)


def test_masks_reach_every_band_and_frame_and_the_greatest_width() -> None:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.full((3000,), 12)
    kept = mask_spectrum(torch.ones(3000, 12, 6), lengths, SpecAugmentConfig(1, 3, 1, 4, 1.0), generator)
    times, bands = (kept.amax(2) == 0).sum(1), (kept.amax(1) == 0).sum(1)
    assert set(times.tolist()) == {0, 1, 2, 3, 4} and set(bands.tolist()) == {0, 1, 2, 3}
    assert (kept.amax(2) == 0).any(0).all() and (kept.amax(1) == 0).any(0).all()
    wide = mask_spectrum(torch.ones(50, 12, 6), lengths[:50], SpecAugmentConfig(1, 99, 1, 99, 1.0), generator)
    assert wide.shape == (50, 12, 6)


def test_a_random_channel_colours_bands_alike_in_all_frames() -> None:
    silence, lengths = torch.zeros(500, 6, 40), torch.full((500,), 6)
    config = SpecAugmentConfig(0, 0, 0, 0, channel=0.5)
    coloured = mask_spectrum(silence, lengths, config, torch.Generator().manual_seed(0))
    assert torch.equal(coloured, coloured[:, :1].expand_as(coloured)), "a channel does not change over time"
    assert not torch.equal(coloured[0], coloured[1])
    assert 0.35 < float(coloured.std()) < 0.55
    # Straight lines between six corners: no band is far from the middle of its neighbours.
    bend = (coloured[:, 0, 2:] - 2 * coloured[:, 0, 1:-1] + coloured[:, 0, :-2]).abs()
    assert int((bend > 1e-5).sum(1).max()) <= 8
    with pytest.raises(ConfigError, match="`augment.channel`"):
        SpecAugmentConfig(channel=-1)


@pytest.mark.parametrize("strides", [(4, 4), (2, 1)])
def test_infeasible_utterances_are_left_out_by_name(
    strides: tuple[int, int], spoken: tuple[list[Utterance], FeatureStore]
) -> None:
    utterances, store = spoken
    views = [store.length(store.view("u1", speed)) for speed in SPEEDS]
    frames = min(subsampled(view, strides) for view in views)
    assert frames == subsampled(views[2], strides) >= 2
    assert (frames < subsampled(views[0], strides)) == (strides == (2, 1)), "a slower copy leaves more"

    def kept(text: str) -> int:
        one = Utterance("u1", utterances[1].audio, 0.3, text, "s", "en")
        return len(Spoken([one], store, TOKENS, SPEEDS).feasible(partial(subsampled, strides=strides))[0])

    # Alternating letters need a frame each, equal neighbours a blank between them as well.
    alternating = ("ab" * frames)[:frames]
    assert (kept(alternating), kept(alternating + "ba"[frames % 2 - 1])) == (1, 0)
    assert kept("a" * ((frames + 1) // 2)) == 1
    assert kept("a" * ((frames + 1) // 2 + 1)) == 0
    long = Utterance("u1", utterances[1].audio, 0.3, "ab" * 20, "s", "en")
    with pytest.warns(Remark, match="u1: left out: CTC needs 40 frames for 'abab"):
        remaining, report = Spoken([utterances[0], long], store, TOKENS, SPEEDS).feasible(ModelConfig().frames)
    assert (remaining.utterances, report.kept) == ([utterances[0]], 1)
    assert report.dropped[0][0] == "u1" and "CTC needs 40 frames" in report.dropped[0][1]


def test_what_is_feasible_has_a_finite_loss() -> None:
    for frames in range(1, 12):
        for text in ("a", "aa", "ab", "aab", "aaa", "abab"):
            label = torch.tensor([TOKENS.encode(text)])
            log_probs = torch.zeros(subsampled(frames, (2, 1)), 1, 4).log_softmax(-1)
            loss = torch.nn.functional.ctc_loss(log_probs, label, [len(log_probs)], [len(text)])
            needed = len(text) + sum(a == b for a, b in itertools.pairwise(text))
            assert bool(torch.isfinite(loss)) == (needed <= len(log_probs))


def test_what_cannot_be_read_is_refused(spoken: tuple[list[Utterance], FeatureStore]) -> None:
    utterances, store = spoken
    with pytest.raises(DataError, match="there are no utterances"):
        speech_task("train", Spoken([], store, TOKENS), "en")
    with pytest.raises(DataError, match="utterance 'u0': 'b' cannot be spelled"):
        Spoken(utterances, store, Tokens(["a"]))


def test_parts_of_speech_keep_what_belongs_to_them(spoken: tuple[list[Utterance], FeatureStore]) -> None:
    utterances, store = spoken
    made = [replace(u, language=name, speaker=voice) for u, name, voice in zip(utterances, "xyx", "aab", strict=True)]
    whole = Spoken(made, store, TOKENS, SPEEDS, SpecAugmentConfig())
    assert whole.languages() == ["x", "y"] and whole.costs().shape == (9,)
    for part, numbers in (
        (whole.subset([2, 0]), [2, 0]),
        (whole.where("x"), [0, 2]),
        (whole.where("x", "b"), [2]),
        (whole.where(speaker="a"), [0, 1]),
        (whole.where("z"), []),
    ):
        items = [3 * number + copy for number in numbers for copy in range(3)]
        assert part.utterances == [made[number] for number in numbers] and bool(part) == bool(numbers)
        assert part.costs().tolist() == whole.costs()[items].tolist() and part.spec_augment is whole.spec_augment
        if numbers:
            ours, theirs = part.collate(range(len(items))), whole.collate(items)
            assert torch.equal(ours.inputs, theirs.inputs) and torch.equal(ours.targets, theirs.targets)
    assert not whole.subset([]).feasible(ModelConfig().frames)[0]


def test_speech_is_spelled_and_fed_anew(spoken: tuple[list[Utterance], FeatureStore], tmp_path: Path) -> None:
    utterances, store = spoken
    heard = Spoken(utterances, store)
    assert heard.collate([0, 1]).targets.shape == (2, 0)
    assert heard.spelled(TOKENS, SPEEDS).collate([4]).targets.tolist() == [TOKENS.encode("a")]
    assert heard.held(SPEEDS) == SPEEDS
    other = heard.fed(build_store(utterances, FeatureConfig(mels=8), cache=tmp_path / "other"))
    assert other.collate([1]).inputs.shape[-1] == 8 and heard.collate([1]).inputs.shape[-1] == 20
    assert other.held(SPEEDS) == (1.0,)
    with pytest.raises(DataError, match="at none of the speeds 0.5, 2"):
        other.held((0.5, 2.0))


def test_of_many_that_are_too_short_some_are_named_and_the_others_counted(
    spoken: tuple[list[Utterance], FeatureStore],
) -> None:
    utterances, store = spoken
    many = [replace(utterances[1], text="ab" * 20)] * 13
    with collected() as remarks:
        kept, report = Spoken(many, store, TOKENS).feasible(ModelConfig().frames)
    assert not kept and len(report.dropped) == 13 and len(remarks) == 2
    assert any("3 more utterances are left out" in reason for reason in remarks)
