"""Holds an experiment's tables: columns are said once, and the cells go to a terminal, to Markdown and to `run.json`.

A page is made of the cells that `run.json` keeps, so that it need not know what an experiment's rows were.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from rich import table as rich_table
from rich.console import Console
from rich.text import Text

from asr_transfer.errors import DataError
from asr_transfer.plain import to_plain
from asr_transfer.runs.console import legible

Row = TypeVar("Row")
Column = tuple[str, Callable[[Row], str]]
"""A heading, and what makes a row's cell. A cell between `**` is bold."""

WIDTH = 160
"""Columns of a terminal that is none: a file, or another program."""

_NUMBER = re.compile(r"[*+\-−<]*\s?\d.*|–?")


@dataclass(frozen=True)
class Table:
    """Headings and cells.

    Attributes:
        headings: Headings of the columns.
        rows: Cells of each row.
        title: Line above the table, with the stop that a page puts behind it; empty for none.
        note: Line below the table; empty for none.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    note: str = ""

    @classmethod
    def of(cls, rows: Iterable[Row], columns: Sequence[Column[Row]], title: str = "", note: str = "") -> Table:
        """Return the table of some rows."""
        cells = tuple(tuple(cell(row) for _, cell in columns) for row in rows)
        return cls(tuple(heading for heading, _ in columns), cells, title, note)

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> Table:
        """Return a table that a record keeps.

        Raises:
            DataError: The record keeps something else.
        """
        try:
            return cls(
                tuple(values["headings"]),
                tuple(tuple(row) for row in values["rows"]),
                values.get("title", ""),
                values.get("note", ""),
            )
        except (KeyError, TypeError, AttributeError):
            raise DataError("`tables` holds something that is no table; convert the record, or run it again.") from None

    def to_plain(self) -> dict[str, Any]:
        """Return the table for a record."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    def markdown(self) -> str:
        """Return title, table and note as Markdown."""
        lines = [self.title, ""] if self.title else []
        lines += ["| " + " | ".join(self.headings) + " |", "|" + "---|" * len(self.headings)]
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join([*lines, *(["", self.note] if self.note else [])])

    def terminal(self) -> rich_table.Table:
        """Return the table for a terminal: numbers stand to the right."""
        title, note = (legible(text) if text else None for text in (self.title.rstrip(".:"), self.note))
        made = rich_table.Table(title=title, title_justify="left", caption=note)
        for number, heading in enumerate(self.headings):
            numbers = all(_NUMBER.fullmatch(row[number]) for row in self.rows)
            made.add_column(legible(heading), justify="right" if numbers else "left")
        for row in self.rows:
            made.add_row(*map(_cell, row))
        return made


def markdown(tables: Iterable[Table]) -> str:
    """Return several tables as Markdown."""
    return "\n\n".join(table.markdown() for table in tables) + "\n"


def show(tables: Iterable[Table]) -> None:
    """Print several tables."""
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    for table in tables:
        console.print(table.terminal())


def _cell(text: str) -> Text:
    bold = len(text) > 4 and text.startswith("**") and text.endswith("**")
    shown = legible(text[2:-2] if bold else text)
    shown.stylize("bold" if bold else "")
    return shown
