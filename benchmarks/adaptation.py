"""Measures the cost of adapting: each method's processor time, memory and profile, and `auto` beside the same choice
made naively.

The methods' figures are of one `adapt` call, each in a fresh process, with the features computed before. `auto` counts
its features, since the naive side computes them too, for every training anew: it trains every candidate at every
strength on every fold, shares nothing and drops nobody. Both sides run in one process, the naive one half before and
half after ours, so that a machine whose speed drifts slows both alike; they must agree on the character errors.

Speed does not depend on what the weights are, so no trained model is needed: without `--model` the model has random
weights at the default size, and without `--root` and `--data` the recordings are noise of AN4's lengths. Recognition
is nonsense then, and so is what `auto` chooses. `pseudo-label` keeps every utterance, whatever its confidence.

    python benchmarks/adaptation.py [--root FSDD | --model DIR --data MANIFEST] [--quick true] [--out DIR]

The run folder's `run.json`, copied to `docs/results`, fills tables of `docs/speed.md`.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch starts its threads

import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # run as a script, find our neighbours

import multiprocessing
import re
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jsonargparse
import torch

from asr_transfer.adaptation.adapt import adapt
from asr_transfer.adaptation.answers import answers
from asr_transfer.adaptation.checks import held_out_folds
from asr_transfer.adaptation.choice import candidates, choose
from asr_transfer.adaptation.frozen_layers import Shared
from asr_transfer.adaptation.ladder import Candidate, Rung
from asr_transfer.adaptation.methods import METHODS, default_learning_rate, find_methods, needs_source
from asr_transfer.adaptation.profile import Profile, ProfileFacts, save_profile
from asr_transfer.adaptation.settings import AdaptConfig, ChoiceConfig, MethodSettings
from asr_transfer.data.speech import Spoken
from asr_transfer.errors import AsrTransferError
from asr_transfer.experiments.core.tables import Column, Table, show
from asr_transfer.runs.record import RunRecord
from benchmarks.above_zero import require_above_zero
from benchmarks.adaptation_place import Place, prepare
from benchmarks.adaptation_sharing import DEEP, SHARING, measure_sharing, sharing_table
from benchmarks.machine import machine
from benchmarks.targets import met

METHOD_LIMIT, AUTO_LIMIT = 10.0, 60.0
"""CPU-seconds of one adaptation, and of `auto` with the adaptation that follows from it."""
RATIO_WANTED = 3.0
"""Times as long as `auto` that the naive choice takes."""

QUICK_CANDIDATES, QUICK_STRENGTHS, QUICK_FOLDS = 2, (0.5, 1.0), 3

TRAINED = tuple(name for name, method in METHODS.items() if method.learning_rate)


@dataclass(frozen=True)
class Cost:
    """What one adaptation cost.

    Attributes:
        method: its name.
        cpu_seconds: processor time of the process.
        peak_mb: greatest resident memory of the process; None where the system does not tell.
        growth_mb: the part of it that was not there before `adapt`, with model and libraries loaded.
        profile_kb: size of the speaker profile.
    """

    method: str
    cpu_seconds: float
    peak_mb: float | None
    growth_mb: float | None
    profile_kb: float


@dataclass(frozen=True)
class Auto:
    """What a choice among candidates cost, in CPU-seconds.

    Attributes:
        candidates, strengths, folds: what was tried.
        features: computing them.
        choosing: `choose`.
        adapting: the last adaptation, to all utterances by the best candidate.
        trainings: of the choosing.
        naive, naive_trainings: of the same choice made naively; None where it was not.
    """

    candidates: tuple[str, ...]
    strengths: tuple[float, ...]
    folds: int
    features: float
    choosing: float
    adapting: float
    trainings: int
    naive: float | None = None
    naive_trainings: int = 0

    @property
    def total(self) -> float:
        """Everything, from recordings to the adapted model."""
        return self.features + self.choosing + self.adapting

    @property
    def ratio(self) -> float | None:
        """How many times as long the naive choice takes; the last adaptation is left out on both sides."""
        return None if self.naive is None else self.naive / (self.features + self.choosing)


def cost(place: Place, method: str) -> Cost:
    """Adapt once, in this process, and return what it took."""
    torch.set_num_threads(1)
    recogniser, own, more = place.load()
    store = place.features([*own, *more], recogniser, place.cache)
    resident = _memory("VmRSS")
    begin = time.process_time()
    adapted = adapt(recogniser, Spoken(own, store), method, place.config, source_speech=Spoken(more, store))
    seconds = time.process_time() - begin
    peak = _memory("VmHWM")
    size = 0.0
    if adapted.end:
        facts = ProfileFacts(method, len(own), sum(u.duration for u in own))
        with tempfile.TemporaryDirectory() as work:
            folder = save_profile(Path(work) / "profile", recogniser.model, adapted.recogniser.model, facts)
            size = Profile.load(folder).size_bytes / 1000
    return Cost(method, seconds, peak, peak - resident if peak and resident else None, size)


def _isolated(place: Place, method: str) -> Cost:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(cost, place, method).result()


def _memory(name: str) -> float | None:
    """Return a line of Linux's /proc/self/status in MB. `getrusage` would not do: it remembers the parent's peak."""
    status = Path("/proc/self/status")
    found = re.search(rf"{name}:\s*(\d+) kB", status.read_text()) if status.is_file() else None
    return int(found[1]) * 1024 / 1e6 if found else None


def measure_auto(
    place: Place, choice: ChoiceConfig, tried: Sequence[Candidate], work: Path, naive: bool, once: bool = True
) -> Auto:
    """Choose as `auto` does and, if `naive`, also by training everything; see the module.

    Without `once` the naive side also runs frozen layers at every step. As it then draws dropout in them, which `auto`
    leaves out, the sides are not held to the same errors.

    Raises:
        RuntimeError: the sides disagree, so they did not do the same work.
    """
    recogniser, own, more = place.load()
    everything = [*own, *more]
    store = place.features(everything, recogniser, place.cache)
    adapt(recogniser, Spoken(own, store), tried[0].method, place.config, source_speech=Spoken(more, store))  # warms up
    folds = held_out_folds(own, choice.folds, place.config.seed, range(len(own)))
    trials = [(c, s, held) for held in folds for c in tried for s in choice.strengths] if naive else []
    errors: dict[tuple[str, float, float], list[int]] = {}  # of each fold, in order

    def settings(rung: Candidate | Rung, strength: float) -> AdaptConfig:
        return replace(place.config, learning_rate=rung.learning_rate, strength=strength)

    def choose_naively(part: Sequence[tuple[Candidate, float, list[int]]]) -> float:
        begin = time.process_time()
        for candidate, strength, held in part:
            rest = [utterance for number, utterance in enumerate(own) if number not in held]
            with tempfile.TemporaryDirectory(dir=work) as cache:
                fresh = place.features(everything, recogniser, Path(cache))
                told = settings(candidate, strength)
                shared = Shared(recogniser, fresh, once)
                adapted = adapt(
                    recogniser,
                    Spoken(rest, fresh),
                    candidate.method,
                    told,
                    source_speech=Spoken(more, fresh),
                    shared=shared,
                )
                data = Spoken(own, fresh, recogniser.tokens)
                answers(recogniser, data, held)  # to compare with
                found = answers(adapted.recogniser, data, held).errors.sum()
            errors.setdefault((candidate.method, candidate.learning_rate, strength), []).append(int(found))
        return time.process_time() - begin

    taken = choose_naively(trials[: len(trials) // 2])
    begin = time.process_time()
    with tempfile.TemporaryDirectory(dir=work) as cache:
        store = place.features(everything, recogniser, Path(cache))
        featured = time.process_time()
        ladder = choose(recogniser, Spoken(own, store), place.config, choice, tried, Spoken(more, store)).ladder
        chosen = time.process_time()
        best = ladder[0]
        adapt(
            recogniser,
            Spoken(own, store),
            best.method,
            settings(best, best.strength),
            source_speech=Spoken(more, store),
        )
        adapting = time.process_time() - chosen
    taken += choose_naively(trials[len(trials) // 2 :])
    for rung in ladder:
        naively = sum(errors.get((rung.method, rung.learning_rate, rung.strength), [])[: rung.folds])
        if once and naive and naively != rung.errors:
            raise RuntimeError(f"{rung.method}: `auto` counted {rung.errors} errors, the naive side {naively}.")
    return Auto(
        tuple(candidate.method for candidate in tried), choice.strengths, len(folds), featured - begin,
        chosen - featured, adapting, sum(rung.folds for rung in ladder), taken if naive else None, len(trials),
    )  # fmt: skip


def methods_table(costs: Sequence[Cost], note: str = "") -> Table:
    """Return what one adaptation by each method costs."""

    def whole(value: float | None) -> str:
        return "–" if value is None else f"{value:.0f}"

    columns: list[Column[Cost]] = [
        ("method", lambda row: row.method),
        ("CPU-seconds", lambda row: f"{row.cpu_seconds:.2f}"),
        ("target", lambda row: f"< {METHOD_LIMIT:g}"),
        ("met", lambda row: met(row.cpu_seconds < METHOD_LIMIT)),
        ("peak memory, MB", lambda row: whole(row.peak_mb)),
        ("growth, MB", lambda row: whole(row.growth_mb)),
        ("profile, kB", lambda row: f"{row.profile_kb:.1f}"),
    ]
    return Table.of(costs, columns, "One adaptation, each in a fresh process:", note)


def auto_table(name: str, auto: Auto, quick: bool, note: str = "") -> Table:
    """Return what a choice by `auto` costs, and the same choice made naively."""
    tried = f"{', '.join(auto.candidates)} × strengths {', '.join(f'{s:g}' for s in auto.strengths)}"
    lines: list[tuple[str, ...]] = []

    def add(row: str, value: float, trainings: str = "", target: str = "", reached: bool = False) -> None:
        # The targets are for all candidates, strengths and folds.
        goal = (target, met(reached)) if target and not quick else ("", "")
        lines.append((row, f"{value:.2f}", trainings, *goal))

    add("features", auto.features)
    add("choosing", auto.choosing, str(auto.trainings))
    add("adapting to all", auto.adapting, "1")
    add("`auto` in all", auto.total, str(auto.trainings + 1), f"< {AUTO_LIMIT:g}", auto.total < AUTO_LIMIT)
    if auto.naive is not None and auto.ratio is not None:
        add("features and choosing, naively", auto.naive, str(auto.naive_trainings))
        add("times as long as ours", auto.ratio, "", f"≥ {RATIO_WANTED:g}", auto.ratio >= RATIO_WANTED)
    title = f"`auto` {name}, {'quick run: ' if quick else ''}{tried} × {auto.folds} folds:"
    return Table(("", "CPU-seconds", "trainings", "target", "met"), tuple(lines), title, note)


def main(
    root: Path | None = None,
    model: Path | None = None,
    data: Path | None = None,
    utterances: int = 10,
    source_utterances: int = 60,
    methods: tuple[str, ...] = TRAINED,
    auto: bool = True,
    naive: bool = True,
    sharing: bool = True,
    quick: bool = False,
    steps: int = 40,
    out: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Measure and print.

    Args:
        root: the Free Spoken Digit Dataset.
        model: model folder; by default random weights.
        data: manifest; by default generated noise.
        utterances: number of utterances of the speaker who comes first by name.
        source_utterances: number of utterances of the other speakers; 0 leaves out what mixes them in.
        methods: methods of the first table; an empty list leaves it out.
        auto: whether `auto` is measured, without source utterances and with them.
        naive: whether the choice is also made naively, without source utterances.
        sharing: whether to measure what adaptations compute once, and `auto` among methods that freeze layers or hold
            outputs.
        quick: whether both sides have two candidates, two strengths and three folds.
        steps: number of steps of one adaptation.
        out: run folder to write, too.
        overwrite: whether to replace the run that `out` holds.
    """
    require_above_zero(steps=steps)
    torch.set_num_threads(1)
    config = AdaptConfig(steps=steps, settings=MethodSettings(confidence=0.0), device="cpu")
    scores: dict[str, Any] = {"methods": [], "auto": {}}
    tables: list[Table] = []

    def add(table: Table) -> None:
        show([table])
        tables.append(table)

    try:
        for name in methods:
            find_methods(name)
        settings = {
            "root": root,
            "model": model,
            "data": data,
            "utterances": utterances,
            "quick": quick,
            "steps": steps,
        }
        record = None if out is None else RunRecord(out, settings, overwrite=overwrite)
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            place, what = prepare(root, model, data, utterances, source_utterances, config, work)
            print(f"{what}\n{machine()}", flush=True)
            more = place.load()[2]
            if not more and (left := [name for name in methods if needs_source(name)]):
                print(f"without source utterances there is no {', '.join(left)}")
            costs = [_isolated(place, name) for name in methods if more or not needs_source(name)]
            if costs:
                add(methods_table(costs))
            scores["methods"] = [asdict(row) for row in costs]
            alone = replace(place, source=work / "none.jsonl")
            alone.source.touch()
            choice = ChoiceConfig(folds=QUICK_FOLDS, strengths=QUICK_STRENGTHS) if quick else ChoiceConfig()
            for name, where in (("without source utterances", alone), ("with source utterances", place)):
                if not auto or (where is place and not more):
                    continue
                tried = candidates(choice, where is place)[: QUICK_CANDIDATES if quick else None]
                measured = measure_auto(where, choice, tried, work, naive and where is alone)
                add(auto_table(name, measured, quick))
                scores["auto"][name] = {**asdict(measured), "total": measured.total, "ratio": measured.ratio}
            if sharing:
                deep = [Candidate(name, default_learning_rate(name)) for name in DEEP]
                rows = measure_sharing(alone, SHARING, choice, deep)
                add(sharing_table(rows))
                measured = measure_auto(alone, choice, deep, work, naive, once=False)
                add(auto_table("among methods that share most", measured, quick))
                scores["sharing"] = {
                    "rows": [asdict(row) for row in rows],
                    "auto": {**asdict(measured), "total": measured.total, "ratio": measured.ratio},
                }
    except AsrTransferError as error:
        raise SystemExit(str(error)) from None
    if record is not None:
        tables[-1:] = [replace(last, note=f"{what}; {machine()}.") for last in tables[-1:]]
        record.finish(scores=scores, tables={"costs": [table.to_plain() for table in tables]})


if __name__ == "__main__":
    jsonargparse.auto_cli(main)
