"""Tables of an experiment on unseen words in sentences: what a person reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from asr_transfer.evaluation.breakdown import hot_word_recall
from asr_transfer.experiments.sentences.effects import Effect
from asr_transfer.experiments.sentences.searches import Outcome

NOTE = (
    "WER of other words: errors at all words that are not listed, insertions included, per such word. 95 % intervals "
    "and p (two-sided) are over test sentences, or over speakers of four or more. Weights were chosen on other "
    "sentences."
)


def effects_table(effects: Sequence[Effect]) -> list[list[str]]:
    """Return heading and rows of what the words change, by search."""
    rows = [
        [
            "search",
            "against",
            "words",
            "occurrences",
            "recall % before",
            "recall %",
            "points",
            "95 % interval",
            "WER of other words % before",
            "WER of other words %",
            "points",
            "95 % interval",
            "p",
        ]
    ]
    for one in effects:
        rows.append(
            [
                one.system,
                one.baseline,
                str(one.listed),
                str(one.occurrences),
                _percent(one.recall_before),
                _percent(one.recall),
                _percent(one.recall - one.recall_before, "+"),
                _between(one.recall_low, one.recall_high, one.clusters[:1]),
                _percent(one.wer_before),
                _percent(one.wer),
                _percent(one.wer - one.wer_before, "+"),
                _between(one.wer_low, one.wer_high, one.clusters[1:]),
                f"{one.wer_p:.3f}",
            ]
        )
    return rows


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


def systems_table(figures: Mapping[str, Mapping[str, float]]) -> list[list[str]]:
    """Return heading and rows of how each search does on the test set; `figures` as `system_figures` gives them."""
    rows = [["search", "WER %", "unseen words found %", "hot words found %", "known words found %"]]
    for name, own in figures.items():
        rows.append([name, *(_percent(own[what]) for what in ("wer", "unseen", "listed", "known"))])
    return rows


def sentences_markdown(figures: Mapping[str, Mapping[str, float]], effects: Sequence[Effect]) -> str:
    """Return both tables as Markdown."""
    return f"{_markdown(systems_table(figures))}\n{_markdown(effects_table(effects))}\n{NOTE}\n"


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]) + "\n"


def _between(low: float | None, high: float | None, clusters: Sequence[int]) -> str:
    if low is None or high is None:
        return "–"
    return f"{_percent(low, '+')} … {_percent(high, '+')}" + "".join(f", n = {count}" for count in clusters)


def _percent(value: float, sign: str = "") -> str:
    return f"{100 * value:{sign}.1f}"
