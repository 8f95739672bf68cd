"""Measures what large corpora cost beside the model: features beside torchaudio's, preparing, scoring and comparing.

Features of recordings are computed into the store that every command reads, and by torchaudio's `MelSpectrogram` file
by file, in alternating rounds. Tens of thousands of recordings, hard links to a few seconds of noise with transcripts
in one table, are prepared by the command; as many utterances are read from the manifest and scored as `evaluate` does;
two such runs are compared by the command. The processor time of a command counts from its start to its end.

    python benchmarks/corpora.py [--files 400] [--utterances 50000] [--out DIR]

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
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import jsonargparse
import numpy as np
import soundfile
import torch
import torchaudio

from asr_transfer.audio import SAMPLE_RATE
from asr_transfer.config import FeatureConfig
from asr_transfer.data.features import build_store
from asr_transfer.data.manifest import Utterance, read_manifest
from asr_transfer.errors import AsrTransferError
from asr_transfer.evaluation.scoring import Hypothesis, write_scores
from asr_transfer.experiments.core.tables import Column, Table, show
from asr_transfer.progress import Work
from asr_transfer.runs.record import RunRecord
from benchmarks.above_zero import require_above_zero
from benchmarks.commands import run_command
from benchmarks.machine import machine
from benchmarks.targets import met
from benchmarks.training_corpus import LENGTHS, QUANTILES

RATE_WANTED = 0.8
"""Times torchaudio's rate."""
WANTED = {"prepared": 10.0, "scored": 15.0, "compared": 10.0}
"""The most CPU-seconds for 50,000 utterances."""
OF = 50_000
SPEAKERS, VOCABULARY, WRONG = 40, 3000, 0.1
ROUNDS = 9


@dataclass(frozen=True)
class Features:
    """How fast features are computed.

    Attributes:
        files: number of recordings.
        audio_seconds: length of all.
        ours: CPU-seconds, in the median of the rounds.
        torchaudio: CPU-seconds of the peer, in the median.
        ratio: times the peer's rate that is ours.
    """

    files: int
    audio_seconds: float
    ours: float
    torchaudio: float
    ratio: float


@dataclass(frozen=True)
class Step:
    """What a step costs for a large corpus.

    Attributes:
        name: word for the step, in the table.
        utterances: number of utterances.
        cpu_seconds: processor time.
        wanted: the most that is wanted for so many.
    """

    name: str
    utterances: int
    cpu_seconds: float
    wanted: float


def measure_features(files: int, work: Path) -> Features:
    """Compute features of noise of AN4's lengths, and torchaudio's."""
    generator = np.random.default_rng(0)
    utterances = []
    for number in range(files):
        seconds = float(np.interp((number + 0.5) / files, QUANTILES, LENGTHS))
        file = work / f"{number}.wav"
        soundfile.write(file, 0.01 * generator.standard_normal(int(SAMPLE_RATE * seconds)), SAMPLE_RATE)
        utterances.append(Utterance(file.stem, str(file), seconds, "a", "s", "en"))
    config = FeatureConfig()
    peer = torchaudio.transforms.MelSpectrogram(
        SAMPLE_RATE, n_fft=512, win_length=400, hop_length=160, n_mels=config.mels
    )

    def theirs() -> None:
        for utterance in utterances:
            samples, _ = soundfile.read(utterance.audio, dtype="float32")
            peer(torch.from_numpy(samples)).log()

    taken: dict[str, list[float]] = {"ours": [], "theirs": []}
    for turn in range(ROUNDS + 1):
        with tempfile.TemporaryDirectory(dir=work) as cache:
            sides: dict[str, Callable[[], object]] = {
                "ours": lambda: build_store(utterances, config, cache=Path(cache)),
                "theirs": theirs,
            }
            for name in sides if turn % 2 else reversed(list(sides)):
                begin = time.process_time()
                sides[name]()
                if turn:  # the first turn warms up
                    taken[name].append(time.process_time() - begin)
    ours, other = (statistics.median(values) for values in taken.values())
    return Features(files, sum(u.duration for u in utterances), ours, other, other / ours)


