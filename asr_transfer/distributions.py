"""Gives the few distributions that intervals and tests need, by `scipy.special`: all of `scipy.stats` loads slowly."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special


def t_quantile(probability: float, freedom: float) -> float:
    """Return the value that Student's t stays below with a probability.

    >>> round(t_quantile(0.975, 10), 3)
    2.228
    """
    return float(special.stdtrit(freedom, probability))


def t_below(value: float, freedom: float) -> float:
    """Return the probability that Student's t is below a value."""
    return float(special.stdtr(freedom, value))


def t_above(value: float, freedom: float) -> float:
    """Return the probability that Student's t is above a value, exact also where it is tiny."""
    return t_below(-value, freedom)


def normal_quantile(probability: float) -> float:
    """Return the value that a standard normal variable stays below with a probability.

    >>> round(normal_quantile(0.975), 3)
    1.96
    """
    return float(special.ndtri(probability))


def normal_below(value: float) -> float:
    """Return the probability that a standard normal variable is below a value."""
    return float(special.ndtr(value))


def normal_above(value: float) -> float:
    """Return the probability that a standard normal variable is above a value, exact also where it is tiny."""
    return normal_below(-value)


def fair_coin(count: int) -> NDArray[np.float64]:
    """Return (count + 1,) probabilities of each number of heads in so many tosses of a fair coin.

    >>> fair_coin(2).tolist()
    [0.25, 0.5, 0.25]
    """
    heads = np.arange(count + 1)
    ways = special.gammaln(count + 1) - special.gammaln(heads + 1) - special.gammaln(count - heads + 1)
    chances: NDArray[np.float64] = np.exp(ways - count * math.log(2))
    return chances


def as_uneven(first: int, second: int) -> float:
    """Return how likely a fair coin's heads and tails are at least as uneven as these, either way round; 1 for none.

    >>> as_uneven(3, 0)
    0.25
    """
    return min(1.0, 2 * float(special.bdtr(min(first, second), first + second, 0.5))) if first + second else 1.0
