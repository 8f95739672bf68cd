"""Reads the fetched Zoo: animals, sixteen attributes of each, and the sort that they belong to.

101 animals, collected by Richard Forsyth in 1990 (UCI machine learning repository). Many have the same attributes: no
more than 59 can be told apart, so that the others are merged.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from asr_transfer.data.images.class_vectors import ClassVectors
from asr_transfer.data.images.r_data import read_data_frame
from asr_transfer.errors import DataError
from asr_transfer.fetched import fetched_images

LEGS = (0, 2, 4, 5, 6, 8)
"""Numbers of legs that animals have; each is an attribute of its own."""


def zoo_attributes() -> tuple[ClassVectors, Mapping[str, str]]:
    """Return the attributes of the fetched animals, of which those with the same are merged and named after all.

    Returns:
        (59, 21) attributes, each 0 or 1, and the sort of every animal, such as `mammal`, by its own name.

    Raises:
        DataError: It was not fetched, or is damaged.
    """
    animals, sorts = read_zoo(fetched_images("zoo") / "usr/lib/R/site-library/mlbench/data/Zoo.rda")
    return animals.merged(), sorts


def read_zoo(file: Path) -> tuple[ClassVectors, Mapping[str, str]]:
    """Read the attributes of all animals, and the sort of each by its name; two kinds of frog are `frog` and `frog.1`.

    Raises:
        DataError: The file is damaged, or is another table.
    """
    animals, columns = read_data_frame(file, "Zoo")
    lacking = [name for name in ("legs", "type") if name not in columns]
    truths = [name for name in columns if name not in ("legs", "type")]
    wrong = [name for name in truths if not set(columns[name]) <= {0, 1}]
    if lacking or wrong or not set(columns["legs"]) <= set(LEGS):
        raise DataError(
            f"{file}: is not the table of the Zoo (column {(lacking + wrong + ['legs'])[0]}); get it again."
        )
    dimensions = [*truths, *(f"{number} legs" for number in LEGS)]
    rows = [columns[name] for name in truths] + [[int(legs == n) for legs in columns["legs"]] for n in LEGS]
    vectors = torch.tensor(rows, dtype=torch.float32).T.contiguous()
    return ClassVectors(tuple(animals), vectors, tuple(dimensions)), dict(zip(animals, columns["type"], strict=True))
