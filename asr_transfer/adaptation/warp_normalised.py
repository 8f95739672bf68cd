"""Normalises the vocal tracts of training speakers: a second training hears each through his own warp (VTLN).

A first model chooses a factor on all frequencies for each speaker, the likeliest under its own CTC and a Gaussian whose
width is that of the speakers themselves, and the model that is kept is trained on frequencies multiplied so (Lee and
Rose 1996). It has to deal with fewer differences between speakers, and expects a new one to be warped as well.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import NamedTuple

from asr_transfer.adaptation.named_speakers import named
from asr_transfer.adaptation.settings import MethodSettings
from asr_transfer.adaptation.warp import WarpedStore, estimate_prior, evidence_by_speaker
from asr_transfer.data.manifest import by_speaker
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser

HEARD = 5
"""Utterances of a speaker that his factor is chosen on, drawn by the seed."""


class Normalised(NamedTuple):
    """Speech whose speakers are heard through warps.

    Attributes:
        train: training speech.
        dev: development speech.
        factors: factor of each speaker of both.
    """

    train: Spoken
    dev: Spoken
    factors: Mapping[str, float]


def normalise(
    first: Recogniser, train: Spoken, dev: Spoken, seed: int, log: Callable[[str], None] | None = None
) -> Normalised:
    """Warp speech as a first model understands its speakers best.

    Args:
        first: model that was trained on the speech as it is.
        train: training speech; its transcripts are read.
        dev: development speech, whose transcripts are not, as they are not of speakers to come.
        seed: random seed by which utterances are drawn.
        log: function that is called with a line on the factors.

    Raises:
        ConfigError: what the model hears has no bands in mel.
    """
    found = _factors(first, train, True, seed)
    unread = {name: factor for name, factor in _factors(first, dev, False, seed).items() if name not in found}
    factors = {**found, **unread}
    if log and found:
        values = sorted(found.values())
        log(
            f"warps of {len(found)} training speakers: {values[0]:.2f} to {values[-1]:.2f}, median "
            f"{values[len(values) // 2]:.2f}, {sum(value == 1 for value in values)} of them none"
        )
    return Normalised(_through(train, factors), _through(dev, factors), factors)


def _through(spoken: Spoken, factors: Mapping[str, float]) -> Spoken:
    return spoken.fed(WarpedStore(spoken.store, {u.id: factors.get(u.speaker, 1.0) for u in spoken.utterances}))


def _factors(source: Recogniser, spoken: Spoken, read: bool, seed: int) -> dict[str, float]:
    """Return the likeliest factor of each speaker, none for those of whom nothing can be heard."""
    tried = sorted({*MethodSettings().warps, 1.0})
    draw = random.Random(seed)
    own = by_speaker(named(spoken.utterances)).values()  # whoever is not named is heard without a warp
    drawn = [utterance for each in own for utterance in draw.sample(each, min(HEARD, len(each)))]
    nats = evidence_by_speaker(source, Spoken(drawn, spoken.store), tried, read)
    return dict(estimate_prior(nats, tried).factors) if nats else {}
