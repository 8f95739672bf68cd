"""The Zoo's animals: truths and numbers of legs as attributes, those with the same merged by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asr_transfer.data.images.zoo import read_zoo, zoo_attributes
from asr_transfer.errors import DataError
from asr_transfer.fetched import fetched_images
from tests.data.images.test_r_data import r_data

COLUMNS: dict[str, list[Any]] = {
    "hair": [True, True, False],
    "eggs": [False, False, True],
    "legs": [4, 4, 2],
    "type": ["mammal", "mammal", "bird"],
}


def _read(folder: Path, **changes: list[Any]) -> Any:
    (folder / "Zoo.rda").write_bytes(r_data("Zoo", COLUMNS | changes, ["bear", "wolf", "crow"]))
    return read_zoo(folder / "Zoo.rda")


def test_each_number_of_legs_is_an_attribute(tmp_path: Path) -> None:
    animals, sorts = _read(tmp_path)
    assert animals.dimensions == ("hair", "eggs", "0 legs", "2 legs", "4 legs", "5 legs", "6 legs", "8 legs")
    assert animals.of(["crow"]).tolist() == [[0, 1, 0, 1, 0, 0, 0, 0]]
    assert animals.merged().names == ("bear/wolf", "crow") and sorts["crow"] == "bird"


@pytest.mark.parametrize(
    ("changes", "said"), [({"hair": [3, 1, 0]}, "column hair"), ({"legs": [4, 3, 2]}, "column legs")]
)
def test_another_table(tmp_path: Path, changes: dict[str, list[Any]], said: str) -> None:
    with pytest.raises(DataError, match=rf"is not the table of the Zoo \({said}\); get it again"):
        _read(tmp_path, **changes)


def test_the_fetched_zoo_has_59_animals_that_differ() -> None:
    try:
        fetched_images("zoo")
    except DataError as error:
        pytest.skip(str(error))
    animals, sorts = zoo_attributes()
    assert animals.vectors.shape == (59, 21) and len(sorts) == 101 and len(set(sorts.values())) == 7
    assert "aardvark/bear" in animals.names
    assert sum(name.count("/") + 1 for name in animals.names) == 101
