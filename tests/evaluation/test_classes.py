"""Predicted classes: what is written is read again, figures are those of scikit-learn, damage is named by its line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

from asr_transfer.errors import DataError
from asr_transfer.evaluation import clusters
from asr_transfer.evaluation.classes import (
    Prediction,
    by_class,
    by_domain,
    change,
    change_over_seeds,
    confusions,
    error_over_seeds,
    error_rate,
    per_class_interval,
    read_predictions,
    score,
    together,
    write_predictions,
)
from tests.made_classes import CLASSES, confused, right

UNEVEN = confused([own for n, own in enumerate(right(200)) if n % 5 or n < 40], 0.3, 0)
"""Items of which one class has a fifth as many as the others."""


def test_predictions_are_written_and_read_again_as_they_were(tmp_path: Path) -> None:
    made = [
        Prediction("a", "cat", "dog", "photographs", "3"),
        Prediction("b", "dog", "dog"),
        Prediction("é\u2028", "</script>", ""),
    ]
    total = write_predictions(tmp_path, made)
    assert read_predictions(tmp_path / "predictions.jsonl") == made
    assert total == score(made) and total.errors == 2 and total.items == 3 and total.classes == 3
    second = json.loads((tmp_path / "predictions.jsonl").read_text(encoding="utf-8").split("\n")[1])
    assert second == {"id": "b", "class": "dog", "predicted": "dog"}


def test_the_score_is_that_of_scikit_learn() -> None:
    labels, predicted = [own.label for own in UNEVEN], [own.predicted for own in UNEVEN]
    total = score(UNEVEN)
    assert total.rate == pytest.approx(1 - metrics.accuracy_score(labels, predicted))
    assert total.per_class_accuracy == pytest.approx(metrics.balanced_accuracy_score(labels, predicted))
    recalls = metrics.recall_score(labels, predicted, labels=CLASSES, average=None)
    assert [1 - group.rate for group in by_class(UNEVEN)] == pytest.approx(recalls)
    matrix = metrics.confusion_matrix(labels, predicted, labels=CLASSES)
    found = {(c.reference, c.hypothesis): c.count for c in confusions(UNEVEN)}
    off = {(a, b): int(matrix[i, j]) for i, a in enumerate(CLASSES) for j, b in enumerate(CLASSES) if i != j}
    assert found == {pair: count for pair, count in off.items() if count}
    assert [c.count for c in confusions(UNEVEN, 3)] == sorted(found.values(), reverse=True)[:3]


def test_domains_add_up_to_the_whole() -> None:
    apart = [replace(own, domain="ab"[n % 3 == 0]) for n, own in enumerate(UNEVEN)]
    groups = by_domain(apart)
    assert [group.name for group in groups] == ["a", "b"]
    assert sum(group.errors for group in groups) == score(UNEVEN).errors
    assert sum(group.items for group in groups) == len(UNEVEN)


def test_draws_of_an_item_and_queries_of_an_episode_go_together() -> None:
    items = right(20)
    assert together(items) == ("items", [own.id for own in items])
    drawn = [replace(own, id=f"{own.id}#{n}") for own in items for n in range(3)]
    assert together(drawn) == ("items", [own.id for own in items for _ in range(3)])
    queries = [replace(own, episode=str(n // 4)) for n, own in enumerate(items)]
    assert together(queries) == ("episodes", [str(n // 4) for n in range(20)])
    assert together([*queries[:-1], items[-1]])[0] == "items"  # one names no episode
    alike = confused(items, 0.5, 1)
    three = [replace(own, id=f"{own.id}#{n}") for own in alike for n in range(3)]
    assert (error_rate(three).low, error_rate(three).high) == (error_rate(alike).low, error_rate(alike).high)


def test_the_interval_of_accuracy_by_class_is_a_loop_of_drawing_items() -> None:
    found = per_class_interval(UNEVEN)
    chance, means = np.random.default_rng(1), []
    labels = np.array([own.label for own in UNEVEN])
    hits = np.array([not own.wrong for own in UNEVEN])
    for _ in range(3_000):
        drawn = chance.integers(len(UNEVEN), size=len(UNEVEN))
        means.append(np.mean([hits[drawn][labels[drawn] == name].mean() for name in set(labels[drawn])]))
    assert found == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=0.01)
    assert found[0] < score(UNEVEN).per_class_accuracy < found[1]
    queries = [replace(own, episode=str(n // 8)) for n, own in enumerate(UNEVEN)]
    assert per_class_interval(queries) not in (None, found)
    assert per_class_interval(right(50)) is None and per_class_interval(UNEVEN[:3]) is None


def test_seeds_have_intervals_of_students_t() -> None:
    items = right(300)
    before = [confused(items, 0.3, seed) for seed in range(5)]
    after = [confused(items, 0.2, 10 + seed) for seed in range(5)]
    errors = [[sum(own.wrong for own in seed) for seed in seeds] for seeds in (before, after)]
    assert error_over_seeds(before) == clusters.rate(errors[0], [300] * 5)
    found = change_over_seeds(before, after)
    assert found == clusters.difference(*errors, [300] * 5)
    assert found.high is not None and found.high < 0
    with pytest.raises(DataError, match="5 seeds before and 4 after"):
        change_over_seeds(before, after[:4])


def test_a_change_is_paired_and_of_the_same_items_only() -> None:
    second = confused(UNEVEN, 0.2, 3)
    found = change(UNEVEN, second)
    assert found.value == pytest.approx(score(second).rate - score(UNEVEN).rate)
    with pytest.raises(DataError, match="another order"):
        change(UNEVEN, second[::-1])


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"id": "b", "class": "cat"}', "line 2: the key 'predicted' is missing"),
        ('{"id": "b", "class": null, "predicted": "cat"}', "line 2: `class` must be text, got None"),
        ('{"id": "b", "class": true, "predicted": "cat"}', "line 2: `class` must be text, got True"),
        ('{"id": "b", "class": "", "predicted": "cat"}', "line 2: `class` is empty"),
        ('{"id": "b", "class": "cat", "predicted": "cat", "episode": [1]}', r"line 2: `episode` must be text, got \[1"),
        ('{"id": "a", "class": "cat", "predicted": "cat"}', "line 2: the id 'a' was already used on line 1; .* item"),
        ('{"id": "b", "class": "ca', "line 2: is not JSON"),
        ("7", "line 2: must be a JSON object"),
    ],
)
def test_damage_is_named_by_its_line(tmp_path: Path, line: str, told: str) -> None:
    file = tmp_path / "predictions.jsonl"
    file.write_text(f'{{"id": "a", "class": 3, "predicted": 4}}\n{line}\n', encoding="utf-8")
    with pytest.raises(DataError, match=told):
        read_predictions(file)
    file.write_text('{"id": "a", "class": 3, "predicted": 4}\n', encoding="utf-8")
    assert read_predictions(file) == [Prediction("a", "3", "4")]
    file.write_text("\n", encoding="utf-8")
    with pytest.raises(DataError, match="holds no predictions"):
        read_predictions(file)


def test_ids_that_are_there_twice_and_nothing_at_all_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'item-0' was predicted 2 times"):
        write_predictions(tmp_path, right(1) * 2)
    with pytest.raises(DataError, match="no predictions to score"):
        write_predictions(tmp_path, [])
    assert not (tmp_path / "predictions.jsonl").exists()
