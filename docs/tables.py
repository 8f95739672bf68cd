"""Makes the tables of the pages from cells that records keep: which table of which record, and what is said below.

Most tables stand in a record as they are shown. A few join several records, or show some cells of one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from asr_transfer.errors import DataError
from asr_transfer.evaluation.percentages import NONE, percent
from asr_transfer.experiments.core.tables import Table, markdown
from asr_transfer.experiments.speakers.calibrated import calibration_table
from asr_transfer.experiments.speakers.foretold import read_cases as read_foretold
from asr_transfer.experiments.speakers.predicted import forgetting_table, read_cases
from benchmarks.race import Course, Entry, Tried, fastest, race_table
from docs.origin import made
from docs.records import CORPORA, measured, record
from docs.tables_headline import headline, hindsight, untouched

FEWER = "fewer errors (95 %)"


def table(name: str) -> str:
    """Return what stands in a table's block.

    Args:
        name: Kind of the table, and behind it the names of its records.

    Raises:
        DataError: There is no such kind, or the record does not hold it.
    """
    kind, *own = name.split()
    if own and not any(map(measured, own)):
        return "Not measured: there is no record of a run.\n"
    if kind in JOINED:
        return JOINED[kind](*own)
    if len(own) != 1:
        raise DataError(f"there is no kind of table '{kind}' of {len(own)} records.")
    values = record(own[0])
    return f"{markdown(kept(values, kind))}\n{made(values)}{_how(kind, values)}.\n{_below(kind, values)}"


def kept(values: Mapping[str, Any], kind: str) -> list[Table]:
    """Return the tables of one kind that a record keeps.

    Raises:
        DataError: It keeps none.
    """
    tables = values.get("tables", {})
    if kind not in tables:
        raise DataError(f"the record {values['name']} keeps no table '{kind}', only {', '.join(tables) or 'none'}.")
    return [Table.from_plain(own) for own in tables[kind]]


def brief(name: str) -> str:
    """Return plain transfer beside the best start from scratch, all test sets in one table, with how it was made."""
    values = record(name)
    tests: dict[str, dict[tuple[str, str], dict[str, str]]] = {}
    for own in kept(values, "curve"):
        if own.headings[:2] == ("minutes", "system"):
            # Of two columns of one heading, the first: what is held against the start from scratch.
            cells = [dict(reversed(list(zip(own.headings, row, strict=True)))) for row in own.rows]
            tests[own.title.split("`")[1]] = {(row["minutes"], row["system"]): row for row in cells}
    headings = [heading for test in tests for heading in (f"{test}: from scratch %", f"{test}: `transfer` %", FEWER)]
    amounts = dict.fromkeys(amount for own in tests.values() for amount, system in own if system == "transfer")
    rows = [(amount, *(cell for own in tests.values() for cell in _beside(own, amount))) for amount in amounts]
    return f"{markdown([Table(('minutes', *headings), tuple(rows))])}\n{made(values)}{_how('curve', values)}.\n"


def _beside(rows: Mapping[tuple[str, str], Mapping[str, str]], amount: str) -> tuple[str, str, str]:
    """Return the error from scratch and after transfer, and how many fewer the latter are."""
    own = rows.get((amount, "transfer"))
    base = rows.get((amount, own.get("than", NONE).strip("`"))) if own else None
    fewer = f"{own['fewer errors %']} % ({own['95 % interval']})" if own and base else NONE
    return base["error %"] if base else NONE, own["error %"] if own else NONE, fewer


def ideas(*runs: str) -> str:
    """Return what several experiments on the same words found, a row each, and how each was made."""
    rows, origins = [], []
    for name in runs:
        if not measured(name):
            origins.append(f"- `{name}`: not measured, there is no record of a run.")
            continue
        values = record(name)
        (figures,) = kept(values, "figures")
        starts = ("words never trained on found", "words seen", "phone errors of words never")
        unseen, seen, errors = (_figure(figures, start) for start in starts)
        rows.append((f"`{name}`", *unseen, seen[0], errors[0]))
        seeds = ", ".join(map(str, values["config"]["seeds"]))
        origins.append(f"- `{name}`: m{made(values)[1:]}; seeds {seeds}.")
    headings = ("experiment", "never trained on, found %", "95 % interval", "seen, found %", "their phone errors %")
    return "\n".join([Table(headings, tuple(rows)).markdown(), "", *origins]) + "\n"


def _figure(figures: Table, start: str) -> tuple[str, str]:
    """Return value and interval of the first figure whose name begins so, of words that are not pronounced by rule."""
    found = (row for row in figures.rows if row[0].startswith(start) and "rule" not in row[0])
    _, _, value, interval = next(found, (NONE,) * 4)
    return value, interval


def training(*runs: str) -> str:
    """Return the scores of trained models, one line per seed, with how they were made."""
    every = [record(own) for own in filter(measured, runs)]
    rates = [values["scores"]["test"]["wer"] for values in every]
    found = Table.of(
        every,
        [
            ("seed", lambda values: str(values["config"]["trainer"]["seed"])),
            ("WER %", lambda values: percent(values["scores"]["test"]["wer"], 2)),
            ("CER %", lambda values: percent(values["scores"]["test"]["cer"], 2)),
            ("CPU-seconds", lambda values: f"{values['training']['cpu_seconds']:.0f}"),
            (
                "audio-seconds per CPU-second",
                lambda values: f"{values['training']['audio_seconds_per_cpu_second']:.0f}",
            ),
        ],
    )
    mean = f"| mean | {percent(sum(rates) / len(rates), 2)} | | | |"
    return "\n".join([found.markdown(), mean, "", *(f"- {made(values)}." for values in every)]) + "\n"


def searches(*runs: str) -> str:
    """Return the scores of models by what was searched for, of several models also their mean, and how they were made.

    Args:
        runs: Names of records of `evaluate`.
    """
    every = [record(own) for own in filter(measured, runs)]
    scores = [values["scores"]["test"] for values in every]
    found = Table.of(
        every,
        [
            ("model", lambda values: f"`{Path(values['config']['model']).name}`"),
            ("searched for", lambda values: _searched(values["config"])),
            ("WER %", lambda values: percent(values["scores"]["test"]["wer"], 2)),
            ("CER %", lambda values: percent(values["scores"]["test"]["cer"], 2)),
        ],
    )
    lines = [found.markdown()]
    if 1 < len({values["config"]["model"] for values in every}) == len(every):
        means = (percent(sum(one[rate] for one in scores) / len(scores), 2) for rate in ("wer", "cer"))
        lines.append(f"| mean | | {' | '.join(means)} |")
    return "\n".join([*lines, "", *(f"- {made(values)}." for values in every)]) + "\n"


def hot_words(*runs: str) -> str:
    """Return word errors at hot words and at all others, by how much they count, and how they were made.

    Args:
        runs: Names of records of `evaluate --hotwords`.
    """
    every = [record(own) for own in filter(measured, runs)]

    def rate(values: Mapping[str, Any], part: str) -> str:
        own = values["hot_words"][part]
        return f"{percent(own['errors'] / own['reference'])} ({own['errors']} of {own['reference']})"

    found = Table.of(
        every,
        [
            ("hot words", lambda values: "in the prompt" if values["config"]["writing"]["prompt"] else "biasing"),
            ("`search.hot_weight`", lambda values: f"{values['config']['search']['hot_weight']:g}"),
            ("B-WER % (errors of words)", lambda values: rate(values, "listed")),
            ("U-WER % (errors of words)", lambda values: rate(values, "others")),
            ("WER %", lambda values: percent(values["scores"]["test"]["wer"])),
        ],
    )
    return "\n".join([found.markdown(), "", *(f"- {made(values)}." for values in every)]) + "\n"


def _searched(config: Mapping[str, Any]) -> str:
    """Return what an `evaluate` searched for, in words."""
    model = "" if config["lm"] is None else f", `{Path(config['lm']).name}`"
    if config["lexicon"] is not None:
        return ("sentences of a lexicon" if config["sentences"] else "words of a lexicon") + model
    return f"any words{model}" if model else "the likeliest letters"


def language_rates(name: str) -> str:
    """Return the error rate of each language of a trained model, with what the training cost and how it was made."""
    values = record(name)
    found = Table.of(
        values["scores"]["test"]["by_language"],
        [
            ("language", lambda one: one["language"]),
            ("utterances", lambda one: str(one["utterances"])),
            ("speakers", lambda one: str(one["speakers"])),
            ("CER % (95 %)", lambda one: f"{percent(one['rate'])} ({percent(one['low'])} … {percent(one['high'])})"),
        ],
    )
    trained = values["training"]
    cost = f"{trained['steps']} steps, {trained['cpu_seconds']:.0f} CPU-seconds"
    return f"{found.markdown()}\n\n{cost}. {made(values)}.\n"


def forgetting(*runs: str) -> str:
    """Return what others were predicted to lose beside what they lost, runs of one corpus together, and how."""
    cases: dict[str, list[Any]] = {}
    origins, tolerance = "", 0.0
    for name in filter(measured, runs):
        values = record(name)
        title = CORPORA[values["config"]["corpus"]]
        cases.setdefault(title, []).extend(read_cases(values["scores"]["cases"]))
        tolerance = values["config"]["choice"]["tolerance"]
        origins += f"- {title}: m{made(values)[1:]}.\n"
    return f"{markdown([forgetting_table(cases, tolerance)])}\n{origins}"


def calibration(*runs: str) -> str:
    """Return how many intervals of forecasts held, by the constants of today, and how what was measured was made."""
    cases: dict[str, list[Any]] = {}
    origins = ""
    for name in filter(measured, runs):
        values = record(name)
        title = CORPORA[values["config"]["corpus"]]
        cases.setdefault(title, []).extend(read_foretold(values["scores"]["cases"]))
        origins += f"- {title}: m{made(values)[1:]}.\n"
    return f"{markdown([calibration_table(cases)])}\n{origins}"


def race(name: str) -> str:
    """Return how a race of trainings went, by the courses that its record keeps, with how it was made."""
    values = record(name)
    (kept_table,) = kept(values, "race")
    tried = {
        side: [Tried(Entry(**{**one["entry"], "speeds": tuple(one["entry"]["speeds"])}), one["cpu"], one["spent"],
                     one["best"]) for one in own]
        for side, own in values["scores"]["tried"].items()
    }  # fmt: skip
    courses = {
        side: [Course([(cpu, int(steps), wer) for cpu, steps, wer in points]) for points in own]
        for side, own in values["scores"]["courses"].items()
    }
    targets = [target / 100 for target in values["config"]["targets"]]
    entries = {side: fastest(own) for side, own in tried.items()}
    return f"{race_table(courses, entries, targets, kept_table.note).markdown()}\n\n{made(values)}.\n"


def _how(kind: str, values: Mapping[str, Any]) -> str:
    """Return what is said of how a table was made, behind the command."""
    config = values["config"]
    if kind == "adaptation":
        draws, seeds = config["protocol"], (config["protocol"]["seed"], config["source"]["trainer"]["seed"])
        return f"; draws per speaker: {draws['draws']}, protocol seed: {seeds[0]}, source seed: {seeds[1]}"
    if kind in ("curve", "pairs", "negative"):
        steps = [config[part]["trainer"]["steps"] for part in ("source", "learn")]
        return (
            f"; seeds {_listed([*config['seeds'], *config.get('extra_seeds', [])])}; {steps[0]} steps on the source "
            f"languages, {steps[1]} on the target"
        )
    if kind == "new_speaker":
        return f"; seeds {_listed(config['seeds'])}"
    if kind in ("words", "figures"):
        return f"; draws of the smaller lexica: {config['draws']}, models: {len(values['scores']['models'])}"
    return ""


def _below(kind: str, values: Mapping[str, Any]) -> str:
    text = untouched(values["name"], values["scores"]["rows"]) if kind == "adaptation" else ""
    return f"\n{text[0].upper()}{text[1:]}\n" if text else ""


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


JOINED: Mapping[str, Callable[..., str]] = {
    "brief": brief,
    "calibration": calibration,
    "forgetting": forgetting,
    "headline": headline,
    "hindsight": hindsight,
    "hot-words": hot_words,
    "ideas": ideas,
    "language-rates": language_rates,
    "race": race,
    "searches": searches,
    "training": training,
}
"""Tables that are not kept by one record as they are."""
