"""Cuts recordings that are longer than a model hears at once, where it is quiet, and finds the text of each piece.

A transcript has no times, so the model that is to be adapted writes down what it hears in each piece, and the text is
shared out by that (`text_shares`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from asr_transfer.adaptation.text_shares import Share, share_out
from asr_transfer.data.features import build_store
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.pieces import Pieces
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import DataError

_LEAST = 0.1
"""Seconds that a piece lasts at least."""


@dataclass(frozen=True)
class Cut:
    """Recordings of which the long ones were cut.

    Attributes:
        utterances: Recordings, with pieces in place of the long ones.
        left_out: Id and reason of each part of a long one that is left out.
    """

    utterances: Sequence[Utterance]
    left_out: Sequence[tuple[str, str]]


def cut_long(
    source: Recogniser, utterances: Sequence[Utterance], speeds: Sequence[float], say: Callable[[str], None]
) -> Cut:
    """Cut what is longer than the window of a model that writes token after token; leave all else as it is.

    Pieces last from a quarter of the window to half of it. Neighbours are put together again up to the window, so that
    a border at which the text is in doubt costs nothing where a sure one lies on either side within that.

    Args:
        source: Recogniser that is to be adapted.
        utterances: Recordings with their texts.
        speeds: Speed copies that are adapted to, the slowest of which must fit in the window.
        say: Function that is called with a sentence for each long recording.

    Raises:
        DataError: A recording cannot be read, or nothing is left.
    """
    window = source.model.window
    most = None if window is None else window * min(1.0, *speeds)
    long = [u for u in utterances if most is not None and u.duration > most]
    if most is None or not long or not source.can_run_away:
        return Cut(utterances, [])
    parts = _parts(source, long, most)
    every = [part for own in parts for part in own]
    texts = iter(source.listen(Spoken(every, build_store(every, source.model.inputs))))
    pieces: dict[str, list[Utterance]] = {}
    left_out: list[tuple[str, str]] = []
    for utterance, own in zip(long, parts, strict=True):
        heard = [next(texts) for _ in own]
        lasting = [part.duration for part in own]
        shares = share_out(utterance.text, heard, lasting, most, source.normalisation, utterance.language)
        pieces[utterance.id] = [_joined(own, share) for share in shares if share.text]
        lacking = _lacking(own, heard, shares)
        left_out += [(part.id, why) for part, why in lacking]
        say(_told(utterance, window or most, pieces[utterance.id], lacking))
    kept = [part for u in utterances for part in pieces.get(u.id, [u])]
    if not kept:
        raise DataError(
            f"none of the {len(long)} recordings can be learnt from: each is longer than the {most:g} s that the model "
            "hears at once, and it is in doubt which words belong where; cut them, with a text for each part."
        )
    return Cut(kept, left_out)


def _parts(source: Recogniser, long: Sequence[Utterance], most: float) -> list[list[Utterance]]:
    """Return the pieces of each recording, as utterances without texts."""
    data = Pieces(Spoken(long, build_store(long, source.model.inputs)), most / 2)
    found = []
    for own in data.of_utterances(range(len(data))):
        whole = data.utterance(own[0])
        # Inputs may have silence behind the recording.
        begins = [begin for number in own if (begin := data.begin(number)) < whole.duration - _LEAST]
        ends = [*begins[1:], whole.duration]
        found.append([_part(whole, *times) for times in zip(begins, ends, strict=True)])
    return found


def _part(whole: Utterance, begin: float, end: float, text: str = "") -> Utterance:
    """Return the part of a recording between two of its seconds."""
    return replace(
        whole,
        id=f"{whole.id}@{begin:.2f}-{end:.2f}",
        start=round((whole.start or 0.0) + begin, 4),
        duration=round(end - begin, 4),
        text=text,
        phones=None,
        pronunciation=None,
    )


def _joined(parts: Sequence[Utterance], share: Share) -> Utterance:
    """Return neighbouring pieces as one, with their text."""
    first, last = parts[share.first], parts[share.last - 1]
    assert first.start is not None and last.start is not None
    name = f"{first.id.rpartition('-')[0]}-{last.id.rpartition('-')[2]}"
    return replace(first, id=name, duration=round(last.start + last.duration - first.start, 4), text=share.text)


def _lacking(parts: Sequence[Utterance], heard: Sequence[str], shares: Sequence[Share]) -> list[tuple[Utterance, str]]:
    """Return the pieces that are left out, neighbours as one, with the reason."""
    used = {number: share for share in shares for number in range(share.first, share.last)}
    found: list[tuple[Share, str]] = []
    for number, text in enumerate(heard):
        share = used.get(number)
        if share is not None and share.text:
            continue
        why = "nothing is said in it" if share is not None else "it is in doubt which words of the text belong to it"
        if share is None and not text:
            why = "nothing was heard in it"
        if found and found[-1][0].last == number and found[-1][1] == why:
            found[-1] = replace(found[-1][0], last=number + 1), why
        else:
            found.append((Share(number, number + 1, ""), why))
    return [(_joined(parts, share), why) for share, why in found]


def _told(whole: Utterance, window: float, kept: Sequence[Utterance], lacking: Sequence[tuple[Utterance, str]]) -> str:
    """Return a sentence on what is used of a long recording."""
    used = sum(part.duration for part in kept)
    line = (
        f"{whole.id}: lasts {whole.duration:.1f} s, more than the {window:g} s that the model hears at once, so it is "
        f"cut where it is quiet, and its text is shared out by what the model hears: {used:.1f} of "
        f"{whole.duration:.1f} s are used, in {len(kept)} pieces"
    )
    if not lacking:
        return line
    shown = [f"{part.id.rpartition('@')[2]} s ({why})" for part, why in lacking[:3]]
    more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
    return f"{line}; left out: {', '.join(shown)}{more}; to use all, cut it yourself, with a text for each part"
