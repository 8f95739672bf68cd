"""Recordings of which no two are the same, as those of a corpus are."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

MakeAudio = Callable[..., Path]


def distinct(make_audio: MakeAudio) -> MakeAudio:
    """Return a function that writes recordings as the fixture `make_audio` does, each a little softer than the last."""
    written = itertools.count()

    def make(path: Path, **options: Any) -> Path:
        return make_audio(path, **{"level": 0.1 * 0.99 ** next(written), **options})

    return make
