"""Sparse coding and self-taught clustering never lose by a turn, and are what they are known to be in easy cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from asr_transfer.errors import ConfigError, DataError
from asr_transfer.transfer.self_taught import co_cluster, learn_basis, soft, sparse_codes
from asr_transfer.transfer.self_taught.co_clustering import information
from asr_transfer.transfer.self_taught.sparse_coding import improved, objective


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_codes_of_an_orthonormal_basis_are_soft_thresholds() -> None:
    basis, items = torch.linalg.qr(_random(6, 6))[0][:4], _random(50, 6, seed=1)
    for steps in (1, 30):
        found = sparse_codes(items, basis, 0.8, steps)
        torch.testing.assert_close(found, soft(items @ basis.T, 0.4), rtol=0, atol=1e-12)
    assert 0.1 < float((found == 0).double().mean()) < 0.9


def test_codes_of_any_basis_are_the_lasso() -> None:
    lasso = pytest.importorskip("sklearn.linear_model").Lasso
    basis, items, beta = torch.nn.functional.normalize(_random(8, 5), dim=1), _random(6, 5, seed=1), 0.5
    found = sparse_codes(items, basis, beta, 3000)
    for one, codes in zip(items, found, strict=True):
        # Its objective is ours over twice the number of values.
        peer = lasso(alpha=beta / (2 * len(one)), fit_intercept=False, tol=1e-12, max_iter=100_000)
        torch.testing.assert_close(
            codes, torch.from_numpy(peer.fit(basis.T.numpy(), one.numpy()).coef_), atol=1e-6, rtol=0
        )
    with torch.no_grad():
        worst = objective(items, found, basis, beta)
        for seed in range(5):
            assert (objective(items, found + 0.01 * _random(6, 8, seed=seed), basis, beta) >= worst).all()


def test_no_item_and_no_turn_loses() -> None:
    items, basis = _random(40, 5), torch.nn.functional.normalize(_random(7, 5, seed=1), dim=1)
    start = sparse_codes(items, basis, 0.5, 3000)
    again = sparse_codes(items, basis, 0.5, 1, start)
    assert (objective(items, again, basis, 0.5) <= objective(items, start, basis, 0.5)).all()
    better = improved(items, start, basis)
    assert objective(items, start, better, 0.5).sum() < objective(items, start, basis, 0.5).sum()
    assert (better.norm(dim=1) <= 1 + 1e-12).all()
    learnt = learn_basis(items, 7, 0.3, rounds=8)
    assert len(learnt.objectives) == 8
    assert all(after <= before + 1e-12 for before, after in zip(learnt.objectives, learnt.objectives[1:], strict=False))


def test_a_basis_that_made_the_items_is_found_with_the_wanted_share_of_codes() -> None:
    true = torch.nn.functional.normalize(_random(6, 8), dim=1)
    generator = torch.Generator().manual_seed(3)
    chosen = torch.rand(600, 6, generator=generator) < 0.2
    items = (_random(600, 6, seed=2) * chosen) @ true
    learnt = learn_basis(items, 6, 0.2, rounds=30, seed=1)
    assert 0.1 < float((learnt.codes(items) != 0).double().mean()) < 0.3
    likeness = (torch.nn.functional.normalize(learnt.vectors, dim=1) @ true.T).abs().amax(0)
    assert float((likeness > 0.95).double().mean()) >= 5 / 6
    for share in (0.0, 1.0):
        with pytest.raises(ConfigError, match="`active` must be between 0 and 1"):
            learn_basis(items, 6, share)
    with pytest.raises(DataError, match="7 basis vectors need as many items that are not 0, got 0"):
        learn_basis(torch.zeros(9, 3), 7, 0.1)


def _counts(items: int, seed: int, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return counts of items of three kinds, each of which has its own third of twelve features more often."""
    random, kinds = np.random.default_rng(seed), np.arange(items) % 3
    rates = noise + 6.0 * (kinds[:, None] == np.arange(12)[None] // 4)
    return random.poisson(rates).astype(float) + 0.01, kinds


def test_clusters_of_features_that_two_kinds_of_items_share() -> None:
    target, kinds = _counts(30, 0)
    others, _ = _counts(60, 1)
    best = min(
        (co_cluster(target, others, 3, 3, 1.0, seed=seed) for seed in range(5)), key=lambda own: own.objectives[-1]
    )
    for found in (best, co_cluster(target, others, 3, 3, 0.3)):
        assert (np.diff(found.objectives) <= 1e-12).all() and found.objectives[-1] < found.objectives[0]
    assert all(len(set(best.items[kinds == kind])) == 1 for kind in range(3)) and len(set(best.features)) == 3
    merged = np.zeros((3, 3))
    np.add.at(merged, (best.items[:, None], best.features[None]), target / target.sum())
    mine = information(target / target.sum()) - information(merged)
    assert 0 < mine < best.objectives[-1]


def test_auxiliary_items_of_weight_0_have_no_say() -> None:
    target, _ = _counts(30, 0)
    first, second = (co_cluster(target, _counts(60, seed)[0], 3, 3, 0.0) for seed in (1, 2))
    assert (first.items == second.items).all() and (first.features == second.features).all()
    assert first.objectives == second.objectives
    weighed = co_cluster(target, _counts(60, 2, 20.0)[0], 3, 3, 5.0)
    assert (weighed.features != first.features).any()


def test_what_cannot_be_clustered_is_refused() -> None:
    target, _ = _counts(6, 0)
    with pytest.raises(DataError, match="the items have 12 features and the auxiliary ones 11"):
        co_cluster(target, target[:, 1:], 2, 2, 1.0)
    with pytest.raises(DataError, match="auxiliary item 2 has no features"):
        co_cluster(target, target * (np.arange(6) != 1)[:, None], 2, 2, 1.0)
    with pytest.raises(ConfigError, match="`weight` must be at least 0"):
        co_cluster(target, target, 2, 2, -1.0)
    with pytest.raises(ConfigError, match="fewer items than 7 clusters"):
        co_cluster(target, target, 7, 2, 1.0)
