"""Makes the tables of an experiment on unseen words in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from asr_transfer.evaluation.breakdown import hot_word_recall
from asr_transfer.evaluation.percentages import percent, span
from asr_transfer.experiments.core.tables import Table
from asr_transfer.experiments.sentences.effects import Effect
from asr_transfer.experiments.sentences.searches import Outcome

NOTE = (
    "WER of other words: errors at all words that are not listed, insertions included, per such word. 95 % intervals "
    "and p (two-sided) are over test sentences, or over speakers of four or more. Weights were chosen on other "
    "sentences."
)


def system_figures(outcome: Outcome) -> dict[str, dict[str, float]]:
    """Return for each search its word error rate and the shares of unseen, listed and known words that it finds."""
    vocabulary = outcome.vocabulary
    groups = {"unseen": vocabulary.unseen, "listed": vocabulary.listed, "known": vocabulary.known}
    return {
        name: {
            "wer": system.words.counts().rate,
            **{group: hot_word_recall(system.words, words).rate or 0.0 for group, words in groups.items()},
        }
        for name, system in outcome.systems.items()
    }


def sentences_tables(figures: Mapping[str, Mapping[str, float]], effects: Sequence[Effect]) -> list[Table]:
    """Return how each search does on the test set, `figures` as of `system_figures`, and what the words change."""
    systems = Table.of(
        figures.items(),
        [
            ("search", lambda own: own[0]),
            ("WER %", lambda own: percent(own[1]["wer"])),
            ("unseen words found %", lambda own: percent(own[1]["unseen"])),
            ("hot words found %", lambda own: percent(own[1]["listed"])),
            ("known words found %", lambda own: percent(own[1]["known"])),
        ],
    )
    changes = Table.of(
        effects,
        [
            ("search", lambda one: one.system),
            ("against", lambda one: one.baseline),
            ("words", lambda one: str(one.listed)),
            ("occurrences", lambda one: str(one.occurrences)),
            ("recall % before", lambda one: percent(one.recall_before)),
            ("recall %", lambda one: percent(one.recall)),
            ("points", lambda one: percent(one.recall - one.recall_before, sign="+")),
            ("95 % interval", lambda one: _interval(one.recall_low, one.recall_high, one.clusters[:1])),
            ("WER of other words % before", lambda one: percent(one.wer_before)),
            ("WER of other words %", lambda one: percent(one.wer)),
            ("points", lambda one: percent(one.wer - one.wer_before, sign="+")),
            ("95 % interval", lambda one: _interval(one.wer_low, one.wer_high, one.clusters[1:])),
            ("p", lambda one: f"{one.wer_p:.3f}"),
        ],
        note=NOTE,
    )
    return [systems, changes]


def _interval(low: float | None, high: float | None, clusters: Sequence[int]) -> str:
    counts = "" if low is None or high is None else "".join(f", n = {count}" for count in clusters)
    return span(low, high, 1, "+") + counts
