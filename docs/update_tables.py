"""Fills the tables and figures of the pages from the run records in `docs/results`, so that none of them is typed.

The table of what `auto` chose by amount, which comes with the package, is written from them too, and the pages' plots
are drawn from them (`docs/pictures.py`).

    python -m docs.update_tables            fill them in
    python -m docs.update_tables --check    only say which are out of date

A table stands between `<!-- table NAME -->` and `<!-- end -->`; NAME is a table that a record keeps, with the name of
the record (`adaptation an4`), or one that joins several: see `docs/tables.py`. Figures inside sentences: see
`docs/inline_numbers.py`.
"""

from __future__ import annotations

import re
import sys

from asr_transfer.adaptation.auto_chosen import TABLE
from asr_transfer.errors import AsrTransferError
from asr_transfer.textfiles import read_text, write_text
from docs import records
from docs.auto_chosen import chosen_table
from docs.inline_numbers import fill_figures
from docs.pictures import drawn
from docs.records import page_name
from docs.tables import table

BLOCK = re.compile(r"(<!-- table (?P<name>[^>]+?) -->\n)(?P<body>.*?)(<!-- end -->)", re.DOTALL)


def filled(text: str) -> str:
    """Return a page with its tables and figures filled in."""
    return fill_figures(BLOCK.sub(lambda match: f"{match[1]}{table(match['name'])}{match[4]}", text))


def main(arguments: list[str]) -> int:
    """Fill the pages, or with `--check` say which are out of date."""
    stale = []
    if (table := chosen_table()) != (read_text(TABLE) if TABLE.is_file() else ""):
        stale.append(TABLE)
        if "--check" not in arguments:
            write_text(TABLE, table)
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
    pictures = drawn(write="--check" not in arguments)
    for files, done in ((stale, "tables filled in"), (pictures, "drawn")):
        for file in files:
            print(f"{page_name(file)}: {'out of date' if '--check' in arguments else done}")
    return 1 if (stale or pictures) and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
