"""Measures a speaker's recordings before a model is adapted to them: pitch, level, clipping, pauses and noise.

Nothing is left out for it: the table says what the recordings are like, which of them stand out, and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from asr_transfer import audio
from asr_transfer.data.manifest import Utterance, naming
from asr_transfer.data.pitch import pitch_of
from asr_transfer.errors import DataError
from asr_transfer.progress import tracked

HEADINGS = (
    "recording", "seconds", "pitch Hz", "level dBFS", "clipped %", "pauses %", "speech over noise dB", "what to do",
)  # fmt: skip

LONGEST = 20.0
"""Seconds; of a longer recording the middle is measured, so that each takes a fraction of a second."""
PITCHED = 3.0
"""Seconds of the loudest part in which the pitch is looked for."""
MOST = 100
"""Recordings that are measured, drawn evenly from more."""
SHOWN = 10
"""Recordings that stand out and are shown; the run's record names all."""

FULL_SCALE = 0.99
"""Not 1.0, because converting the rate of a clipped recording puts ripples on its plateaus."""
CLIPPED = 0.02
"""Share of samples at full scale, reached when speech is amplified by about 6 (clipped FSDD) to 10 dB (AN4) too much.
The loudest of 400 recordings mastered for a children's program has 0.019."""

_FRAME, _HOP = audio.SAMPLE_RATE // 40, audio.SAMPLE_RATE // 100
_DIGITAL = 1e-9
"""Mean square of -90 dBFS: below it a frame holds digital zeros, which say nothing of the room."""
PAUSE = 30.0
"""dB under the loud frames from which a frame is a pause, however quiet the room."""
FLOOR = 3.0
"""dB over the quietest frames up to which a frame is the room's noise; 25 ms of white noise vary by 1 dB."""
RANGE = 4.0
"""dB under the loud frames from which on a frame can be noise alone."""

QUIET, NOISY, PAUSES = -45.0, 10.0, 0.75
"""dBFS of speech, dB of speech over noise, and share of pauses at which a recording is remarked upon."""
APART, OTHER_PITCH = 12.0, 1.6
"""dB from the speaker's middle level, and factor from the middle pitch, at which a recording is unlike the others; men
and women are about 1.8 apart, and a lively reader's sentences up to 1.5."""
FEW = 4
"""With fewer recordings nothing is unlike the others."""


@dataclass(frozen=True)
class Measured:
    """What a recording is like.

    Attributes:
        utterance: Id of its utterance.
        seconds: Length of the utterance.
        pitch: Fundamental frequency in Hz that 5 %, 50 % and 95 % of the voiced frames lie below; None without any.
        level: Root mean square of the speech, without pauses, in dBFS.
        clipped: Share of the samples at full scale.
        pauses: Share of the time without speech.
        snr: Speech over noise in dB, the noise taken from the pauses; None where there is no pause to tell it by.
        remarks: Ways in which it stands out, each with what to do.
    """

    utterance: str
    seconds: float
    pitch: tuple[float, float, float] | None
    level: float
    clipped: float
    pauses: float
    snr: float | None
    remarks: tuple[str, ...] = ()

    def to_plain(self) -> dict[str, Any]:
        """Return the figures for a run record, shares to a thousandth and the rest to a tenth."""
        return {
            "utterance": self.utterance,
            "seconds": round(self.seconds, 1),
            "pitch": None if self.pitch is None else [round(value, 1) for value in self.pitch],
            "level": round(self.level, 1),
            "clipped": round(self.clipped, 4),
            "pauses": round(self.pauses, 3),
            "snr": None if self.snr is None else round(self.snr, 1),
            "remarks": list(self.remarks),
        }

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> Measured:
        """Return what `to_plain` wrote."""
        pitch = None if values["pitch"] is None else tuple(values["pitch"])
        return cls(**{**values, "pitch": pitch, "remarks": tuple(values["remarks"])})

    def cells(self) -> list[str]:
        """Return the figures as texts, in the order of `HEADINGS`; rounded from those of the run's record."""
        told = self.to_plain()
        low, middle, high = told["pitch"] or (0.0, 0.0, 0.0)
        pitch = f"{middle:.0f} ({low:.0f} to {high:.0f})" if told["pitch"] else "–"
        return [
            self.utterance, f"{told['seconds']:.1f}", pitch, f"{told['level']:.0f}", f"{100 * told['clipped']:.1f}",
            f"{100 * told['pauses']:.0f}", "–" if told["snr"] is None else f"{told['snr']:.0f}",
            "; ".join(self.remarks) or "–",
        ]  # fmt: skip


