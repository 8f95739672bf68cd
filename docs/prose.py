"""Finds figures in the sentences of pages that nobody may type: they come from a record, or are listed facts.

A number before `%`, `points` or `times`, and every number with a decimal point, is a figure. Not looked at are
generated tables and figures, shell blocks, drawings, code between backticks, and addresses of links.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from docs.inline_numbers import FIGURE
from docs.update_tables import BLOCK

FACTS = (
    "(95 %)",
    "95 % interval",
    "Python 3.11, 3.12 or 3.13",
    "pinned to 2.11.0",
    "Apache-2.0",
    "GPL-3",
    "(weight 0.05, reversal rising)",
    "0.3 of the head's rate",
    "the corrected p is below 0.05",
    "2.5 times the steps",
    "refuses at most 5 % of them",
    "another 6.0 minutes",
    "6.0 minutes of development speech",
    "2.4 of words and 3.6 of sentences",
    "one is 0.8 points",
    "fewer than 95 % of them are caught",
)
"""Phrases whose numbers are settings, versions or facts about corpora, and no results of runs."""
_NUMBER = r"(?<![\w.,])[+−-]?\d[\d,]*(?:\.\d+)?"
_LINK = r"\s*(?:/|…|–|→|to|and|or|instead of|,)\s*"
_FILLED = "¤"
"""Stands for a generated figure where one is left out, so that its neighbours in `3, 4 and 5 %` are still seen."""
_CLAIM = re.compile(
    rf"{_NUMBER}(?=(?:{_LINK}(?:[+−-]?\d[\d,]*(?:\.\d+)?|{_FILLED}))*\s*(?:%|points?\b|times\b|×))"
    r"|(?<![\w.,])\d[\d,]*\.\d+(?![\w.]*\d)"
)
_NO_PROSE = (
    BLOCK,
    re.compile(r"```.*?```", re.DOTALL),
    re.compile(r"<!--.*?-->|<[a-z/][^>]*>", re.DOTALL),
    re.compile(r"^(?: {4}|\t)\S.*$", re.MULTILINE),
    re.compile(r"`[^`\n]*`"),
    re.compile(r"\]\([^)]*\)"),
)


@dataclass(frozen=True)
class Claim:
    """A figure that was typed.

    Attributes:
        page: page that it stands on.
        line: number of its line, from 1.
        number: number as it stands there.
        around: words around it.
    """

    page: Path
    line: int
    number: str
    around: str


def claims(pages: Mapping[Path, str]) -> Iterator[Claim]:
    """Yield the figures in sentences that come from no record and are no known facts."""
    for page, text in pages.items():
        for match in _CLAIM.finditer(_prose(text)):
            around = " ".join(text[max(0, match.start() - 40) : match.end() + 25].split())
            yield Claim(page, text.count("\n", 0, match.start()) + 1, match[0], around)


def unused_facts(pages: Mapping[Path, str]) -> list[str]:
    """Return listed facts that stand on no page any more."""
    return [fact for fact in FACTS if not any(_anywhere(fact).search(text) for text in pages.values())]


def _prose(text: str) -> str:
    """Return a page with all that is no prose of its own, and the known facts, blank; places stay the same."""
    text = FIGURE.sub(lambda match: _FILLED + " " * (len(match[0]) - 1), text)
    for pattern in (*_NO_PROSE, *map(_anywhere, FACTS)):
        text = pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    return text


def _anywhere(phrase: str) -> re.Pattern[str]:
    return re.compile(r"\s+".join(map(re.escape, phrase.split())))
