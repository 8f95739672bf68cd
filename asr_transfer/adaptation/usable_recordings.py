"""Selects which of a speaker's recordings are adapted to, with a reason for each that is left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from asr_transfer.adaptation.checks import AudioCheck, Finding, check_audio, suspicious_transcripts
from asr_transfer.data.features import FeatureStore
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import feasible
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import DataError


@dataclass(frozen=True)
class Vetted:
    """The recordings that are left.

    Attributes:
        utterances: speech to adapt to.
        groups: equal numbers for copies of one recording, which must not be divided between folds.
        dropped: id and reason of what was left out.
    """

    utterances: list[Utterance]
    groups: list[int]
    dropped: list[tuple[str, str]]


def vet(
    source: Recogniser,
    utterances: Sequence[Utterance],
    store: FeatureStore,
    speeds: Sequence[float],
    keep_suspicious: bool,
    with_transcripts: bool,
    say: Callable[[str], None],
) -> Vetted:
    """Leave out silence, what CTC cannot spell, and transcripts that do not belong to their recordings.

    Args:
        source: recogniser that is to be adapted.
        utterances: speech of one speaker.
        store: their features.
        speeds: speed copies that are adapted to.
        keep_suspicious: whether recordings with transcripts that do not match are kept.
        with_transcripts: whether transcripts are read; otherwise they are not checked either.
        say: function that is called with a sentence for each finding.

    Raises:
        DataError: nothing is left.
    """
    audio = check_audio(utterances)
    dropped: list[tuple[str, str]] = []

    def take(findings: Sequence[Finding], leave_out: bool) -> None:
        for finding in findings:
            say(str(finding) + (" It is left out." if leave_out else ""))
            if leave_out:
                dropped.append((finding.utterance, finding.kind))

    take([f for f in audio.findings if f.kind == "silence"], True)
    take([f for f in audio.findings if f.kind != "silence"], False)
    kept = _without(utterances, dropped)
    if kept and with_transcripts:
        short, report = feasible(kept, store, source.tokens, source.model.frames, speeds)
        for name, reason in report.dropped:
            say(f"utterance '{name}' is left out: {reason}; or the transcript is not what was said")
            dropped.append((name, "too short"))
        kept = short
    if kept and with_transcripts:
        take(suspicious_transcripts(source, kept, store), not keep_suspicious)
        kept = _without(kept, dropped)
    if not kept:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in dropped[:5])
        raise DataError(
            f"none of the {len(utterances)} recordings can be adapted to ({reasons}); mend or replace them."
        )
    return Vetted(kept, _groups(utterances, audio, kept), dropped)


def _without(utterances: Sequence[Utterance], dropped: Sequence[tuple[str, str]]) -> list[Utterance]:
    names = {name for name, _ in dropped}
    return [u for u in utterances if u.id not in names]


def _groups(utterances: Sequence[Utterance], audio: AudioCheck, kept: Sequence[Utterance]) -> list[int]:
    number = {u.id: group for u, group in zip(utterances, audio.groups, strict=True)}
    return [number[u.id] for u in kept]
