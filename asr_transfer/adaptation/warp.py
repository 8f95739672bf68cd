"""Chooses a speaker's warp: the factor on all frequencies under which a source model understands the speaker best.

That is vocal tract length normalisation (Lee and Rose 1996) by a search over few factors. The evidence for a factor is
how sure the model is of what it hears, the entropy of its outputs, and where transcripts are read how likely they are
under it, by CTC. It is weighed against what factors speakers have: a Gaussian around no warp over their logarithms, as
wide as the training speakers' own factors lie (`WarpPrior`), which comes with the source model. Flat evidence would
drift to an end of the search without, and in doubt there is no warp.
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.special import logsumexp

from asr_transfer.adaptation.settings import MethodSettings
from asr_transfer.adaptation.sureness import weigh
from asr_transfer.data.features import FeatureStore
from asr_transfer.data.manifest import Report, Utterance, by_speaker
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.distributions import t_below
from asr_transfer.errors import ConfigError, ModelError, NothingUsable
from asr_transfer.models.adapters import AdapterSpec, adapter_specs, add_adapter
from asr_transfer.models.contract import SpeechModel
from asr_transfer.plain import from_plain, to_plain
from asr_transfer.ranges import Count, Ranged, Weight
from asr_transfer.training.learnable import learnable

KIND = "warp"
"""Name of the adapter that holds a factor."""

ORIGIN = "warp"
"""Where a model folder's `origin` keeps the `WarpPrior`."""

BROAD = 0.1
"""Width of the prior of a model that keeps none, two thirds of the speakers within 10 % of no warp; and its least one.
A model is fitted to its training speakers, so that new ones lie wider; and those may all be adults."""

DOUBT, DOUBT_READ = 2.0, 3.0
"""Nats by which a factor must be likelier than no warp, prior included, to be taken; more where transcripts are read,
which have outliers. With them one sentence helped the two children of the synthetic voices (20.4 → 10.5 and 11.2 →
6.0 % of the words wrong without transcripts, 10.6 and 6.3 with them) and cost ordinary speakers nothing, among those,
AN4's ten and FSDD's six, but for 0.1 points of AN4's with transcripts. They were chosen on these same speakers."""

SURE = 0.84
"""Least chance that further recordings gain too, where there are several to tell from. A gain is often that of a few
words, so that true ones have large errors too."""

LEAST_SPEAKERS, MOST_SPEAKERS, EACH = 8, 32, 3
"""Training speakers that a prior is estimated from, and utterances of each."""

LEAST_SECONDS = 0.3
"""Less speech tells nothing of a vocal tract."""


Weighed = dict[tuple[bool, float, str], tuple[float, float, float]]
"""Evidence, sureness and frames by whether transcripts are read, factor and utterance."""


@dataclass(frozen=True)
class WarpPrior(Ranged, section="warp"):
    """Factors that speakers have.

    Attributes:
        width: Deviation of the logarithms of the factors around 0, no warp.
        speakers: Number of training speakers that it was estimated from.
        factors: Likeliest factor of each of them.
    """

    width: Weight
    speakers: Count
    factors: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, source: Recogniser) -> WarpPrior | None:
        """Return what comes with a model; None where nothing does.

        Raises:
            ModelError: it is damaged.
        """
        plain = source.origin.get(ORIGIN)
        if plain is None:
            return None
        try:
            return from_plain(cls, plain if isinstance(plain, Mapping) else {}, f"config.yaml: `origin.{ORIGIN}`")
        except ConfigError as error:
            raise ModelError(
                f"{error} Take it out, then speakers' warps are thought to be usual; or copy the model again."
            ) from None

    def origin(self) -> dict[str, Any]:
        """Return what a model folder's `origin` says of it."""
        return {ORIGIN: to_plain(self)}


@dataclass(frozen=True)
class Warped:
    """A chosen factor and why.

    Attributes:
        factor: the factor; 1 for no warp.
        likeliest: factor that the evidence and the prior speak for most.
        gain: evidence for `likeliest` over no warp, in nats per output frame, without the prior.
        odds: the same in nats of all speech, with the prior.
        sure: chance that further recordings gain by it; None of a single recording.
        agreed: whether the model is no less sure of what it hears than without; one misheard word of a transcript can
            speak for a factor under which all else is understood worse.
        width: width of the prior.
        doubt: least `odds` of a factor that is taken.
    """

    factor: float
    likeliest: float
    gain: float
    odds: float
    sure: float | None
    agreed: bool
    width: float
    doubt: float

    def describe(self) -> str:
        """Return one line on what was chosen and why."""
        found = (
            f"{self.likeliest:.2f} gains {self.gain:.3f} nats per frame over no warp, {self.odds:.1f} in all with the "
            f"prior of width {self.width:.2f}"
        )
        if self.likeliest == 1:
            return f"warp: none, for no factor is likelier (prior of width {self.width:.2f})"
        if self.factor != 1:
            return f"warp: {self.factor:.2f}, for {found}"
        if self.odds < self.doubt:
            return f"warp: none, for {found}, less than {self.doubt:g}"
        weak = "the recordings differ too much in it" if self.agreed else "the model is less sure of what it hears"
        return f"warp: none, for {found}, but {weak}"


