"""Writes in a benchmark's table whether a target is met."""

from __future__ import annotations


def met(reached: bool, wanted: bool = True) -> str:
    """Return `yes` or `no`; nothing where no target is set."""
    return ("yes" if reached else "no") if wanted else ""
