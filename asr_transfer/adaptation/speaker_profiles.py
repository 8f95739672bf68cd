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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from asr_transfer.adaptation.adapters_together import Own, likelihoods
from asr_transfer.adaptation.named_speakers import LEAST_RECORDINGS, LEAST_SPEAKERS, by_voice, too_few
from asr_transfer.adaptation.settings import MethodSettings
from asr_transfer.adaptation.side_by_side import most_likely_of_each
from asr_transfer.adaptation.speaker_weights import ITERATIONS
from asr_transfer.config import ProfileKind, SpecAugmentConfig
from asr_transfer.data.features import FeatureStore
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
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
    begin = time.process_time()
    found, shapes = profiles_of({name: own[name] for name in names}, spec, seed, device)
    like = next(source.model.parameters()).dtype
    space = space_of(spec, base_checksum(source.model), shapes, found, like)
    strangers = _drawn(source, unseen, draw) if unseen else {}
    if len(strangers) >= ENOUGH:
        used = choose_number([(space, speaker) for speaker in strangers.values()], device)
    else:
        used = choose_number(list(left_out(space, found, {name: own[name] for name in names}, seed)), device)
    space = replace(space, used=used)
    say(f"speaker profiles: {space.describe()}, after {time.process_time() - begin:.0f} CPU-seconds")
    return space


def profiles_of(
    speakers: Mapping[str, Speaker], spec: AdapterSpec, seed: int, device: torch.device | str = "cpu"
) -> tuple[dict[str, torch.Tensor], dict[str, tuple[int, ...]]]:
    """Return each speaker's profile as one vector in float64, and the shapes of the adapter's parameters by name.

    A profile is the likeliest given the recordings, masked at random, and a Gaussian around no effect, so that what the
    recordings do not tell stays without effect and is no direction.

    Args:
        speakers: recordings of each speaker, by one model.
        spec: adapter.
        seed: random seed of the masks; those of a speaker do not depend on the others.
        device: device to compute on.
    """
    owns = []
    for speaker in speakers.values():
        data, random = speaker.spoken.masked(MASKS), torch.Generator().manual_seed(seed)
        owns.append(Own(speaker.source, [data.collate([item], random) for item in range(len(data))]))
    likelihood = likelihoods(owns, spec, device)
    start = likelihood.start
    widths = torch.full_like(start, WIDTHS[spec.kind])
    with Work("profiles of training speakers", 2 * STEPS, "step") as work:

        def slopes(tried: Mapping[int, torch.Tensor]) -> dict[int, tuple[float, torch.Tensor]]:
            work.advance(1)
            return likelihood.slopes({number: start + moved for number, moved in tried.items()})

        moved = most_likely_of_each(slopes, [widths] * len(owns), 1.0, STEPS)
    return {name: start + own for name, own in zip(speakers, moved, strict=True)}, likelihood.shapes


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


def choose_number(cases: Sequence[tuple[SpeakerSpace, Speaker]], device: torch.device | str = "cpu") -> int:
    """Return the number of directions that serves speakers best who have no part in them; fewer where they tie.

    Args:
        cases: directions of one adapter, and speakers.
        device: device to compute on.
    """
    gains = gains_of(cases, device)
    return max(sorted(gains), key=lambda count: gains[count])


def gains_of(cases: Sequence[tuple[SpeakerSpace, Speaker]], device: torch.device | str = "cpu") -> dict[int, float]:
    """Return by how many nats per frame, in all, each number of directions makes other recordings likelier.

    Args:
        cases: directions of other speakers, and the speaker to describe by the first recordings.
        device: device to compute on.
    """
    firsts, rests = [], []
    for _, speaker in cases:
        rows = [speaker.spoken.collate([item]) for item in range(len(speaker.spoken))]
        heard = min(HEARD, len(rows) - 1)
        firsts.append(Own(speaker.source, rows[:heard]))
        rests.append(Own(speaker.source, rows[heard:]))
    tried = [
        (case, count) for count in CHOICES for case in range(len(cases)) if count <= len(cases[case][0].deviations)
    ]
    if not tried:
        return {0: 0.0}
    spec = cases[0][0].spec
    first = likelihoods([firsts[case] for case, _ in tried], spec, device)
    with Work("number of their directions", 2 * ITERATIONS, "step") as work:

        def slopes(weights: Mapping[int, torch.Tensor]) -> dict[int, tuple[float, torch.Tensor]]:
            work.advance(1)
            spaces = {number: cases[tried[number][0]][0] for number in weights}
            found = first.slopes({number: spaces[number].vector(own) for number, own in weights.items()})
            return {
                number: (loss, spaces[number].along(slope, len(weights[number])))
                for number, (loss, slope) in found.items()
            }

        widths = [cases[case][0].deviations[:count].double() for case, count in tried]
        weights = most_likely_of_each(slopes, widths, MethodSettings().prior, ITERATIONS)
    rest = likelihoods(rests, spec, device)
    means = rest.losses({case: space.vector(torch.zeros(0)) for case, (space, _) in enumerate(cases)})
    gains = {0: 0.0}
    for count in dict.fromkeys(count for _, count in tried):
        found = {case: own for (case, of), own in zip(tried, weights, strict=True) if of == count}
        for case, loss in rest.losses({case: cases[case][0].vector(own) for case, own in found.items()}).items():
            gains[count] = gains.get(count, 0.0) + (means[case] - loss) / max(1, rest.frames[case])
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
