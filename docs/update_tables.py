"""Fill the tables of README files from the run records in `docs/results`, so that no figure in them is typed.

    python docs/update_tables.py            fill them in
    python docs/update_tables.py --check    only say which are out of date

A table stands between `<!-- table NAME -->` and `<!-- end -->`; NAME is `adaptation CORPUS`, `headline`,
`training`, or the kind of another experiment and its record.
A record is a run folder's `run.json`, copied to `docs/results/NAME.json`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asr_transfer.adaptation.predicted import Case, agreements, predicted_markdown
from asr_transfer.adaptation.results import Row, markdown
from asr_transfer.evaluation.attempts import describe_origin, is_older
from asr_transfer.languages import curve as languages
from asr_transfer.languages import new_speaker_rows as speakers
from asr_transfer.languages.negative import Effect
from asr_transfer.languages.pairs import Pair
from asr_transfer.languages.savings import Saving
from asr_transfer.languages.tables import (
    brief_markdown,
    curve_markdown,
    identification_markdown,
    negative_markdown,
    pairs_markdown,
)
from asr_transfer.words import sentences as spoken
from asr_transfer.words.experiment import Row as WordsRow
from asr_transfer.words.overview import Figure
from asr_transfer.words.sentence_tables import sentences_markdown
from asr_transfer.words.tables import figures_markdown, words_markdown

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "README.md", *sorted(ROOT.glob("recipes/*/README.md")))
BLOCK = re.compile(r"(<!-- table (?P<name>[^>]+?) -->\n)(?P<body>.*?)(<!-- end -->)", re.DOTALL)
CORPORA = {
    "synthetic": "synthetic voices",
    "an4": "AN4",
    "an4_folds": "AN4, all speakers",
    "fsdd": "spoken digits (FSDD)",
    "queen": "a game's characters (English)",
    "fillets": "a game's voice (Czech)",
}


def record(name: str) -> dict[str, Any]:
    """Read a run record."""
    values: dict[str, Any] = json.loads((ROOT / "docs" / "results" / f"{name}.json").read_text(encoding="utf-8"))
    return values


def rows(corpus: str) -> list[Row]:
    """Return the rows of an adaptation experiment."""
    stored = record(corpus)["scores"]["rows"]
    return [Row(**{name: tuple(v) if isinstance(v, list) else v for name, v in row.items()}) for row in stored]


def adaptation(corpus: str) -> str:
    """Return the whole table of an experiment, with how it was made."""
    values = record(corpus)
    config = values["config"]
    command = _command(values)
    note = (
        f"Made by `python recipes/speaker_adaptation/{command}` at "
        f"{describe_origin(values)}; draws per speaker: {config['protocol']['draws']}, "
        f"protocol seed: {config['protocol']['seed']}, source seed: {config['source']['trainer']['seed']}.\n"
    )
    return f"{markdown(rows(corpus))}\n{note}"


def curve(name: str) -> str:
    """Return the tables of an experiment over the amount of a language's speech, with how it was made."""
    values = record(name)
    rows = [languages.Row(**row) for row in values["scores"]["rows"]]
    saved = [Saving(**one) for one in values["scores"].get("savings", [])]
    return f"{curve_markdown(rows, saved)}\n{_made_languages(values)}"


def brief(name: str) -> str:
    """Return plain transfer beside the best start from scratch, with how it was made."""
    values = record(name)
    table = brief_markdown([languages.Row(**row) for row in values["scores"]["rows"]])
    return f"{table}\n{_made_languages(values)}"


def pairs(name: str) -> str:
    """Return the source × target table of languages, with how it was made."""
    values = record(name)
    return f"{pairs_markdown([Pair(**pair) for pair in values['scores']['pairs']])}\n{_made_languages(values)}"


def negative(name: str) -> str:
    """Return which source languages help and which harm, with how it was made."""
    values = record(name)
    return f"{negative_markdown([Effect(**own) for own in values['scores']['effects']])}\n{_made_languages(values)}"


