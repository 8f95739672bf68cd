"""Notices recordings of a second speaker among those that should be one's, before a model is adapted to both.

What the model's front end makes of a recording, the mean and deviation of its outputs over time, differs more between
speakers than between recordings of one. How much more, the speakers tell whose utterances the model keeps: by
probabilistic linear discriminant analysis (Ioffe 2006; Prince and Elder 2007) the recordings are likelier as one
group or as two, of whichever sizes. No transcript is read. A speaker's recordings differ in more than words, such as
the distance to the microphone, so that the evidence counts less than independent recordings would, and nothing is said
unless it is stronger than for every kept speaker alone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from asr_transfer.adaptation.answers import Floats
from asr_transfer.data.speech import Spoken, first_of_each
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.models.contract import SpeechModel
from asr_transfer.progress import Work
from asr_transfer.remarks import remark
from asr_transfer.training.activations import Activations

LEAST_SPEAKERS = 8
"""Kept speakers with two utterances or more, below which nothing is known of how speakers differ."""

DIMENSIONS = 12
"""Directions in which speakers differ most, of the statistics."""

SHRUNK = 0.3
"""Share of the variances alone in the covariance of a speaker's recordings, of which there are few."""

TEMPER = 0.4
"""Weight of the evidence. A new speaker's recordings differ in more ways than those of one in the corpus that the model
was trained on, and one of a few is often unlike the rest."""

SECONDS = 3.0
"""Speech of a recording that counts: a longer one tells no more of the speaker than of the day."""

RARE = 3.0
"""Logarithm of how much likelier one speaker is than two before anything is heard: one folder in twenty has two."""

EACH = 20
"""Recordings of a kept speaker that are listened to: more tell little more, and every adaptation waits for them."""

MOST = 32
"""Recordings that are compared; of more, evenly spread ones."""

NAMED = 4
"""Speakers that a remark names."""

LEAST_RECORDINGS = 3
"""Fewer have no smaller group."""


@dataclass(frozen=True)
class Voices:
    """How speakers and recordings of one differ in the statistics of recordings.

    Attributes:
        centre: (statistics,) mean over recordings.
        directions: (statistics, dimensions) projection after which a second of speech has the variance 1.
        widths: (dimensions,) variances of speakers.
        bar: evidence from which on two speakers are believed: more than any kept speaker alone has, and `RARE`.
    """

    centre: Floats
    directions: Floats
    widths: Floats
    bar: float = RARE


@dataclass(frozen=True)
class Split:
    """The likeliest two groups of recordings.

    Attributes:
        smaller: numbers of the recordings in the smaller group.
        evidence: logarithm of how much likelier the recordings are of two speakers than of one, with the many ways to
            make two groups counted against it.
    """

    smaller: tuple[int, ...]
    evidence: float


def remark_on_second_speaker(source: Recogniser, own: Spoken, known: Sequence[Spoken]) -> Split | None:
    """Say which recordings seem to be another speaker's; return them, None where nothing is said.

    Args:
        source: the model.
        own: recordings that should be of one speaker; where their manifest names several, that is all that is said.
        known: speech that comes with the model, with the speakers' names.
    """
    named = Counter(utterance.speaker for utterance in own.utterances)
    if len(named) > 1:
        first = ", ".join(f"'{name}' ({count})" for name, count in named.most_common(NAMED))
        more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
        remark(
            f"the recordings are of {len(named)} speakers, {first}{more}, who are adapted to as if they were one; take "
            "one of them with --speaker"
        )
        return None
    if len(own) < LEAST_RECORDINGS:
        return None
    depth = _depth(source.model)
    heard = _witnesses(known) if depth else []
    if not heard:
        return None
    kept = [utterance for spoken in heard for utterance in spoken.utterances]
    voices = fit(
        np.concatenate([statistics(source.model, spoken, depth) for spoken in heard]),
        [utterance.speaker for utterance in kept],
        np.array([utterance.duration for utterance in kept]),
    )
    if voices is None:
        return None
    chosen = own.subset(sorted({round(n) for n in np.linspace(0, len(own) - 1, min(MOST, len(own)))}))
    seconds = np.array([utterance.duration for utterance in chosen.utterances])
    found = split(voices, statistics(source.model, chosen, depth), seconds)
    if found.evidence <= voices.bar:
        return None
    rest = len(chosen) - len(found.smaller)
    remark(
        f"{'sounds' if len(found.smaller) == 1 else 'sound'} like another speaker, or another microphone, than the "
        f"other {rest}{'' if len(chosen) == len(own) else ' compared'}; a model is adapted to one speaker at a time: "
        "leave them out, or name the speakers in a manifest and take one with --speaker",
        *dict.fromkeys(chosen.utterances[number].audio for number in found.smaller),
    )
    return found


def _witnesses(known: Sequence[Spoken]) -> list[Spoken]:
    """Return the first recordings of each kept speaker."""
    numbers = first_of_each([[utterance.speaker for utterance in spoken.utterances] for spoken in known], EACH)
    return [spoken.subset(chosen) for spoken, chosen in zip(known, numbers, strict=True) if chosen]


def statistics(model: SpeechModel, spoken: Spoken, depth: int) -> Floats:
    """Return the mean and deviation over time of what a model's first blocks make, (utterances, 2 * channels).

    Args:
        model: the model.
        spoken: speech.
        depth: number of blocks.
    """
    store, rows = Activations(spoken.store, model, depth), []
    with Work("comparing voices", len(spoken), "recording") as work:
        for number in range(len(spoken)):
            hidden = store.load(spoken.view(number)).double()
            rows.append(torch.cat([hidden.mean(0), hidden.std(0, correction=0)]))
            work.advance(1)
    return torch.stack(rows).numpy()


