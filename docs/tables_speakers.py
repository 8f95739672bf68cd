"""Tables of speaker adaptation: each corpus's own, forgetting, and training from scratch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from asr_transfer.experiments.speakers.predicted import Case, agreements, predicted_markdown
from asr_transfer.experiments.speakers.rows import markdown
from docs.origin import made
from docs.records import CORPORA, adaptation_rows, built, measured, names, record

CHOSEN_ON = {name: ("george", "jackson") for name in ("fsdd", "fsdd_methods", "fsdd_words")}
"""Test speakers of records on whom settings were chosen, with other draws of their recordings."""


def adaptation(corpus: str) -> str:
    """Return the whole table of an experiment, with how it was made."""
    values = record(corpus)
    config = values["config"]
    note = (
        f"{made(values)}; draws per speaker: {config['protocol']['draws']}, "
        f"protocol seed: {config['protocol']['seed']}, source seed: {config['source']['trainer']['seed']}.\n"
    )
    return f"{markdown(adaptation_rows(corpus))}\n{note}{_sentence(untouched(corpus, values['scores']['rows']))}"


def untouched(corpus: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return on which test speakers settings were chosen, and the reductions without them; empty for none.

    Args:
        corpus: name of its record.
        rows: rows of the record, as they stand in it; those of `auto` alone count where there are any.
    """
    chosen = CHOSEN_ON.get(corpus)
    if chosen is None:
        return ""
    text = f"settings were chosen on {' and '.join(chosen)}, with other draws; fewer errors without them: "
    counted = [row for row in rows if row["method"] != "none"]
    counted = [row for row in counted if row["method"] == "auto"] or counted
    if not all(row.get("by_speaker") for row in counted):
        return f"{text}not known, the record holds no figures by speaker."
    told = []
    for row in counted:
        own = [sums for speaker, sums in row["by_speaker"].items() if speaker not in chosen]
        before, after = (sum(sums[place] for sums in own) for place in (0, 1))
        told.append(f"{row['method']} {row['amount']}: {100 * (1 - after / before) if before else 0:.0f} %")
    return f"{text}{', '.join(told)}."


def _sentence(text: str) -> str:
    return f"\n{text[0].upper()}{text[1:]}\n" if text else ""


def training() -> str:
    """Return the scores of models trained from scratch on AN4, one line per seed, with how they were made."""
    lines = ["| seed | WER % | CER % | CPU-seconds | audio-seconds per CPU-second |", "|---|---|---|---|---|"]
    rates, origins = [], []
    for name in (own for own in names() if own.startswith("an4-scratch-")):
        values = record(name)
        score, cost = values["scores"]["test"], values["training"]
        rates.append(score["wer"])
        lines.append(
            f"| {values['config']['trainer']['seed']} | {100 * score['wer']:.2f} | {100 * score['cer']:.2f} "
            f"| {cost['cpu_seconds']:.0f} | {cost['audio_seconds_per_cpu_second']:.0f} |"
        )
        origins.append(f"- {made(values)}.")
    lines.append(f"| mean | {100 * sum(rates) / len(rates):.2f} | | | |")
    return "\n".join([*lines, "", *origins]) + "\n"


def forgetting(*runs: str) -> str:
    """Return what others were predicted to lose beside what they lost, runs of one corpus together, and how."""
    found: dict[str, list[Case]] = {}
    tables, origins = {}, []
    for name in filter(measured, runs):
        values = record(name)
        title = CORPORA[values["config"]["corpus"]]
        found.setdefault(title, []).extend(built(Case, own) for own in values["scores"]["cases"])
        tables[title] = agreements(found[title], values["config"]["choice"]["tolerance"])
        origins.append(f"- {title}: m{made(values)[1:]}.\n")
    return f"{predicted_markdown(tables)}\n{''.join(origins)}"
