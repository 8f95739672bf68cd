"""Keeps a vector for each class, such as its attributes or its name's word vector, for learning without examples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from asr_transfer.errors import DataError, nearest_hint
from asr_transfer.textfiles import read_lines


@dataclass(frozen=True)
class ClassVectors:
    """A vector for each of some classes.

    Attributes:
        names: Names of the classes, each once.
        vectors: (classes, dim) numbers (float32).
        dimensions: Names of the numbers, such as attributes; empty where they have none.

    Raises:
        DataError: A name is doubled, a vector is missing, or a number is none.
    """

    names: tuple[str, ...]
    vectors: torch.Tensor
    dimensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        doubled = next((name for number, name in enumerate(self.names) if name in self.names[:number]), None)
        if doubled is not None:
            raise DataError(f"the class '{doubled}' has two vectors; leave one of them out.")
        if self.vectors.dim() != 2 or len(self.vectors) != len(self.names):
            raise DataError(
                f"the class vectors have the shape {tuple(self.vectors.shape)}, not a row for each of "
                f"{len(self.names)} classes; give one vector for each class."
            )
        if self.dimensions and len(self.dimensions) != self.vectors.shape[1]:
            raise DataError(
                f"the class vectors have {self.vectors.shape[1]} numbers each, but {len(self.dimensions)} of them are "
                "named; name all."
            )
        if len(wrong := (~self.vectors.isfinite()).any(1).nonzero()):
            raise DataError(f"the vector of '{self.names[int(wrong[0])]}' holds what is no number; mend it.")

    def of(self, classes: Sequence[str]) -> torch.Tensor:
        """Return the (classes, dim) vectors of some classes, in their order.

        Raises:
            DataError: One has none.
        """
        places = {name: number for number, name in enumerate(self.names)}
        for name in classes:
            if name not in places:
                raise DataError(f"the class '{name}' has no vector.{nearest_hint(name, self.names)}")
        return self.vectors[[places[name] for name in classes]]

    def groups(self) -> list[tuple[str, ...]]:
        """Return the names of the classes whose vectors are the same, in the order of the first of each."""
        found: dict[tuple[float, ...], list[str]] = {}
        for name, vector in zip(self.names, self.vectors.tolist(), strict=True):
            found.setdefault(tuple(vector), []).append(name)
        return [tuple(names) for names in found.values()]

    def merged(self) -> ClassVectors:
        """Return the vectors with classes of the same vector as one, named after all of them: `cheetah/leopard`."""
        groups = self.groups()
        return ClassVectors(tuple(map("/".join, groups)), self.of([names[0] for names in groups]), self.dimensions)

    def require_distinct(self) -> None:
        """Refuse classes that have the same vector, which nothing can tell apart by it.

        Raises:
            DataError: There are some; the sentence names them.
        """
        same = [names for names in self.groups() if len(names) > 1]
        if same:
            more = f", and {len(same) - 1} groups more" if len(same) > 1 else ""
            raise DataError(
                f"the classes {', '.join(same[0])} have the same vector{more}; merge them (`ClassVectors.merged`) or "
                "tell them apart by another number."
            )


def read_class_vectors(file: Path) -> ClassVectors:
    """Read a table of class vectors: a line is a name and its numbers, with tabs or else commas or else blanks between.

    A first line that holds no numbers names the columns, the names' own included.

    Raises:
        DataError: The file cannot be read, or a line is none of such a table; the sentence names it.
    """
    lines = read_lines(file, "give a table of class vectors")
    rows = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not rows:
        raise DataError(f"{file}: holds no class vectors; give a name and its numbers on each line.")
    between = next((mark for mark in ("\t", ",") if mark in rows[0][1]), None)
    cells = [(number, [cell.strip() for cell in line.split(between)]) for number, line in rows]
    dimensions: tuple[str, ...] = ()
    if len(cells[0][1]) > 1 and all(_number(cell) is None for cell in cells[0][1][1:]):
        dimensions = tuple(cells.pop(0)[1][1:])
    names: dict[str, int] = {}
    vectors: list[list[float]] = []
    for line_number, (name, *words) in cells:
        numbers = [_number(word) for word in words]
        wrong = next((word for word, value in zip(words, numbers, strict=True) if value is None), None)
        if wrong is not None:
            raise DataError(f"{file} line {line_number}: '{wrong}' is no number; mend it.")
        if name in names:
            raise DataError(
                f"{file} line {line_number}: the class '{name}' stands in line {names[name]} already; remove one."
            )
        wanted = len(dimensions) or len(vectors[0] if vectors else numbers)
        if not numbers or len(numbers) != wanted:
            raise DataError(
                f"{file} line {line_number}: '{name}' has {len(numbers)} numbers, not {wanted or 'any'} as the others; "
                "mend the line."
            )
        names[name] = line_number
        vectors.append([value for value in numbers if value is not None])
    if not vectors:
        raise DataError(f"{file}: holds no class vectors; give a name and its numbers on each line.")
    return ClassVectors(tuple(names), torch.tensor(vectors), dimensions)


def _number(word: str) -> float | None:
    try:
        value = float(word)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
