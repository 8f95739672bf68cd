"""Compares systems with a baseline: scores, tests and marks. `comparison_table` and `report` show what comes out.

Every system is scored under one normalisation and on one set of utterances; what differs is refused. A mark stands for
a difference whose p, after Holm's correction for all systems that met the baseline, is below 0.05.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from asr_transfer.data.manifest import UNKNOWN
from asr_transfer.errors import ConfigError, DataError, nearest_hint
from asr_transfer.evaluation import significance
from asr_transfer.evaluation.breakdown import Recall, hot_word_recall, oov_recall, read_words
from asr_transfer.evaluation.clusters import FEWEST, Estimate, difference, reachable
from asr_transfer.evaluation.curves import harm, worst_decile
from asr_transfer.evaluation.normalisation import find_profile
from asr_transfer.evaluation.runs import System, common_profile, is_pair, load_systems, same_utterances, unique_names
from asr_transfer.evaluation.scoring import Alignments, Counts, Hypothesis, align
from asr_transfer.evaluation.text_pairs import Texts
from asr_transfer.orthography import case_of

Mark = Literal["base", "better", "worse", "open", "same"]
"""`open` is a difference that may be chance, `same` none at all."""
ALPHA = 0.05


@dataclass(frozen=True)
class Entry:
    """A system among others.

    Attributes:
        system: system that was compared.
        method, amount: method and amount of adaptation, where the run record tells; amount is in utterances.
        words: its alignment; under a profile without spaces the words are characters.
        characters: character counts; None where words are characters.
        interval: interval of its error rate, over what `Compared.over` says; None without references and below four of
            them.
        test: against the baseline; None for the baseline itself, and where there is only one system.
        harmed: share of speakers with a higher error rate than under the baseline.
        worst: error rate of the tenth of speakers (at least one) with the highest.
        others: error rate on other speakers before and after adaptation, where the run record tells.
        forgetting: the change of that, with its interval, where the run record tells it by speaker.
        recall: recall of the listed words, where there is a list.
        unknown: recall of the words outside the vocabulary, where there is one.
    """

    system: System
    method: str | None
    amount: int | None
    words: Alignments
    characters: Counts | None
    interval: tuple[float, float] | None
    test: significance.Comparison | None = None
    harmed: float | None = None
    worst: float | None = None
    others: tuple[float, float] | None = None
    forgetting: Estimate | None = None
    recall: Recall | None = None
    unknown: Recall | None = None

    @property
    def name(self) -> str:
        """What tables call the system."""
        return self.system.name

    @property
    def cpu_seconds(self) -> float | None:
        """Processor seconds that its run took, where a run record tells."""
        return _number(_mapping(self.system.record.get("time")).get("cpu_seconds"))

    @property
    def peak_memory(self) -> float | None:
        """Most megabytes that a process of its run held, where a run record tells."""
        return _number(self.system.record.get("peak_memory_mb"))

    @property
    def source(self) -> str:
        """What its model was trained on: `source` of the run's settings, else its name."""
        stated = (self.system.record.get("config") or {}).get("source")
        return stated if isinstance(stated, str) else self.name

    @property
    def counts(self) -> Counts:
        """Its errors over all utterances with a reference."""
        return self.words.counts()

    @property
    def mark(self) -> Mark:
        """Whether it is better or worse than the baseline, beyond chance."""
        if self.test is None:
            return "base"
        difference = self.test.change.difference
        if not difference:
            return "open" if self.test.change.differing else "same"
        if self.test.p_change >= ALPHA:
            return "open"
        return "better" if difference < 0 else "worse"


@dataclass(frozen=True)
class Compared:
    """Systems over the same utterances under the same normalisation.

    Attributes:
        entries: the systems, by amount, else in the given order.
        baseline: index of the baseline among them.
        profile: normalisation.
        notes: sentences that every report shows.
    """

    entries: tuple[Entry, ...]
    baseline: int
    profile: str
    notes: tuple[str, ...]

    @property
    def base(self) -> Entry:
        """The baseline."""
        return self.entries[self.baseline]

    @property
    def rate(self) -> str:
        """What the error rate is called: WER, or CER where characters are counted as words."""
        return "WER" if find_profile(self.profile).spaced else "CER"

    @property
    def over(self) -> str:
        """What the intervals are over, and how many there are."""
        words = self.base.words
        kept = words.scored
        speakers, ids = (np.asarray(names)[kept].tolist() for names in (words.speakers, words.ids))
        kind, together = significance.independent(speakers, ids)
        return f"{len(set(together)):,} {kind}"

    @property
    def speakers(self) -> list[str]:
        """All speakers, by name."""
        return sorted(set(self.base.words.speakers))

    @property
    def languages(self) -> list[str]:
        """All languages, by name."""
        return sorted(set(self.base.words.languages))

    @property
    def best(self) -> Entry:
        """The system of lowest error rate; the first of equal ones."""
        return min(self.entries, key=lambda e: e.counts.rate if e.counts.reference else math.inf)

    @property
    def focus(self) -> Entry:
        """The system whose utterances a reader wants to see first: the best that is not the baseline."""
        rest = [e for n, e in enumerate(self.entries) if n != self.baseline]
        return min(rest, key=lambda e: e.counts.errors) if rest else self.base