@dataclass(frozen=True)
class Diagnosis:
    """What a speaker's recordings are like.

    Attributes:
        recordings: One entry per measured recording, in their order.
        of: Number of the speaker's recordings.
    """

    recordings: tuple[Measured, ...]
    of: int

    def overall(self) -> Measured:
        """Return the recordings as one: seconds in all, medians of the rest, and remarks that hold for most of them."""
        middle = _middle(self.recordings)
        pitches = [r.pitch for r in self.recordings if r.pitch]
        low, high = (float(np.median([p[n] for p in pitches])) if pitches else 0.0 for n in (0, 2))
        whole = Measured(
            f"all {len(self.recordings)}" + (f" drawn of {self.of}" if self.of > len(self.recordings) else ""),
            sum(r.seconds for r in self.recordings),
            (low, middle["pitch"], high) if pitches else None,
            middle["level"],
            float(np.mean([r.clipped for r in self.recordings])),
            float(np.mean([r.pauses for r in self.recordings])),
            middle["snr"] if any(r.snr is not None for r in self.recordings) else None,
        )
        return _with_remarks(whole, {})

    def to_plain(self) -> dict[str, Any]:
        """Return the figures for a run record: those of all recordings, and those of each that stands out."""
        standing = [one.to_plain() for one in self.recordings if one.remarks]
        return {"all": self.overall().to_plain(), "standing_out": standing}

    def table(self) -> Table:
        """Return a table: a row for all recordings, and one for each that stands out, those with most remarks first."""
        out = Table(title="the voice's recordings", title_justify="left")
        for name in HEADINGS:
            out.add_column(name, justify="left" if name in (HEADINGS[0], HEADINGS[-1]) else "right", overflow="fold")
        standing = sorted((r for r in self.recordings if r.remarks), key=lambda r: -len(r.remarks))
        overall = self.overall()
        for row in (overall, *standing[:SHOWN]):
            out.add_row(*map(escape, row.cells()), end_section=row is overall)
        if len(standing) > SHOWN:
            out.caption = f"{len(standing) - SHOWN} more stand out; run.json names them"
        return out


def diagnose(utterances: Sequence[Utterance]) -> Diagnosis:
    """Measure a speaker's recordings, and remark on those that are bad or unlike the others.

    Args:
        utterances: Speech of one speaker; more than `MOST` are drawn from evenly.

    Raises:
        DataError: a recording cannot be read.
    """
    chosen = np.unique(np.linspace(0, len(utterances) - 1, min(MOST, len(utterances))).round().astype(int))
    drawn = [utterances[n] for n in chosen.tolist()]
    measured = [_measure_recording(one) for one in tracked(drawn, "measuring the voice", len(drawn), "recording")]
    middle = _middle(measured) if len(measured) >= FEW else {}
    return Diagnosis(tuple(_with_remarks(one, middle) for one in measured), len(utterances))


