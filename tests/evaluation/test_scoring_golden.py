"""Errors are those that jiwer and NIST's sclite count in the same files; what they counted stands in tests/data."""

from __future__ import annotations

import json
import re

import pytest

from asr_transfer.evaluation.scoring import Alignments, align, score
from asr_transfer.evaluation.text_pairs import read_pair
from tests.real_runs import ROOT

GOLDEN = ROOT / "tests" / "data" / "scoring"
SETS = sorted(path.name.removesuffix(".ref.trn") for path in GOLDEN.glob("*.ref.trn"))
JIWER = json.loads((GOLDEN / "jiwer.json").read_text(encoding="utf-8"))
Counts = dict[str, tuple[int, int, int, int]]
"""Reference units, substitutions, deletions and insertions by utterance."""


def aligned(name: str, unit: str = "word", profile: str = "none") -> Alignments:
    """Return a set's alignment, read as sclite reads it."""
    pair = read_pair(GOLDEN / f"{name}.ref.trn", GOLDEN / f"{name}.hyp.trn")
    return align(pair.utterances, unit, profile)  # type: ignore[arg-type]


def counted(found: Alignments) -> Counts:
    """Return the counts of each utterance."""
    parts = (found.reference, found.substitutions, found.deletions, found.insertions)
    return dict(zip(found.ids, zip(*(part.tolist() for part in parts), strict=True), strict=True))


def sclite(name: str, unit: str = "words") -> Counts:
    """Return what sclite counted, read from what it printed."""
    text = (GOLDEN / f"{name}.{unit}.pra").read_text(encoding="utf-8")
    found = re.findall(r"^id: \((\S+)\)\nScores: \(#C #S #D #I\) (\d+) (\d+) (\d+) (\d+)$", text, re.MULTILINE)
    return {one: (int(c) + int(s) + int(d), int(s), int(d), int(i)) for one, c, s, d, i in found}


def errors(counts: Counts) -> dict[str, int]:
    """Return the errors of each utterance."""
    return {one: sum(own[1:]) for one, own in counts.items()}


def test_the_files_hold_what_they_are_for() -> None:
    assert SETS == ["english", "european", "mandarin", "shifted", "silence"]
    everything = {one: own for name in SETS for one, own in sclite(name).items()}
    assert any(own[2] == own[0] > 0 for own in everything.values()), "an empty hypothesis"
    assert any(own[3] and not own[1] and not own[2] and own[0] for own in everything.values()), "insertions alone"
    assert all((GOLDEN / f"{name}.words.pra").read_text("utf-8").startswith("$ sctk sclite ") for name in SETS)


@pytest.mark.parametrize("name", SETS)
def test_counts_of_words_are_jiwers(name: str) -> None:
    found = counted(aligned(name))
    assert {one: list(own) for one, own in found.items() if own[0]} == JIWER[name]["words"]


@pytest.mark.parametrize("name", SETS)
def test_counts_of_characters_are_jiwers(name: str) -> None:
    found = counted(aligned(name, "character"))
    assert {one: list(own) for one, own in found.items() if own[0]} == JIWER[name]["characters"]


@pytest.mark.parametrize("name", [name for name in SETS if name != "shifted"])
def test_errors_in_words_are_sclites(name: str) -> None:
    found = counted(aligned(name))
    assert errors(found) == errors(sclite(name))
    assert {one: own[0] for one, own in found.items()} == {one: own[0] for one, own in sclite(name).items()}


def test_errors_in_mandarin_characters_are_sclites() -> None:
    assert counted(aligned("mandarin", profile="mandarin")) == sclite("mandarin", "characters")


def test_the_word_error_rate_is_sclites() -> None:
    pair = read_pair(GOLDEN / "english.ref.trn", GOLDEN / "english.hyp.trn").utterances
    total = score([h.reference for h in pair], [h.hypothesis for h in pair])
    assert (total.words.errors, total.words.reference) == (21, 39), "the line Sum of sclite's summary"
    assert total.wer == sum(errors(sclite("english")).values()) / sum(own[0] for own in sclite("english").values())


def test_a_shifted_text_has_fewer_errors_than_sclites_weights_find() -> None:
    """To sclite a substitution weighs 4, an insertion or deletion 3, so that it may align with more errors than needed.

    Of a text that is shifted by three of five words it makes three deletions and three insertions (18 against 20);
    five substitutions are the fewest errors, which is what an error rate is of everywhere else.
    """
    ours, theirs = errors(counted(aligned("shifted"))), errors(sclite("shifted"))
    assert (ours.pop("fay-001"), theirs.pop("fay-001")) == (5, 6)
    assert ours == theirs == {"fay-002": 2, "fay-003": 2}


def test_words_recognised_in_silence_are_sclites_insertions() -> None:
    pair = read_pair(GOLDEN / "silence.ref.trn", GOLDEN / "silence.hyp.trn").utterances
    total = score([h.reference for h in pair], [h.hypothesis for h in pair])
    inserted = sum(own[3] for own in sclite("silence").values())
    assert total.words.insertions + total.empty_reference_insertions == inserted == 3
    assert (total.wer, total.empty_references) == (0.5, 2), "they are counted apart, where sclite counts them in"
