"""Tables of experiments on new languages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asr_transfer.experiments.languages import curve as languages
from asr_transfer.experiments.languages import new_speaker_rows as speakers
from asr_transfer.experiments.languages.negative import Effect
from asr_transfer.experiments.languages.pairs import Pair
from asr_transfer.experiments.languages.savings import Saving
from asr_transfer.experiments.languages.search import Tried
from asr_transfer.experiments.languages.tables import (
    brief_markdown,
    curve_markdown,
    identification_markdown,
    negative_markdown,
    pairs_markdown,
)
from docs.origin import made
from docs.records import built, record


def curve(name: str) -> str:
    """Return the tables of an experiment over the amount of a language's speech, with how it was made."""
    values = record(name)
    rows = [built(languages.Row, row) for row in values["scores"]["rows"]]
    saved = [built(Saving, one) for one in values["scores"].get("savings", [])]
    tried = [built(Tried, one) for one in values["scores"].get("search", [])]
    return f"{curve_markdown(rows, saved, tried)}\n{_made(values)}"


def brief(name: str) -> str:
    """Return plain transfer beside the best start from scratch, with how it was made."""
    values = record(name)
    table = brief_markdown([built(languages.Row, row) for row in values["scores"]["rows"]])
    return f"{table}\n{_made(values)}"


def pairs(name: str) -> str:
    """Return the source × target table of languages, with how it was made."""
    values = record(name)
    return f"{pairs_markdown([built(Pair, pair) for pair in values['scores']['pairs']])}\n{_made(values)}"


def negative(name: str) -> str:
    """Return which source languages help and which harm, with how it was made."""
    values = record(name)
    return f"{negative_markdown([built(Effect, own) for own in values['scores']['effects']])}\n{_made(values)}"


def identification(name: str) -> str:
    """Return how well a source model tells languages apart, with how it was made."""
    values = record(name)
    return f"{identification_markdown(values['scores']['identification'])}\n{made(values)}.\n"


def new_speaker(name: str) -> str:
    """Return what helps with a speaker never heard, with how it was made."""
    values = record(name)
    rows = [built(speakers.Row, row) for row in values["scores"]["rows"]]
    seeds = ", ".join(map(str, values["config"]["seeds"]))
    return f"{speakers.markdown(rows)}\n{made(values)}; seeds {seeds}.\n"


def _made(values: Mapping[str, Any]) -> str:
    config = values["config"]
    return (
        f"{made(values)}; seeds {', '.join(map(str, [*config['seeds'], *config.get('extra_seeds', [])]))}; "
        f"{config['source']['trainer']['steps']} steps on the source languages, "
        f"{config['learn']['trainer']['steps']} on the target.\n"
    )
