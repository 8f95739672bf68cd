"""Sums up predicted classes: what is written beside a run record, errors by class, confusions, and intervals.

A run whose items have classes instead of texts keeps `predictions.jsonl`, a line for each item:

    {"id": "7", "class": "cat", "predicted": "dog", "domain": "photographs", "episode": "12"}

`domain` and `episode` are left out where there are none. An id that ends in `#NUMBER` is a draw of the item before it,
such as its prediction after another training; the draws of an item go together in every interval.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from asr_transfer import textfiles
from asr_transfer.errors import DataError
from asr_transfer.evaluation import clusters, resampling
from asr_transfer.evaluation.breakdown import Confusion
from asr_transfer.evaluation.clusters import FEWEST, Estimate, Floats
from asr_transfer.evaluation.foreign import json_lines, once
from asr_transfer.evaluation.significance import independent

FILE = "predictions.jsonl"
Over = Literal["items", "episodes"]


@dataclass(frozen=True)
class Prediction:
    """An item and the class that it was taken for.

    Attributes:
        id: unique name.
        label: name of its class.
        predicted: name of the class that it was taken for.
        domain: name of its domain; empty where there is none.
        episode: name of the few-shot episode that it is a query of; empty where there is none.
    """

    id: str
    label: str
    predicted: str
    domain: str = ""
    episode: str = ""

    @property
    def wrong(self) -> bool:
        """Whether it was taken for another class."""
        return self.predicted != self.label

    def to_plain(self) -> dict[str, str]:
        """Return the values of its line."""
        values = {"id": self.id, "class": self.label, "predicted": self.predicted}
        return values | {name: own for name, own in (("domain", self.domain), ("episode", self.episode)) if own}


@dataclass(frozen=True)
class ClassScore:
    """What predictions come to.

    Attributes:
        items: number of items.
        errors: items that were taken for another class.
        classes: number of classes that the items are of.
        per_class_accuracy: mean of the classes' shares of right items, each class counting the same.
    """

    items: int
    errors: int
    classes: int
    per_class_accuracy: float

    @property
    def rate(self) -> float:
        """Share of items that are wrong."""
        return self.errors / self.items

    def to_plain(self) -> dict[str, Any]:
        """Return rates and counts for a run record."""
        return {
            "error": self.rate,
            "per_class_accuracy": self.per_class_accuracy,
            "errors": self.errors,
            "items": self.items,
            "classes": self.classes,
        }

    def __str__(self) -> str:
        return (
            f"error {100 * self.rate:.2f} % ({self.errors} of {self.items} items), per-class accuracy "
            f"{100 * self.per_class_accuracy:.2f} % over {self.classes} classes"
        )


@dataclass(frozen=True)
class ClassGroup:
    """The items of a class or domain, and how many of them are wrong."""

    name: str
    items: int
    errors: int

    @property
    def rate(self) -> float:
        """Share of items that are wrong."""
        return self.errors / self.items


def write_predictions(folder: Path, predictions: Sequence[Prediction]) -> ClassScore:
    """Write `predictions.jsonl` into a run folder and return the score, whose `to_plain` goes into the run record.

    Raises:
        DataError: there are none, or an id is there twice.
    """
    total = score(predictions)
    for name, count in Counter(own.id for own in predictions).items():
        if count > 1:
            raise DataError(f"the id '{name}' was predicted {count} times; give every item its own id.")
    lines = (json.dumps(own.to_plain(), ensure_ascii=False) for own in predictions)
    textfiles.write_text(folder / FILE, "".join(f"{line}\n" for line in lines))
    return total


def read_predictions(path: Path) -> list[Prediction]:
    """Read predictions; numbers are taken for names of classes, domains and episodes.

    Raises:
        DataError: a line is not JSON, a key is missing or of another type, an id occurs twice, or there is no line.
    """
    found, seen = [], dict[str, int]()
    for number, entry in json_lines(path):
        where = f"{path} line {number}"
        values = []
        for key in ("id", "class", "predicted", "domain", "episode"):
            value = entry.get(key, "" if key in ("domain", "episode") else None)
            if key not in entry and value is None:
                raise DataError(f"{where}: the key '{key}' is missing; write the predictions again.")
            if not isinstance(value, str | int) or isinstance(value, bool):
                raise DataError(f"{where}: `{key}` must be text, got {value!r}; write the predictions again.")
            values.append(str(value))
        if not (values[0] and values[1]):
            raise DataError(f"{where}: `{'class' if values[0] else 'id'}` is empty; write the predictions again.")
        once(seen, values[0], path, number, "item")
        found.append(Prediction(*values))
    if not found:
        raise DataError(f"{path}: holds no predictions; write them again.")
    return found


def score(predictions: Sequence[Prediction]) -> ClassScore:
    """Sum predictions up.

    Raises:
        DataError: there are none.
    """
    if not predictions:
        raise DataError("there are no predictions to score; give at least one item.")
    groups = by_class(predictions)
    errors = sum(group.errors for group in groups)
    accuracy = sum(1 - group.rate for group in groups) / len(groups)
    return ClassScore(len(predictions), errors, len(groups), accuracy)


def by_class(predictions: Sequence[Prediction]) -> list[ClassGroup]:
    """Return the items of each class, by name."""
    return _grouped(predictions, lambda own: own.label)


def by_domain(predictions: Sequence[Prediction]) -> list[ClassGroup]:
    """Return the items of each domain, by name."""
    return _grouped(predictions, lambda own: own.domain)


def confusions(predictions: Sequence[Prediction], most: int | None = None) -> list[Confusion]:
    """Return which class was taken for which other, most frequent first, `most` of them (None: all)."""
    found = Counter((own.label, own.predicted) for own in predictions if own.wrong)
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return [Confusion(label, predicted, count) for (label, predicted), count in ordered[:most]]


def together(predictions: Sequence[Prediction]) -> tuple[Over, list[str]]:
    """Return what is taken as independent of each other, and the name of that for each prediction.

    That is episodes, where all predictions name theirs and there are at least four: queries of one share its support.
    Else it is items, all draws (`ID#DRAW`) of one together.
    """
    episodes = [own.episode for own in predictions]
    named = episodes if all(episodes) else [""] * len(episodes)
    over, names = independent(named, [own.id for own in predictions])
    return ("episodes" if over == "speakers" else "items"), names


def error_rate(predictions: Sequence[Prediction]) -> Estimate:
    """Return the share of wrong items with its bootstrap interval over what `together` says."""
    return resampling.rate(_wrong(predictions), np.ones(len(predictions)), together(predictions)[1])


def change(before: Sequence[Prediction], after: Sequence[Prediction]) -> Estimate:
    """Return the change of the share of wrong items, after less before, with its bootstrap interval and p.

    Raises:
        DataError: the two are not of the same items in the same order.
    """
    _require_same(before, after)
    return resampling.change(_wrong(before), _wrong(after), np.ones(len(before)), together(before)[1])


def per_class_interval(predictions: Sequence[Prediction]) -> tuple[float, float] | None:
    """Return the bootstrap interval of the mean accuracy of classes; None below four items, or where all are alike.

    A class that is not drawn does not count in that draw.
    """
    labels = sorted({own.label for own in predictions})
    number = {label: n for n, label in enumerate(labels)}
    names = together(predictions)[1]
    if len(set(names)) < FEWEST or len({own.wrong for own in predictions}) < 2:
        return None
    # Quantities of a part: how many items of each class it has, then how many of these are right. Equal parts are one.
    parts: dict[str, Counter[tuple[str, bool]]] = {}
    for name, own in zip(names, predictions, strict=True):
        parts.setdefault(name, Counter())[own.label, own.wrong] += 1
    kinds = Counter(tuple(sorted(part.items())) for part in parts.values())
    rows = np.zeros((len(kinds), 2 * len(labels)))
    for row, kind in enumerate(kinds):
        for (label, wrong), count in kind:
            rows[row, number[label]] += count
            rows[row, len(labels) + number[label]] += 0 if wrong else count

    def mean_accuracy(sums: Floats) -> Floats:
        items, right = sums[:, : len(labels)], sums[:, len(labels) :]
        shares = np.divide(right, items, out=np.zeros_like(right), where=items > 0)
        means: Floats = shares.sum(1) / (items > 0).sum(1)
        return means

    return resampling.interval(rows, mean_accuracy, list(kinds.values()))


def error_over_seeds(seeds: Sequence[Sequence[Prediction]]) -> Estimate:
    """Return the error rate of one method trained with several seeds, with its interval over the seeds.

    Seeds are few, so that the interval is Student's t of `clusters`; a bootstrap of five is far too narrow.

    Args:
        seeds: predictions of each training.
    """
    return clusters.rate([_wrong(own).sum() for own in seeds], [len(own) for own in seeds])


def change_over_seeds(before: Sequence[Sequence[Prediction]], after: Sequence[Sequence[Prediction]]) -> Estimate:
    """Return the change of an error rate from one method to another that shares its seeds, over the seeds.

    Args:
        before: predictions of each training of the first method.
        after: predictions of the second one's with the same seeds, in the same order.

    Raises:
        DataError: the numbers of seeds, or the items, differ.
    """
    if len(before) != len(after):
        raise DataError(f"there are {len(before)} seeds before and {len(after)} after; give the same ones.")
    for first, second in zip(before, after, strict=True):
        _require_same(first, second)
    first, second = ([_wrong(own).sum() for own in seeds] for seeds in (before, after))
    return clusters.difference(first, second, [len(own) for own in before])


def _grouped(predictions: Sequence[Prediction], name: Callable[[Prediction], str]) -> list[ClassGroup]:
    items = Counter(map(name, predictions))
    errors = Counter(name(own) for own in predictions if own.wrong)
    return [ClassGroup(own, items[own], errors[own]) for own in sorted(items)]


def _wrong(predictions: Sequence[Prediction]) -> Floats:
    return np.array([own.wrong for own in predictions], np.float64)


def _require_same(first: Sequence[Prediction], second: Sequence[Prediction]) -> None:
    if [(own.id, own.label) for own in first] != [(own.id, own.label) for own in second]:
        raise DataError("the items or their classes differ, or stand in another order; compare the same ones.")
