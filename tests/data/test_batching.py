"""Batches cover every item once per epoch within their budget, as a pure function of seed and step."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from asr_transfer.data.batching import ArrayData, Batch, LengthBuckets, cut, sequential

BUDGET = 900


def _costs(items: int = 53, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(20, 400, items)


def _epoch(buckets: LengthBuckets, items: int, start: int = 0) -> tuple[list[np.ndarray], int]:
    """Return the batches from step `start` until `items` items have come, and the step after them."""
    batches: list[np.ndarray] = []
    while sum(map(len, batches)) < items:
        batches.append(buckets.batch(start + len(batches)))
    return batches, start + len(batches)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_epoch_sees_every_item_once_in_another_order(seed: int) -> None:
    buckets, step, orders = LengthBuckets(_costs(), BUDGET, seed), 0, []
    for _ in range(4):
        batches, step = _epoch(buckets, 53, step)
        assert sorted(np.concatenate(batches)) == list(range(53))
        orders.append(np.concatenate(batches).tolist())
    assert len({tuple(order) for order in orders}) == 4


def test_the_padded_cost_stays_within_the_budget() -> None:
    costs = np.append(_costs(), 2000)
    for step in range(60):
        items = LengthBuckets(costs, BUDGET, 0).batch(step)
        assert len(items) * costs[items].max() <= BUDGET or items.tolist() == [53]


def test_items_of_a_batch_are_of_similar_length() -> None:
    costs, buckets = _costs(500), LengthBuckets(_costs(500), 4000, 0)
    batches, _ = _epoch(buckets, 500)
    padded = sum(len(items) * costs[items].max() for items in batches)
    assert padded < 1.08 * costs.sum()
    shuffled = cut(np.random.default_rng(0).permutation(500), costs, 4000)
    assert padded < 0.8 * sum(len(items) * costs[items].max() for items in shuffled)


@pytest.mark.parametrize("budget", [1, 300, 10**9])
def test_a_batch_of_a_label_spares_some_of_its_items(budget: int) -> None:
    labels = ["ann"] * 4 + ["bob"] * 9 + ["cat"]
    batches, _ = _epoch(LengthBuckets(_costs(14), budget, 0, labels=labels, spare=3), 14)
    assert sorted(np.concatenate(batches)) == list(range(14))
    for items in batches:
        (own,) = {labels[item] for item in items}
        assert len(items) <= max(1, labels.count(own) - 3)
    whole, _ = _epoch(LengthBuckets(_costs(14), 10**9, 0, labels=labels), 14)
    assert sorted(map(len, whole)) == [1, 4, 9]


def test_few_long_items_stand_together_within_four_budgets() -> None:
    costs = np.array([10] * 20 + [60] * 9 + [500, 900])
    runs = cut(np.argsort(costs, kind="stable"), costs, 100, least=6)
    assert sorted(np.concatenate(runs)) == list(range(len(costs)))
    assert [len(items) for items in runs] == [10, 10, 6, 3, 1, 1]
    assert all(len(items) * costs[items].max() <= 400 for items in runs[:-2])
    assert [len(items) for items in cut(np.arange(20), costs[:20], 100)] == [10, 10]


def test_a_batch_is_a_pure_function_of_its_step() -> None:
    sequence = [LengthBuckets(_costs(), BUDGET, 7).batch(step).tolist() for step in range(80)]
    kept = LengthBuckets(_costs(), BUDGET, 7)
    assert [kept.batch(step).tolist() for step in range(80)] == sequence
    for step in np.random.default_rng(1).permutation(80):
        assert kept.batch(int(step)).tolist() == sequence[step]
    other = LengthBuckets(_costs(), BUDGET, 8)
    assert [other.batch(step).tolist() for step in range(80)] != sequence


@pytest.mark.parametrize("world", [2, 3, 30])
def test_processes_deal_the_batches_out_among_them(world: int) -> None:
    alone = LengthBuckets(_costs(), BUDGET, 3)
    ranks = [LengthBuckets(_costs(), BUDGET, 3, rank, world) for rank in range(world)]
    for step in range(90 // world):
        for rank, buckets in enumerate(ranks):
            assert buckets.batch(step).tolist() == alone.batch(step * world + rank).tolist()


def test_one_item_and_none() -> None:
    assert [LengthBuckets(np.array([5]), 3, 0).batch(step).tolist() for step in range(3)] == [[0], [0], [0]]
    with pytest.raises(ValueError, match="no items"):
        LengthBuckets(np.array([]), 3, 0)


def test_sequential_yields_every_item_once_shortest_first() -> None:
    data = ArrayData(torch.arange(7.0)[:, None], torch.arange(7))
    batches = list(sequential(data, 3))
    assert [batch.items.tolist() for batch in batches] == [[0, 1, 2], [3, 4, 5], [6]]
    assert torch.equal(torch.cat([batch.inputs for batch in batches])[:, 0], torch.arange(7.0))
    assert not list(sequential(ArrayData(torch.zeros(0, 1), torch.zeros(0)), 3))


def test_a_batch_moves_to_a_device_but_its_item_numbers_stay() -> None:
    batch = Batch(torch.tensor([0]), torch.zeros(1, 2), torch.tensor([1]), torch.tensor([2]), torch.tensor([1]))
    moved = batch.to("meta")
    assert moved.inputs.is_meta and moved.targets.is_meta and moved.lengths is not None and moved.lengths.is_meta
    assert not moved.items.is_meta
    assert batch.to("cpu") is batch