def identification(name: str) -> str:
    """Return how well a source model tells languages apart, with how it was made."""
    values = record(name)
    made = f"Made by `python recipes/multilingual/{values['command']}` at {describe_origin(values)}.\n"
    return f"{identification_markdown(values['scores']['identification'])}\n{made}"


def headline() -> str:
    """Return what `auto` reached at each amount, else the best method, with its interval and its price."""
    lines = [
        "| corpus | held-out speakers | utterances | errors of | before, % | after, % | fewer errors (95 %) | method "
        "| others before → after, % | CPU-s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for corpus, title in CORPORA.items():
        if not _measured(corpus):
            continue
        table = rows(corpus)
        for amount in sorted({row.amount for row in table} - {0}):
            known = [row for row in table if row.amount == amount]
            automatic = [row for row in known if row.method == "auto"]
            best = max(automatic or known, key=lambda row: row.reduction or 0.0)
            reduction, low, high = (100 * (value or 0.0) for value in (best.reduction, best.low, best.high))
            before = best.wer / (1 - (best.reduction or 0.0)) if best.reduction != 1 else 0.0
            lines.append(
                f"| {title} | {best.speakers} | {amount} | {best.unit} | {100 * before:.1f} | {100 * best.wer:.1f} "
                f"| {reduction:.0f} % ({low:.0f} … {high:.0f}) | {best.method} "
                f"| {100 * best.others_before:.1f} → {100 * best.others:.1f} | {best.cpu_seconds:.1f} |"
            )
    older = [title for corpus, title in CORPORA.items() if _measured(corpus) and is_older(record(corpus))]
    note = f"\nOlder runs, to be repeated: {'; '.join(older)}.\n" if older else ""
    return "\n".join(lines) + "\n" + note


def training() -> str:
    """Return the scores of models trained from scratch on AN4, one line per seed."""
    lines = ["| seed | WER % | CER % | CPU-seconds | audio-seconds per CPU-second |", "|---|---|---|---|---|"]
    rates = []
    for path in sorted((ROOT / "docs" / "results").glob("an4-scratch-*.json")):
        values = record(path.stem)
        score, cost = values["scores"]["test"], values["training"]
        rates.append(score["wer"])
        lines.append(
            f"| {values['config']['trainer']['seed']} | {100 * score['wer']:.2f} | {100 * score['cer']:.2f} "
            f"| {cost['cpu_seconds']:.0f} | {cost['audio_seconds_per_cpu_second']:.0f} |"
        )
    lines.append(f"| mean | {100 * sum(rates) / len(rates):.2f} | | | |")
    return "\n".join(lines) + "\n"


def words(name: str) -> str:
    """Return the table of an experiment on words never trained on, with how it was made."""
    values = record(name)
    rows = [WordsRow(**row) for row in values["scores"]["rows"]]
    return f"{words_markdown(rows, values['config']['top'])}\n{_made_words(values)}"


def figures(name: str) -> str:
    """Return an experiment's figures at a glance, with how it was made."""
    values = record(name)
    return f"{figures_markdown([Figure(**own) for own in values['scores']['figures']])}\n{_made_words(values)}"


def ideas(*names: str) -> str:
    """Return what several experiments on the same words found: a row each, those without a record left out."""
    lines, made = (
        [
            "| experiment | never trained on, found % | 95 % interval | seen, found % | their phone errors % |",
            "|---|---|---|---|---|",
        ],
        "",
    )
    for name in names:
        if not _measured(name):
            continue
        values = record(name)
        own = [Figure(**figure) for figure in values["scores"]["figures"]]
        unseen, seen, errors = (
            next((one for one in own if one.what.startswith(start) and "rule" not in one.what), None)
            for start in ("words never trained on found", "words seen", "phone errors of words never")
        )
        cells = [f"{100 * one.value:.1f}" if one else "–" for one in (unseen, seen, errors)]
        between = f"{100 * unseen.low:.0f} … {100 * unseen.high:.0f}" if unseen else "–"
        lines.append(f"| `{name}` | {cells[0]} | {between} | {cells[1]} | {cells[2]} |")
        made = made or f"Seeds {', '.join(map(str, values['config']['seeds']))}; {describe_origin(values)}.\n"
    return "\n".join(lines) + f"\n\n{made}"


def sentences(name: str) -> str:
    """Return what a lexicon and a list of words find in sentences, with how it was made."""
    values = record(name)
    effects = [spoken.Effect(**effect) for effect in values["scores"]["effects"]]
    command = _command(values)
    note = f"Made by `python recipes/zero_shot_words/{command}` at {describe_origin(values)}.\n"
    return f"{sentences_markdown(values['scores']['systems'], effects)}\n{note}"


def new_speaker(name: str) -> str:
    """Return what helps with a speaker never heard, with how it was made."""
    values = record(name)
    rows = [speakers.Row(**row) for row in values["scores"]["rows"]]
    note = (
        f"Made by `python recipes/multilingual/{_command(values)}` at "
        f"{describe_origin(values)}; seeds {', '.join(map(str, values['config']['seeds']))}.\n"
    )
    return f"{speakers.markdown(rows)}\n{note}"


def forgetting(*names: str) -> str:
    """Return what others were predicted to lose beside what they lost, runs of one corpus together, and how."""
    found: dict[str, list[Case]] = {}
    tables, made = {}, []
    for name in filter(_measured, names):
        values = record(name)
        title = CORPORA[values["config"]["corpus"]]
        found.setdefault(title, []).extend(Case(**own) for own in values["scores"]["cases"])
        tables[title] = agreements(found[title], values["config"]["choice"]["tolerance"])
        made.append(
            f"{title}: made by `python recipes/speaker_adaptation/{_command(values)}` at {describe_origin(values)}.\n"
        )
    return f"{predicted_markdown(tables)}\n{''.join(made)}"


def _command(values: dict[str, Any]) -> str:
    """Return the command of a record, as if the run had never been stopped."""
    return re.sub(r" --resume( true)?", "", values["command"])


def _made_languages(values: dict[str, Any]) -> str:
    config = values["config"]
    return (
        f"Made by `python recipes/multilingual/{_command(values)}` at {describe_origin(values)}; seeds "
        f"{', '.join(map(str, [*config['seeds'], *config.get('extra_seeds', [])]))}; "
        f"{config['source']['trainer']['steps']} steps on the source languages, "
        f"{config['learn']['trainer']['steps']} on the target.\n"
    )


def _made_words(values: dict[str, Any]) -> str:
    return (
        f"Made by `python recipes/zero_shot_words/{_command(values)}` at "
        f"{describe_origin(values)}; draws of the smaller lexica: {values['config']['draws']}, models: "
        f"{len(values['scores']['models'])}.\n"
    )


def _measured(name: str) -> bool:
    return (ROOT / "docs" / "results" / f"{name}.json").is_file()


TABLES: dict[str, Callable[..., str]] = {
    "adaptation": adaptation,
    "brief": brief,
    "curve": curve,
    "figures": figures,
    "forgetting": forgetting,
    "headline": headline,
    "identification": identification,
    "ideas": ideas,
    "negative": negative,
    "new_speaker": new_speaker,
    "pairs": pairs,
    "sentences": sentences,
    "training": training,
    "words": words,
}


def filled(text: str) -> str:
    """Return a page with its tables filled in."""

    def fill(match: re.Match[str]) -> str:
        name, *arguments = match["name"].split()
        if arguments and not any(map(_measured, arguments)):
            return f"{match[1]}Not measured: there is no record of a run.\n{match[4]}"
        body = TABLES[name](*arguments)
        return f"{match[1]}{body}{match[4]}"

    return BLOCK.sub(fill, text)


def main(arguments: list[str]) -> int:
    """Fill the pages, or with `--check` say which are out of date."""
    stale = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        if filled(text) != text:
            stale.append(page)
            if "--check" not in arguments:
                page.write_text(filled(text), encoding="utf-8")
    for page in stale:
        print(f"{page.relative_to(ROOT)}: {'out of date' if '--check' in arguments else 'tables filled in'}")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
