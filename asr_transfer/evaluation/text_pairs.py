"""Reads two texts of other toolkits, reference and hypothesis: what form each has, and which lines belong together.

Utterances are found by their ids in Kaldi's texts (`id words…`) and sclite's `trn`, by recording and time in `stm` and
`ctm`. A text without ids is not guessed at: its lines belong together by their order only where the user says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from asr_transfer.errors import DataError
from asr_transfer.evaluation.characters import put_together
from asr_transfer.evaluation.foreign import Results, listed, once
from asr_transfer.evaluation.sclite import (
    IGNORED,
    Said,
    TimedWord,
    is_comment,
    is_ctm,
    is_stm,
    is_trn,
    read_ctm,
    read_stm,
    read_trn,
)
from asr_transfer.evaluation.scoring import Hypothesis
from asr_transfer.textfiles import read_lines
from asr_transfer.whitespace import single_spaced, words_of

Texts = Literal["auto", "ids", "lines"]
"""How lines of texts belong together: by ids where they look like ids, by ids in any case, or by their order."""
_Kind = Literal["trn", "stm", "ctm", "text"]

_ID = re.compile(r".*[\d_/|=@-].*")


@dataclass(frozen=True)
class _File:
    """A text that was read.

    Attributes:
        path: place where it lies.
        lines: all of them.
        kind: form of the lines: `trn`, `stm`, `ctm` or `text`.
    """

    path: Path
    lines: list[str]
    kind: _Kind


def read_pair(reference: Path, hypothesis: Path, texts: Texts = "auto") -> Results:
    """Read a reference and a hypothesis.

    Args:
        reference: Kaldi's text, with `utt2spk` and `wav.scp` beside it where they are, or a `trn`, `stm` or `ctm`.
        hypothesis: one of these too; a `ctm` goes with an `stm` by time.
        texts: way in which lines belong together.

    Raises:
        DataError: a file is missing, empty or damaged, an id occurs twice, a hypothesis has no reference, or the two
            files' lines cannot be brought together.
    """
    files = (_open(reference), _open(hypothesis))
    if texts == "lines":
        results = _by_line(*files)
    elif files[0].kind == "stm" and files[1].kind == "ctm":
        results = _by_time(*files)
    else:
        results = _by_id(*files, texts)
    return put_together(results)


def _open(path: Path) -> _File:
    lines = read_lines(path)
    body = [line for line in lines if not is_comment(line)]
    if not body:
        raise DataError(f"{path}: holds no utterances; write lines of an id and its words.")
    if body[0].lstrip().startswith(("{", "#!MLF!#", "<?xml", "<html")):
        raise DataError(
            f"{path}: is no text of utterances but JSON, XML or HTK's labels; give a text, `trn`, `stm` or `ctm`, or a "
            "NeMo manifest by itself."
        )
    kinds: dict[str, _Kind] = {".trn": "trn", ".stm": "stm", ".ctm": "ctm"}
    if path.suffix.lower() in kinds:
        return _File(path, lines, kinds[path.suffix.lower()])
    if is_trn(body):
        return _File(path, lines, "trn")
    return _File(path, lines, "ctm" if is_ctm(body) else "stm" if is_stm(body) else "text")


def _by_line(reference: _File, hypothesis: _File) -> Results:
    for file in (reference, hypothesis):
        if file.kind != "text":
            raise DataError(f"{file.path}: is a `{file.kind}`, which names its utterances; leave `texts` out.")
    rows = [[single_spaced(line) for line in file.lines] for file in (reference, hypothesis)]
    if len(rows[0]) != len(rows[1]):
        raise DataError(
            f"{hypothesis.path}: has {len(rows[1]):,} lines, but {reference.path} has {len(rows[0]):,}; line by line "
            "they must have the same number."
        )
    width = len(str(len(rows[0])))
    return Results(
        [Hypothesis(f"line-{n:0{width}}", "", "", *pair) for n, pair in enumerate(zip(*rows, strict=True), start=1)]
    )


def _by_id(reference: _File, hypothesis: _File, texts: Texts) -> Results:
    for one, other in ((reference, hypothesis), (hypothesis, reference)):
        if one.kind == "stm" and other.kind != "stm":
            raise DataError(
                f"{one.path}: is an `stm`, whose segments have times but no ids, and {other.path} has no times; give "
                "an `stm` as reference with a `ctm` or the same segments as hypothesis."
            )
    references, hypotheses = _table(reference), _table(hypothesis)
    beside = {name: _beside(reference.path, name) for name in ("utt2spk", "wav.scp", "segments")}
    if texts == "auto":
        _require_ids(reference, references, hypothesis, hypotheses, set().union(*beside.values()))
    ignored = {name for name, said in references.items() if said.ignored}
    surplus = [name for name in hypotheses if name not in references]
    if surplus:
        raise DataError(
            f"{hypothesis.path}: {len(surplus)} utterances have no reference in {reference.path} ({listed(surplus)}); "
            "give the reference of the same set, its utterances under the same ids."
        )
    kept = {name: said for name, said in references.items() if name not in ignored}
    if not kept:
        raise DataError(f"{reference.path}: all of it is marked as not to be scored; give another reference.")
    speakers = beside["utt2spk"]
    return Results(
        [
            Hypothesis(
                name, speakers.get(name, said.speaker), "", said.text,
                hypotheses[name].text if name in hypotheses else "",
            )
            for name, said in kept.items()
        ],
        [name for name in kept if name not in hypotheses],
        {name: path for name, path in beside["wav.scp"].items() if name in kept and Path(path).is_file()},
        [_ignored_note(len(ignored))] if ignored else [],
    )  # fmt: skip


def _table(file: _File) -> dict[str, Said]:
    """Return a file's utterances by id; of a `ctm` each channel of a recording is one."""
    if file.kind == "ctm":
        said: dict[str, list[TimedWord]] = {}
        words, _ = read_ctm(file.path, file.lines)
        channels: dict[str, set[str]] = {}
        for word in words:
            channels.setdefault(word.recording, set()).add(word.channel)
        for word in words:
            several = len(channels[word.recording]) > 1
            said.setdefault(f"{word.recording}-{word.channel}" if several else word.recording, []).append(word)
        return {name: Said(name, "", _in_order(own)) for name, own in said.items()}
    if file.kind == "text":
        return {name: Said(name, "", text) for name, text in _kaldi(file.path, file.lines).items()}
    seen: dict[str, int] = {}
    read = read_trn if file.kind == "trn" else read_stm
    every = read(file.path, file.lines)
    places = [number for number, line in enumerate(file.lines, start=1) if not is_comment(line)]
    for one, number in zip(every, places, strict=True):
        once(seen, one.name, file.path, number)
    return {one.name: one for one in every}


