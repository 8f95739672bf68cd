"""Tables of experiments on words never heard, alone and in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asr_transfer.experiments.sentences.effects import Effect
from asr_transfer.experiments.sentences.tables import sentences_markdown
from asr_transfer.experiments.words.error_rates import Figure
from asr_transfer.experiments.words.tables import figures_markdown, words_markdown
from asr_transfer.experiments.words.unseen import Row
from docs.origin import made
from docs.records import built, measured, record


def words(name: str) -> str:
    """Return the table of an experiment on words never trained on, with how it was made."""
    values = record(name)
    rows = [built(Row, row) for row in values["scores"]["rows"]]
    return f"{words_markdown(rows, values['config']['top'])}\n{_made(values)}"


def figures(name: str) -> str:
    """Return an experiment's figures at a glance, with how it was made."""
    values = record(name)
    return f"{figures_markdown([built(Figure, own) for own in values['scores']['figures']])}\n{_made(values)}"


def ideas(*names: str) -> str:
    """Return what several experiments on the same words found, a row each, and how each was made."""
    lines, origins = (
        [
            "| experiment | never trained on, found % | 95 % interval | seen, found % | their phone errors % |",
            "|---|---|---|---|---|",
        ],
        [],
    )
    for name in names:
        if not measured(name):
            origins.append(f"- `{name}`: not measured, there is no record of a run.")
            continue
        values = record(name)
        own = [built(Figure, figure) for figure in values["scores"]["figures"]]
        unseen, seen, errors = (
            next((one for one in own if one.what.startswith(start) and "rule" not in one.what), None)
            for start in ("words never trained on found", "words seen", "phone errors of words never")
        )
        cells = [f"{100 * one.value:.1f}" if one else "–" for one in (unseen, seen, errors)]
        bounds: tuple[float | None, ...] = (unseen.low, unseen.high) if unseen else (None, None)
        between = " … ".join("–" if bound is None else f"{100 * bound:.0f}" for bound in bounds)
        between = "–" if None in bounds else between
        lines.append(f"| `{name}` | {cells[0]} | {between} | {cells[1]} | {cells[2]} |")
        seeds = ", ".join(map(str, values["config"]["seeds"]))
        origins.append(f"- `{name}`: m{made(values)[1:]}; seeds {seeds}.")
    return "\n".join([*lines, "", *origins]) + "\n"


def sentences(name: str) -> str:
    """Return what a lexicon and a list of words find in sentences, with how it was made."""
    values = record(name)
    effects = [built(Effect, effect) for effect in values["scores"]["effects"]]
    return f"{sentences_markdown(values['scores']['systems'], effects)}\n{made(values)}.\n"


def _made(values: Mapping[str, Any]) -> str:
    return (
        f"{made(values)}; draws of the smaller lexica: {values['config']['draws']}, models: "
        f"{len(values['scores']['models'])}.\n"
    )
