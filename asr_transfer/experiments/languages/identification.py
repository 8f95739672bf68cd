"""Measures how well a source model tells its languages apart on recordings that it was not trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asr_transfer.data.features import FeatureStore
from asr_transfer.data.manifest import Utterance, by_language
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.identify import (
    Identified,
    accuracy,
    confusions,
    fit_offsets,
    head_scores,
    named,
    told_confusions,
)
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.evaluation.percentages import percent
from asr_transfer.experiments.core.tables import Table
from asr_transfer.experiments.languages.points import Corpora, load_source, source_test_store


def identified(folder: Path, corpora: Corpora) -> tuple[dict[str, Any], dict[str, float]]:
    """Return how well the model in a source's run folder tells languages apart, and its offsets: `identification`.

    Args:
        folder: run folder of a source model.
        corpora: corpora whose held-out source speech is identified.
    """
    recogniser = load_source(folder)
    store = source_test_store(corpora, recogniser.model.inputs)
    return identification(recogniser, corpora.source_test_utterances(), store)


def identification(
    recogniser: Recogniser, held_out: Sequence[Utterance], store: FeatureStore
) -> tuple[dict[str, Any], dict[str, float]]:
    """Return how well a model's heads tell languages apart on speech that it was not trained on, and their offsets.

    `raw_share` is of taking the head that is surest, `calibrated_share` of doing so after adding offsets to the heads'
    scores. The offsets come from every second utterance of each language and are tried on the others, and the other
    way round, so that no utterance is judged by what was calibrated on it. `other_voices_share` is the same with
    offsets from other speakers of the language alone: a head may know a voice or a microphone rather than a language.

    Args:
        recogniser: model of several languages.
        held_out: utterances; those in languages without a head, or with fewer than two utterances, are left out.
        store: their features.

    Returns:
        A record of `utterances`, `raw_share` and `calibrated_share`, the means over languages of the share identified
        rightly, `languages` with the same of each, and `confusions`, the most frequent mistakes once calibrated;
        `other_voices_share` is there, also by language, where languages have several speakers. `utterances` is 0 and
        nothing else is there where there are not two languages.
        The offsets of all utterances together, for the model to keep; empty where a head has no utterances.
    """
    heads = list(recogniser.model.heads)
    parts = {name: part for name, part in by_language(held_out).items() if name in heads and len(part) > 1}
    if len(parts) < 2:
        return {"utterances": 0}, {}
    kept = [u for part in parts.values() for u in part]
    truth = [u.language for u in kept]
    scores = head_scores(recogniser, Spoken(kept, store), list(parts))
    halves = [number % 2 for part in parts.values() for number in range(len(part))]
    found = {"raw_share": named(scores), "calibrated_share": _crossed(scores, truth, halves)}
    languages = {name: {"utterances": len(part), **_shares(found, truth, name)} for name, part in parts.items()}
    record = {"utterances": len(kept), **{way: round(accuracy(own, truth), 4) for way, own in found.items()}}
    voices = {name: sorted({u.speaker for u in part}) for name, part in parts.items()}
    several = {name for name, own in voices.items() if len(own) > 1}
    if several:
        # A language with one voice is always calibrated on, and never judged.
        sides = [voices[u.language].index(u.speaker) % 2 if u.language in several else None for u in kept]
        judged = [n for n, side in enumerate(sides) if side is not None]
        others = _crossed(scores, truth, sides)
        record["other_voices_share"] = round(accuracy([others[n] for n in judged], [truth[n] for n in judged]), 4)
        for name in several:
            languages[name].update(_shares({"other_voices_share": others}, truth, name))
    offsets = fit_offsets(scores, truth) if set(parts) == set(heads) else {}
    return {**record, "languages": languages, "confusions": confusions(found["calibrated_share"], truth)}, offsets


def _crossed(scores: Sequence[Mapping[str, float]], truth: Sequence[str], sides: Sequence[int | None]) -> Identified:
    """Return what is identified on each of two sides with offsets from all that is not on it; None is on neither."""
    found = named(scores)
    for side in (0, 1):
        other = [n for n, own in enumerate(sides) if own != side]
        own = [n for n, at in enumerate(sides) if at == side]
        offsets = fit_offsets([scores[n] for n in other], [truth[n] for n in other])
        for n, result in zip(own, named([scores[n] for n in own], offsets), strict=True):
            found[n] = result
    return found


def _shares(found: Mapping[str, Identified], truth: Sequence[str], language: str) -> dict[str, float]:
    rows = [n for n, true in enumerate(truth) if true == language]
    return {way: round(accuracy([own[n] for n in rows], [language] * len(rows)), 4) for way, own in found.items()}


def identification_table(found: Mapping[str, Any]) -> Table:
    """Return the shares of recordings whose language was identified, by language, from a record of `identification`."""
    ways = {"raw %": "raw_share", "with offsets %": "calibrated_share", "other voices %": "other_voices_share"}
    return Table.of(
        [*found["languages"].items(), ("mean", found)],
        [
            ("language", lambda row: row[0]),
            ("recordings", lambda row: str(row[1]["utterances"])),
            *((heading, lambda row, way=way: percent(row[1].get(way))) for heading, way in ways.items()),
        ],
        note=f"Most often mistaken: {told_confusions(found['confusions'])}.",
    )


def is_measured(record: Mapping[str, Any]) -> bool:
    """Return whether a source model's record has `identification` as it is measured today."""
    found = record.get("identification")
    return isinstance(found, Mapping) and ("calibrated_share" in found or not found.get("utterances", 1))


def told(record: Mapping[str, Any]) -> str:
    """Return a line's part on what a source model's record says of telling languages apart; empty without."""
    found = record.get("identification") or {}
    if not found.get("utterances") or not is_measured(record):
        return ""
    parts = [f"{100 * found['raw_share']:.0f} % without calibration"]
    if "other_voices_share" in found:
        parts.append(f"{100 * found['other_voices_share']:.0f} % calibrated on other voices")
    if found.get("confusions"):
        parts.append(f"most often mistaken: {told_confusions(found['confusions'])}")
    return (
        f"; tells {len(found['languages'])} languages apart in {100 * found['calibrated_share']:.0f} % of new "
        f"recordings ({'; '.join(parts)})"
    )
