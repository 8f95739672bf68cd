"""Describes a new speaker by what the training speakers have in common: a few weights of their profiles' directions.

A few seconds of speech cannot tell thousands of weights, but they can tell a few numbers. `eigen-profile` takes the
weights that are likeliest given the speech and how the training speakers' own weights lie, a Gaussian (MAP;
eigenvoices, Kuhn et al. 2000): the speech speaks by its CTC loss, the prior by the widths of the directions, both in
nats of all speech, and the maximum of so few numbers is found by second-order steps (L-BFGS) on all speech at once.
`mean-profile` reads nothing, `nearest-profile` is the training speaker under whose profile the speech is likeliest, and
`mixture-profile` the mean of the nearest, each as likely as his profile makes the speech.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.special import softmax

from asr_transfer.adaptation.adapter_likelihood import AdapterLikelihood, most_likely_under
from asr_transfer.adaptation.settings import MethodSettings
from asr_transfer.adaptation.unsupervised import guess, surest
from asr_transfer.data.batching import sequential
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import BATCH_FRAMES, Recogniser
from asr_transfer.errors import DataError, ModelError, NothingUsable
from asr_transfer.models.adapters import AdapterSpec, adapter_specs, base_checksum
from asr_transfer.models.contract import SpeechModel
from asr_transfer.models.speaker_space import FILE, MAKING, SpeakerSpace

EIGEN, MEAN, NEAREST, MIXTURE = "eigen-profile", "mean-profile", "nearest-profile", "mixture-profile"
UNREAD = f"{EIGEN}-untranscribed"
"""Names of the methods."""

LEAST_SECONDS = 0.3
"""Less speech tells nothing of a speaker."""

ITERATIONS = 12
"""Second-order steps: so few weights are at rest after them."""

NEIGHBOURS = 8
"""Nearest training speakers that `mixture-profile` is of."""


@dataclass(frozen=True)
class Described:
    """A new speaker's weights, and what they explain.

    Attributes:
        method: name of the method.
        weights: (directions,) weights, in float64.
        gain: nats per output frame by which the speech is likelier than under the source model; 0 where none was read.
        speakers: names of the training speakers that it is, the likeliest first; empty for all of them.
        digest: checksum of the directions.
    """

    method: str
    weights: torch.Tensor
    gain: float
    speakers: Sequence[str]
    digest: str

    def spec(self, model: SpeechModel) -> AdapterSpec:
        """Return the adapter of a model that the weights are a profile of."""
        return require_space(model, self.method).spec

    def put_on(self, model: SpeechModel) -> None:
        """Give the profile to a model that has the adapter."""
        assert model.speakers is not None
        model.speakers.put_on(model, self.weights)

    def plain(self) -> dict[str, Any]:
        """Return plain values for a record."""
        return {
            "weights": [round(value, 6) for value in self.weights.tolist()],
            "gain": round(self.gain, 6),
            "speakers": list(self.speakers),
            "directions": self.digest,
        }

    def describe(self) -> str:
        """Return one line on what was found."""
        if self.method == MEAN:
            return f"{self.method}: the training speakers' mean, for no speech is read"
        whose = f" of {', '.join(self.speakers[:3])}" if self.speakers else ""
        values = ", ".join(f"{value:.2g}" for value in self.weights[:8].tolist())
        more = ", …" if len(self.weights) > 8 else ""
        return f"{self.method}{whose}: weights {values}{more}; {self.gain:.3f} nats per frame likelier than without"


class Likelihood:
    """How likely speech is under profiles, by the CTC of a source model.

    Args:
        source: the model, without the adapter.
        space: directions of its training speakers.
        spoken: speech with targets that CTC can spell.
        device: device to compute on.

    Attributes:
        before: loss of the speech under the model itself, in nats of all of it.
        frames: output frames of the speech.

    Raises:
        ModelError: the directions are not of the adapter that they name.
    """

    def __init__(
        self, source: Recogniser, space: SpeakerSpace, spoken: Spoken, device: torch.device | str = "cpu"
    ) -> None:
        self.space = space
        self._adapter = AdapterLikelihood(source, space.spec, list(sequential(spoken, BATCH_FRAMES)), device)
        if self._adapter.shapes != dict(space.shapes):
            raise ModelError(
                f"{FILE}: its profiles have other values than `{space.spec}` of this model; make them anew with "
                f"{MAKING}."
            )
        self.before, self.frames = self._adapter.before, self._adapter.frames

    def loss(self, weights: torch.Tensor) -> float:
        """Return the loss of the speech under the profile of some weights, in nats of all of it."""
        return self._adapter.loss(self.space.vector(weights))

    def slope(self, weights: torch.Tensor) -> tuple[float, torch.Tensor]:
        """Return the loss and its (directions,) derivatives by the weights, in float64."""
        loss, whole = self._adapter.slope(self.space.vector(weights))
        return loss, self.space.along(whole, len(weights))


def describe_speaker(
    source: Recogniser, spoken: Spoken, method: str, settings: MethodSettings, device: torch.device | str = "cpu"
) -> Described:
    """Describe a speaker by weights of the directions that come with a source model.

    Args:
        source: the model.
        spoken: speech of the speaker that the model can learn from; its texts are read unless the method reads none.
        method: name of the method.
        settings: settings of the methods.
        device: device to compute on.

    Raises:
        ModelError: the model has no directions, or they are of other weights; or it has a profile already.
        DataError: there is too little speech, or nothing is recognised in it.
    """
    space = require_space(source.model, method)
    if method == MEAN:
        return Described(method, torch.zeros(space.used, dtype=torch.float64), 0.0, (), space.digest)
    likelihood = Likelihood(source, space, spoken, device)
    speakers: Sequence[str] = ()
    if method in (EIGEN, UNREAD):
        count = space.used if settings.directions is None else min(settings.directions, len(space.deviations))
        weights = most_likely(likelihood, count, settings.prior)
    else:
        chances = likely_speakers(likelihood, 1 if method == NEAREST else NEIGHBOURS, settings.softness)
        weights = torch.from_numpy(chances) @ space.weights.double()
        speakers = [space.speakers[number] for number in np.argsort(-chances) if chances[number] > 0]
    gain = (likelihood.before - likelihood.loss(weights)) / max(1, likelihood.frames)
    return Described(method, weights, gain, speakers, space.digest)


def require_space(model: SpeechModel, method: str) -> SpeakerSpace:
    """Return the directions of a model's training speakers, for a method.

    Raises:
        ModelError: there are none, they are of other weights, or the model has a profile of their kind already.
    """
    space = model.speakers
    if space is None:
        raise ModelError(
            f"`{method}` goes by the profiles of the speakers that a model was trained on, and this one has none; make "
            f"them with {MAKING}, or train it with --speaker_profiles lhuc."
        )
    if space.base != base_checksum(model):
        raise ModelError(
            f"`{method}` goes by profiles of other weights than this model's, which was adapted or taught since they "
            f"were made; take the model that it came from, or make them anew with {MAKING}."
        )
    if any(spec.kind == space.spec.kind for spec in adapter_specs(model)):
        raise ModelError(
            f"the model has a profile of the kind `{space.spec.kind}` already, which `{method}` would replace; leave "
            "that profile out."
        )
    return space


def with_weights(source: Recogniser, weights: torch.Tensor) -> Recogniser:
    """Return a recogniser with the profile of some weights on a copy of the model.

    Raises:
        ModelError: the model has no directions.
    """
    model = copy.deepcopy(source.model)
    require_space(model, EIGEN).put_on(model, weights)
    return replace(source, model=model.eval())


def most_likely(likelihood: Likelihood, count: int, prior: float) -> torch.Tensor:
    """Return the (count,) weights that are likeliest given the speech and the training speakers' Gaussian.

    Args:
        likelihood: the speech.
        count: number of directions.
        prior: weight of the Gaussian; 1 is Bayes' own, infinite gives the mean profile.

    Raises:
        TrainingError: the loss is not finite.
    """
    widths = likelihood.space.deviations[:count].double()
    return most_likely_under(likelihood.slope, widths, prior, ITERATIONS)


def likely_speakers(likelihood: Likelihood, nearest: int, softness: float) -> np.ndarray:
    """Return the (speakers,) chances of the training speakers, 0 for all but the nearest.

    Args:
        likelihood: the speech.
        nearest: number of speakers that have a chance.
        softness: factor on the nats of speech by which one speaker is likelier than another, for frames of speech are
            no independent witnesses.
    """
    losses = np.array([likelihood.loss(weights) for weights in likelihood.space.weights])
    chances = np.zeros(len(losses))
    order = np.argsort(losses)[:nearest]
    chances[order] = softmax(-softness * losses[order])
    return chances


def recognised(source: Recogniser, spoken: Spoken) -> Spoken:
    """Return speech with what the source model recognises in place of its texts, without what it recognises nothing in.

    Raises:
        DataError: nothing is recognised.
    """
    with torch.no_grad():
        kept, _ = surest(source, spoken, guess(source, spoken), 0.0)
    if not kept:
        raise NothingUsable(
            "the model recognises nothing in any recording, so there is nothing to describe the speaker by; transcribe "
            "some of them, or take `mean-profile`, which reads nothing."
        )
    return kept


def require_speech(spoken: Spoken, method: str, instead: str = MEAN) -> None:
    """Refuse too little speech.

    Args:
        spoken: speech of a speaker.
        method: method that goes by it.
        instead: method that reads none; empty for none.

    Raises:
        DataError: it is.
    """
    seconds = sum(utterance.duration for utterance in spoken.utterances)
    if seconds < LEAST_SECONDS:
        raise DataError(
            f"`{method}` has {seconds:.1f} s of speech to go by, which tells nothing of a speaker; give at least "
            f"{LEAST_SECONDS:g} s{f', or take `{instead}`, which reads none' if instead else ''}."
        )
