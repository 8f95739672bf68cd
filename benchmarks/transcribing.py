"""Measures how fast recordings are transcribed: many short ones, and a long one, by the command that users run.

Each command is a process of its own, and what counts is the processor time of it and of those it starts: reading
files, features, the model, the greedy search. Starting costs the same however much there is to transcribe, so the rate
is given with it and without: without, the time that one short recording takes is subtracted. The commands take turns,
in alternating order, so that a machine whose speed drifts slows all of them alike; the medians of the rounds count.

    python benchmarks/transcribing.py [--model DIR] [--an4 DIR] [--files 1000] [--minutes 60] [--out DIR]

The run folder's `run.json`, copied to `docs/results`, fills a table of `docs/speed.md`.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch starts its threads

import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # run as a script, find our neighbours

import resource
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path

import jsonargparse
import numpy as np
import soundfile

from asr_transfer.audio import SAMPLE_RATE
from asr_transfer.config import ModelConfig
from asr_transfer.data.manifest import Utterance, read_audio
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import AsrTransferError
from asr_transfer.experiments.core.tables import Table, show
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.progress import Work
from asr_transfer.runs.record import RunRecord
from benchmarks.commands import run_command
from benchmarks.machine import machine
from benchmarks.targets import met
from benchmarks.training_corpus import find_utterances

ONE, SHORT, LONG = "one short file", "short files", "one long file"
RATE_WANTED = 400.0
"""Audio-seconds per processor-second, behind the start."""
LANGUAGE = "en"


@dataclass(frozen=True)
class Measured:
    """What a command took, in the median of the rounds.

    Attributes:
        name: name of the recordings.
        files: number of its files.
        audio_seconds: their length.
        cpu_seconds: processor seconds of the command.
        rate: audio-seconds per processor-second.
        rate_beyond: the same without what one short file takes; None for that one itself.
    """

    name: str
    files: int
    audio_seconds: float
    cpu_seconds: float
    rate: float
    rate_beyond: float | None


def main(
    model: Path | None = None,
    an4: Path | None = None,
    files: int = 1000,
    minutes: float = 60.0,
    rounds: int = 3,
    out: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Measure and print.

    Args:
        model: folder of the model; default one of the default sizes with random weights, which is as fast.
        an4: the AN4 corpus; default `$ASR_TRANSFER_SPEECH/an4` or `../shared/speech/an4`, else generated noise.
        files: number of short recordings; where the corpus has fewer, some come again.
        minutes: length of the long recording.
        rounds: number of rounds, of which the median is taken.
        out: run folder to write, too.
        overwrite: whether to replace the run that `out` holds.
    """
    if min(files, rounds) < 1 or not minutes > 0:
        raise SystemExit(f"--files {files}, --minutes {minutes:g}, --rounds {rounds}: each must be above 0.")
    settings = {"model": model, "files": files, "minutes": minutes, "rounds": rounds}
    try:
        record = None if out is None else RunRecord(out, settings, overwrite=overwrite)
        with tempfile.TemporaryDirectory() as folder:
            utterances, name = find_utterances(an4, Path(folder))
            sides = {
                ONE: utterances[:1],
                SHORT: list(islice(cycle(utterances), files)),
                LONG: [join(utterances, 60 * minutes, Path(folder) / "long.flac")],
            }
            measured = measure(model or untrained(Path(folder) / "model"), sides, rounds)
    except AsrTransferError as error:
        raise SystemExit(str(error)) from None
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    what = model or "a bilstm of the default sizes"
    table = rates_table(measured, f"{what}; {name}; at most {memory:.0f} MB; {machine()}.")
    show([table])
    if record is not None:
        record.finish(
            scores={"commands": [asdict(one) for one in measured]}, tables={"transcribing": [table.to_plain()]}
        )


def untrained(folder: Path) -> Path:
    """Write a model of the default sizes with random weights, and return its folder."""
    tokens = Tokens([" ", "'", *"abcdefghijklmnopqrstuvwxyz"])
    network = AcousticModel(ModelConfig(), {LANGUAGE: len(tokens)}).eval()
    Recogniser(network, tokens, LANGUAGE, {}).save(folder, "# A model with random weights\n", {})
    return folder


def join(utterances: Sequence[Utterance], seconds: float, file: Path) -> Utterance:
    """Write recordings one behind the other, as often as needed, to a file of so many seconds."""
    parts, length = [], 0
    for utterance in cycle(utterances):
        parts.append(np.asarray(read_audio(utterance)))
        length += len(parts[-1])
        if length >= seconds * SAMPLE_RATE:
            break
    soundfile.write(file, np.concatenate(parts)[: round(seconds * SAMPLE_RATE)], SAMPLE_RATE)
    return Utterance(file.stem, str(file), seconds, "", "", LANGUAGE)


def measure(model: Path, sides: Mapping[str, Sequence[Utterance]], rounds: int) -> list[Measured]:
    """Transcribe each side in each round, and return what it took."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    with Work("transcribing", rounds * len(sides), "command") as work:
        for turn in range(rounds):
            for name in sides if turn % 2 else reversed(list(sides)):
                found[name].append(transcribed(model, sides[name]))
                work.advance(1)
    took = {name: statistics.median(values) for name, values in found.items()}
    return [
        Measured(
            name,
            len(side),
            round(sum(utterance.duration for utterance in side), 1),
            round(took[name], 2),
            sum(utterance.duration for utterance in side) / took[name],
            None if name == ONE else _beyond(side, sides[ONE]) / max(1e-9, took[name] - took[ONE]),
        )
        for name, side in sides.items()
    ]


def _beyond(side: Sequence[Utterance], one: Sequence[Utterance]) -> float:
    return sum(utterance.duration for utterance in side) - sum(utterance.duration for utterance in one)


def transcribed(model: Path, utterances: Sequence[Utterance]) -> float:
    """Transcribe recordings by the command, and return its processor seconds."""
    return run_command("transcribe", "--model", str(model), *(utterance.audio for utterance in utterances))


def rates_table(measured: Sequence[Measured], note: str = "") -> Table:
    """Return the rates as a table."""
    lines = []
    for one in measured:
        wanted = ("", "", "")
        if one.rate_beyond is not None:
            wanted = (f"{one.rate_beyond:.0f}", f"≥ {RATE_WANTED:g}", met(one.rate_beyond >= RATE_WANTED))
        took = (f"{one.files}", f"{one.audio_seconds:.0f}", f"{one.cpu_seconds:.1f}", f"{one.rate:.0f}")
        lines.append((one.name, *took, *wanted))
    headings = ("transcribed", "files", "audio-seconds", "CPU-seconds", "audio per CPU-second", "behind the start",
                "target", "met")  # fmt: skip
    return Table(headings, tuple(lines), note=note)


if __name__ == "__main__":
    jsonargparse.auto_cli(main)
