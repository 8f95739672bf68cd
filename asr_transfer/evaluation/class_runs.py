"""Reads runs whose items have classes, to be compared; `runs` reads those of speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from asr_transfer.errors import DataError
from asr_transfer.evaluation.classes import FILE, Prediction, read_predictions
from asr_transfer.evaluation.finished_run import read_finished
from asr_transfer.evaluation.in_common import in_common
from asr_transfer.evaluation.runs import amount_last, different_names, is_pair
from asr_transfer.textfiles import read_lines

TEXTS = "hypotheses.jsonl"


@dataclass(frozen=True)
class ClassSystem:
    """The predictions of one model, and what is known of how they came about.

    Attributes:
        name: name in tables; the run folder's or file's name.
        folder: the run folder; None for a file.
        record: the run record (`run.json`); empty for a file.
        predictions: predictions with unique ids.
        notes: sentences that a report must show.
    """

    name: str
    folder: Path | None
    record: dict[str, Any]
    predictions: list[Prediction]
    notes: list[str] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        """Ids of the items, in order."""
        return [own.id for own in self.predictions]


def have_classes(runs: Sequence[str]) -> bool:
    """Return whether runs hold predicted classes, and not texts.

    Raises:
        DataError: some hold classes and some texts, which have no error in common; or one holds both.
    """
    found = {run: _has_classes(run) for run in runs}
    if {True, False} <= set(found.values()):
        classes, texts = (next(run for run, own in found.items() if own is kind) for kind in (True, False))
        raise DataError(
            f"{classes} holds classes of items and {texts} texts of speech, whose errors are different quantities; "
            "compare either with its like."
        )
    return any(found.values())


def load_classes(runs: Sequence[str], intersect: bool = False) -> list[ClassSystem]:
    """Read runs as systems over one set of items, all in the order of the first.

    A domain or episode that one system does not name is taken from another that does.

    Args:
        runs: run folders, recipes' run folders, which hold `systems/NAME/`, and files like `predictions.jsonl`.
        intersect: whether to keep the items that all have, instead of refusing sets that differ.

    Raises:
        DataError: a run is damaged; items, or what is known of one, differ between systems.
    """
    given = [system for run in runs for system in _read(Path(run))]
    names = different_names([(system.name, system.folder) for system in given])
    return _same_items([replace(own, name=name) for own, name in zip(given, names, strict=True)], intersect)


def _has_classes(run: str) -> bool | None:
    """Return whether a run holds classes, and None where it holds neither these nor texts."""
    place = Path(run)
    if place.is_file():
        first = next((line for line in read_lines(place) if line.strip()), "")
        return first.lstrip().startswith("{") and '"class"' in first and '"predicted"' in first
    if is_pair(run):
        return False
    found = _kinds(place) or set[str]().union(*map(_kinds, (place / "systems").glob("*")))
    if len(found) > 1:
        raise DataError(f"{place}: holds both {FILE} and {TEXTS}; give runs that hold one of them.")
    return found == {FILE} if found else None


def _kinds(folder: Path) -> set[str]:
    return {name for name in (FILE, TEXTS) if (folder / name).is_file()}


def _read(place: Path) -> list[ClassSystem]:
    if place.is_file():
        return [ClassSystem(place.stem, None, {}, read_predictions(place))]
    if not place.exists():
        raise DataError(f"{place}: there is no such run folder or file; give a run folder, or a {FILE}.")
    read_finished(place)
    if (place / FILE).is_file():
        return [_system(place)]
    parts = [path for path in (place / "systems").glob("*") if path.is_dir()]
    if not parts:
        raise DataError(f"{place}: holds neither {FILE} nor systems; it scored nothing.")
    for part in parts:
        if not (part / FILE).is_file():
            raise DataError(f"{part}: holds no {FILE}; run the recipe again.")
    return [_system(part) for part in sorted(parts, key=amount_last)]


def _system(folder: Path) -> ClassSystem:
    record, predictions = read_finished(folder), read_predictions(folder / FILE)
    test = record["scores"].get("test")
    scored = test.get("items") if isinstance(test, dict) else None
    if isinstance(scored, int) and scored != len(predictions):
        raise DataError(
            f"{folder / FILE}: holds {len(predictions)} items, but `scores.test.items` in run.json is {scored}; run "
            "again."
        )
    return ClassSystem(folder.resolve().name, folder, record, predictions)


def _same_items(systems: Sequence[ClassSystem], intersect: bool) -> list[ClassSystem]:
    tables = [{own.id: own for own in system.predictions} for system in systems]
    common = in_common([system.name for system in systems], tables, intersect, "item", "predicted classes of")
    known = {name: _agreed(name, [(s, t[name]) for s, t in zip(systems, tables, strict=True)]) for name in common}
    result = []
    for system, table in zip(systems, tables, strict=True):
        lost = len(table) - len(common)
        notes = [f"{lost} of {len(table)} items left out, others lack them."] if lost else []
        kept = [replace(table[name], domain=known[name][0], episode=known[name][1]) for name in common]
        result.append(replace(system, predictions=kept, notes=[*system.notes, *notes]))
    return result


def _agreed(name: str, found: Sequence[tuple[ClassSystem, Prediction]]) -> tuple[str, str]:
    """Return an item's domain and episode; raise where systems contradict each other."""
    result = []
    for kind, word in (("label", "class"), ("domain", "domain"), ("episode", "episode")):
        values: dict[str, ClassSystem] = {}
        for system, own in found:
            if value := getattr(own, kind):
                values.setdefault(value, system)
        if len(values) > 1:
            (one, first), (two, second) = list(values.items())[:2]
            raise DataError(
                f"item '{name}': its {word} is '{one}' in '{first.name}' and '{two}' in '{second.name}'; compare "
                "systems on the same items."
            )
        result.append(next(iter(values), ""))
    return result[1], result[2]