def load(
    runs: Sequence[str],
    profile: str | None = None,
    intersect: bool = False,
    texts: Texts = "auto",
    language: str | None = None,
) -> tuple[list[System], list[str]]:
    """Read runs as systems over one utterance set; utterances that name no language are in `language`.

    Args:
        runs: runs as `load_systems` takes them, like `profile` and `texts`.
        profile: normalisation to score under.
        intersect: argument of `same_utterances`.
        texts: way in which lines of two texts belong together.

    Returns:
        The systems, and sentences about what was left out.

    Raises:
        DataError: a run is damaged, or utterances or normalisations differ.
        ConfigError: `texts` is given although no run is two texts.
    """
    if texts != "auto" and not any(map(is_pair, runs)):
        raise ConfigError("`texts` says how two texts belong together, but none of the runs is `ref.txt,hyp.txt`.")
    given = unique_names([system for run in runs for system in load_systems(run, profile=profile, texts=texts)])
    if language is not None:
        given = _in_language(given, language)
    common_profile(given)
    kept = same_utterances(given, intersect)
    notes = [f"{system.name}: {note}" for system in kept for note in system.notes]
    left: dict[tuple[int, int], list[str]] = {}
    for before, after in zip(given, kept, strict=True):
        lost = len(before.utterances) - len(after.utterances)
        if lost:
            left.setdefault((lost, len(before.utterances)), []).append(before.name)
    for (lost, total), names in left.items():
        notes.append(f"{', '.join(names)}: {lost} of {total} utterances left out, others lack them.")
    return kept, notes


def _in_language(systems: Sequence[System], language: str) -> list[System]:
    if not any(_names_none(utterance) for system in systems for utterance in system.utterances):
        raise ConfigError("`language` is that of texts that name none, but all of these name theirs; leave it out.")
    return [
        replace(s, utterances=[replace(u, language=language if _names_none(u) else u.language) for u in s.utterances])
        for s in systems
    ]


def _names_none(utterance: Hypothesis) -> bool:
    return utterance.language in ("", UNKNOWN["language"])


def _language_missing(system: System) -> bool:
    """Say whether texts that name no language hold letters that some languages lower-case otherwise."""
    return any(_names_none(u) and {"ı", "İ"} & {*u.reference, *u.hypothesis} for u in system.utterances)


def _other_case(system: System) -> str | None:
    """Return what to say where references and hypotheses are in different cases, which makes every word an error."""
    pairs = [utterance for utterance in system.utterances if utterance.reference and utterance.hypothesis]
    references, texts = case_of(u.reference for u in pairs), case_of(u.hypothesis for u in pairs)
    if "kept" in (references, texts) or references == texts:
        return None
    named = {"lower": "small letters", "upper": "capitals"}
    return (
        f"{system.name}: the references are in {named[references]} and its texts in {named[texts]}, so all letters "
        "count as errors; `--normalisation lower` compares what was said."
    )


def compare_systems(
    systems: Sequence[System],
    baseline: str | None = None,
    words: Path | None = None,
    notes: Sequence[str] = (),
    vocabulary: Path | None = None,
) -> Compared:
    """Score systems and test each against the baseline.

    Args:
        systems: over the same utterances.
        baseline: its name; None takes the source model where there is exactly one, else the first system.
        words: file of words whose recall is counted.
        notes: sentences to show.
        vocabulary: file of known words; the recall of all others is counted.

    Raises:
        ConfigError: no system has the baseline's name.
        DataError: utterances or normalisations differ; there is no system or no utterance; a record is damaged.
    """
    if not systems or not systems[0].utterances:
        raise DataError("there is no utterance to compare; give at least one run with hypotheses.")
    profile = common_profile(systems)
    entries = [_entry(system, profile) for system in systems]
    order = sorted(range(len(entries)), key=lambda n: entries[n].amount or 0)
    entries = [entries[n] for n in order]
    index = _baseline(entries, baseline)
    base = entries[index]
    listed, known = (read_words(path) if path else None for path in (words, vocabulary))
    rest = [n for n in range(len(entries)) if n != index]
    tests = significance.compare(base.words, [entries[n].words for n in rest]) if rest else []
    for n, test in zip(rest, tests, strict=True):
        entries[n] = replace(entries[n], test=test)
    several = len(set(base.words.speakers)) > 1
    harms = [harm(base.words, e.words).share if several and n != index else None for n, e in enumerate(entries)]
    spans = [_interval(e.words) for e in entries]
    entries = [
        replace(
            e,
            harmed=share,
            interval=span,
            recall=hot_word_recall(e.words, listed) if listed else None,
            unknown=oov_recall(e.words, known) if known else None,
        )
        for e, share, span in zip(entries, harms, spans, strict=True)
    ]
    found = list(dict.fromkeys([*notes, *(f"Significance: {t.change.note}." for t in tests if t.change.note)]))
    least = len(tests) * reachable(tests[0].change.clusters) if tests else 0.0
    if least >= ALPHA:
        over = f"{tests[0].change.clusters} {tests[0].change.over}"
        found.append(
            f"Significance: with {over} and {len(tests)} comparisons p (Holm) cannot be below {ALPHA}, whatever the "
            "difference; compare fewer systems at once, or test on more speakers."
        )
    if not tests and len(set(base.words.speakers)) < FEWEST:
        found.append(f"Significance: {significance.few_speakers(base.words.speakers)}.")
    if (scored := int(base.words.scored.sum())) < FEWEST:
        found.append(f"There are no intervals: {scored} utterances say too little, {FEWEST} are needed.")
    if not find_profile(profile).lowers:
        found += [note for entry in entries if (note := _other_case(entry.system))]
    elif any(_language_missing(entry.system) for entry in entries):
        found.append("Texts with ı or İ name no language, which small letters depend on; give it with --language.")
    empty = int((~base.words.scored).sum())
    if empty:
        found.append(f"{empty} utterances have an empty reference; they are in no error rate.")
    return Compared(tuple(entries), index, profile, tuple(found))


