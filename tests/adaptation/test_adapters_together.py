"""Speakers whose speech shares batches have the losses and slopes that each has alone."""

from __future__ import annotations

import pytest
import torch

from asr_transfer.adaptation.adapter_likelihood import AdapterLikelihood
from asr_transfer.adaptation.adapters_together import Own, joined, likelihoods
from asr_transfer.config import FeatureConfig, ModelConfig
from asr_transfer.data.batching import Batch
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import TrainingError
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.models.adapters import AdapterSpec
from asr_transfer.training.learnable import learnable
from tests.small import MELS
from tests.tones import Speech, two_speakers

LETTERS = ["a", "b", "c", "d", "e", "f", " "]
ENCODERS = pytest.mark.parametrize("encoder", ["tdnn", "bilstm", "conformer"])


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Speech:
    """Return recordings of two tone speakers."""
    return two_speakers(tmp_path_factory.mktemp("speech"), FeatureConfig(mels=MELS))


def make_source(encoder: str, head: str = "en") -> Recogniser:
    """Return a random model with two heads in float64."""
    torch.manual_seed(4)
    config = ModelConfig(encoder, 2, dim=8, channels=10, strides=(2, 1), features=FeatureConfig(mels=MELS))
    model = AcousticModel(config, {"en": len(LETTERS) + 1, "other": len(LETTERS) + 1}).double()
    model.register_forward_pre_hook(lambda module, arguments: (arguments[0].double(), *arguments[1:]))
    return Recogniser(model.eval(), Tokens(LETTERS), head, {"trained_on": "nothing"})


def rows_of(source: Recogniser, speech: Speech) -> list[list[Batch]]:
    """Return the recordings of both speakers, each in a batch of its own."""
    both = []
    for own in (speech.own, speech.more):
        spoken, _ = learnable(Spoken(own, speech.store).spelled(source.tokens), source.model)
        both.append([spoken.collate([item]) for item in range(len(spoken))])
    return both


def tried_by(values: int, searches: int) -> dict[int, torch.Tensor]:
    random = torch.Generator().manual_seed(2)
    return {n: 0.2 * torch.randn(values, generator=random, dtype=torch.float64) for n in range(searches)}


@ENCODERS
@pytest.mark.parametrize("kind", ["lhuc", "lin", "lora"])
def test_losses_and_slopes_are_those_of_each_alone(speech: Speech, encoder: str, kind: str) -> None:
    source, other = make_source(encoder), make_source(encoder, "other")
    first, second = rows_of(source, speech)
    spec = AdapterSpec(kind, 2 if kind == "lora" else 0)
    owns = [Own(source, first), Own(other, second), Own(source, second)]
    together = likelihoods(owns, spec)
    tried = tried_by(len(together.start), 3)
    del tried[0]
    slopes, losses = together.slopes(tried), together.losses(tried)
    assert list(slopes) == list(losses) == [1, 2], "only those are computed that are asked for"
    for number, vector in tried.items():
        own = owns[number]
        alone = AdapterLikelihood(own.source, spec, [joined(own.recordings)])
        loss, slope = alone.slope(vector)
        assert together.shapes == alone.shapes and torch.equal(together.start, alone.start)
        assert together.frames[number] == alone.frames
        assert slopes[number][0] == pytest.approx(loss, rel=1e-10) == losses[number]
        torch.testing.assert_close(slopes[number][1], slope, rtol=1e-8, atol=1e-9)


def test_no_effect_is_the_model_itself(speech: Speech) -> None:
    source = make_source("tdnn")
    first, second = rows_of(source, speech)
    together = likelihoods([Own(source, first), Own(source, second)], AdapterSpec("lhuc", 0))
    found = together.losses({0: together.start, 1: together.start})
    for number, rows in enumerate((first, second)):
        alone = AdapterLikelihood(source, AdapterSpec("lhuc", 0), [joined(rows)])
        assert found[number] == pytest.approx(alone.before, rel=1e-12)


def test_what_is_not_finite_is_refused(speech: Speech) -> None:
    source = make_source("tdnn")
    together = likelihoods([Own(source, rows_of(source, speech)[0])], AdapterSpec("lhuc", 0))
    with pytest.raises(TrainingError, match="not finite"):
        together.slopes({0: torch.full_like(together.start, float("nan"))})


def test_joined_recordings_are_the_batch_of_them(speech: Speech) -> None:
    spoken = Spoken(speech.own, speech.store).spelled(Tokens(LETTERS))
    rows, whole = [spoken.collate([n]) for n in range(len(spoken))], spoken.collate(range(len(spoken)))
    made = joined(rows)
    for name in ("items", "inputs", "targets", "lengths", "target_lengths"):
        assert torch.equal(getattr(made, name), getattr(whole, name)), name
