"""Checks every corpus before its manifests are written: what is left out, and what is only remarked.

Left out are recordings that are there twice and texts that no CTC model can spell in the time; in a corpus of one voice
also texts that an earlier split has. Remarked, for a person to listen to, are texts that two splits share and
recordings that are said much faster or more slowly than the corpus's others. What a corpus can say of its own texts
(`transcripts.text_defect`, `transcripts.rate_defect`) it has said before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from asr_transfer import audio
from asr_transfer.data.manifest import Report, Utterance
from asr_transfer.data.tokens import frames_needed
from asr_transfer.errors import DataError
from data_prep.common import LeftOut, check_ids, write_splits
from data_prep.transcripts import shared_texts, usual_seconds

FRAME_SECONDS = 0.04
"""Seconds between two outputs of this toolkit's models: every fourth frame of 10 ms."""

FASTER, SLOWER = 2.0, 3.0
"""How many times as fast or as slow as is usual for its length an utterance is remarked on."""

FEWEST = 30
"""Utterances below which a corpus does not say what is usual."""

NAMED = 8
"""How many utterances a remark names."""

_GLANCE = 0.25


@dataclass(frozen=True)
class Checked:
    """A corpus behind the gate.

    Attributes:
        splits: utterances that stay, by split name.
        left_out: utterances, by split name, that the corpus left out before and that the gate did, each with its
            reason.
        remarks: lines for a person to read.
    """

    splits: dict[str, list[Utterance]]
    left_out: dict[str, list[tuple[str, str]]]
    remarks: list[str]


def write_checked(
    splits: Mapping[str, Sequence[Utterance]],
    out: Path,
    left_out: Mapping[str, LeftOut] | None = None,
    one_voice: bool = False,
    fits_ctc: bool = True,
) -> dict[str, Report]:
    """Check a corpus as `check` does, write it as `common.write_splits` does, and print the remarks.

    Args:
        splits, left_out, one_voice, fits_ctc: arguments of `check`.
        out: folder for the manifests; it is created.

    Raises:
        DataError: as `common.write_splits`.
    """
    checked = check(splits, left_out, one_voice, fits_ctc)
    reports = write_splits(checked.splits, out, checked.left_out)
    for line in checked.remarks:
        print(line)
    return reports


def check(
    splits: Mapping[str, Sequence[Utterance]],
    left_out: Mapping[str, LeftOut] | None = None,
    one_voice: bool = False,
    fits_ctc: bool = True,
) -> Checked:
    """Return what of a corpus can be used.

    Of recordings that are there several times the last one stays, so that official test sets stay whole and the copy
    in `train` goes; where their texts differ all go, since nobody knows which is right.

    Args:
        splits: utterances by split name, those to learn from first.
        left_out: utterances, by split name, that the caller left out already, as (name, reason).
        one_voice: the corpus has one voice and no official splits: a text may be in one split only, the first.
        fits_ctc: whether to leave out what CTC cannot spell in letters; False only remarks on it, for words that are
            known to be right and can be units of their own.

    Raises:
        DataError: an id occurs in two splits.
    """
    check_ids(splits)
    everything = [utterance for utterances in splits.values() for utterance in utterances]
    repeated = repeated_audio(everything)
    kept: dict[str, list[Utterance]] = {}
    dropped = {split: list((left_out or {}).get(split, ())) for split in [*splits, *(left_out or {})]}
    split_of_text: dict[str, str] = {}
    tight: list[str] = []
    for split, utterances in splits.items():
        kept[split] = []
        for utterance in utterances:
            defect, long = repeated.get(utterance.id), ctc_defect(utterance)
            if long is not None and fits_ctc:
                defect = defect or long
            elif long is not None:
                tight.append(utterance.id)
            first = split_of_text.get(utterance.text, split)
            if defect is None and one_voice and first != split:
                defect = f"{first} has the same text"
            if defect is not None:
                dropped[split].append((utterance.id, defect))
            else:
                split_of_text.setdefault(utterance.text, split)
                kept[split].append(utterance)
    remarks = [*shared_texts(kept), *_pace(kept)]
    if tight:
        remarks.append(f"{len(tight)} are too short for CTC in letters at 40 ms a frame: {_some(tight)}")
    return Checked(kept, dropped, remarks)


