"""Marks targets of benchmarks as met or missed."""

from __future__ import annotations


def met(reached: bool, wanted: bool = True) -> str:
    """Return `yes` or `no`; nothing where no target is set."""
    return ("yes" if reached else "no") if wanted else ""
