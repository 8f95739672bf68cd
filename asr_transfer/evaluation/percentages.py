"""Writes shares and intervals as percentages, in tables and in sentences."""

from __future__ import annotations

import math

NONE = "–"
"""Stands where there is no figure."""


def percent(value: float | None, digits: int = 1, sign: str = "") -> str:
    """Return a share in per cent, a dash where there is none.

    Args:
        value: A share, 1 for all.
        digits: Decimal places.
        sign: `+` to give gains a sign as well.
    """
    return NONE if value is None or not math.isfinite(value) else f"{100 * value:{sign}.{digits}f}"


def span(low: float | None, high: float | None, digits: int = 0, sign: str = "", to: str = "…") -> str:
    """Return an interval in per cent, a dash where it has not both ends.

    Args:
        low, high: Its ends, as shares.
        digits, sign: Arguments of `percent`.
        to: Word between the ends.
    """
    if low is None or high is None:
        return NONE
    return f"{percent(low, digits, sign)} {to} {percent(high, digits, sign)}"
