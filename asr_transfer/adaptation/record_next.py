"""Says which words, letters or sounds a speaker should record next: the wrong ones, and those that are missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from asr_transfer.adaptation.ladder import Judgement
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.tokens import BLANK, pieces_of
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.evaluation.breakdown import confusions
from asr_transfer.evaluation.scoring import Hypothesis, align

MOST = 5
"""Names that are given at most."""

MISSING = 2
"""Those of them that are left to what was never recorded, where there is so much of it."""

REPEATED = 2.0
"""Times that a text's words must occur on average for words to be named: of others, none comes again."""

SMALL = 50
"""Words of a lexicon up to which it is said which of them were never recorded."""


@dataclass(frozen=True)
class RecordNext:
    """What to record next.

    Attributes:
        kind: kind of these: `words`, `letters` or `sounds`.
        wrong: those with more errors than usual on held-out recordings, most first.
        missing: those that are in no recording.
    """

    kind: str
    wrong: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [", ".join(self.wrong)] if self.wrong else []
        parts += [f"{', '.join(self.missing)} (never recorded)"] if self.missing else []
        return f"the {self.kind} {' and '.join(parts)}" if parts else ""


def record_next(source: Recogniser, utterances: Sequence[Utterance], held: Sequence[Judgement]) -> RecordNext:
    """Return what to record next, at most `MOST` names.

    Words are named where they come again and again, as of a small vocabulary; else letters, or the phones that the
    model writes.

    Args:
        source: model that was adapted.
        utterances: recordings of the speaker.
        held: those of them that were held out, with what was heard in them.
    """
    rows = [
        Hypothesis(str(n), "", "", source.reference(utterances[one.number]), one.text) for n, one in enumerate(held)
    ]
    texts = [source.reference(utterance) for utterance in utterances]
    words = [word for text in texts for word in text.split()]
    known: Iterable[str] = ()
    if source.lexicon is not None or (source.writes != "phones" and len(words) >= REPEATED * len(set(words))):
        kind, unit, found = "words", "word", words
        known = source.lexicon.words if source.lexicon is not None and len(source.lexicon.words) <= SMALL else ()
    elif source.writes == "phones":
        kind, unit, found, known = "sounds", "word", words, sorted(source.tokens.alphabet - {BLANK})
    else:
        kind, unit, found = "letters", "character", [letter for word in words for letter in word]
        known = sorted(source.tokens.alphabet - {BLANK})
    wrong = _wrong(rows, unit == "word")
    missing = [one for one in known if one not in set(found) and (kind != "letters" or one.isalpha())]
    kept = min(len(missing), max(MISSING, MOST - len(wrong)))
    return RecordNext(kind, tuple(wrong[: MOST - kept]), tuple(missing[:kept]))


def _wrong(rows: Sequence[Hypothesis], words: bool) -> list[str]:
    """Return words or letters with at least as many errors as is usual for their number, those of most excess first."""
    aligned = align(rows, "word" if words else "character", "none")
    errors: Counter[str] = Counter()
    for one in confusions(aligned):
        if one.reference is not None and one.reference.strip():
            errors[one.reference] += one.count
    said = Counter(piece for row in rows for piece in pieces_of(row.reference, "words" if words else "characters"))
    usual = sum(errors.values()) / max(1, sum(said.values()))
    excess = {name: count - usual * said[name] for name, count in errors.items()}
    return sorted((name for name in excess if excess[name] >= 0), key=lambda name: (-excess[name], name))
