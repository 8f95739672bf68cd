"""Tells seen and unseen classes apart among all: u, s, H, and the constant that scores of seen classes are lowered by.

Calibrated stacking (Chao et al., "An empirical study and analysis of generalized zero-shot learning for object
recognition in the wild", 2016); figures as of Xian et al. (2017). The constant is chosen where some of the seen
classes play the unseen ones, so that no item of an unseen class has a say in it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from asr_transfer.errors import DataError

CANDIDATES = 201
"""Constants that are tried: quantiles of the leads that seen classes have."""


@dataclass(frozen=True)
class Judged:
    """Scores of items among seen and unseen classes together.

    Attributes:
        scores: (items, classes) scores.
        labels: (items,) columns of the items' classes.
        unseen: columns of the unseen classes.
    """

    scores: torch.Tensor
    labels: torch.Tensor
    unseen: Collection[int]

    def accuracies(self, constants: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return u and s at each constant, the mean accuracies of unseen and of seen classes.

        Raises:
            DataError: there is no item of an unseen class, or none of a seen one.
        """
        labels, columns = self.labels.numpy(), np.arange(self.scores.shape[1])
        scores, unseen = self.scores.double().numpy(), np.isin(columns, list(self.unseen))
        best = {side: columns[unseen == side][scores[:, unseen == side].argmax(1)] for side in (True, False)}
        lead = scores[:, ~unseen].max(1) - scores[:, unseen].max(1)
        found = {}
        for side in (True, False):
            shares = []
            for label in np.unique(labels[unseen[labels] == side]):
                own = labels == label
                # An item goes to the unseen classes where the lead of the seen ones is below the constant.
                taken = np.sort(lead[own & (best[side] == label)])
                below = np.searchsorted(taken, constants, side="left")
                shares.append((below if side else len(taken) - below) / own.sum())
            if not shares:
                raise DataError(f"there is no item of {'an unseen' if side else 'a seen'} class to calibrate on.")
            found[side] = np.mean(shares, axis=0)
        return found[True], found[False]

    def leads(self) -> NDArray[np.float64]:
        """Return (items,) by how much the best seen class leads the best unseen one."""
        unseen = np.isin(np.arange(self.scores.shape[1]), list(self.unseen))
        scores = self.scores.double().numpy()
        lead: NDArray[np.float64] = scores[:, ~unseen].max(1) - scores[:, unseen].max(1)
        return lead


def generalised(judged: Judged, constant: float = 0.0) -> tuple[float, float, float]:
    """Return u, s and H = 2us / (u + s), 0 where both are, where scores of seen classes are lowered by a constant.

    Raises:
        DataError: there is no item of an unseen class, or none of a seen one.
    """
    u, s = (float(own[0]) for own in judged.accuracies(np.array([constant])))
    return u, s, float(_harmonic(np.array([u]), np.array([s]))[0])


def choose_calibration(folds: Sequence[Judged]) -> float:
    """Return the constant that makes the mean of H over some folds highest; 0 where none does better.

    Args:
        folds: scores of items that were not fitted, in each fold with other seen classes in the role of unseen ones.

    Raises:
        DataError: there is no fold, or one lacks items of a side.
    """
    if not folds:
        raise DataError("a calibration needs at least one fold of seen classes that play unseen ones.")
    leads = np.concatenate([fold.leads() for fold in folds])
    constants = np.concatenate([[0.0], np.quantile(leads, np.linspace(0, 1, CANDIDATES))])
    means = np.mean([_harmonic(*fold.accuracies(constants)) for fold in folds], axis=0)
    return float(constants[means.argmax()])


def _harmonic(u: NDArray[np.float64], s: NDArray[np.float64]) -> NDArray[np.float64]:
    total = u + s
    return np.divide(2 * u * s, total, out=np.zeros_like(total), where=total > 0)
