"""Reads the history of commits, as far as it is here."""

from __future__ import annotations

import subprocess
from functools import cache

from docs import records


@cache
def commits() -> frozenset[str] | None:
    """Return all commits that this checkout comes from; None where the whole history is not here."""
    try:
        if _git("rev-parse", "--is-shallow-repository").strip() != "false":
            return None
        return frozenset(_git("rev-list", "HEAD").split())
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    ended = subprocess.run(["git", *arguments], cwd=records.ROOT, capture_output=True, check=True, timeout=60)
    return ended.stdout.decode()
