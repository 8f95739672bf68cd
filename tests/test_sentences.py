"""Unseen words of sentences: none without them in the lexicon, most with them, and counts that recount."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.evaluation.scoring import Hypothesis, align
from asr_transfer.search_config import SearchConfig
from asr_transfer.words import sentences
from asr_transfer.words.sentence_tables import sentences_markdown, system_figures
from asr_transfer.words.sentences import (
    BEAM,
    HOT,
    WITH,
    WITH_HOT,
    WITHOUT,
    Material,
    SentencesConfig,
    System,
    choose_words,
    effect,
    lexicon_of,
    missed,
    outside,
    run_sentences,
)
from tests.small import small_model

TOKENS = Tokens([" ", *"abcdefgh"])
CONFIG = SentencesConfig(order=2, hot_words=4, shortest=3, search=SearchConfig(beam=12, beam_threshold=15.0))


def _words(count: int, seed: int) -> list[str]:
    random = np.random.default_rng(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        found["".join(random.choice(list("abcdefgh"), size=random.integers(3, 6)))] = None
    return list(found)


def _said(words: Sequence[str], count: int, seed: int, name: str) -> list[Utterance]:
    random = np.random.default_rng(seed)
    texts = [" ".join(random.choice(words, size=4)) for _ in range(count)]
    return [Utterance(f"{name}-{n}", f"{n}.wav", 1.0, text, "one", "xx") for n, text in enumerate(texts)]


def _speech(utterance: Utterance, seed: int) -> torch.Tensor:
    """Return (frames, tokens) log-probabilities of a text, three frames a symbol, so noisy that letters go wrong."""
    logits = torch.randn(3 * len(utterance.text), len(TOKENS), generator=torch.Generator().manual_seed(seed))
    logits[:, 0] += 3.0
    for n, symbol in enumerate(utterance.text):
        logits[3 * n + 1, TOKENS.symbols.index(symbol)] += 4.5
    return (1.5 * logits).log_softmax(-1)


@pytest.fixture(scope="module")
def material() -> Material:
    """Return sentences of twelve words, of which the training texts hold eight."""
    words = _words(12, 0)
    return Material(
        [u.text for u in _said(words[:8], 30, 1, "train")], _said(words, 6, 2, "dev"), _said(words, 14, 3, "test")
    )


@pytest.fixture
def recogniser(monkeypatch: pytest.MonkeyPatch) -> Recogniser:
    """Return a recogniser whose network is not asked: what it hears is made from the texts."""

    def heard(recogniser: Recogniser, utterances: Sequence[Utterance], store: object) -> list[torch.Tensor]:
        return [_speech(u, 100 + n) for n, u in enumerate(utterances)]

    monkeypatch.setattr(sentences, "_heard", heard)
    return Recogniser(small_model(heads={"xx": len(TOKENS)}), TOKENS, "xx", {})


def test_a_lexicon_finds_unseen_words_and_none_without_them(recogniser: Recogniser, material: Material) -> None:
    told: list[str] = []
    outcome = run_sentences(recogniser, material, None, CONFIG, told.append)  # type: ignore[arg-type]
    lexicon, boosted, hot = outcome.effects
    assert (lexicon.system, lexicon.baseline) == (WITH, WITHOUT) and (hot.system, hot.baseline) == (HOT, BEAM)
    assert lexicon.recall_before == 0 and lexicon.recall > 0.8 and lexicon.recall_low > 0.5
    assert lexicon.wer <= lexicon.wer_before
    assert hot.recall > hot.recall_before and boosted.recall >= boosted.recall_before
    assert {word for h in outcome.systems[WITHOUT].hypotheses for word in h.hypothesis.split()} <= set(
        outcome.vocabulary.known
    )
    assert not set(outcome.model.words) & set(outcome.vocabulary.unseen)
    assert set(outcome.tuned) == {WITH, WITH_HOT, HOT} and all("dev" in line for line in told[:3])
    table = sentences_markdown(system_figures(outcome), outcome.effects)
    assert all(f"| {name} |" in table for name in outcome.systems)
    again = run_sentences(recogniser, material, None, CONFIG)  # type: ignore[arg-type]
    assert again.effects == outcome.effects


def test_held_out_words_leave_lexicon_and_language_model(recogniser: Recogniser, material: Material) -> None:
    config = SentencesConfig(**{**vars(CONFIG), "held_out": 3})
    outcome = run_sentences(recogniser, material, None, config)  # type: ignore[arg-type]
    held = set(outcome.vocabulary.held_out)
    assert len(held) == 3 and held <= set(outcome.vocabulary.unseen) and not held & set(outcome.vocabulary.known)
    assert not held & set(outcome.model.words)
    assert outcome.effects[0].recall_before == 0 and outcome.effects[0].recall > 0.8


def test_words_are_divided_by_the_training_texts() -> None:
    said = [Utterance("1", "1.wav", 1.0, "abc dead xyz bee", "s", "xx")]
    material = Material(["abc cab"], said, said, ["bee fee"])
    found = choose_words(material, said, TOKENS, CONFIG)
    assert found.known == ("abc", "cab", "bee", "fee") and found.unseen == ("dead", "xyz")
    assert found.listed == ("dead",) and found.unspelled == ("xyz",) and found.held_out == ()
    assert lexicon_of(material, found.unseen, found.unspelled, TOKENS).words == ["dead"]
    with pytest.raises(DataError, match="hold every word"):
        choose_words(Material(["abc dead xyz bee"], said, said), said, TOKENS, CONFIG)
    with pytest.raises(DataError, match="lower `shortest`"):
        choose_words(material, said, TOKENS, SentencesConfig(shortest=5))


def test_a_model_of_phones_takes_pronunciations_from_a_lexicon() -> None:
    phones = Tokens(["a", "b"], "phones")
    lexicon = Lexicon.from_pairs([("aba", "a b a"), ("bab", "b a b"), ("bab", "b z"), ("zab", "z a b")])
    said = [Utterance("1", "1.wav", 1.0, "aba bab zab", "s", "xx")]
    material = Material(["aba"], said, said, (), lexicon)
    found = choose_words(material, said, phones, CONFIG)
    assert found.listed == ("bab",) and found.unspelled == ("zab",)
    assert len(lexicon_of(material, (*found.known, *found.unseen), found.unspelled, phones)) == 2


def test_errors_are_divided_between_listed_words_and_the_others() -> None:
    before = ["a x c", "b b", "x a"]
    after = ["a n c", "n b b b", "n a"]
    references = ["a n c", "b b", "n a"]

    def system(name: str, texts: list[str]) -> System:
        found = [Hypothesis(str(n), "s", "xx", r, t) for n, (r, t) in enumerate(zip(references, texts, strict=True))]
        return System(name, found, align(found))

    first, second = system("before", before), system("after", after)
    assert [part.tolist() for part in missed(first.words, ["n"])] == [[1, 0, 1], [1, 0, 1]]
    assert [part.tolist() for part in outside(second.words, ["n"])] == [[0, 2, 0], [2, 2, 1]]
    found = effect(second, first, ["n"])
    assert (found.recall_before, found.recall, found.occurrences) == (0, 1, 2)
    assert (found.wer_before, found.wer, found.others) == (0, 0.4, 5)
    # Together the two parts are all errors.
    for one in (first, second):
        assert (missed(one.words, ["n"])[0] + outside(one.words, ["n"])[0]).tolist() == one.words.errors.tolist()


def test_what_cannot_be_run_is_refused(recogniser: Recogniser, material: Material) -> None:
    for name, value in (("order", 0), ("hot_words", 0), ("held_out", -1), ("draw_seed", -1)):
        with pytest.raises(ConfigError, match=f"`{name}` must"):
            SentencesConfig(**{name: value})  # type: ignore[arg-type]
    with pytest.raises(DataError, match="is in both `dev` and `test`"):
        run_sentences(recogniser, Material(material.texts, material.dev, material.dev), None, CONFIG)  # type: ignore[arg-type]
    phones = Recogniser(small_model(heads={"xx": 3}), Tokens(["a", "b"], "phones"), "xx", {})
    with pytest.raises(ConfigError, match="give a lexicon"):
        run_sentences(phones, material, None, CONFIG)  # type: ignore[arg-type]
