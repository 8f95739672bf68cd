"""A published encoder runs once over each utterance, also where utterances are masked at random."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from asr_transfer.config import SpecAugmentConfig
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from asr_transfer.training.activations import Stored, above, masks_on_states, stored_depth
from asr_transfer.training.session import speech_task
from asr_transfer.training.streams import Mixture
from asr_transfer.transfer.plan import Freeze, TransferPlan
from tests.models.pretrained.published import random_encoder
from tests.small import small_model
from tests.tones import Speech, two_speakers

MASKS = SpecAugmentConfig(frequency_masks=1, frequency_width=8, time_masks=1, time_width=16)
DEPTH = 4
"""Blocks of the small encoder without its top."""


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Speech:
    """Return recordings of two tone speakers, as Whisper hears them."""
    return two_speakers(tmp_path_factory.mktemp("activations"), random_encoder().inputs)


def test_masks_leave_only_a_published_encoder_stored() -> None:
    model = random_encoder({"en": 8})
    assert (stored_depth(model, True), stored_depth(model, False)) == (0, 0), "all of it is trained"
    TransferPlan(Freeze("** - heads.en - top - top_norm")).apply(model)
    assert (stored_depth(model, True), stored_depth(model, False)) == (DEPTH, DEPTH)
    TransferPlan(Freeze("top")).apply(model)
    assert (stored_depth(model, True), stored_depth(model, False)) == (DEPTH, DEPTH + 1)
    other = small_model(layers=2)
    TransferPlan(Freeze("** - heads")).apply(other)
    assert stored_depth(other, True) == 0 and stored_depth(other, False) > 0


def test_states_are_masked_in_as_large_a_part_as_inputs() -> None:
    model = random_encoder({"en": 8})
    masks = masks_on_states(SpecAugmentConfig(1, 20, 2, 16, channel=0.5, warp=0.1, silence=0.1), model)
    # 80 bands are 32 channels here, and four frames of the inputs are one.
    assert masks == SpecAugmentConfig(1, 8, 2, 4)
    assert masks_on_states(None, model) is None


def test_what_runs_on_stored_states_is_what_the_whole_model_gives(speech: Speech) -> None:
    model, tokens = random_encoder({"en": 8}), Tokens([*"abcdef", " "])
    spoken = Spoken(speech.own, speech.store).spelled(tokens, spec_augment=MASKS)
    stored = Stored(model)
    plain, fed = spoken.collate([0, 1, 2]), stored.feed(spoken, DEPTH).collate([0, 1, 2])
    assert fed.inputs.shape[2] == 32 and torch.equal(plain.targets, fed.targets)
    with torch.no_grad():
        whole, lengths = model(plain.inputs, plain.lengths)
        rest, own = above(model, DEPTH)(fed.inputs, fed.lengths)
    assert torch.equal(lengths, own)
    torch.testing.assert_close(rest, whole, rtol=2e-3, atol=2e-3)  # states are kept in float16
    assert above(model, 2).frames(10) == 5, "the norm puts two frames side by side"


def test_what_is_trained_stays_in_training_when_a_state_is_first_read(speech: Speech) -> None:
    model, tokens = random_encoder({"en": 8}), Tokens([*"abcdef", " "])
    fed = Stored(model).feed(Spoken(speech.own, speech.store).spelled(tokens), DEPTH)
    top = above(model, DEPTH)
    top.train()
    fed.collate([0])
    assert top.training and all(module.training for module in model.modules()), "dropout above went off for good"
    model.heads.eval()
    fed.collate([1])
    assert not model.heads.training and model.training, "each module has its own mode back"


def test_augmented_batches_of_states_are_masked_and_others_not(speech: Speech) -> None:
    model, tokens = random_encoder({"en": 8}), Tokens([*"abcdef", " "])
    spoken = Spoken(speech.own, speech.store).spelled(tokens, spec_augment=MASKS)
    task = speech_task("en", spoken, "en")
    stored = Stored(model)
    masked, (mixture,) = stored.feed_all([task], DEPTH, True)[0], stored.feed_all([Mixture("all", (task,))], DEPTH)
    assert isinstance(mixture, Mixture) and mixture.tasks[0].data.store is masked.data.store, "they run once"
    clean = masked.data.collate([0, 1])
    noisy = masked.data.collate([0, 1], torch.Generator().manual_seed(0))
    assert bool((clean.inputs != noisy.inputs).any()) and bool((noisy.inputs == 0).any())
    again = mixture.tasks[0].data.collate([0, 1], torch.Generator().manual_seed(0))
    assert torch.equal(again.inputs, clean.inputs)


def test_at_no_depth_streams_stay_what_they_are(speech: Speech, tmp_path: Path) -> None:
    task = speech_task("en", Spoken(speech.own, speech.store).spelled(Tokens([*"abcdef", " "])), "en")
    (fed,) = Stored(random_encoder()).feed_all([task], 0)
    assert fed.data is task.data
