"""Selects which of a speaker's recordings are adapted to, with a reason for each that is left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from asr_transfer.adaptation.checks import AudioCheck, Finding, check_audio, suspicious_transcripts
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import DataError
from asr_transfer.training.learnable import learnable


@dataclass(frozen=True)
class Vetted:
    """The recordings that are left.

    Attributes:
        spoken: recordings to adapt to.
        groups: equal numbers for copies of one recording, which must not be divided between folds.
        dropped: id and reason of what was left out.
    """

    spoken: Spoken
    groups: list[int]
    dropped: list[tuple[str, str]]


def vet(
    source: Recogniser,
    spoken: Spoken,
    speeds: Sequence[float],
    keep_suspicious: bool,
    with_transcripts: bool,
    say: Callable[[str], None],
) -> Vetted:
    """Leave out silence, what cannot be learnt from, and transcripts that do not belong to their recordings.

    Args:
        source: recogniser that is to be adapted.
        spoken: speech of one speaker.
        speeds: speed copies that are adapted to.
        keep_suspicious: whether recordings with transcripts that do not match are kept.
        with_transcripts: whether transcripts are read; otherwise they are not checked either.
        say: function that is called with a sentence for each finding; what is too short for CTC is remarked upon.

    Raises:
        DataError: nothing is left.
    """
    audio = check_audio(spoken.utterances)
    dropped: list[tuple[str, str]] = []

    def take(findings: Sequence[Finding], leave_out: bool) -> None:
        for finding in findings:
            say(str(finding) + (" It is left out." if leave_out else ""))
            if leave_out:
                dropped.append((finding.utterance, finding.kind))

    take([f for f in audio.findings if f.kind == "silence"], True)
    take([f for f in audio.findings if f.kind != "silence"], False)
    kept = _without(spoken, dropped)
    if with_transcripts:
        _, report = learnable(kept.spelled(source.tokens, speeds), source.model)
        why = "too long" if source.can_run_away else "too short"
        dropped += [(name, why) for name, _ in report.dropped]
        kept = _without(kept, dropped)
        take(suspicious_transcripts(source, kept), not keep_suspicious)
        kept = _without(kept, dropped)
    if not kept:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in dropped[:5])
        raise DataError(f"none of the {len(spoken)} recordings can be adapted to ({reasons}); mend or replace them.")
    return Vetted(kept, _groups(spoken, audio, kept), dropped)


def _without(spoken: Spoken, dropped: Sequence[tuple[str, str]]) -> Spoken:
    names = {name for name, _ in dropped}
    return spoken.subset(n for n, u in enumerate(spoken.utterances) if u.id not in names)


def _groups(spoken: Spoken, audio: AudioCheck, kept: Spoken) -> list[int]:
    number = {u.id: group for u, group in zip(spoken.utterances, audio.groups, strict=True)}
    return [number[u.id] for u in kept.utterances]
