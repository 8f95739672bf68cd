"""Parts of an experiment that are finished, kept in files so that a stopped run goes on behind them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asr_transfer.decoding.settings import SearchConfig
from asr_transfer.decoding.tuning import Trial, Tuned
from asr_transfer.errors import DataError
from asr_transfer.plain import from_plain, to_json, to_plain
from asr_transfer.textfiles import read_text, write_text


class Finished:
    """Keeps each part in a file of its own; what a file does not hold whole and of the same data is done again.

    Args:
        folder: made when a part is finished; None keeps nothing.
        of: marks that tell the experiment's data from others, such as checksums of its utterances.
    """

    def __init__(self, folder: Path | None = None, of: str = "") -> None:
        self._folder, self._of = folder, of

    def texts(self, name: str, make: Callable[[], list[str]]) -> list[str]:
        """Return what a search named `name` heard, made only if it is not kept."""
        found: list[str] = self._kept(f"heard {name}", make)
        return found

    def tuned(self, name: str, make: Callable[[], Tuned]) -> Tuned:
        """Return the weights of a search named `name`, chosen only if they are not kept."""
        plain = self._kept(f"tuned {name}", lambda: to_plain(make()))
        trials = tuple(Trial(**trial) for trial in plain["trials"])
        return Tuned(from_plain(SearchConfig, plain["config"], name), trials)

    def _kept(self, name: str, make: Callable[[], Any]) -> Any:
        if self._folder is None:
            return make()
        file = self._folder / f"{file_name(name)}.json"
        try:
            values = json.loads(read_text(file))
            if values["of"] == self._of:
                return values["made"]
        except (DataError, json.JSONDecodeError, KeyError, TypeError):
            pass  # not finished, or damaged
        made = make()
        write_text(file, to_json({"of": self._of, "made": made}))
        return made


def file_name(name: str) -> str:
    """Return the name of a search as files have it."""
    return name.replace(", ", "+").replace(" ", "-")
