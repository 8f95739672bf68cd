"""Tables of an experiment on unseen words: what a person reads."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from asr_transfer.experiments.words.error_rates import Figure
from asr_transfer.experiments.words.unseen import UNSEEN, Row


def words_table(rows: Sequence[Row], title: str, top: int = 5) -> Table:
    """Return all lexicon sizes' rows as a table for the terminal."""
    table = Table(title=title, caption=CAPTION)
    for heading in _headings(top):
        table.add_column(heading, justify="left" if heading == "words" else "right")
    for n, row in enumerate(rows):
        last = n + 1 == len(rows) or rows[n + 1].size != row.size
        table.add_row(*_cells(row), style="bold" if row.group == UNSEEN else None, end_section=last)
    return table


def words_markdown(rows: Sequence[Row], top: int = 5) -> str:
    """Return all rows as Markdown."""
    headings = _headings(top)
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    for row in rows:
        cells = [f"**{cell}**" if row.group == UNSEEN else cell for cell in _cells(row)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", CAPTION]) + "\n"


def figures_table(figures: Sequence[Figure], title: str) -> Table:
    """Return an experiment's figures at a glance as a table for the terminal."""
    table = Table(title=title)
    for heading in _FIGURES:
        table.add_column(heading, justify="left" if heading == _FIGURES[0] else "right")
    for figure in figures:
        table.add_row(*_figure(figure))
    return table


def figures_markdown(figures: Sequence[Figure]) -> str:
    """Return an experiment's figures at a glance as Markdown."""
    lines = ["| " + " | ".join(_FIGURES) + " |", "|" + "---|" * len(_FIGURES)]
    return "\n".join([*lines, *("| " + " | ".join(_figure(figure)) + " |" for figure in figures)]) + "\n"


_FIGURES = ("figure", "number", "%", "95 % interval")

CAPTION = (
    "A model of whole words finds none of the words it was never trained on. Words that sound alike count as one in "
    "`by sound`; 95 % intervals are over words."
)


def _headings(top: int) -> tuple[str, ...]:
    return (
        "lexicon", "words", "number", "found %", "95 % interval", f"in top {top} %", "by sound %", "95 % interval",
        f"in top {top} by sound %", "refused %", "taken though absent %",
    )  # fmt: skip


def _figure(figure: Figure) -> tuple[str, ...]:
    return figure.what, str(figure.count), _percent(figure.value), _between(figure.low, figure.high)


def _cells(row: Row) -> list[str]:
    return [
        f"{row.size:,}",
        row.group,
        str(row.words),
        _percent(row.first),
        _between(row.low, row.high),
        _percent(row.top),
        _percent(row.sound),
        _between(row.sound_low, row.sound_high),
        _percent(row.sound_top),
        _percent(row.false_rejection),
        _percent(row.false_acceptance),
    ]


def _between(low: float | None, high: float | None) -> str:
    return "–" if low is None else f"{_percent(low, 0)} … {_percent(high, 0)}"


def _percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f}"
