"""Error rates are corpus errors over corpus reference units, as a plain edit distance counts them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import jiwer
import numpy as np
import pytest

from asr_transfer.errors import ConfigError, DataError
from asr_transfer.evaluation.breakdown import (
    Confusion,
    biased_rates,
    confusions,
    hot_word_recall,
    oov_recall,
    per_language,
    per_speaker,
    read_words,
)
from asr_transfer.evaluation.scoring import (
    Alignments,
    Counts,
    Hypothesis,
    align,
    alignment,
    phone_counts,
    score,
    write_scores,
)


def _distance(first: list[str] | str, second: list[str] | str) -> int:
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, start=1):
        row, last = [i], row
        for j, b in enumerate(second, start=1):
            row.append(min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a != b)))
    return row[-1]


def _texts(random: np.random.Generator, count: int, shortest: int) -> list[str]:
    words = ["a", "to", "tea", "eat", "été", "你"]
    return [" ".join(random.choice(words, random.integers(shortest, 7))) for _ in range(count)]


@pytest.mark.parametrize("seed", range(5))
def test_rates_equal_a_brute_force_edit_distance(seed: int) -> None:
    random = np.random.default_rng(seed)
    references, hypotheses = _texts(random, 40, 1), _texts(random, 40, 0)
    result = score(references, hypotheses)
    pairs = list(zip(references, hypotheses, strict=True))
    assert result.words.errors == sum(_distance(r.split(), h.split()) for r, h in pairs)
    assert result.words.reference == sum(len(r.split()) for r in references)
    assert result.characters.errors == sum(_distance(r, h) for r, h in pairs)
    assert result.characters.reference == sum(len(r) for r in references)
    assert result.wer == result.words.errors / result.words.reference
    assert result.cer == result.characters.errors / result.characters.reference
    surplus = sum(len(h.split()) - len(r.split()) for r, h in pairs)
    assert result.words.insertions - result.words.deletions == surplus


def test_empty_references_are_counted_apart_and_never_as_perfect() -> None:
    result = score(["a b", "", "  "], ["a c", "noise here", ""])
    assert (result.wer, result.utterances) == (0.5, 1)
    assert (result.empty_references, result.empty_reference_insertions) == (2, 2)
    assert "2 empty references with 2 inserted words left out" in str(result)
    only = score(["", ""], ["x", ""])
    assert math.isnan(only.wer) and math.isnan(only.cer)
    assert math.isnan(score([], []).wer)


def test_rates_may_exceed_one_and_only_runs_of_spaces_are_merged() -> None:
    assert score(["a"], ["b c d"]).wer == 3.0
    assert score(["a  b "], [" a b"]).wer == 0
    assert score(["A b."], ["a b"]).wer == 1.0
    assert score(["a b"], [""]).wer == 1.0


def test_texts_of_different_number_are_refused() -> None:
    with pytest.raises(DataError, match="2 references but 1 hypotheses"):
        score(["a", "b"], ["a"])


def test_the_written_files_hold_every_utterance(tmp_path: Path) -> None:
    rows = [Hypothesis("u1", "s", "en", "so it goes", "so it go"), Hypothesis("u2", "s", "en", "你好", "你")]
    total = write_scores(tmp_path / "run", rows)
    lines = [json.loads(line) for line in (tmp_path / "run" / "hypotheses.jsonl").read_text("utf-8").splitlines()]
    assert [Hypothesis(**line) for line in lines] == rows
    text = (tmp_path / "run" / "scores.txt").read_text("utf-8")
    assert text.startswith(str(total)) and "so it goes" in text and "normalisation: none" in text
    assert total.to_plain()["wer"] == 0.5
    assert alignment([""], ["x"]) == "no utterance has a reference\n"


def _rows(pairs: list[tuple[str, str]], speakers: str = "", languages: str = "") -> list[Hypothesis]:
    who, tongue = speakers.split() or ["s"] * len(pairs), languages.split() or ["en"] * len(pairs)
    return [Hypothesis(f"u{n}", who[n], tongue[n], r, h) for n, (r, h) in enumerate(pairs)]


@pytest.fixture(scope="module")
def many() -> tuple[list[str], list[str], Alignments]:
    random = np.random.default_rng(7)
    references, hypotheses = _texts(random, 10_000, 1), _texts(random, 10_000, 0)
    return references, hypotheses, align(_rows(list(zip(references, hypotheses, strict=True))))


def test_ten_thousand_random_pairs_agree_with_jiwer(many: tuple[list[str], list[str], Alignments]) -> None:
    references, hypotheses, found = many
    parts = (found.reference, found.substitutions, found.deletions, found.insertions)
    for row, (r, h) in enumerate(zip(references, hypotheses, strict=True)):
        one = jiwer.process_words(r, h)
        expected = (one.hits + one.substitutions + one.deletions, one.substitutions, one.deletions, one.insertions)
        assert tuple(int(part[row]) for part in parts) == expected
    total = jiwer.process_words(references, hypotheses)
    assert found.counts().rate == pytest.approx(total.wer, abs=1e-12)
    spans = [(c.ref_start_idx, c.ref_end_idx, c.hyp_start_idx, c.hyp_end_idx) for row in total.alignments for c in row]
    assert list(map(tuple, found.chunks[:, 2:].tolist())) == spans
    assert score(references, hypotheses).cer == pytest.approx(jiwer.cer(references, hypotheses), abs=1e-12)


def test_ten_thousand_random_pairs_agree_with_kaldialign(many: tuple[list[str], list[str], Alignments]) -> None:
    kaldialign = pytest.importorskip("kaldialign", reason="kaldialign is not installed")
    references, hypotheses, found = many
    for row, (r, h) in enumerate(zip(references, hypotheses, strict=True)):
        peer = kaldialign.edit_distance(r.split(), h.split())
        assert peer["total"] == found.errors[row]
        # Several alignments are as short; what they share is the total and what follows from the lengths.
        assert peer["ins"] - peer["del"] == found.insertions[row] - found.deletions[row]


def test_an_alignment_spells_both_texts_and_its_errors(many: tuple[list[str], list[str], Alignments]) -> None:
    references, hypotheses, found = many
    for row in range(200):
        pairs = found.pairs(row)
        assert [r for _, r, _ in pairs if r is not None] == references[row].split()
        assert [h for _, _, h in pairs if h is not None] == hypotheses[row].split()
        assert sum(operation != "equal" for operation, _, _ in pairs) == found.errors[row]
        assert all((operation == "equal") == (r == h) for operation, r, h in pairs)


@pytest.mark.parametrize("profile", ["none", "basic", "mandarin"])
def test_texts_aligned_by_word_are_aligned_by_character_as_the_texts_themselves(profile: str) -> None:
    random = np.random.default_rng(3)
    references, hypotheses = _texts(random, 300, 0), _texts(random, 300, 0)
    hypotheses[::2] = [text.replace("e", "E.") for text in references[::2]]
    hypotheses[::3] = references[::3]
    rows = _rows(list(zip(references, hypotheses, strict=True)))
    found, expected = align(rows, "word", profile).by_character(), align(rows, "character", profile)
    assert (found.references, found.hypotheses) == (expected.references, expected.hypotheses)
    assert np.array_equal(found.chunks, expected.chunks) and found.counts() == expected.counts()


def test_the_readable_alignment_is_jiwers(many: tuple[list[str], list[str], Alignments]) -> None:
    references, hypotheses = many[0][:50], many[1][:50]
    expected = jiwer.visualize_alignment(jiwer.process_words(references, hypotheses))
    assert alignment([*references, ""], [*hypotheses, "x"]) == expected
    assert alignment(["a b"], [""]) == jiwer.visualize_alignment(jiwer.process_words("a b", ""))


def test_tables_sum_up_to_the_corpus_and_leave_empty_references_out() -> None:
    found = align(_rows([("a b", "a"), ("", "x y"), ("c", "c"), ("a", "b")], "ann ann bob bob", "en en fr fr"))
    ann, bob = per_speaker(found)
    assert (ann.name, ann.utterances, ann.empty_references, ann.counts.deletions) == ("ann", 1, 1, 1)
    assert (bob.counts.errors, bob.counts.reference) == (1, 2)
    assert [g.name for g in per_language(found)] == ["en", "fr"]
    assert sum(g.counts.errors for g in per_speaker(found)) == found.counts().errors == 2
    assert per_speaker(align([])) == []
    nobody = per_speaker(align(_rows([("", "x")])))[0]
    assert nobody.to_plain()["rate"] is None


def test_confusions_are_counted_most_frequent_first() -> None:
    found = align(_rows([("tea for two", "tee for two"), ("tea", "tee"), ("a b", "a"), ("a", "a b"), ("", "b")]))
    assert confusions(found) == [Confusion("tea", "tee", 2), Confusion(None, "b", 1), Confusion("b", None, 1)]
    assert confusions(found, 1) == [Confusion("tea", "tee", 2)]


def test_recall_of_listed_words_and_phrases() -> None:
    found = align(
        _rows([("call Ann Lee now", "call Ann Lee now"), ("Ann Lee", "Ann Li"), ("no", "Ann"), ("", "Ann")]), "word"
    )
    whole = hot_word_recall(found, ["Ann Lee"])
    assert (whole.occurrences, whole.found, whole.false_alarms, whole.missed) == (2, 1, 0, {"Ann Lee": 1})
    one = hot_word_recall(found, ["Ann"])
    assert (one.occurrences, one.found, one.false_alarms, one.rate) == (2, 2, 1, 1.0)
    assert hot_word_recall(found, ["zoo"]).rate is None
    unknown = oov_recall(found, ["call", "now", "no", "Ann"])
    assert (unknown.occurrences, unknown.found, unknown.false_alarms, unknown.missed) == (2, 1, 1, {"Lee": 1})
    with pytest.raises(DataError, match="'!' is empty under the normalisation 'basic'"):
        hot_word_recall(align(_rows([("a", "a")]), profile="basic"), ["!"])


def test_errors_at_listed_words_and_at_all_others_add_up() -> None:
    found = align(
        _rows(
            [
                ("call Ann Lee now", "call an Lee"),  # Ann: a substitution of a listed word; now: deleted
                ("Ann Lee", "Ann Lee Ann"),  # an insertion that is no whole phrase
                ("no", "no Ann Lee"),  # two insertions of a listed phrase
                ("Lee", "low"),  # no whole phrase
                ("", "Ann Lee"),
            ]
        )
    )
    rates = biased_rates(found, ["Ann Lee"])
    assert rates.listed == Counts(4, 1, 0, 2)
    assert rates.others == Counts(4, 1, 1, 1)
    assert rates.listed + rates.others == found.counts()
    assert rates.to_plain()["b_wer"] == 0.75 and "B-WER 75.00 % (3 errors in 4 words)" in str(rates)
    none = biased_rates(found, ["zoo"])
    assert none.others == found.counts() and none.to_plain()["b_wer"] is None and "none of them" in str(none)


def test_a_phrase_with_a_word_inserted_is_not_found() -> None:
    found = hot_word_recall(align(_rows([("ann lee", "ann o lee")])), ["ann lee"])
    assert (found.occurrences, found.found) == (1, 0)


def test_a_word_list_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n \n")
    (tmp_path / "latin").write_bytes(b"caf\xe9\n")
    (tmp_path / "good").write_text("\ufeffAnn  Lee\n\nzoo\n", "utf-8")
    assert read_words(tmp_path / "good") == ["Ann Lee", "zoo"]
    for name, message in (("empty", "holds no words"), ("latin", "is not UTF-8"), ("gone", "there is no such file")):
        with pytest.raises(DataError, match=f"{name}.*: {message}"):
            read_words(tmp_path / name)


def test_phones_are_counted_as_they_are() -> None:
    counts = phone_counts(["A: b", "tS i"], ["a b", "tS i"])
    assert (counts.errors, counts.reference, counts.rate) == (1, 4, 0.25)


def test_a_profile_is_applied_and_stored(tmp_path: Path) -> None:
    rows = _rows([("Don’t, stop!", "don't stop"), ("你 好", "你好")])
    assert score([r.reference for r in rows], [r.hypothesis for r in rows]).wer == 1.0
    total = write_scores(tmp_path, rows, profile="basic")
    assert total.words.errors == 2 and total.to_plain()["profile"] == "basic"
    assert "normalisation: basic" in (tmp_path / "scores.txt").read_text("utf-8")
    assert "Don’t, stop!" in (tmp_path / "hypotheses.jsonl").read_text("utf-8")
    mandarin = score(["你 好吗"], ["你好 嘛"], "mandarin")
    assert (mandarin.words.reference, mandarin.words.errors, mandarin.characters) == (3, 1, mandarin.words)
    with pytest.raises(ConfigError, match="'mandarn' is not known. Did you mean 'mandarin'"):
        score(["a"], ["a"], "mandarn")


def test_a_rate_of_nothing_is_null_in_a_record() -> None:
    plain = score([""], ["x"]).to_plain()
    assert plain["wer"] is None and plain["cer"] is None
    json.dumps(plain, allow_nan=False)


def test_an_id_that_occurs_twice_is_refused() -> None:
    with pytest.raises(DataError, match="'u1' occurs twice"):
        align([Hypothesis("u1", "s", "en", "a", "a"), Hypothesis("u1", "s", "en", "b", "b")])
