"""Gives the error rate of each language of a test set with its interval, as a table for a model card or a terminal."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from asr_transfer.evaluation.clusters import FEWEST, Estimate, rate
from asr_transfer.evaluation.normalisation import Unit
from asr_transfer.evaluation.scoring import Hypothesis, align


@dataclass(frozen=True)
class LanguageRate:
    """The errors of a model in one language.

    Attributes:
        language: ISO 639 code.
        unit: unit in which errors are counted: `character`, or `word` for phones that are written with spaces.
        utterances: number of utterances with a reference.
        speakers: number of speakers.
        estimate: error rate and its interval, over speakers where there are four or more, else over utterances.
    """

    language: str
    unit: Unit
    utterances: int
    speakers: int
    estimate: Estimate

    def __str__(self) -> str:
        return f"{100 * self.estimate.value:.1f} %{self.interval}"

    @property
    def interval(self) -> str:
        """Return the interval in brackets, empty where there are too few observations for one."""
        low, high = self.estimate.low, self.estimate.high
        return "" if low is None or high is None else f" ({100 * low:.1f} … {100 * high:.1f})"

    @property
    def over(self) -> str:
        """Return what the interval is taken over."""
        return "speakers" if self.speakers >= FEWEST else "utterances"

    def to_plain(self) -> dict[str, Any]:
        """Return what a record keeps."""
        return {
            "language": self.language,
            "unit": "phone" if self.unit == "word" else self.unit,
            "utterances": self.utterances,
            "speakers": self.speakers,
            "rate": round(self.estimate.value, 5),
            "low": self.estimate.low,
            "high": self.estimate.high,
            "over": self.over,
        }


def language_rates(hypotheses: Sequence[Hypothesis], phones: Collection[str] = ()) -> list[LanguageRate]:
    """Return the error rate of each language, by name; languages without a reference are left out.

    Args:
        hypotheses: recognised utterances of all languages.
        phones: languages whose texts are phones with spaces between them; their errors are counted in phones.
    """
    found = []
    for language in sorted({h.language for h in hypotheses}):
        own = [h for h in hypotheses if h.language == language]
        unit: Unit = "word" if language in phones else "character"
        alignments = align(own, unit)
        if not alignments.reference.sum():
            continue
        names = [h.speaker for h in own]
        speakers = len(set(names))
        clusters = names if speakers >= FEWEST else [h.id for h in own]
        estimate = rate(alignments.errors, alignments.reference, clusters)
        found.append(LanguageRate(language, unit, int((alignments.reference > 0).sum()), speakers, estimate))
    return found


def markdown(rates: Sequence[LanguageRate]) -> str:
    """Return the rates as a Markdown table, empty without any."""
    if not rates:
        return ""
    lines = [
        "| language | utterances | speakers | errors in | error rate (95 %) | over |",
        "|---|---:|---:|---|---|---|",
    ]
    for one in rates:
        unit = "phones" if one.unit == "word" else "characters"
        lines.append(f"| {one.language} | {one.utterances} | {one.speakers} | {unit} | {one} | {one.over} |")
    return "\n".join(lines) + "\n"
