"""Clusters few items together with many others through clusters of the features that both have.

Self-taught clustering (Dai, Yang, Xue and Yu, "Self-taught clustering", 2008): information-theoretic co-clustering
(Dhillon, Mallela and Modha 2003) of the target's items and features, and of auxiliary items and the *same* clusters of
features: least of I(X, Z) - I(X̃, Z̃) + λ (I(Y, Z) - I(Ỹ, Z̃)). No turn makes it larger; with λ 0 the auxiliary items have
no say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asr_transfer.errors import ConfigError, DataError

Floats = NDArray[np.float64]
Clusters = NDArray[np.int64]

_TINY = 1e-300


@dataclass(frozen=True)
class CoClusters:
    """Clusters that were found.

    Attributes:
        items: (items,) cluster of each target item.
        auxiliary: (auxiliary items,) cluster of each auxiliary item.
        features: (features,) cluster of each feature.
        objectives: objective after each turn, never rising.
    """

    items: Clusters
    auxiliary: Clusters
    features: Clusters
    objectives: tuple[float, ...]


def information(joint: Floats) -> float:
    """Return the mutual information of rows and columns of a joint distribution, in nats."""
    outer = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    return float((joint * np.log(np.maximum(joint, _TINY) / np.maximum(outer, _TINY)))[joint > 0].sum())


def co_cluster(
    target: Floats,
    auxiliary: Floats,
    clusters: int,
    feature_clusters: int,
    weight: float,
    rounds: int = 20,
    seed: int = 0,
) -> CoClusters:
    """Cluster target items, auxiliary items and features in turn.

    Args:
        target: (items, features) counts, or other amounts, of each feature.
        auxiliary: (auxiliary items, features) the same of the auxiliary items.
        clusters: number of clusters of the items, and of the auxiliary ones.
        feature_clusters: number of clusters of the features.
        weight: weight λ of what the auxiliary items lose.
        rounds: rounds at most; it ends before where nothing changes.
        seed: random seed of the clusters to begin with.

    Raises:
        ConfigError: the weight is below 0, or there are more clusters than items or features.
        DataError: an amount is below 0 or no number, an item has no feature, or the two have other features.
    """
    if weight < 0 or clusters < 1 or feature_clusters < 1:
        raise ConfigError(f"`weight` must be at least 0 and there must be clusters, got {weight}.")
    if target.shape[1] != auxiliary.shape[1]:
        raise DataError(
            f"the items have {target.shape[1]} features and the auxiliary ones {auxiliary.shape[1]}; give the same."
        )
    for name, own in (("item", target), ("auxiliary item", auxiliary)):
        wrong = np.flatnonzero(~((own >= 0).all(1) & np.isfinite(own).all(1) & (own.sum(1) > 0)))
        if len(wrong):
            raise DataError(f"{name} {wrong[0] + 1} has no features, or amounts below 0 or that are no numbers.")
    if clusters > min(len(target), len(auxiliary)) or feature_clusters > target.shape[1]:
        raise ConfigError(f"there are fewer items than {clusters} clusters, or features than {feature_clusters}.")
    p, q = target / target.sum(), auxiliary / auxiliary.sum()
    random = np.random.default_rng(seed)
    items, features = _start(random, len(p), clusters), _start(random, p.shape[1], feature_clusters)
    others = _start(random, len(q), clusters)

    def lost() -> float:
        mine = information(p) - information(_merged(p, items, features, clusters, feature_clusters))
        theirs = information(q) - information(_merged(q, others, features, clusters, feature_clusters))
        return mine + weight * theirs

    found = [lost()]
    for _ in range(rounds):
        items = _rows(p, items, features, clusters, feature_clusters)
        others = _rows(q, others, features, clusters, feature_clusters)
        costs = _row_costs(p.T, features, items, feature_clusters, clusters)
        if weight > 0:
            costs = costs + weight * _row_costs(q.T, features, others, feature_clusters, clusters)
        features = _moved(features, costs)
        found.append(lost())
        if found[-2] - found[-1] < 1e-12:
            break
    return CoClusters(items, others, features, tuple(found))


def _start(random: np.random.Generator, count: int, clusters: int) -> Clusters:
    """Return random clusters, none of them empty."""
    found: Clusters = random.permutation(np.arange(count) % clusters).astype(np.int64)
    return found


def _merged(joint: Floats, rows: Clusters, columns: Clusters, row_count: int, column_count: int) -> Floats:
    """Return the joint distribution of the clusters."""
    merged: Floats = np.eye(row_count)[rows].T @ joint @ np.eye(column_count)[columns]
    return merged


def _row_costs(joint: Floats, rows: Clusters, columns: Clusters, row_count: int, column_count: int) -> Floats:
    """Return (rows, clusters) p(x) KL(p(Z | x) ‖ p̃(Z | x̃)), but for what is the same for all clusters.

    p̃(z | x̃) = p(z̃ | x̃) p(z | z̃), so that only the cluster's p(z̃ | x̃) differs.
    """
    merged = _merged(joint, rows, columns, row_count, column_count)
    given = merged / np.maximum(merged.sum(1, keepdims=True), _TINY)
    costs: Floats = -(joint @ np.eye(column_count)[columns]) @ np.log(np.maximum(given, _TINY)).T
    return costs


def _rows(joint: Floats, rows: Clusters, columns: Clusters, row_count: int, column_count: int) -> Clusters:
    return _moved(rows, _row_costs(joint, rows, columns, row_count, column_count))


def _moved(before: Clusters, costs: Floats) -> Clusters:
    """Return the cheapest cluster of each row, its own where that is as cheap."""
    best = costs.argmin(1)
    places = np.arange(len(before))
    stays = costs[places, before] <= costs[places, best] + 1e-15
    found: Clusters = np.where(stays, before, best).astype(np.int64)
    return found
