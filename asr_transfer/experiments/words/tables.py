"""Makes the tables of an experiment on unseen words."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from asr_transfer.evaluation.percentages import percent, span
from asr_transfer.experiments.core.tables import Table
from asr_transfer.experiments.words.error_rates import Figure
from asr_transfer.experiments.words.unseen import UNSEEN, Row

CAPTION = (
    "A model of whole words finds none of the words it was never trained on. Words that sound alike count as one in "
    "`by sound`; 95 % intervals are over words."
)


def words_table(rows: Sequence[Row], top: int = 5) -> Table:
    """Return all lexicon sizes' rows; those of words never trained on are bold."""

    def marked(cell: Callable[[Row], str]) -> Callable[[Row], str]:
        return lambda row: f"**{cell(row)}**" if row.group == UNSEEN else cell(row)

    columns: list[tuple[str, Callable[[Row], str]]] = [
        ("lexicon", lambda row: f"{row.size:,}"),
        ("words", lambda row: row.group),
        ("number", lambda row: str(row.words)),
        ("found %", lambda row: percent(row.first)),
        ("95 % interval", lambda row: span(row.low, row.high)),
        (f"in top {top} %", lambda row: percent(row.top)),
        ("by sound %", lambda row: percent(row.sound)),
        ("95 % interval", lambda row: span(row.sound_low, row.sound_high)),
        (f"in top {top} by sound %", lambda row: percent(row.sound_top)),
        ("refused %", lambda row: percent(row.false_rejection)),
        ("taken though absent %", lambda row: percent(row.false_acceptance)),
    ]
    return Table.of(rows, [(heading, marked(cell)) for heading, cell in columns], note=CAPTION)


def figures_table(figures: Sequence[Figure]) -> Table:
    """Return an experiment's figures at a glance."""
    return Table.of(
        figures,
        [
            ("figure", lambda figure: figure.what),
            ("number", lambda figure: str(figure.count)),
            ("%", lambda figure: percent(figure.value)),
            ("95 % interval", lambda figure: span(figure.low, figure.high)),
        ],
    )