def _kaldi(path: Path, lines: Sequence[str]) -> dict[str, str]:
    result: dict[str, str] = {}
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if parts := words_of(line):
            once(seen, parts[0], path, number)
            result[parts[0]] = " ".join(parts[1:])
    return result


def _beside(reference: Path, name: str) -> dict[str, str]:
    file = reference.with_name(name)
    return _kaldi(file, read_lines(file)) if file.is_file() else {}


def _require_ids(
    reference: _File,
    references: Mapping[str, Said],
    hypothesis: _File,
    hypotheses: Mapping[str, Said],
    known: set[str],
) -> None:
    """Refuse texts whose lines seem to begin with words instead of ids."""
    certain = set(known)
    certain.update(
        *(table for file, table in ((reference, references), (hypothesis, hypotheses)) if file.kind != "text")
    )
    words = {word for table in (references, hypotheses) for said in table.values() for word in said.text.split()}
    for file, table in ((reference, references), (hypothesis, hypotheses)):
        if file.kind != "text" or (certain and certain.issuperset(table)):
            continue
        doubtful = [name for name in table if name not in certain and (not _ID.fullmatch(name) or name in words)]
        if doubtful:
            name = doubtful[0]
            number = next(n for n, line in enumerate(file.lines, start=1) if words_of(line)[:1] == [name])
            raise DataError(
                f"{file.path} line {number}: {name[:40]!r} is hardly the id of an utterance; give lines `id words…` "
                "or sclite's `words (speaker-utterance)`, or say with --texts lines that the two files belong together "
                "line by line, with --texts ids that these are ids."
            )
        if file is reference and not any(said.text for said in table.values()):
            raise DataError(
                f"{file.path}: holds one word a line, ids without texts or texts without ids; write lines `id words…`, "
                "or say with --texts lines that the two files belong together line by line."
            )


