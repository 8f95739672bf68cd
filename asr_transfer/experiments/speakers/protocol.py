"""Decides the protocol of an adaptation experiment: who is held out, what each draw adapts on and tests on.

Everything here is decided by seeds before anything is trained. Amounts of one draw are nested (5 ⊂ 10 ⊂ 20) and share
one test set, so that methods and amounts are compared on the same utterances.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

from asr_transfer.data.judged import hold_out
from asr_transfer.data.manifest import Utterance, by_speaker
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.ranges import Count, CountOrNone, Filled, Range, Ranged, Seed
from asr_transfer.remarks import remark

Made = TypeVar("Made")


@dataclass(frozen=True)
class ProtocolConfig(Ranged, section="protocol"):
    """Who is held out, how much is adapted on, how often.

    Attributes:
        hold_out: `each` leaves one speaker after the other out, `groups` one group of speakers after the other;
            `splits` uses train, dev and test manifests.
        groups: number of groups that `groups` divides the speakers of all splits into.
        dev_speakers: number of training speakers that become development speakers, with `splits` and no dev manifest.
        amounts: utterances to adapt on.
        draws: random draws of utterances per test speaker.
        rotate: divide each speaker's utterances into as many parts as draws, each tested on once while the others are
            the pool, instead of drawing anew: every utterance is tested exactly once.
        transductive: test on the utterances themselves that are adapted to, which only methods that read no transcripts
            may: recordings are recognised, adapted to by what was recognised, and recognised again.
        dev_draws: draws per development speaker; with `each`, the test speakers' draws serve.
        unit: errors are counted in words or characters.
        test_utterances: greatest number of utterances a draw is tested on.
        others: forgetting is measured on held-out utterances of the `source` speakers, on the other `target` speakers,
            or on the `dev` split, which may then be of training speakers and chooses no learning rates.
        others_utterances: greatest number of utterances it is measured on; of other target speakers drawn, of each as
            many as of the next.
        source_utterances: training utterances of the source model that methods may mix in.
        judged_utterances: utterances that the source model is not trained on either, on which `auto` judges what others
            lose, as `train --keep_judged` holds them out; never those that forgetting is measured on. 0 for none.
        judged: split that those are taken from: `train`, or `dev`, whose speakers the source model never heard, as
            where `train` is given development speech.
        seed: random seed of all of it.
    """

    hold_out: Literal["each", "groups", "splits"] = "splits"
    groups: Annotated[int, Range(at_least=2)] = 4
    dev_speakers: CountOrNone = 0
    amounts: Annotated[tuple[Count, ...], Filled(rising=True)] = (5, 10, 20)
    draws: Count = 5
    dev_draws: Count = 2
    rotate: bool = False
    transductive: bool = False
    unit: Literal["words", "characters"] = "words"
    test_utterances: Count = 200
    others: Literal["source", "target", "dev"] = "source"
    others_utterances: Count = 250
    source_utterances: CountOrNone = 300
    judged_utterances: CountOrNone = 0
    judged: Literal["train", "dev"] = "train"
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hold_out != "splits" and ("dev" in (self.others, self.judged) or self.dev_speakers):
            raise ConfigError(
                f"`protocol.hold_out` is `{self.hold_out}`, which has no development speakers; "
                "leave out `dev_speakers`, `others: dev` and `judged: dev`."
            )
        if self.judged == "dev" and not self.judged_utterances:
            raise ConfigError("`protocol.judged` is `dev`, but `protocol.judged_utterances` is 0; give some.")
        if self.others == self.judged == "dev":
            raise ConfigError(
                "`protocol.others` and `protocol.judged` are both `dev`, so that `auto` would choose by what it is "
                "measured on; leave one of them out."
            )
        if self.rotate and self.draws < 2:
            raise ConfigError("`protocol.rotate` needs `protocol.draws` of at least 2: one part is tested on.")
        if self.transductive and (self.rotate or len(self.amounts) > 1):
            raise ConfigError(
                "`protocol.transductive` tests on what is adapted to, which is another test for every amount; give one "
                "of `protocol.amounts`, without `rotate`."
            )


@dataclass(frozen=True)
class Draw:
    """One draw of a speaker's utterances.

    Attributes:
        speaker: name of the speaker.
        number: number of the draw.
        pool: ids to adapt on, in order; an amount n takes the first n.
        test: ids to test on.
    """

    speaker: str
    number: int
    pool: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class Fold:
    """A source model's training data and the speakers it is adapted to.

    Attributes:
        name: name of the fold.
        train: ids the source model is trained on.
        others: ids of held-out utterances of the training speakers; empty when others are the other targets.
        dev: draws of the development speakers.
        test: draws of the test speakers.
        source: ids of training utterances that methods may mix in.
        judged: ids of utterances that are neither trained on nor among `others`, for `auto` to judge on what others
            lose.
    """

    name: str
    train: tuple[str, ...]
    others: tuple[str, ...]
    dev: tuple[Draw, ...]
    test: tuple[Draw, ...]
    source: tuple[str, ...] = ()
    judged: tuple[str, ...] = ()


def speaker_folds(splits: Mapping[str, Sequence[Utterance]], config: ProtocolConfig) -> list[Fold]:
    """Divide a corpus's splits into folds.

    Raises:
        DataError: a split that the protocol needs is missing, a speaker stands in two of them, or none has enough
            utterances; those who have too few beside others who have enough are named and left out.
        ConfigError: more development speakers are asked for than there are.
    """
    if config.hold_out == "each":
        utterances = _split(splits, "all")
        return _of_those_with_enough(
            lambda speaker: [_leave_out(utterances, [speaker], speaker, config)], by_speaker(utterances)
        )
    if config.hold_out == "groups":
        utterances = [u for split in splits.values() for u in split]
        speakers = sorted(by_speaker(utterances))
        if config.groups > len(speakers):
            raise ConfigError(f"`protocol.groups` is {config.groups} but there are {len(speakers)} speakers.")
        random.Random(f"{config.seed}/groups").shuffle(speakers)
        return [
            _leave_out(utterances, speakers[number :: config.groups], f"group{number}", config)
            for number in range(config.groups)
        ]
    train, test = list(_split(splits, "train")), _split(splits, "test")
    dev = list(splits.get("dev", ()))
    if config.dev_speakers:
        speakers = list(by_speaker(train))
        if dev or config.dev_speakers >= len(speakers):
            raise ConfigError(
                f"`protocol.dev_speakers` is {config.dev_speakers}, but the corpus "
                + ("has a dev split already; set it to 0." if dev else f"has {len(speakers)} training speakers only.")
            )
        chosen = set(random.Random(f"{config.seed}/dev").sample(speakers, config.dev_speakers))
        dev = [u for u in train if u.speaker in chosen]
        train = [u for u in train if u.speaker not in chosen]
    if not dev:
        raise ConfigError("learning rates are chosen on development speakers; set `protocol.dev_speakers` above 0.")
    watched: list[Utterance] = []
    if config.others == "dev":
        watched, dev = random.Random(f"{config.seed}/others").sample(dev, min(config.others_utterances, len(dev))), []
    parts = {"train": train, "dev": dev, "test": test}
    for first, second in (("train", "dev"), ("train", "test"), ("dev", "test")):
        shared = {u.speaker for u in parts[first]} & {u.speaker for u in parts[second]}
        if shared:
            raise DataError(
                f"speaker '{min(shared)}' stands in the {first} and {second} splits; hold out whole speakers."
            )
    train, others = (train, watched) if watched else _hold_out_others(train, config)
    train, judged = _hold_out_judged(train, config, dev if config.judged == "dev" else ())
    if config.judged == "dev" and not (judged and {u.speaker for u in judged} <= {u.speaker for u in dev}):
        raise ConfigError(
            f"`protocol.judged` is `dev`, but its {len(dev)} utterances are too few to judge on; take `judged: train`."
        )
    return [
        Fold(
            "si",
            tuple(u.id for u in train),
            tuple(u.id for u in others),
            _all_draws(dev, config, config.dev_draws),
            _all_draws(test, config, config.draws),
            _sample_source(train, config),
            tuple(u.id for u in judged),
        )
    ]


def others_of(fold: Fold, speaker: str, config: ProtocolConfig) -> tuple[str, ...]:
    """Return the utterances on which a speaker's adaptation is seen to forget.

    They are the fold's where it has some; otherwise those that the other targets' first draws are tested on, drawn by
    the seed where they are more than `config.others_utterances`, speakers in turn.

    Args:
        fold: fold with all targets.
        speaker: speaker who is adapted to.
        config: the protocol.
    """
    if fold.others:
        return fold.others
    own = []
    for other in fold.test + fold.dev:
        if other.number == 0 and other.speaker != speaker:
            names = list(other.test)
            random.Random(f"{config.seed}/others/{other.speaker}").shuffle(names)
            own.append(names)
    in_turn = (name for row in itertools.zip_longest(*own) for name in row if name is not None)
    return tuple(itertools.islice(in_turn, config.others_utterances))


class TooFewUtterances(DataError):
    """A speaker has too few utterances to be adapted to and tested on, which is why that speaker is left out."""


def _of_those_with_enough(made: Callable[[str], Sequence[Made]], speakers: Iterable[str]) -> list[Made]:
    """Return what is made of each speaker; those who have too few utterances are named and left out.

    Raises:
        TooFewUtterances: nobody has enough.
    """
    result: list[Made] = []
    left_out = []
    for speaker in speakers:
        try:
            result += made(speaker)
        except TooFewUtterances as error:
            left_out.append(error)
    if left_out and not result:
        raise left_out[0]
    for reason in left_out:
        remark(f"not adapted to: {reason}")
    return result


def _all_draws(utterances: Sequence[Utterance], config: ProtocolConfig, draws: int) -> tuple[Draw, ...]:
    own = by_speaker(utterances)
    return tuple(_of_those_with_enough(lambda speaker: draws_of(own[speaker], config, draws), own))


def draws_of(own: Sequence[Utterance], config: ProtocolConfig, draws: int) -> list[Draw]:
    """Draw adaptation and test utterances of one speaker.

    The pool is the largest amount that leaves at least a fifth of the utterances to test on, or all of them where the
    pool itself is tested on.

    Raises:
        TooFewUtterances: the speaker has too few even for the smallest amount.
    """
    speaker = own[0].speaker
    if config.rotate and draws > len(own):
        raise TooFewUtterances(
            f"speaker '{speaker}' has {len(own)} utterances, which cannot be divided into {draws} parts; lower "
            "`protocol.draws` or leave the speaker out."
        )
    # Rotating, the largest part is what one draw cannot adapt on.
    kept = 0 if config.transductive else max(1, len(own) // 5)
    most = len(own) - (-(-len(own) // draws) if config.rotate else kept)
    usable = [amount for amount in config.amounts if amount <= most]
    if not usable:
        raise TooFewUtterances(
            f"speaker '{speaker}' has {len(own)} utterances, too few to adapt on {config.amounts[0]} and test on the "
            "rest; lower `protocol.amounts` or leave the speaker out."
        )
    result = []
    for number in range(draws):
        order = [u.id for u in own]
        random.Random(f"{config.seed}/{speaker}" if config.rotate else f"{config.seed}/{speaker}/{number}").shuffle(
            order
        )
        if config.rotate:
            rest = order[number::draws]
            pool = [name for name in order if name not in set(rest)][: config.amounts[-1]]
        else:
            pool, rest = order[: usable[-1]], order[usable[-1] :]
            rest = pool if config.transductive else rest
        result.append(Draw(speaker, number, tuple(pool), tuple(rest[: config.test_utterances])))
    return result


def _leave_out(utterances: Sequence[Utterance], speakers: Sequence[str], name: str, config: ProtocolConfig) -> Fold:
    rest = [u for u in utterances if u.speaker not in set(speakers)]
    if not rest:
        raise DataError(f"the corpus has the speaker '{speakers[0]}' only; leaving one out needs at least two.")
    train, others = _hold_out_others(rest, config)
    train, judged = _hold_out_judged(train, config)
    held = [u for u in utterances if u.speaker in set(speakers)]
    return Fold(
        name,
        tuple(u.id for u in train),
        tuple(u.id for u in others),
        (),
        _all_draws(held, config, config.draws),
        _sample_source(train, config),
        tuple(u.id for u in judged),
    )


def _hold_out_others(train: list[Utterance], config: ProtocolConfig) -> tuple[list[Utterance], list[Utterance]]:
    """Split off a tenth of the training utterances, at most `others_utterances`, to measure forgetting on."""
    if config.others == "target":
        return train, []
    count = min(config.others_utterances, max(1, len(train) // 10))
    chosen = set(random.Random(f"{config.seed}/others").sample(range(len(train)), count))
    return (
        [u for n, u in enumerate(train) if n not in chosen],
        [u for n, u in enumerate(train) if n in chosen],
    )


def _hold_out_judged(
    train: list[Utterance], config: ProtocolConfig, dev: Sequence[Utterance] = ()
) -> tuple[list[Utterance], list[Utterance]]:
    held = hold_out(train, dev, config.judged_utterances, config.seed, _symbols)
    return list(held.train), list(held.judged)


def _symbols(utterance: Utterance) -> set[str]:
    """Return what must stay in training whatever the source model's tokens are: characters and phones."""
    return {*utterance.text, *(f"phone {phone}" for phone in (utterance.pronunciation or "").split())}


def _sample_source(train: Sequence[Utterance], config: ProtocolConfig) -> tuple[str, ...]:
    count = min(config.source_utterances, len(train))
    return tuple(u.id for u in random.Random(f"{config.seed}/source").sample(list(train), count))


def _split(splits: Mapping[str, Sequence[Utterance]], name: str) -> Sequence[Utterance]:
    if name not in splits:
        raise DataError(
            f"the corpus has no '{name}' split, only {', '.join(splits)}; choose another `protocol.hold_out`."
        )
    return splits[name]
