"""Makes profiles of a model's training speakers, and keeps what they have in common: mean and main directions.

All profiles are made alike, by the same short adaptation of the frozen model from the same start, on at most a few
recordings of each speaker, so that neither chance nor the amount of speech decides a direction. A model knows what it
was trained on by heart (on AN4 its loss there is a hundredth of that on new speakers), which leaves little to adapt
to: so much of the recordings is masked. How many directions a new speaker is described by is chosen on
speakers who have no part in them: those that training held out, else training speakers who are left out in turn. Their
weights are found on some of their recordings and judged on others.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from asr_transfer.adaptation.adapter_likelihood import AdapterLikelihood, most_likely_under
from asr_transfer.adaptation.named_speakers import LEAST_RECORDINGS, LEAST_SPEAKERS, by_voice, too_few
from asr_transfer.adaptation.settings import MethodSettings
from asr_transfer.adaptation.speaker_weights import Likelihood, most_likely
from asr_transfer.config import ProfileKind, SpecAugmentConfig
from asr_transfer.data.batching import cut
from asr_transfer.data.features import FeatureStore
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import BATCH_FRAMES, Recogniser
from asr_transfer.errors import DataError
from asr_transfer.models.adapters import AdapterSpec, base_checksum
from asr_transfer.models.contract import require_ctc
from asr_transfer.models.speaker_space import SpeakerSpace
from asr_transfer.progress import Work
from asr_transfer.training.learnable import learnable

MOST_SPEAKERS, EACH = 100, 8
"""Greatest numbers of training speakers that directions are found from, and of recordings of each."""

WIDTHS: dict[str, float] = {"lhuc": 0.3, "lin": 0.03, "lora": 0.03}
"""Deviation, by kind, of the Gaussian that holds every parameter of a profile near no effect."""

MASKS = SpecAugmentConfig(frequency_masks=2, frequency_width=20, time_masks=3, time_width=25, time_fraction=0.3)
"""Masks on the recordings of profiles. With none or those of training the model knows the recordings by heart; profiles
that were made so made three in four of AN4's development speakers less likely, with these no more than half."""

STEPS = 5
"""Second-order steps of each profile."""

MOST_DIRECTIONS = 16
"""Directions that are kept. Those of fewer speakers are fewer."""

CHOICES = (1, 2, 4, 8, 16)
"""Numbers of directions that are tried, besides none, the mean alone."""

ENOUGH, TRIED, FOLDS, HEARD = 4, 16, 4, 3
"""Speakers that the model was not trained on who are enough to choose the number of directions; of training speakers,
those who are left out and the parts in which they are; and recordings that each is described by."""


@dataclass(frozen=True)
class Speaker:
    """Recordings of a speaker.

    Attributes:
        source: the model, listening through the head of the speaker's language.
        spoken: recordings that CTC can spell, with targets; `LEAST_RECORDINGS` at least.
    """

    source: Recogniser
    spoken: Spoken


def space_of_training(
    source: Recogniser,
    utterances: Sequence[Utterance],
    store: FeatureStore,
    kind: ProfileKind,
    seed: int,
    say: Callable[[str], None],
    unseen: Spoken | None = None,
    device: torch.device | str = "cpu",
) -> SpeakerSpace:
    """Return what the profiles of training speakers have in common.

    Args:
        source: the model.
        utterances: Speech that it was trained on; each language is listened to through its own head, and a name that
            occurs in two languages counts as two speakers.
        store: inputs of the utterances.
        kind: kind of the adapters.
        seed: random seed by which speakers and recordings are drawn.
        say: function that prints a line.
        unseen: speech of other speakers, which the model was not trained on.
        device: device to compute on.

    Raises:
        ConfigError: the model has no CTC.
        DataError: the speakers are too few; see `require_enough_speakers`, which says so before a training.
    """
    require_ctc(source.model, "`speaker_profiles`")
    draw = random.Random(seed)
    own = _drawn(source, Spoken([u for u in utterances if store.holds(u.id)], store), draw)
    if len(own) < LEAST_SPEAKERS:
        raise DataError(too_few(len(own), "the speech", "do without"))
    names = sorted(draw.sample(sorted(own), min(MOST_SPEAKERS, len(own))))
    spec = AdapterSpec(kind, MethodSettings().rank if kind == "lora" else 0)
    begin, found = time.process_time(), dict[str, torch.Tensor]()
    with Work("profiles of training speakers", len(names), "speaker") as work:
        for name in names:
            found[name], shapes = profile_of(own[name], spec, seed, device)
            work.advance(1)
    like = next(source.model.parameters()).dtype
    space = space_of(spec, base_checksum(source.model), shapes, found, like)
    strangers = _drawn(source, unseen, draw) if unseen else {}
    if len(strangers) >= ENOUGH:
        used = choose_number([(space, speaker) for speaker in strangers.values()])
    else:
        used = choose_number(left_out(space, found, {name: own[name] for name in names}, seed))
    space = replace(space, used=used)
    say(f"speaker profiles: {space.describe()}, after {time.process_time() - begin:.0f} CPU-seconds")
    return space