def measure(samples: np.ndarray, name: str = "", seconds: float | None = None) -> Measured:
    """Measure a recording.

    Speech and noise are told apart by the power of 25 ms frames: noise is what lies within `FLOOR` of the quietest
    twentieth, a pause is that or what lies `PAUSE` under the loudest twentieth. Pitch: `pitch_of`.

    Args:
        samples: (samples,) mono float32 at `audio.SAMPLE_RATE`.
        name: Id of the utterance.
        seconds: Length of the utterance; None is that of the samples.
    """
    # The variance, for an offset is no sound.
    power = np.lib.stride_tricks.sliding_window_view(samples, _FRAME)[::_HOP].var(axis=1)
    sounding = power[power > _DIGITAL]
    if not len(sounding):
        sounding = np.array([_DIGITAL])
    loud = float(np.percentile(sounding, 95))
    floor = min(float(np.percentile(sounding, 5)) * _ratio(FLOOR), loud / _ratio(RANGE))
    pause = power <= max(floor, loud / _ratio(PAUSE))
    speech = float(power[~pause].mean()) if not pause.all() else loud
    noise = sounding[sounding <= floor]
    over = max(speech / float(noise.mean()) - 1, 1e-3) if len(noise) > 1 else None
    return Measured(
        name,
        len(samples) / audio.SAMPLE_RATE if seconds is None else seconds,
        _pitch(samples, power),
        10 * float(np.log10(max(speech, _DIGITAL))),
        float((np.abs(samples) >= FULL_SCALE).mean()),
        float(pause.mean()),
        None if over is None else 10 * float(np.log10(over)),
    )


def _measure_recording(utterance: Utterance) -> Measured:
    start, duration = utterance.start, utterance.duration
    if duration > LONGEST:
        start, duration = (start or 0.0) + (duration - LONGEST) / 2, LONGEST
    try:
        samples = audio.read(utterance.audio, start, duration)
    except DataError as error:
        raise naming(utterance, error) from None
    return measure(samples, utterance.id, utterance.duration)


def _pitch(samples: np.ndarray, power: np.ndarray) -> tuple[float, float, float] | None:
    """Return 5th, 50th and 95th percentile of the fundamental in the loudest `PITCHED` seconds."""
    length = round(PITCHED * audio.SAMPLE_RATE)
    if len(samples) > length:
        frames = length // _HOP
        sums = np.convolve(power, np.ones(min(frames, len(power))), "valid")
        first = int(np.argmax(sums)) * _HOP
        samples = samples[first : first + length]
    found = pitch_of(samples, audio.SAMPLE_RATE)
    if len(found) < 2:
        return None
    low, middle, high = np.percentile(found, [5, 50, 95]).tolist()
    return low, middle, high


def _middle(measured: Sequence[Measured]) -> dict[str, float]:
    """Return the medians of level, pitch and SNR over the recordings that have one."""
    values = {
        "level": [r.level for r in measured],
        "pitch": [r.pitch[1] for r in measured if r.pitch],
        "snr": [r.snr for r in measured if r.snr is not None],
    }
    return {name: float(np.median(found)) for name, found in values.items() if found}


def _with_remarks(one: Measured, middle: dict[str, float]) -> Measured:
    """Add what is bad in itself, or unlike the `middle` of the speaker's recordings, with what to do about it."""
    remarks = []
    if one.clipped > CLIPPED:
        remarks.append("clipped: record at a lower level")
    if one.level < QUIET:
        remarks.append("quiet: record closer to the microphone, or at a higher level")
    elif "level" in middle and abs(one.level - middle["level"]) > APART:
        word = "quieter" if one.level < middle["level"] else "louder"
        remarks.append(
            f"{abs(one.level - middle['level']):.0f} dB {word} than the others: keep to one distance and level"
        )
    if one.snr is not None and one.snr < NOISY:
        remarks.append("noisy: record in a quieter place")
    if one.pauses > PAUSES:
        remarks.append("mostly pauses: cut them off")
    if one.pitch and "pitch" in middle and not one.pitch[0] <= middle["pitch"] <= one.pitch[2]:
        factor = one.pitch[1] / middle["pitch"]
        if max(factor, 1 / factor) > OTHER_PITCH:
            remarks.append(f"{'higher' if factor > 1 else 'lower'} voice than the others: is it the same speaker?")
    return replace(one, remarks=tuple(remarks))


def _ratio(decibels: float) -> float:
    return float(10 ** (decibels / 10))
