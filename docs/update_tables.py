"""Fills the tables and figures of the pages from the run records in `docs/results`, so that none of them is typed.

    python -m docs.update_tables            fill them in
    python -m docs.update_tables --check    only say which are out of date

A table stands between `<!-- table NAME -->` and `<!-- end -->`; NAME is `adaptation CORPUS`, `headline`, `hindsight`,
`training`, or the kind of another experiment and its records. Figures inside sentences: see `docs/inline_numbers.py`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable

from asr_transfer.errors import AsrTransferError
from docs import records
from docs.inline_numbers import fill_figures
from docs.records import measured, page_name
from docs.tables_headline import headline, hindsight
from docs.tables_languages import brief, curve, identification, negative, new_speaker, pairs
from docs.tables_speakers import adaptation, forgetting, training
from docs.tables_words import figures, ideas, sentences, words

BLOCK = re.compile(r"(<!-- table (?P<name>[^>]+?) -->\n)(?P<body>.*?)(<!-- end -->)", re.DOTALL)
TABLES: dict[str, Callable[..., str]] = {
    "adaptation": adaptation,
    "brief": brief,
    "curve": curve,
    "figures": figures,
    "forgetting": forgetting,
    "headline": headline,
    "hindsight": hindsight,
    "identification": identification,
    "ideas": ideas,
    "negative": negative,
    "new_speaker": new_speaker,
    "pairs": pairs,
    "sentences": sentences,
    "training": training,
    "words": words,
}


def table(name: str) -> str:
    """Return what stands in a table's block.

    Args:
        name: kind of the table, and behind it the names of its records.
    """
    kind, *own = name.split()
    if own and not any(map(measured, own)):
        return "Not measured: there is no record of a run.\n"
    return TABLES[kind](*own)


def filled(text: str) -> str:
    """Return a page with its tables and figures filled in."""
    return fill_figures(BLOCK.sub(lambda match: f"{match[1]}{table(match['name'])}{match[4]}", text))


def main(arguments: list[str]) -> int:
    """Fill the pages, or with `--check` say which are out of date."""
    stale = []
    for page in records.PAGES:
        text = page.read_text(encoding="utf-8")
        try:
            new = filled(text)
        except AsrTransferError as error:
            print(f"{page_name(page)}: {error}", file=sys.stderr)
            return 1
        if new != text:
            stale.append(page)
            if "--check" not in arguments:
                page.write_text(new, encoding="utf-8")
    for page in stale:
        print(f"{page_name(page)}: {'out of date' if '--check' in arguments else 'tables filled in'}")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