def _by_time(reference: _File, hypothesis: _File) -> Results:
    segments = read_stm(reference.path, reference.lines)
    words, others = read_ctm(hypothesis.path, hypothesis.lines)
    places = _places(segments, words, reference.path, hypothesis.path)
    own: dict[str, list[TimedWord]] = {}
    outside = 0
    for word in words:
        around = [s for s in places[word.recording, word.channel] if s.begin <= word.middle < s.end]
        if around:
            # Where speakers overlap, the segment whose middle is nearest.
            nearest = min(around, key=lambda s: abs(s.begin + s.end - 2 * word.middle))
            own.setdefault(nearest.name, []).append(word)
        else:
            outside += 1
    seen: dict[str, int] = {}
    for number, segment in enumerate(segments, start=1):
        once(seen, segment.name, reference.path, number, part="segment")
    kept = [segment for segment in segments if not segment.ignored]
    if not kept:
        raise DataError(f"{reference.path}: all of it is marked as not to be scored; give another reference.")
    heard = {(word.recording, word.channel) for word in words}
    silent = {segment.name for key, several in places.items() if key not in heard for segment in several}
    notes = [_ignored_note(len(segments) - len(kept))] if len(kept) < len(segments) else []
    if outside:
        notes.append(
            f"{outside:,} recognised words lie outside all segments of {reference.path.name} and count nowhere"
        )
    if others:
        notes.append(f"{others:,} lines of {hypothesis.path.name} are no words by their type and were left out")
    return Results(
        [Hypothesis(s.name, s.speaker, "", s.text, _in_order(own.get(s.name, []))) for s in kept],
        [segment.name for segment in kept if segment.name in silent],
        {},
        notes,
    )


def _places(
    segments: Sequence[Said], words: Sequence[TimedWord], reference: Path, hypothesis: Path
) -> dict[tuple[str, str], list[Said]]:
    """Return the segments of each recording and channel, also under the name that the words give the only channel."""
    found: dict[tuple[str, str], list[Said]] = {}
    for segment in segments:
        found.setdefault((segment.recording, segment.channel), []).append(segment)
    channels: dict[str, set[str]] = {}
    for recording, channel in found:
        channels.setdefault(recording, set()).add(channel)
    used: dict[str, set[str]] = {}
    for word in words:
        used.setdefault(word.recording, set()).add(word.channel)
    if surplus := [recording for recording in used if recording not in channels]:
        raise DataError(
            f"{hypothesis}: {len(surplus)} recordings have no reference in {reference} ({listed(surplus)}); give the "
            "reference of the same set."
        )
    for recording, own in used.items():
        if lacking := sorted(own - channels[recording]):
            if len(own) > 1 or len(channels[recording]) > 1:
                raise DataError(
                    f"{hypothesis}: channel {lacking[0]!r} of {recording!r} is not in {reference}; name channels alike."
                )
            # `1` of one program is `A` of another.
            found[recording, lacking[0]] = found.pop((recording, next(iter(channels[recording]))))
    return found


def _in_order(words: Sequence[TimedWord]) -> str:
    return " ".join(word.word for word in sorted(words, key=lambda word: word.begin))


def _ignored_note(count: int) -> str:
    return f"{count:,} utterances are marked {IGNORED.upper()} and were left out"
