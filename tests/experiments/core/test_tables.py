"""One table of columns: on a terminal, as Markdown, and as the cells that a record keeps."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from asr_transfer.errors import DataError
from asr_transfer.evaluation.percentages import percent, span
from asr_transfer.experiments.core.tables import Table, markdown

ROWS = [("none", 0.5, None, None), ("**full**", 0.25, 0.1, 0.4)]
TABLE = Table.of(
    ROWS,
    [
        ("method", lambda row: row[0]),
        ("error %", lambda row: percent(row[1])),
        ("95 % interval", lambda row: span(row[2], row[3])),
    ],
    title="Test set `words`:",
    note="A note [of some kind].",
)


def test_columns_become_markdown_with_title_and_note() -> None:
    assert TABLE.markdown().splitlines() == [
        "Test set `words`:",
        "",
        "| method | error % | 95 % interval |",
        "|---|---|---|",
        "| none | 50.0 | – |",
        "| **full** | 25.0 | 10 … 40 |",
        "",
        "A note [of some kind].",
    ]
    bare = Table(("a",), (("1",),))
    assert markdown([bare, bare]) == "| a |\n|---|\n| 1 |\n\n| a |\n|---|\n| 1 |\n"


def test_a_terminal_gets_the_same_cells_with_numbers_to_the_right() -> None:
    shown = TABLE.terminal()
    assert [column.justify for column in shown.columns] == ["left", "right", "right"]
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(shown)
    text = console.export_text()
    assert text.startswith("Test set `words` ") and "A note [of some kind]." in text
    assert "full" in text and "**" not in text and "10 … 40" in text


def test_what_is_no_number_stands_to_the_left_and_nothing_is_markup() -> None:
    shown = Table(("[red]", "rate"), (("[bold]x", "0.1 / 0.2"), ("\x1b[31m", "full 3"))).terminal()
    assert [column.justify for column in shown.columns] == ["left", "left"]
    assert [str(cell) for cell in shown.columns[0].cells] == ["[bold]x", "�[31m"]


def test_cells_come_back_from_a_record_as_they_were() -> None:
    assert Table.from_plain(json.loads(json.dumps(TABLE.to_plain()))) == TABLE
    for damaged in ({"headings": ["a"]}, {"headings": 1, "rows": []}, "words"):
        with pytest.raises(DataError, match="`tables` holds something that is no table"):
            Table.from_plain(damaged)  # type: ignore[arg-type]


def test_shares_are_written_in_per_cent_with_a_dash_for_none() -> None:
    assert [percent(0.1234), percent(0.1234, 0), percent(0.1, sign="+"), percent(None)] == ["12.3", "12", "+10.0", "–"]
    assert percent(float("nan")) == "–"
    assert [span(0.1, 0.4), span(-0.1, 0.4, 1, "+", "to"), span(None, 0.4), span(0.1, None)] == [
        "10 … 40", "-10.0 to +40.0", "–", "–",
    ]  # fmt: skip