@dataclass(frozen=True)
class Evidence:
    """What recordings say of factors.

    Attributes:
        nats: (factors, utterances) `sureness`, and where transcripts are read their log-likelihood added.
        sureness: (factors, utterances) negative entropies of the frames in nats, summed.
        frames: (utterances,) output frames.
        doubt: nats over no warp, prior included, from which a factor is taken.
    """

    nats: np.ndarray
    sureness: np.ndarray
    frames: np.ndarray
    doubt: float


def warp_of(model: SpeechModel) -> float:
    """Return a model's factor; 1 where it has none."""
    held = getattr(model, "adapters", {})
    return float(held[KIND].factor) if KIND in held else 1.0


def with_warp(source: Recogniser, factor: float) -> Recogniser:
    """Return a recogniser that hears everything under a factor, on a copy of the model.

    Raises:
        ConfigError: what the model hears has no bands in mel.
    """
    model = copy.deepcopy(source.model)
    if not any(spec.kind == KIND for spec in adapter_specs(model)):
        add_adapter(model, AdapterSpec(KIND))
    set_warp(model, factor)
    return replace(source, model=model.eval())


def set_warp(model: SpeechModel, factor: float) -> None:
    """Give a model that carries the adapter another factor."""
    adapters: Any = model.adapters
    adapters[KIND].factor.fill_(factor)


@contextmanager
def unwarped(recogniser: Recogniser, factor: float = 1.0) -> Iterator[Recogniser]:
    """Let others be heard by a speaker's model: through the factor that it had before him, for his own is his alone."""
    held = warp_of(recogniser.model)
    if held != factor:
        set_warp(recogniser.model, factor)
    try:
        yield recogniser
    finally:
        if held != factor:
            set_warp(recogniser.model, held)


class WarpedStore(FeatureStore):
    """A feature store some of whose utterances are warped when they are read.

    Args:
        store: features.
        factors: factor on all frequencies by the name of each utterance that is warped, at all its speeds.
    """

    def __init__(self, store: FeatureStore, factors: Mapping[str, float]) -> None:
        vars(self).update(vars(store))
        self._below = store
        self._factors = {row: factors[name] for (name, _), row in self._views.items() if factors.get(name, 1.0) != 1}

    def load(self, view: int) -> torch.Tensor:
        """Return the normalised inputs of a view, (frames, dim) float32."""
        block = self._below.load(view)
        if view not in self._factors:
            return block
        return self.inputs.warped(block[None], torch.tensor([len(block)]), torch.tensor(self._factors[view]))[0]


def find_warp(
    source: Recogniser,
    spoken: Spoken,
    factors: Sequence[float],
    width: float | None = None,
    read: bool = True,
    known: Weighed | None = None,
) -> Warped:
    """Choose a speaker's factor.

    Args:
        source: the model; of a warp that it has already nothing is kept.
        spoken: speech of the speaker, which CTC can spell where its transcripts are read.
        factors: factors to try; 1 is always among them.
        width: width of the prior; None for that which comes with the model, else `BROAD`.
        read: whether the transcripts are read.
        known: evidence of this model and these features that was found before, to which this adds.

    Raises:
        ConfigError: what the model hears has no bands in mel, or it has no CTC.
        DataError: there is too little speech.
    """
    seconds = sum(utterance.duration for utterance in spoken.utterances)
    if seconds < LEAST_SECONDS:
        raise NothingUsable(
            f"`warp` has {seconds:.1f} s of speech to go by, which tells nothing of a vocal tract; give at least "
            f"{LEAST_SECONDS:g} s."
        )
    if width is None:
        prior = WarpPrior.of(source)
        width = BROAD if prior is None else max(BROAD, prior.width)
    tried = sorted({*factors, 1.0})
    return choose(tried, evidence(source, spoken, tried, read, known), width)


def choose(factors: Sequence[float], found: Evidence, width: float) -> Warped:
    """Choose by evidence and a prior; without a clear winner 1 is chosen.

    Args:
        factors: factors, 1 among them.
        found: evidence for each.
        width: deviation of the logarithms of speakers' factors.
    """
    none = list(factors).index(1.0)
    posterior = found.nats.sum(1) + log_prior(factors, width)
    best = int(posterior.argmax())
    gains = found.nats[best] - found.nats[none]
    agreed = bool((found.sureness[best] - found.sureness[none]).sum() >= 0)
    odds = float(posterior[best] - posterior[none])
    sure = None
    if len(gains) > 1 and best != none:
        error = float(gains.std(ddof=1)) / math.sqrt(len(gains))
        sure = t_below(gains.mean() / error, len(gains) - 1) if error else float(gains.mean() > 0)
    taken = odds >= found.doubt and agreed and (sure is None or sure >= SURE)
    gain = float(gains.sum()) / max(1.0, float(found.frames.sum()))
    return Warped(factors[best] if taken else 1.0, factors[best], gain, odds, sure, agreed, width, found.doubt)