def profile_of(
    speaker: Speaker, spec: AdapterSpec, seed: int, device: torch.device | str = "cpu"
) -> tuple[torch.Tensor, dict[str, tuple[int, ...]]]:
    """Return a speaker's profile as one vector in float64, and the shapes of the adapter's parameters by name.

    It is the likeliest given the recordings, masked at random, and a Gaussian around no effect, so that what the
    recordings do not tell stays without effect and is no direction.

    Args:
        speaker: recordings.
        spec: adapter.
        seed: random seed of the masks.
        device: device to compute on.
    """
    data = speaker.spoken.masked(MASKS)
    costs = data.costs()
    batches = cut(np.argsort(-costs, kind="stable"), costs, BATCH_FRAMES)
    random = torch.Generator().manual_seed(seed)
    likelihood = AdapterLikelihood(
        speaker.source, spec, [data.collate(items.tolist(), random) for items in batches], device
    )
    start = likelihood.start
    widths = torch.full_like(start, WIDTHS[spec.kind])
    return start + most_likely_under(
        lambda moved: likelihood.slope(start + moved), widths, 1.0, STEPS
    ), likelihood.shapes


def space_of(
    spec: AdapterSpec,
    base: str,
    shapes: Mapping[str, tuple[int, ...]],
    profiles: Mapping[str, torch.Tensor],
    dtype: torch.dtype = torch.float32,
) -> SpeakerSpace:
    """Return mean and main directions of speakers' profiles, every speaker counting the same; all of them are used.

    Args:
        spec: adapter that they are of.
        base: checksum of the model's weights.
        shapes: shapes of the adapter's parameters by their names within it.
        profiles: profile of each speaker as one vector.
        dtype: number format to keep them in.
    """
    vectors = torch.stack([profile.double() for profile in profiles.values()])
    mean = vectors.mean(0)
    _, sizes, directions = torch.linalg.svd(vectors - mean, full_matrices=False)
    # What rounding alone leaves is no direction.
    count = int((sizes[:MOST_DIRECTIONS] > 1e-6 * max(float(sizes[0]), float(vectors.norm()), 1e-30)).sum())
    directions = directions[:count]
    deviations = sizes[:count] / max(1, len(vectors) - 1) ** 0.5
    weights = (vectors - mean) @ directions.T
    return SpeakerSpace(
        spec, base, shapes, mean.to(dtype), directions.to(dtype), deviations.to(dtype),
        tuple(profiles), weights.to(dtype), count,
    )  # fmt: skip


def left_out(
    space: SpeakerSpace,
    profiles: Mapping[str, torch.Tensor],
    speakers: Mapping[str, Speaker],
    seed: int,
) -> Iterator[tuple[SpeakerSpace, Speaker]]:
    """Yield some speakers with the directions of the others, a few speakers being left out at a time.

    Args:
        space: directions of all speakers, which say what they are of.
        profiles: profiles of the speakers.
        speakers: recordings of the speakers.
        seed: random seed by which speakers are drawn.
    """
    names = random.Random(f"{seed}/directions").sample(sorted(profiles), min(TRIED, len(profiles)))
    for part in (names[number::FOLDS] for number in range(FOLDS)):
        others = {name: own for name, own in profiles.items() if name not in set(part)}
        rest = space_of(space.spec, space.base, space.shapes, others, space.mean.dtype)
        for name in part:
            yield rest, speakers[name]


def choose_number(cases: Iterable[tuple[SpeakerSpace, Speaker]]) -> int:
    """Return the number of directions that serves speakers best who have no part in them; fewer where they tie.

    Args:
        cases: directions and speakers.
    """
    gains = {0: 0.0}
    for space, speaker in cases:
        for count, gain in gains_of(space, speaker).items():
            gains[count] = gains.get(count, 0.0) + gain
    return max(sorted(gains), key=lambda count: gains[count])


def gains_of(space: SpeakerSpace, speaker: Speaker) -> dict[int, float]:
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


def _drawn(source: Recogniser, spoken: Spoken, draw: random.Random) -> dict[str, Speaker]:
    """Return at most `EACH` recordings of each named speaker who has enough, by his name.

    Who speaks several languages is one speaker in each, whose names tell these.
    """

    def head(language: str) -> str:
        return language if language in source.others else source.head

    found: dict[tuple[str, str], Speaker] = {}
    for voice, own in by_voice(spoken.utterances, head).items():
        drawn = draw.sample(own, min(EACH, len(own)))
        through = source.for_head(voice[1]) if voice[1] in source.others else source
        part, _ = learnable(Spoken(drawn, spoken.store).spelled(through.tokens), source.model)
        if len(part) >= LEAST_RECORDINGS:
            found[voice] = Speaker(through, part)
    heads = Counter(name for name, _ in found)
    return {name if heads[name] == 1 else f"{name} ({own})": speaker for (name, own), speaker in found.items()}
