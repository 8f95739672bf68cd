"""Reads the records of runs that the tables of the pages come from, and lists the pages.

A record is a run folder's `run.json` as `docs/results/NAME.json`; see `docs/add_record.py`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results"
PAGES = (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("recipes/*/README.md")))
CORPORA = {
    "synthetic": "synthetic voices",
    "an4": "AN4",
    "an4_folds": "AN4, all speakers",
    "fsdd": "spoken digits (FSDD)",
    "queen": "a game's characters (English)",
    "fillets": "a game's voice (Czech)",
    "whisper_tiny_an4": "AN4 on Whisper-tiny",
    "whisper_tiny_queen": "a game's characters on Whisper-tiny",
    "whisper_decoder_queen_auto": "a game's characters, all of Whisper-tiny",
    "whisper_tiny_fillets": "a game's voice (Czech) on Whisper-tiny",
}
"""Records of the speaker adaptation recipe that are summed up over corpora, and what they are called there."""

LEFT_OFF = ("an4", "fillets", "queen")
"""Those that the front page leaves to the recipe's page: others of the same corpus say more."""

TO_REPEAT: tuple[str, ...] = ()
"""Records whose `auto` has settings that `adapt` has no more: the front page marks them and says which, until they are
run again."""


def record(name: str) -> dict[str, Any]:
    """Read a run record; `name` in it is its own.

    What was said of chance before attempts were kept is left out: percentiles of a bootstrap over a few speakers or
    seeds, which were called 95 % and held 68 to 90, and the findings that rested on them.
    """
    values: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    if "attempts" not in values:
        values["scores"] = _without_intervals(values["scores"])
    return {**values, "name": name}


def _without_intervals(scores: Any) -> Any:
    """Return scores in which nothing has an interval, and nothing is called better or worse beyond chance."""
    if isinstance(scores, list):
        return [_without_intervals(one) for one in scores]
    if not isinstance(scores, dict):
        return scores
    plain = {name: _without_intervals(value) for name, value in scores.items()}
    for name, value in plain.items():
        if re.search(r"(^|_)(low|high)$", name):
            plain[name] = None
        elif name == "p" or name.endswith("_p"):
            plain[name] = 1.0
        elif name == "verdict":
            plain[name] = ""
        elif name == "told":
            plain[name] = re.sub(r" \[.*\]$", "", value)
    return plain


def measured(name: str) -> bool:
    """Return whether there is a record of that name."""
    return (RESULTS / f"{name}.json").is_file()


def names() -> list[str]:
    """Return the names of all records."""
    return sorted(path.stem for path in RESULTS.glob("*.json"))


def page_name(page: Path) -> str:
    """Return what a page is called in messages: its path in the repository."""
    return str(page.relative_to(ROOT)) if page.is_relative_to(ROOT) else f"{page.parent.name}/{page.name}"
