"""Scores an item and a class by a bilinear map that is found in closed form (ESZSL).

Romera-Paredes and Torr, "An embarrassingly simple approach to zero-shot learning" (2015).
"""

from __future__ import annotations

import torch

from asr_transfer.errors import DataError


def class_ridge(features: torch.Tensor, labels: torch.Tensor, classes: int, gamma: float) -> torch.Tensor:
    """Return the (dim, classes) ridge regression (XᵀX + γI)⁻¹ Xᵀ Y of +1 for an item's class and -1 for the others.

    Args:
        features: (items, dim) X; the result is of its precision.
        labels: (items,) classes.
        classes: number of classes.
        gamma: weight γ of the squares.

    Raises:
        DataError: there is no item, or the weight is not above 0.
    """
    if not len(features) or gamma <= 0:
        raise DataError(f"a bilinear map needs items, and a `gamma` above 0; got {len(features)} items and {gamma}.")
    y = features.new_full((len(features), classes), -1.0)
    y[torch.arange(len(features)), labels] = 1
    if len(features) < features.shape[1]:  # the same by (XᵀX + γI)⁻¹Xᵀ = Xᵀ(XXᵀ + γI)⁻¹, for less work
        gram = features @ features.T
        found: torch.Tensor = features.T @ torch.linalg.solve(gram + gamma * torch.eye(len(gram)).to(gram), y)
        return found
    gram = features.T @ features
    found = torch.linalg.solve(gram + gamma * torch.eye(len(gram)).to(gram), features.T @ y)
    return found


def fit_bilinear(ridge: torch.Tensor, class_vectors: torch.Tensor, lam: float) -> torch.Tensor:
    """Return the (dim, size) map V of features and class vectors.

    With items as rows of X, classes as rows of S, and Y +1 where an item is of a class and -1 elsewhere, it is the V
    that makes ‖X V Sᵀ - Y‖² + γ‖V Sᵀ‖² + λ‖X V‖² + γλ‖V‖² least: (XᵀX + γI)⁻¹ Xᵀ Y S (SᵀS + λI)⁻¹.

    Args:
        ridge: (dim, classes) the first half of it, which no class vector is in: see `class_ridge`.
        class_vectors: (classes, size) S, of the seen classes.
        lam: weight λ of the map's size as seen from the class vectors.

    Raises:
        DataError: the weight is not above 0, or there are more or fewer vectors than classes.
    """
    s = class_vectors.to(ridge)
    if lam <= 0 or len(s) != ridge.shape[1]:
        raise DataError(
            f"a bilinear map needs a `lam` above 0 and a vector for each of {ridge.shape[1]} classes; got {lam} and "
            f"{len(s)} vectors."
        )
    gram = s.T @ s
    found: torch.Tensor = torch.linalg.solve(gram + lam * torch.eye(len(gram)).to(gram), (ridge @ s).T).T
    return found


def bilinear_scores(features: torch.Tensor, bilinear: torch.Tensor, class_vectors: torch.Tensor) -> torch.Tensor:
    """Return (items, classes) X V Sᵀ."""
    return features.to(bilinear) @ bilinear @ class_vectors.to(bilinear).T