def log_prior(factors: Sequence[float], width: float) -> np.ndarray:
    """Return the (factors,) logarithms of their chances, all for 1 where the prior has no width."""
    logs = np.log(np.asarray(factors))
    if width == 0:
        return np.where(logs == 0, 0.0, -np.inf)
    scores = -0.5 * np.square(logs / width)
    chances: np.ndarray = scores - logsumexp(scores)
    return chances


def evidence(
    source: Recogniser, spoken: Spoken, factors: Sequence[float], read: bool, known: Weighed | None = None
) -> Evidence:
    """Listen to speech under each factor.

    Args:
        source: the model.
        spoken: speech, which CTC can spell where its transcripts are read.
        factors: factors to try.
        read: whether the transcripts are read.
        known: evidence of this model and these features that was found before, to which this adds.
    """
    known = {} if known is None else known
    names = [utterance.id for utterance in spoken.utterances]
    new = [n for n, name in enumerate(names) if any((read, factor, name) not in known for factor in factors)]
    if new:
        trial, part = with_warp(source, 1.0), spoken.subset(new)
        heard = part.spelled(source.tokens) if read else part
        for factor in factors:
            set_warp(trial.model, factor)
            found = trial.listen_with(partial(weigh, read), heard, whole=read, label=f"warp {factor:.2f}")
            for number, pieces in zip(new, found, strict=True):
                nats, sureness, frames = np.sum(pieces, axis=0).tolist()
                known[read, factor, names[number]] = (nats, sureness, frames)
    table = np.array([[known[read, factor, name] for name in names] for factor in factors])
    return Evidence(table[..., 0], table[..., 1], table[0, :, 2], DOUBT_READ if read else DOUBT)


def prior_of_training(
    source: Recogniser, utterances: Sequence[Utterance], report: Report, store: FeatureStore, seed: int
) -> dict[str, Any]:
    """Return what a model folder's `origin` says of its training speakers' factors, from a few utterances of each.

    Args:
        source: the model.
        utterances: Speech that it was trained on; each language is listened to through its own head.
        report: utterances that training left out.
        store: inputs of the utterances.
        seed: random seed by which speakers and utterances are drawn.

    Returns:
        Nothing of a model that cannot be warped, or that was trained on fewer than `LEAST_SPEAKERS` speakers.
    """
    if source.model.inputs.scale is None or source.model.criterion != "ctc":
        return {}
    left_out = {name for name, _ in report.dropped}
    own = by_speaker([u for u in utterances if store.holds(u.id) and u.id not in left_out])
    if len(own) < LEAST_SPEAKERS:
        return {}
    draw = random.Random(seed)
    names = sorted(draw.sample(sorted(own), min(MOST_SPEAKERS, len(own))))
    drawn = [u for name in names for u in draw.sample(own[name], min(EACH, len(own[name])))]
    factors = MethodSettings().warps
    return estimate_prior(evidence_by_speaker(source, Spoken(drawn, store), factors, True), factors).origin()


def evidence_by_speaker(
    source: Recogniser, spoken: Spoken, factors: Sequence[float], read: bool
) -> dict[str, np.ndarray]:
    """Return the (factors,) evidence of each speaker in nats, each language listened to through its own head.

    Args:
        source: the model.
        spoken: speech; where transcripts are read, what CTC cannot spell tells nothing.
        factors: factors to try.
        read: whether the transcripts are read.
    """
    nats: dict[str, np.ndarray] = {}
    for head in source.tokens_by_head:
        recogniser = source.for_head(head)
        part = spoken.subset(
            number
            for number, utterance in enumerate(spoken.utterances)
            if (utterance.language if utterance.language in source.others else source.head) == head
        )
        if read and part:
            part = learnable(part.spelled(recogniser.tokens), recogniser.model)[0]
        if part:
            found = evidence(recogniser, part, factors, read)
            for utterance, column in zip(part.utterances, found.nats.T, strict=True):
                nats[utterance.speaker] = nats.get(utterance.speaker, np.zeros(len(factors))) + column
    return nats


def estimate_prior(speakers: Mapping[str, np.ndarray], factors: Sequence[float]) -> WarpPrior:
    """Estimate the prior from training speakers by expectation maximisation: how widely their factors lie.

    A speaker counts by all factors that the evidence leaves possible, and not by the likeliest alone, which little
    speech may put anywhere.

    Args:
        speakers: (factors,) evidence of each speaker in nats.
        factors: factors that were tried.
    """
    squares = np.square(np.log(np.asarray(factors)))
    found = np.stack(list(speakers.values()))
    width = BROAD
    for _ in range(50):
        posterior = found + log_prior(factors, width)
        chances = np.exp(posterior - logsumexp(posterior, axis=1, keepdims=True))
        width = float(np.sqrt((chances @ squares).mean()))
    likeliest = (found + log_prior(factors, width)).argmax(1).tolist()
    named = {name: factors[number] for name, number in zip(speakers, likeliest, strict=True)}
    return WarpPrior(round(width, 4), len(named), named)