def ctc_defect(utterance: Utterance) -> str | None:
    """Return why CTC cannot spell an utterance's characters, or its pronunciation, in its frames, or None.

    Every symbol takes a frame, and a blank must stand between two that are the same (Graves et al. 2006).
    """
    frames = int(utterance.duration / FRAME_SECONDS + 1e-6)
    pronunciation = utterance.pronunciation
    for what, symbols in (("text", list(utterance.text)), ("pronunciation", (pronunciation or "").split())):
        number = {symbol: index for index, symbol in enumerate(symbols)}
        if frames_needed([number[symbol] for symbol in symbols]) > frames:
            return f"the {what} is too long for CTC at {1000 * FRAME_SECONDS:.0f} ms a frame"
    return None


def repeated_audio(utterances: Sequence[Utterance]) -> dict[str, str]:
    """Return by id why utterances with the same samples as another cannot be used; the last one of a text can.

    Samples are compared as they are decoded, so copies in other containers are found, other encodings not.
    """
    defects: dict[str, str] = {}
    for group in _same_audio(utterances):
        if len({utterance.text for utterance in group}) > 1:
            reason = "the same recording stands beside another text, and one of the two is wrong"
            defects |= {utterance.id: reason for utterance in group}
        else:
            defects |= {utterance.id: "the same recording is there again" for utterance in group[:-1]}
    return defects


def _same_audio(utterances: Sequence[Utterance]) -> list[list[Utterance]]:
    """Return groups of utterances with equal samples; only where durations agree are any samples read."""
    groups = list(_grouped(utterances, [f"{utterance.duration:.6f}" for utterance in utterances]))
    for seconds in (_GLANCE, None):
        groups = [fine for coarse in groups for fine in _grouped(coarse, [_digest(one, seconds) for one in coarse])]
    return groups


def _grouped(utterances: Sequence[Utterance], keys: Sequence[str]) -> list[list[Utterance]]:
    groups: dict[str, list[Utterance]] = {}
    for utterance, key in zip(utterances, keys, strict=True):
        if key:
            groups.setdefault(key, []).append(utterance)
    return [group for group in groups.values() if len(group) > 1]


def _digest(utterance: Utterance, seconds: float | None) -> str:
    """Return a hash of the first `seconds` of an utterance, of all where None; empty where it cannot be read."""
    duration = utterance.duration if seconds is None else min(seconds, utterance.duration)
    try:
        return hashlib.sha256(audio.read(utterance.audio, utterance.start, duration).tobytes()).hexdigest()
    except DataError:
        return ""  # `write_splits` says what is wrong with it


def _pace(splits: Mapping[str, Sequence[Utterance]]) -> list[str]:
    """Return a line for each split with utterances that are said much faster or more slowly than usual."""
    everything = [(_length(one), one.duration) for utterances in splits.values() for one in utterances]
    if len(everything) < FEWEST:
        return []
    around, each = usual_seconds(everything)
    lines = []
    for split, utterances in splits.items():
        ratios = {one.id: one.duration / max(around + each * _length(one), FRAME_SECONDS) for one in utterances}
        for far, how in (
            ([name for name, ratio in ratios.items() if ratio < 1 / FASTER], f"{FASTER:g} times as fast"),
            ([name for name, ratio in ratios.items() if ratio > SLOWER], f"{SLOWER:g} times as slow"),
        ):
            if far:
                lines.append(
                    f"{split}: {len(far)} of its {len(utterances)} utterances are more than {how} as is usual for "
                    f"their length; listen to {_some(far)}"
                )
    return lines


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _length(utterance: Utterance) -> int:
    return len(utterance.text if utterance.pronunciation is None else utterance.pronunciation.split())
