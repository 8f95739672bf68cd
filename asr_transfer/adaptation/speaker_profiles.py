"""Makes profiles of a model's training speakers, and keeps what they have in common: mean and main directions.

All profiles are made alike, by the same short adaptation of the frozen model from the same start, on at most a few
recordings of each speaker, so that neither chance nor the amount of speech decides a direction. How many directions a
new speaker is described by is chosen on training speakers who are left out of them: on recordings that their weights
were not found on.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from asr_transfer.adaptation.adapt import adapt
from asr_transfer.adaptation.methods import default_learning_rate
from asr_transfer.adaptation.settings import AdaptConfig, MethodSettings
from asr_transfer.adaptation.speaker_weights import Likelihood, most_likely
from asr_transfer.config import Precision, ProfileKind
from asr_transfer.data.features import FeatureStore
from asr_transfer.data.manifest import Utterance, by_speaker
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.models.adapters import AdapterSpec, adapter_specs, adapter_state, base_checksum
from asr_transfer.models.contract import require_ctc
from asr_transfer.models.speaker_space import SpeakerSpace, flat, names_of
from asr_transfer.progress import Work
from asr_transfer.training.learnable import learnable

LEAST_SPEAKERS, MOST_SPEAKERS, EACH = 8, 100, 8
"""Training speakers that directions are found from, and recordings of each; he needs two at least."""

STEPS, FASTER = 15, 1.0
"""Steps of each profile, and the factor on the learning rate that `adapt` has for its kind."""

MOST_DIRECTIONS = 16
"""Directions that are kept. Those of fewer speakers are fewer."""

CHOICES = (1, 2, 4, 8, 16)
"""Numbers of directions that are tried, besides none, the mean alone."""

TRIED, FOLDS, HEARD = 16, 4, 3
"""Training speakers who are left out to choose the number of directions, the parts in which they are, and recordings
that each is described by."""


@dataclass(frozen=True)
class Trained:
    """The profile of a training speaker.

    Attributes:
        source: the model, listening through the head of the speaker's language.
        spoken: recordings that CTC can spell, with targets.
        profile: parameters of the adapter by their names within it.
    """

    source: Recogniser
    spoken: Spoken
    profile: Mapping[str, torch.Tensor]


def space_of_training(
    source: Recogniser,
    utterances: Sequence[Utterance],
    store: FeatureStore,
    kind: ProfileKind,
    seed: int,
    say: Callable[[str], None],
    precision: Precision = "fp32",
    device: str = "cpu",
) -> SpeakerSpace | None:
    """Return what the profiles of training speakers have in common; None, with a line said, where they are too few.

    Args:
        source: the model.
        utterances: Speech that it was trained on; each language is listened to through its own head.
        store: inputs of the utterances.
        kind: kind of the adapters.
        seed: random seed by which speakers and recordings are drawn.
        say: function that prints a line.
        precision: number format of the training.
        device: device to compute on.
    """
    require_ctc(source.model, "`speaker_profiles`")
    draw = random.Random(seed)
    by_name = by_speaker([u for u in utterances if store.holds(u.id)])
    own = {}
    for name in sorted(by_name):
        drawn = draw.sample(by_name[name], min(EACH, len(by_name[name])))
        through = _through_own_head(source, drawn)
        part, _ = learnable(Spoken(drawn, store).spelled(through.tokens), source.model)
        if len(part) > 1:
            own[name] = (through, part)
    if len(own) < LEAST_SPEAKERS:
        say(
            f"speaker profiles: none are kept, for there are {len(own)} training speakers with two recordings or more, "
            f"and directions among them need {LEAST_SPEAKERS}"
        )
        return None
    names = sorted(draw.sample(sorted(own), min(MOST_SPEAKERS, len(own))))
    rate = FASTER * default_learning_rate(kind)
    config = AdaptConfig(steps=STEPS, learning_rate=rate, precision=precision, device=device)
    begin, found = time.process_time(), dict[str, Trained]()
    with Work("profiles of training speakers", len(names), "speaker") as work:
        for name in names:
            through, part = own[name]
            model = adapt(through, part, kind, config).recogniser.model
            (spec,) = (spec for spec in adapter_specs(model) if spec.kind == kind)
            found[name] = Trained(through, part, names_of(spec, adapter_state(model)))
            work.advance(1)
    space = space_of(spec, base_checksum(source.model), {name: made.profile for name, made in found.items()})
    space = replace(space, used=choose_number(space, found, seed))
    say(f"speaker profiles: {space.describe()}, after {time.process_time() - begin:.0f} CPU-seconds")
    return space


def space_of(spec: AdapterSpec, base: str, profiles: Mapping[str, Mapping[str, torch.Tensor]]) -> SpeakerSpace:
    """Return mean and main directions of speakers' profiles, every speaker counting the same; all of them are used.

    Args:
        spec: adapter that they are of.
        base: checksum of the model's weights.
        profiles: parameters of each speaker's adapter, by their names within it.
    """
    first = next(iter(profiles.values()))
    like = next(iter(first.values())).dtype
    vectors = torch.stack([flat(list(profile.values())) for profile in profiles.values()])
    mean = vectors.mean(0)
    _, sizes, directions = torch.linalg.svd(vectors - mean, full_matrices=False)
    count = int((sizes[:MOST_DIRECTIONS] > 1e-6 * max(float(sizes[0]), float(vectors.norm()), 1e-30)).sum())
    directions = directions[:count]
    deviations = sizes[:count] / max(1, len(vectors) - 1) ** 0.5
    weights = (vectors - mean) @ directions.T
    shapes = {name: tuple(value.shape) for name, value in first.items()}
    parts = (part.to(like) for part in (mean, directions, deviations))
    return SpeakerSpace(spec, base, shapes, *parts, tuple(profiles), weights.to(like), count)


def choose_number(space: SpeakerSpace, found: Mapping[str, Trained], seed: int) -> int:
    """Return the number of directions that serves speakers best who are left out of them.

    A few training speakers are left out at a time; each is described by some of their recordings, and judged by how
    likely that makes the others. Fewer directions are preferred where more serve no better.

    Args:
        space: directions of all speakers, which say what they are of.
        found: profiles of the speakers.
        seed: random seed by which speakers are drawn.
    """
    names = random.Random(f"{seed}/directions").sample(sorted(found), min(TRIED, len(found)))
    gains = {0: 0.0}
    for part in (names[number::FOLDS] for number in range(FOLDS)):
        rest = {name: made.profile for name, made in found.items() if name not in set(part)}
        others = space_of(space.spec, space.base, rest)
        for name in part:
            for count, gain in gains_of(others, found[name]).items():
                gains[count] = gains.get(count, 0.0) + gain
    return min(max(sorted(gains), key=lambda count: gains[count]), len(space.deviations))


def gains_of(space: SpeakerSpace, speaker: Trained) -> dict[int, float]:
    """Return by how many nats per frame each number of directions makes a speaker's other recordings likelier.

    Args:
        space: directions of other speakers.
        speaker: speaker to describe by the first recordings.
    """
    heard = min(HEARD, len(speaker.spoken) - 1)
    first = Likelihood(speaker.source, space, speaker.spoken.subset(range(heard)))
    rest = Likelihood(speaker.source, space, speaker.spoken.subset(range(heard, len(speaker.spoken))))
    mean = rest.loss(torch.zeros(0))
    gains = {0: 0.0}
    for count in (count for count in CHOICES if count <= len(space.deviations)):
        weights = most_likely(first, count, MethodSettings().prior)
        gains[count] = (mean - rest.loss(weights)) / max(1, rest.frames)
    return gains


def _through_own_head(source: Recogniser, utterances: Sequence[Utterance]) -> Recogniser:
    """Return the source listening through the head of the utterances' language, which is that of the first."""
    language = utterances[0].language
    return source.for_head(language) if language in source.others else source
