"""Refuses numbers of rounds, steps and the like of which nothing can be measured."""

from __future__ import annotations


def require_above_zero(**given: float) -> None:
    """Refuse options that must be above 0.

    Args:
        given: values by the names of their options.

    Raises:
        SystemExit: one is not.
    """
    for name, value in given.items():
        if value <= 0:
            raise SystemExit(f"--{name} {value}: must be above 0.")