def _entry(system: System, profile: str) -> Entry:
    words = align(system.utterances, "word", profile)
    characters = None
    if find_profile(profile).spaced:
        characters = words.by_character().counts()
    method, amount = _target(system)
    others, forgetting = _others(system)
    return Entry(
        system,
        method,
        amount,
        words,
        characters,
        None,
        worst=worst_decile(words) if len(set(words.speakers)) > 1 else None,
        others=others,
        forgetting=forgetting,
    )


def _target(system: System) -> tuple[str | None, int | None]:
    """Return method and amount of adaptation of a recipe's row, or of a run of `adapt`."""
    config = system.record.get("config") or {}
    method = config.get("method")
    amount = config.get("amount", ((system.record.get("data") or {}).get("adapt") or {}).get("utterances"))
    if not isinstance(amount, int) or isinstance(amount, bool):
        amount = None
    elif not 0 <= amount < 2**53:
        raise _damaged(system, "config.amount" if "amount" in config else "data.adapt.utterances", amount)
    return (method if isinstance(method, str) else None, amount)


def _others(system: System) -> tuple[tuple[float, float] | None, Estimate | None]:
    """Return the error on other speakers before and after adaptation, and its change where it is told by speaker."""
    scores = system.record.get("scores") or {}
    entry = scores.get("others") or {}
    if not isinstance(entry, dict):
        raise _damaged(system, "scores.others", entry)
    rates = []
    for part in ("before", "after"):
        found = entry.get(part) or {}
        if not isinstance(found, dict):
            raise _damaged(system, f"scores.others.{part}", found)
        rates.append(found.get("wer"))
    told = tuple(rate for rate in rates if isinstance(rate, float))
    pairs = entry.get("pairs") or []
    if not isinstance(pairs, list) or not all(_is_pair(pair) for pair in pairs):
        raise _damaged(system, "scores.others.pairs", pairs)
    before, after, words = ([pair[key] for pair in pairs] for key in ("before", "after", "words"))
    if not sum(words) or len(told) < 2:
        return (told[0], told[1]) if len(told) == 2 else None, None
    return (told[0], told[1]), difference(before, after, words, [pair["speaker"] for pair in pairs])


def _is_pair(pair: Any) -> bool:
    """Return whether an entry of a record has a speaker's errors before and after, and words."""
    return (
        isinstance(pair, dict)
        and isinstance(pair.get("speaker"), str)
        and all(type(pair.get(key)) is int and 0 <= pair[key] < 2**31 for key in ("before", "after", "words"))
    )


def _damaged(system: System, field: str, value: Any) -> DataError:
    file = (system.folder or Path()) / "run.json"
    text = repr(value)
    shown = text if len(text) < 60 else text[:59] + "…"
    return DataError(f"{file}: `{field}` cannot be {shown}; the record is damaged, run again.")


def _baseline(entries: Sequence[Entry], name: str | None) -> int:
    names = [entry.name for entry in entries]
    if name is not None:
        if name not in names:
            raise ConfigError(f"`baseline`: there is no system '{name}'.{nearest_hint(name, names)}")
        return names.index(name)
    sources = [n for n, entry in enumerate(entries) if entry.amount == 0]
    return sources[0] if len(sources) == 1 else 0


def _interval(words: Alignments) -> tuple[float, float] | None:
    found = significance.error_rate(words)
    return None if found is None or found.low is None or found.high is None else (found.low, found.high)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
