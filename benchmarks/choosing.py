"""Measures what `adapt --method auto` costs, from recordings to the adapted model, for three kinds of recordings.

Ten digits, ten sentences of AN4's lengths, and twenty sentences of seven seconds, each with recordings of other
speakers to mix in, as users have them who give `--source`, and without. The model is one of the default sizes with
random weights, and the recordings are noise: recognition is nonsense then, and hopeless candidates are told later than
with a trained model, if at all. With `--model` and `--data` it is a trained model and ten recordings of the speaker who
comes first by name, as a user has them.

    python benchmarks/choosing.py [--kinds [digits,sentences,long] | --model DIR --data MANIFEST] [--out DIR]

The run folder's `run.json`, copied to `docs/results`, fills a table of `docs/speed.md`.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch starts its threads

import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # run as a script, find our neighbours

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import jsonargparse
import torch

from asr_transfer.adaptation.choice import candidates
from asr_transfer.adaptation.settings import AdaptConfig, ChoiceConfig, MethodSettings
from asr_transfer.data.manifest import read_manifest
from asr_transfer.errors import AsrTransferError, ConfigError, nearest_hint
from asr_transfer.experiments.core.tables import Column, Table, show
from asr_transfer.progress import Work
from asr_transfer.runs.record import RunRecord
from benchmarks.above_zero import require_above_zero
from benchmarks.adaptation import measure_auto
from benchmarks.adaptation_place import prepare
from benchmarks.machine import machine
from benchmarks.targets import met


@dataclass(frozen=True)
class Kind:
    """Recordings of a new speaker.

    Attributes:
        name: name in the table.
        count: number of recordings.
        seconds: length of each; None for AN4's spread.
        wanted: the most CPU-seconds that are wanted; None for no target.
    """

    name: str
    count: int
    seconds: float | None
    wanted: float | None = None


KINDS = {
    "digits": Kind("ten digits", 10, 0.6, 25.0),
    "sentences": Kind("ten sentences", 10, None, 60.0),
    "long": Kind("twenty sentences of 7 s", 20, 7.0),
}
SHORT = 1.0
"""Seconds of recordings on average, up to which the target is that of digits, beyond it that of sentences."""
OTHERS = 60
"""Recordings of other speakers."""


@dataclass(frozen=True)
class Chosen:
    """What `auto` cost.

    Attributes:
        kind: name of the recordings.
        others: whether recordings of other speakers were mixed in.
        features: CPU-seconds of the features.
        choosing: CPU-seconds of the choice.
        adapting: CPU-seconds of the last adaptation.
        candidates: number of methods that were tried.
        trainings: number of trainings of the choice.
        total: CPU-seconds of all.
        wanted: the most that is wanted; None for no target.
    """

    kind: str
    others: bool
    features: float
    choosing: float
    adapting: float
    candidates: int
    trainings: int
    total: float
    wanted: float | None


def measure(
    kind: Kind,
    steps: int,
    others: int = OTHERS,
    choice: ChoiceConfig = ChoiceConfig(),
    model: Path | None = None,
    data: Path | None = None,
) -> list[Chosen]:
    """Choose and adapt without other speakers' recordings, and with them.

    Args:
        kind: recordings of the new speaker.
        steps: number of steps of one adaptation.
        others: number of other speakers' recordings.
        choice: settings of the choice.
        model: model folder; None for random weights.
        data: manifest of the speaker's recordings and others'; None for noise.
    """
    config = AdaptConfig(steps=steps, settings=MethodSettings(confidence=0.0), device="cpu")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        place, _ = prepare(None, model, data, kind.count, others, config, work, kind.seconds)
        alone = replace(place, source=work / "none.jsonl")
        alone.source.touch()
        for where in (alone, place):
            cost = measure_auto(where, choice, candidates(choice, where is place), work, naive=False)
            rows.append(
                Chosen(
                    kind.name, where is place, cost.features, cost.choosing, cost.adapting, len(cost.candidates),
                    cost.trainings, cost.total, kind.wanted,
                )
            )  # fmt: skip
    return rows


COLUMNS: list[Column[Chosen]] = [
    ("recordings", lambda row: row.kind),
    ("other speakers'", lambda row: "mixed in" if row.others else "–"),
    ("features", lambda row: f"{row.features:.1f}"),
    ("choosing", lambda row: f"{row.choosing:.1f}"),
    ("adapting", lambda row: f"{row.adapting:.1f}"),
    ("methods", lambda row: str(row.candidates)),
    ("trainings", lambda row: str(row.trainings)),
    ("CPU-seconds in all", lambda row: f"{row.total:.1f}"),
    ("target", lambda row: "" if row.wanted is None else f"≤ {row.wanted:g}"),
    ("met", lambda row: "" if row.wanted is None else met(row.total <= row.wanted)),
]


def main(
    kinds: tuple[str, ...] | None = None,
    model: Path | None = None,
    data: Path | None = None,
    steps: int = 40,
    out: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Measure and print.

    Args:
        kinds: kinds of recordings, of noise; by default all of them.
        model: folder of a trained model, to measure on `data` alone.
        data: manifest of a new speaker's recordings and of other speakers'.
        steps: number of steps of one adaptation.
        out: run folder to write, too.
        overwrite: whether to replace the run that `out` holds.
    """
    require_above_zero(steps=steps)
    torch.set_num_threads(1)
    try:
        for name in kinds or ():
            if name not in KINDS:
                raise ConfigError(f"--kinds: there is no '{name}', only {', '.join(KINDS)}.{nearest_hint(name, KINDS)}")
        if (model is None) != (data is None):
            raise ConfigError("--model and --data belong together: a trained model, and recordings that it can spell.")
        if kinds is not None and data is not None:
            raise ConfigError("--kinds names kinds of noise, and --data the recordings; leave one of them out.")
        asked = [KINDS[name] for name in (KINDS if kinds is None else kinds)] if data is None else [given(data)]
        settings = {"kinds": [kind.name for kind in asked], "model": model, "data": data, "steps": steps}
        record = None if out is None else RunRecord(out, settings, overwrite=overwrite)
        rows = run(asked, steps, model, data)
    except AsrTransferError as error:
        raise SystemExit(str(error)) from None
    what = f"`{model}`" if model is not None else "A bilstm of the default sizes that nobody trained"
    table = Table.of(rows, COLUMNS, note=f"{what}, {steps} steps each; {machine()}.")
    show([table])
    if record is not None:
        record.finish(scores={"rows": [asdict(row) for row in rows]}, tables={"choosing": [table.to_plain()]})


def given(data: Path) -> Kind:
    """Return ten recordings of a manifest as a kind, with the target of such.

    Raises:
        DataError: it cannot be read.
    """
    found = read_manifest(data)
    count, seconds = KINDS["digits"].count, sum(utterance.duration for utterance in found) / max(1, len(found))
    like = KINDS["digits" if seconds <= SHORT else "sentences"]
    return Kind(f"ten of `{data}`, {seconds:.1f} s each", count, None, like.wanted)


def run(kinds: Sequence[Kind], steps: int, model: Path | None = None, data: Path | None = None) -> list[Chosen]:
    """Measure each kind in turn, and tell how far it is."""
    rows: list[Chosen] = []
    with Work("choosing", len(kinds), "kind of recordings") as work:
        for kind in kinds:
            rows += measure(kind, steps, model=model, data=data)
            work.advance(1)
    return rows


if __name__ == "__main__":
    jsonargparse.auto_cli(main, as_positional=False)
