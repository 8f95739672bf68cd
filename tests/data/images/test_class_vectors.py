"""Class vectors: looked up by name, merged where they are the same, and refused where they do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from asr_transfer.data.images import ClassVectors, read_class_vectors
from asr_transfer.errors import DataError

ANIMALS = ClassVectors(
    ("cheetah", "crow", "leopard", "raven", "toad"),
    torch.tensor([[1.0, 0], [0, 1], [1, 0], [0, 1], [0, 0]]),
    ("fur", "feathers"),
)


def test_vectors_in_the_order_of_classes() -> None:
    assert ANIMALS.of(["toad", "crow"]).tolist() == [[0, 0], [0, 1]]
    with pytest.raises(DataError, match=r"the class 'tod' has no vector\. Did you mean 'toad'\?"):
        ANIMALS.of(["crow", "tod"])


def test_the_same_vectors_are_merged_by_name() -> None:
    merged = ANIMALS.merged()
    assert merged.names == ("cheetah/leopard", "crow/raven", "toad")
    assert merged.vectors.tolist() == [[1, 0], [0, 1], [0, 0]] and merged.dimensions == ANIMALS.dimensions
    merged.require_distinct()


def test_the_same_vectors_are_refused_by_name() -> None:
    with pytest.raises(DataError, match="the classes cheetah, leopard have the same vector, as others have; merge"):
        ANIMALS.require_distinct()


@pytest.mark.parametrize(
    ("names", "vectors", "dimensions", "said"),
    [
        (("a", "b", "a"), torch.eye(3), (), "the class 'a' has two vectors; leave one of them out"),
        (("a", "b"), torch.eye(3), (), r"have the shape \(3, 3\), not a row for each of 2 classes"),
        (("a", "b"), torch.ones(2), (), r"have the shape \(2,\), not a row"),
        (("a", "b"), torch.eye(2), ("fur",), "have 2 numbers each, but 1 of them are named"),
        (("a", "b"), torch.tensor([[0.0], [float("nan")]]), (), "the vector of 'b' holds what is no number"),
    ],
)
def test_vectors_that_do_not_fit(
    names: tuple[str, ...], vectors: torch.Tensor, dimensions: tuple[str, ...], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        ClassVectors(names, vectors, dimensions)


@pytest.mark.parametrize(
    ("text", "dimensions"),
    [
        ("name\tfur\tfeathers\ncat\t1\t0\npolar bear\t0.5\t-2e-1\n", ("fur", "feathers")),
        ("cat, 1, 0\npolar bear, 0.5, -0.2\n\n", ()),
        ("cat\t1\t0\npolar bear\t0.5\t-0.2", ()),
    ],
)
def test_tables(tmp_path: Path, text: str, dimensions: tuple[str, ...]) -> None:
    (tmp_path / "table").write_text(text)
    found = read_class_vectors(tmp_path / "table")
    assert found.names == ("cat", "polar bear") and found.dimensions == dimensions
    assert torch.allclose(found.vectors, torch.tensor([[1, 0], [0.5, -0.2]]))


def test_a_table_with_blanks(tmp_path: Path) -> None:
    (tmp_path / "table").write_text("cat 1 0\ndog 0 1\n")
    assert read_class_vectors(tmp_path / "table").vectors.tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no class vectors"),
        ("name fur\n", "holds no class vectors"),
        ("cat\n", "line 1: 'cat' has 0 numbers, not any"),
        ("cat 1 0\ndog 1\n", "line 2: 'dog' has 1 numbers, not 2 as the others"),
        ("name fur\ncat 1\ndog 1 0\n", "line 3: 'dog' has 2 numbers, not 1"),
        ("cat 1 0\n\ndog 1 x\n", "line 3: 'x' is no number"),
        ("cat 1 0\ndog 1 inf\n", "line 2: 'inf' is no number"),
        ("cat 1 0\ndog 0 1\ncat 1 1\n", "line 3: the class 'cat' stands in line 1 already"),
    ],
)
def test_bad_tables(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "table").write_text(text)
    with pytest.raises(DataError, match=said) as raised:
        read_class_vectors(tmp_path / "table")
    assert str(raised.value).startswith(f"{tmp_path / 'table'}")