def fit(recordings: Floats, speakers: Sequence[str], seconds: Floats) -> Voices | None:
    """Return how speakers differ, and recordings of one; None where too few speakers have two recordings.

    Args:
        recordings: (recordings, statistics) statistics.
        speakers: speaker of each recording.
        seconds: (recordings,) durations.
    """
    names = np.array(speakers)
    own = [np.flatnonzero(names == name) for name in dict.fromkeys(speakers)]
    own = [numbers for numbers in own if len(numbers) > 1]
    if len(own) < LEAST_SPEAKERS:
        return None
    counted = np.minimum(seconds, SECONDS)
    means = np.stack([recordings[numbers].mean(0) for numbers in own])
    apart = np.concatenate(
        [
            (recordings[numbers] - mean) * np.sqrt(counted[numbers] * len(numbers) / (len(numbers) - 1))[:, None]
            for numbers, mean in zip(own, means, strict=True)
        ]
    )
    within = apart.T @ apart / len(apart)
    variances = np.diag(within)
    # A channel without variance, such as one that is always off, tells nothing and must divide nothing.
    within = (1 - SHRUNK) * within + np.diag(SHRUNK * variances + 1e-6 * variances.mean() + 1e-12)
    root = np.linalg.cholesky(within)
    half = np.linalg.solve(root, np.cov(means.T))
    widths, vectors = np.linalg.eigh(np.linalg.solve(root, half.T))
    count = min(DIMENSIONS, len(own) - 1)
    directions = np.linalg.solve(root.T, vectors[:, ::-1][:, :count])
    # What is left of the recordings' own variance in the means of speakers is not the speakers'.
    left = 1 / np.mean([counted[numbers].sum() for numbers in own])
    voices = Voices(recordings.mean(0), directions, np.maximum(widths[::-1][:count] - left, 1e-3))
    alone = [
        split(voices, recordings[numbers[:MOST]], seconds[numbers[:MOST]]).evidence
        for numbers in own
        if len(numbers) >= LEAST_RECORDINGS
    ]
    return Voices(voices.centre, voices.directions, voices.widths, max(RARE, *alone))


def split(voices: Voices, recordings: Floats, seconds: Floats) -> Split:
    """Return the likeliest two groups; see `fit` for the arguments.

    Recordings that differ more within the groups than those of known speakers do count less: so they would without
    a second speaker.
    """
    weights = TEMPER * np.minimum(seconds, SECONDS)
    places = (recordings - voices.centre) @ voices.directions
    found = _likeliest(voices, places, weights)
    group = np.isin(np.arange(len(places)), found.smaller)
    spread = sum(_spread(places[part], weights[part]) for part in (group, ~group))
    spread /= max(1, len(places) - 2) * places.shape[1]
    return found if spread <= TEMPER else _likeliest(voices, places, weights * (TEMPER / spread))


def _spread(places: Floats, weights: Floats) -> float:
    """Return the weighted squared distances of a group's recordings from their mean, summed."""
    mean = np.average(places, axis=0, weights=weights)
    return float((weights[:, None] * np.square(places - mean)).sum())


def _likeliest(voices: Voices, places: Floats, weights: Floats) -> Split:
    """Return the likeliest two groups of recordings at places, each of a weight.

    They are looked for from every single recording and from every cut along the main directions, recording by
    recording.
    """
    count, sums = len(places), places * weights[:, None]
    chances = np.array([-np.inf, *(_chance(count, size) for size in range(1, count)), -np.inf])
    one = _evidence(voices, sums.sum(0), weights.sum())

    def judge(groups: np.ndarray) -> Floats:
        part, weight = groups @ sums, groups @ weights
        both = _evidence(voices, part, weight) + _evidence(voices, sums.sum(0) - part, weights.sum() - weight)
        return np.asarray(both - one + chances[groups.sum(1)])

    centred = (places - places.mean(0)) * np.sqrt(weights)[:, None]
    ranks = [np.argsort(np.argsort(centred @ axis)) for axis in np.linalg.svd(centred, full_matrices=False)[2][:3]]
    starts = np.concatenate([np.eye(count, dtype=bool), *(rank < np.arange(1, count)[:, None] for rank in ranks)])
    found = judge(starts)
    best, group = -np.inf, starts[0]
    for start in np.argsort(-found)[:3]:
        now, value = starts[start], found[start]
        while True:
            steps = now ^ np.eye(count, dtype=bool)
            values = judge(steps)
            if values.max() <= value + 1e-9:
                break
            now, value = steps[values.argmax()], values.max()
        if value > best:
            best, group = float(value), now
    smaller = group if 2 * group.sum() <= count else ~group
    return Split(tuple(np.flatnonzero(smaller).tolist()), best)


def _evidence(voices: Voices, sums: Floats, weights: Floats) -> Floats:
    """Return the log-likelihood of groups as one speaker's each, up to what is the same for all groupings.

    Args:
        voices: variances of speakers.
        sums: (..., dimensions) weighted sums of the group's recordings.
        weights: (...) sums of their weights.
    """
    precisions = np.asarray(weights)[..., None] + 1 / voices.widths
    value = -0.5 * np.log(voices.widths * precisions) + 0.5 * np.square(sums) / precisions
    return np.asarray(value.sum(-1))


def _chance(count: int, size: int) -> float:
    """Return the logarithm of the chance of a group among all groups: every size is as likely as any other."""
    ways = math.lgamma(count + 1) - math.lgamma(size + 1) - math.lgamma(count - size + 1)
    return -ways - math.log(count // 2) + (math.log(2) if 2 * size == count else 0.0)


def _depth(model: SpeechModel) -> int:
    """Return how many blocks the front end has; 0 where it cannot be run by itself, or hears windows of one length."""
    return len(model.front_end()) if model.sequential and model.window is None else 0