def measure_steps(utterances: int, work: Path) -> list[Step]:
    """Prepare, score and compare so many utterances."""
    texts = _recordings(utterances, work / "recordings")
    prepare = ("prepare", "folder", "--root", "recordings", "--out", "data")
    steps = [_step("prepared", utterances, lambda: run_command(*prepare, folder=work))]

    def score(number: int) -> None:
        record, read = RunRecord(work / f"run{number}", {}), read_manifest(work / "data" / "all.jsonl")
        texts_heard = dict(zip(texts, heard[number], strict=True))
        found = [Hypothesis(u.id, u.speaker, u.language, u.text, texts_heard[u.id]) for u in read]
        record.data("test", work / "data" / "all.jsonl", read)
        record.finish(scores={"test": write_scores(record.folder, found).to_plain()})

    heard = [_garbled(list(texts.values()), number) for number in range(2)]
    score(0)
    steps.append(_step("scored", utterances, lambda: score(1)))
    compare = ("compare", "run0", "run1", "--out", "comparison")
    return [*steps, _step("compared", utterances, lambda: run_command(*compare, folder=work))]


def _recordings(count: int, folder: Path) -> dict[str, str]:
    """Write recordings and a table of their transcripts; return the transcripts by the ids that they will have."""
    generator = np.random.default_rng(0)
    words = ["".join(generator.choice(list("aeioulmnrst"), generator.integers(2, 9))) for _ in range(VOCABULARY)]
    first = folder / "noise.wav"
    folder.mkdir()
    soundfile.write(first, 0.1 * generator.standard_normal(SAMPLE_RATE // 2), SAMPLE_RATE)
    texts, lines = {}, ["file\ttext\tspeaker"]
    for number in range(count):
        name, speaker = f"u{number:06d}", f"s{number % SPEAKERS:02d}"
        os.link(first, folder / f"{name}.wav")
        texts[name] = " ".join(words[index] for index in generator.integers(0, VOCABULARY, 6))
        lines.append(f"{name}.wav\t{texts[name]}\t{speaker}")
    (folder / "transcripts.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    first.unlink()
    return texts


def _garbled(texts: Sequence[str], seed: int) -> list[str]:
    generator = np.random.default_rng(seed + 1)
    return [" ".join(w for w in text.split() if generator.random() >= WRONG) for text in texts]


def _step(name: str, utterances: int, work: Callable[[], object]) -> Step:
    begin = _used()
    work()
    return Step(name, utterances, _used() - begin, WANTED[name] * utterances / OF)


def _used() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


FEATURE_COLUMNS: list[Column[Features]] = [
    ("files", lambda row: str(row.files)),
    ("audio-seconds", lambda row: f"{row.audio_seconds:.0f}"),
    ("ours, audio per CPU-second", lambda row: f"{row.audio_seconds / row.ours:.0f}"),
    ("MelSpectrogram's", lambda row: f"{row.audio_seconds / row.torchaudio:.0f}"),
    ("times its rate", lambda row: f"{row.ratio:.2f}"),
    ("target", lambda row: f"≥ {RATE_WANTED:g}"),
    ("met", lambda row: met(row.ratio >= RATE_WANTED)),
]
STEP_COLUMNS: list[Column[Step]] = [
    ("utterances are", lambda row: row.name),
    ("utterances", lambda row: f"{row.utterances:,}"),
    ("CPU-seconds", lambda row: f"{row.cpu_seconds:.1f}"),
    ("target", lambda row: f"≤ {row.wanted:g}"),
    ("met", lambda row: met(row.cpu_seconds <= row.wanted)),
]


def main(files: int = 400, utterances: int = OF, out: Path | None = None, overwrite: bool = False) -> None:
    """Measure and print.

    Args:
        files: number of recordings whose features are computed.
        utterances: number of utterances that are prepared, scored and compared.
        out: run folder to write, too.
        overwrite: whether to replace the run that `out` holds.
    """
    require_above_zero(files=files, utterances=utterances)
    torch.set_num_threads(1)
    settings = {"files": files, "utterances": utterances}
    try:
        record = None if out is None else RunRecord(out, settings, overwrite=overwrite)
        with tempfile.TemporaryDirectory() as folder, Work("measuring", 2, "part") as work:
            features = measure_features(files, Path(folder))
            work.advance(1)
            steps = measure_steps(utterances, Path(folder))
            work.advance(1)
    except AsrTransferError as error:
        raise SystemExit(str(error)) from None
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    tables = [
        Table.of([features], FEATURE_COLUMNS, "Features, beside torchaudio's own of each file:"),
        Table.of(steps, STEP_COLUMNS, "Many utterances:", f"At most {memory:.0f} MB a command; {machine()}."),
    ]
    show(tables)
    if record is not None:
        scores = {"features": asdict(features), "steps": [asdict(step) for step in steps]}
        record.finish(scores=scores, tables={"corpora": [table.to_plain() for table in tables]})


if __name__ == "__main__":
    jsonargparse.auto_cli(main, as_positional=False)
