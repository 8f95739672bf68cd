"""Holds speech out from training, on which it is judged later what an adaptation makes others lose.

A model knows its training utterances by heart, so what it forgets of them says little about anybody else. What is held
out is whole speakers where they are many enough, else whole texts, else single utterances. Development speech, which
chooses the best weights but is not trained on, serves instead where there is some: nothing is taken from training then.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, replace

from asr_transfer.config import SourceConfig, Units
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.tokens import pieces_of

LEAST = 30
"""Fewest utterances worth judging on: of 20 characters each, one more error in a hundred is then six errors."""

SHARE = 0.1
"""Greatest share of a language's training utterances that is held out, for what is held out is not learnt from."""

SPEAKERS = 3
"""Speakers that are held out if they fit into that share, even where fewer would have utterances enough; one alone is
no estimate of others."""

Symbols = Callable[[Utterance], Collection[Hashable]]


@dataclass(frozen=True)
class HeldOut:
    """Training speech without what is held out of it.

    Attributes:
        train: utterances to train on.
        judged: utterances to judge on; empty where there is too little speech.
        remark: one sentence, for people.
    """

    train: Sequence[Utterance]
    judged: Sequence[Utterance]
    remark: str

    @property
    def apart(self) -> bool:
        """Return whether no speaker who is judged on is trained on."""
        return not {u.speaker for u in self.judged} & {u.speaker for u in self.train}


def hold_out(train: Sequence[Utterance], dev: Sequence[Utterance], count: int, seed: int, symbols: Symbols) -> HeldOut:
    """Divide training speech into what is trained on and, in each language, about `count` utterances to judge on.

    Args:
        train: training utterances; at most a tenth of a language's is taken.
        dev: development utterances; where a language has enough, they serve and none is taken from training.
        count: utterances to judge on, in each language; 0 holds nothing out.
        seed: random seed of the draw.
        symbols: parts of an utterance that the model can only learn from training, such as its characters; nothing is
            held out that would take the last example of one away.
    """
    if not count:
        return HeldOut(train, (), "")
    judged: list[Utterance] = []
    taken: set[str] = set()
    served = 0
    for language in sorted({u.language for u in train}):
        own = [u for u in train if u.language == language]
        given = _of_dev(own, [u for u in dev if u.language == language], count, seed)
        served += len(given)
        groups = [] if given else draw_groups(own, count, seed, symbols)
        taken.update(u.id for group in groups for u in group)
        judged += given or _evenly(groups, count)
    rest = [u for u in train if u.id not in taken]
    held = HeldOut(rest, judged, "")
    return replace(held, remark=_remark(held, len(train), len(taken), served))


def symbols_of_units(units: Units) -> Symbols:
    """Return what of an utterance a head of these units can only learn from training: its tokens."""
    return lambda utterance: set(pieces_of(utterance.spelled(units), units))


def symbols_of(config: SourceConfig) -> Symbols:
    """Return what of an utterance a source model can only learn from training: its tokens, and a lexicon's words."""

    def symbols(utterance: Utterance) -> set[Hashable]:
        units = config.units_of.get(utterance.language, config.model.units)
        found: set[Hashable] = set(pieces_of(utterance.spelled(units), units))
        return found | {("text", utterance.text)} if config.isolated_words else found

    return symbols


def _of_dev(train: Sequence[Utterance], dev: Sequence[Utterance], count: int, seed: int) -> list[Utterance]:
    """Return development utterances, of speakers who are not trained on if there are enough of theirs."""
    known = {u.speaker for u in train}
    least = min(LEAST, count)
    apart = [u for u in dev if u.speaker not in known]
    pool = apart if len(apart) >= least else list(dev)
    return random.Random(f"{seed}/judged").sample(pool, min(count, len(pool))) if len(pool) >= least else []


def draw_groups(
    utterances: Sequence[Utterance],
    count: int,
    seed: int,
    symbols: Symbols,
    share: float = SHARE,
    least: int = LEAST,
    stream: str = "judged",
) -> list[list[Utterance]]:
    """Return groups of utterances to hold out: of speakers, else of texts, else of one utterance each; none of too few.

    Texts are held out where they are many. Of few, as of ten digits, none may be missing from training.

    Args:
        utterances: speech of one language.
        count: utterances to hold out, about.
        seed: decides which.
        symbols: parts that must keep an example among the others, as of `hold_out`.
        share: greatest share of the utterances that is held out.
        least: fewest utterances that are worth holding out.
        stream: name of the draw, so that two of one seed differ.
    """
    least = min(least, count)
    ways: tuple[tuple[Callable[[Utterance], str], int], ...] = (
        (lambda u: u.speaker, min(2, count)), (lambda u: u.text, least), (lambda u: u.id, least),
    )  # fmt: skip
    for key, fewest in ways:
        groups = _draw(utterances, key, count, f"{seed}/{stream}", symbols, int(share * len(utterances)))
        if len(groups) >= fewest and sum(map(len, groups)) >= least:
            return groups
    return []


def _draw(
    utterances: Sequence[Utterance],
    key: Callable[[Utterance], str],
    count: int,
    seed: str,
    symbols: Symbols,
    most: int,
) -> list[list[Utterance]]:
    members: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        members.setdefault(key(utterance), []).append(utterance)
    names = sorted(members)
    random.Random(seed).shuffle(names)
    left = Counter(symbol for u in utterances for symbol in set(symbols(u)))
    groups: list[list[Utterance]] = []
    size = 0
    for name in names:
        if size >= count and len(groups) >= min(SPEAKERS, count):
            break
        lost = Counter(symbol for u in members[name] for symbol in set(symbols(u)))
        if size + len(members[name]) <= most and all(left[symbol] > times for symbol, times in lost.items()):
            left.subtract(lost)
            groups.append(members[name])
            size += len(members[name])
    return groups


def _evenly(groups: Sequence[Sequence[Utterance]], count: int) -> list[Utterance]:
    """Return at most `count` utterances, as many of each group as the others have too."""
    longest = max(map(len, groups), default=0)
    return [group[n] for n in range(longest) for group in groups if n < len(group)][:count]


def _remark(held: HeldOut, utterances: int, taken: int, served: int) -> str:
    if not held.judged:
        return (
            f"{utterances} training utterances are too few to hold any out ({int(LEAST / SHARE)} of a language would "
            "do), so `adapt` cannot measure what others lose; give development speech for that"
        )
    parts = [f"{served} development utterances"] * bool(served)
    if taken:
        speakers = len({u.speaker for u in held.judged})
        kept = f", {len(held.judged) - served} of them" if taken > len(held.judged) - served else ""
        whose = f"whole speakers, {speakers} in all" if held.apart else "of speakers who are trained on"
        parts.append(f"{taken} utterances held out from training ({whose}{kept})")
    return f"kept to judge on what others lose when the model is adapted: {' and '.join(parts)}"
