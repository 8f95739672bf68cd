"""Divides a user's recordings of a language: what is trained on, what chooses, and what is scored at the end.

What is scored was neither trained on nor chosen by. Whole speakers are held out where there are several, else texts,
else single recordings (`data.judged.draw_groups`), as long as no letter loses its last example.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asr_transfer.data.judged import Symbols, draw_groups
from asr_transfer.data.manifest import Utterance
from asr_transfer.errors import DataError

LEAST = 10
"""Fewest recordings that are held out for each purpose."""
SECONDS = 60.0
"""Least speech that a language is learnt from. On the curve of Mandarin two minutes leave every second sound wrong."""
TEST, DEV = 0.15, 0.12
"""Shares of the recordings that are scored at the end, and that choose the weights and the way."""
MOST = 0.2
"""Greatest share that is held out for one purpose, where whole speakers or texts are larger."""
ENOUGH = 200
"""Recordings beyond which no more are held out for one purpose."""


@dataclass(frozen=True)
class Parts:
    """A user's recordings of a language, divided.

    Attributes:
        train: utterances to train on.
        dev: utterances that choose weights and way.
        test: utterances that are scored at the end.
        how: one sentence that says what was held out.
    """

    train: Sequence[Utterance]
    dev: Sequence[Utterance]
    test: Sequence[Utterance]
    how: str

    @property
    def apart(self) -> bool:
        """Return whether no speaker who is scored was trained on."""
        return not {u.speaker for u in self.test} & {u.speaker for u in self.train}

    @property
    def minutes(self) -> float:
        """Return the length of the training speech in minutes."""
        return sum(u.duration for u in self.train) / 60


def divide(
    utterances: Sequence[Utterance],
    seed: int,
    symbols: Symbols,
    dev: Sequence[Utterance] = (),
    test: Sequence[Utterance] = (),
) -> Parts:
    """Divide recordings of one language; what is given already as `dev` or `test` is not held out again.

    Args:
        utterances: recordings with transcripts.
        seed: random seed of the draw.
        symbols: function to the parts of an utterance that can only be learnt from training, such as its characters.
        dev, test: recordings that the user held out.

    Raises:
        DataError: there is too little to hold any out, or to train on.
    """
    rest = list(utterances)
    said = []
    held: dict[str, Sequence[Utterance]] = {"test": test, "dev": dev}
    for name, share in (("test", TEST), ("dev", DEV)):
        if held[name]:
            continue
        wanted = min(ENOUGH, max(LEAST, round(share * len(utterances))))
        groups = draw_groups(rest, wanted, seed, symbols, MOST, LEAST, f"learn {name}")
        if not groups:
            raise DataError(
                f"{len(utterances)} recordings of {_minutes(utterances)} are too few to hold {LEAST} of them out "
                f"without losing the last example of a letter; record more, at least {5 * LEAST} and some minutes, or "
                f"give recordings of your own with --{name}."
            )
        held[name] = [u for group in groups for u in group]
        taken = {u.id for u in held[name]}
        rest = [u for u in rest if u.id not in taken]
        apart = not {u.speaker for u in held[name]} & {u.speaker for u in rest}
        whose = "of speakers who are not trained on" if apart else "of speakers who are trained on"
        said.append(f"{len(taken)} {'are scored at the end' if name == 'test' else 'choose the way'} ({whose})")
    if sum(u.duration for u in rest) < SECONDS:
        raise DataError(
            f"{_minutes(rest)} of speech in {len(rest)} recordings are left to learn a language from, which is too "
            f"little; give at least {SECONDS / 60 + 1:.0f} minutes, better five."
        )
    return Parts(rest, held["dev"], held["test"], f"held out: {'; '.join(said)}" if said else "")


def _minutes(utterances: Sequence[Utterance]) -> str:
    return f"{sum(u.duration for u in utterances) / 60:.1f} minutes"
