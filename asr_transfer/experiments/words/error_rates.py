"""Computes the figures of an experiment on unseen words at a glance: words, phones, sentences, and the control.

The control is a model of whole words or of characters that was trained on the same utterances. It has no lexicon:
what it spells must be the word, letter by letter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr_transfer.data.features import FeatureStore
from asr_transfer.data.lexicon import Entry, Lexicon
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.beam import SentenceSearch
from asr_transfer.decoding.decoders import GreedyDecoder, SentenceDecoder
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.decoding.settings import SearchConfig
from asr_transfer.evaluation.clusters import rate
from asr_transfer.evaluation.scoring import Alignments, Hypothesis, align
from asr_transfer.experiments.words.isolated_words import in_units, spelling
from asr_transfer.experiments.words.unseen import SEEN_WORDS, UNSEEN, WITHIN_WORDS, Row, Words


@dataclass(frozen=True)
class Figure:
    """One figure of an experiment.

    Attributes:
        what: is measured.
        count: words, or utterances of sentences, that it is measured on.
        value: a share.
        low, high: its 95 % interval over words, or over utterances of sentences; None below four.
    """

    what: str
    count: int
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Extras:
    """What a model makes of the test set besides finding words in lexica.

    Attributes:
        spelt: phones that it spells in each test word, of the pronunciation and heard.
        sentences: texts that it takes the sentences for; empty without any.
    """

    spelt: tuple[Hypothesis, ...]
    sentences: tuple[Hypothesis, ...]


def extras(
    recogniser: Recogniser, words: Words, store: FeatureStore, search: SearchConfig, nearest: bool = False
) -> Extras:
    """Spell the test words greedily, and look for sentences of the lexicon's single words.

    Args:
        recogniser: model of phones.
        words: the data.
        store: features of test words and sentences.
        search: settings of the search for sentences, without a language model.
        nearest: argument of `in_units`.

    Raises:
        DataError: the lexicon has phones that the model does not know.
    """
    said = {f"said {n}": tuple((u.pronunciation or "").split()) for n, u in enumerate(words.test)}
    # Beside the lexicon, whose notation tells the test words'.
    both = Lexicon([*words.lexicon, *(Entry(name, phones) for name, phones in said.items() if phones)])
    known = {e.word: " ".join(e.phones) for e in in_units(both, recogniser.tokens, nearest) if e.word in said}
    heard = _recognise(replace(recogniser, decoder=GreedyDecoder(recogniser.tokens)), words.test, store)
    spelt = tuple(
        Hypothesis(u.id, u.speaker, u.language, known.get(name, ""), text)
        for name, u, text in zip(said, words.test, heard, strict=True)
    )
    if not words.sentences:
        return Extras(spelt, ())
    single = Lexicon((entry for entry in words.lexicon if " " not in entry.word), words.lexicon.source)
    decoder = SentenceDecoder(SentenceSearch(in_units(single, recogniser.tokens, nearest), recogniser.tokens, search))
    texts = _recognise(replace(recogniser, decoder=decoder), words.sentences, store)
    found = zip(words.sentences, texts, strict=True)
    return Extras(spelt, tuple(Hypothesis(u.id, u.speaker, u.language, spelling(u), text) for u, text in found))


def spelt_words(recogniser: Recogniser, words: Sequence[Utterance], store: FeatureStore) -> tuple[Hypothesis, ...]:
    """Return what a control, a model of words or characters, spells greedily in each test word."""
    texts = _recognise(replace(recogniser, decoder=GreedyDecoder(recogniser.tokens)), words, store)
    found = zip(words, texts, strict=True)
    return tuple(Hypothesis(u.id, u.speaker, u.language, spelling(u), text) for u, text in found)


def word_figures(rows: Sequence[Row], by_rule: Sequence[Row] = ()) -> list[Figure]:
    """Return how many seen and unseen words are found in each lexicon.

    Args:
        rows: rows of the groups `UNSEEN`, `SEEN_WORDS` and `WITHIN_WORDS`; others are not shown.
        by_rule: rows of `UNSEEN` with the lexicon whose test words are pronounced by rule.
    """
    found = []
    for row in sorted((*rows, *by_rule), key=lambda row: row.size):
        if row.group in (UNSEEN, SEEN_WORDS, WITHIN_WORDS):
            rule = ", pronounced by rule" if any(row is other for other in by_rule) else ""
            what = f"words {row.group} found{rule}, lexicon of {row.size:,}"
            found.append(Figure(what, row.words, row.first, row.low, row.high))
    return found


def phone_figures(models: Sequence[Extras], members: Mapping[str, NDArray[np.bool_]]) -> list[Figure]:
    """Return the phone error rates of groups of test words over all models."""
    aligned = [align(one.spelt, "phone") for one in models]
    errors, units = (np.sum([getattr(a, name) for a in aligned], axis=0) for name in ("errors", "reference"))
    names = np.array([one.reference for one in models[0].spelt])  # recordings of one word go together
    found = (_rate(f"phone errors of words {n}", errors[w], units[w], names[w]) for n, w in members.items())
    return [figure for figure in found if figure is not None]


def sentence_figures(models: Sequence[Extras], words: Words) -> list[Figure]:
    """Return the word error rate of sentences over all models, and the share of unseen words that are found in them."""
    if not words.sentences:
        return []
    aligned = [align(one.sentences) for one in models]
    errors, units = (np.sum([getattr(a, name) for a in aligned], axis=0) for name in ("errors", "reference"))
    names = np.array(aligned[0].ids)
    language = words.sentences[0].language
    heard = {word for u in words.train if u.language == language for word in spelling(u).split()}
    unseen = np.array([[word not in heard for word in spelling(u).split()].count(True) for u in words.sentences])
    hits = np.sum([_hits(a, heard) for a in aligned], axis=0)
    found = [
        _rate("word errors in sentences", errors, units, names),
        _rate("words never trained on found in sentences", hits, len(models) * unseen, names),
    ]
    return [figure for figure in found if figure is not None]


def control_figures(
    control: Sequence[Hypothesis], units: str, members: Mapping[str, NDArray[np.bool_]]
) -> list[Figure]:
    """Return the share of groups of test words that a model of `units` spells right."""
    right = np.array([one.hypothesis == one.reference for one in control], dtype=np.int64)
    labels = np.array([one.reference for one in control])
    found = (
        _rate(f"words {name} spelt by a model of {units}", right[where], np.ones(int(where.sum()), int), labels[where])
        for name, where in members.items()
    )
    return [figure for figure in found if figure is not None]


def _recognise(recogniser: Recogniser, utterances: Sequence[Utterance], store: FeatureStore) -> list[str]:
    return recogniser.listen(Spoken(utterances, store))


def _hits(aligned: Alignments, heard: set[str]) -> NDArray[np.int64]:
    """Return how many words of each utterance that were not heard in training are recognised: (utterances,)."""
    rows = (aligned.pairs(n) for n in range(len(aligned.ids)))
    return np.array([sum(op == "equal" and word not in heard for op, word, _ in row) for row in rows], np.int64)


def _rate(what: str, part: NDArray[Any], whole: NDArray[Any], labels: NDArray[Any]) -> Figure | None:
    """Return the share of `part` in `whole`, (n,) each, with its interval over labels; None of nothing."""
    if not whole.sum():
        return None
    found = rate(part, whole, labels)
    return Figure(what, len(set(labels.tolist())), found.value, found.low, found.high)
