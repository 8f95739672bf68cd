"""Scores classes by what can be seen of them: their attributes, each foretold from the item by itself.

Lampert, Nickisch and Harmeling, "Attribute-based classification for zero-shot visual object categorization" (2014).
"""

from __future__ import annotations

import torch
from torch.nn.functional import logsigmoid

from asr_transfer.errors import DataError


class AttributePrediction:
    """Direct attribute prediction: p(z|x) ∝ Π_m p(a_m of z | x) / p(a_m of z), all classes as likely beforehand.

    An attribute that all seen classes have, or none, is left out: nothing was learnt of it.

    Args:
        seen: (seen classes, attributes) 0 or 1, the attributes of the classes that the predictors were trained on;
            their means are the p(a_m).

    Raises:
        DataError: a value is neither 0 nor 1, or no attribute tells seen classes apart.
    """

    def __init__(self, seen: torch.Tensor) -> None:
        _require_truths(seen)
        self.told = seen.amin(0) != seen.amax(0)
        if not self.told.any():
            raise DataError("no attribute is true of some seen classes and false of others; give other attributes.")
        self.prior = seen.double().mean(0)[self.told]

    def scores(self, log_odds: torch.Tensor, signatures: torch.Tensor) -> torch.Tensor:
        """Return (items, classes) logarithms of Π p(a_m of z | x) / p(a_m of z).

        Args:
            log_odds: (items, attributes) log odds that an attribute is true of an item.
            signatures: (classes, attributes) 0 or 1, the attributes of the classes to choose from.

        Raises:
            DataError: a value is neither 0 nor 1, or there are more or fewer attributes than of the seen classes.
        """
        _require_truths(signatures)
        if not signatures.shape[1] == log_odds.shape[1] == len(self.told):
            raise DataError(
                f"the seen classes have {len(self.told)} attributes, the items {log_odds.shape[1]} and the classes to "
                f"choose from {signatures.shape[1]}; give the same ones."
            )
        odds, truths = log_odds[:, self.told].double(), signatures[:, self.told].double()
        true = logsigmoid(odds) - self.prior.log()
        false = logsigmoid(-odds) - (1 - self.prior).log()
        return true @ truths.T + false @ (1 - truths).T


def averaged_attributes(probabilities: torch.Tensor, seen: torch.Tensor, least: float = 0.02) -> torch.Tensor:
    """Return (items, attributes) log odds of attributes from those of seen classes: indirect attribute prediction.

    Args:
        probabilities: (items, seen classes) probabilities of the seen classes.
        seen: (seen classes, attributes) 0 or 1.
        least: least probability that an attribute is true, or false: no classifier is so sure.
    """
    return torch.logit((probabilities @ seen.to(probabilities)).clamp(least, 1 - least))


def _require_truths(signatures: torch.Tensor) -> None:
    wrong = ((signatures != 0) & (signatures != 1)).nonzero()
    if len(wrong):
        row, column = wrong[0].tolist()
        raise DataError(
            f"attribute {column + 1} of class {row + 1} is {float(signatures[row, column]):g}; attribute prediction "
            "needs 0 or 1. Vectors of other numbers are for the other ways."
        )
