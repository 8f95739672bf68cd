"""Recognises words that no model was trained on: phones by CTC, and a lexicon that holds their pronunciations.

A model that emits whole words can never emit one that it was not trained on; its recall of them is 0, whatever it
hears. A model of phones finds them by the exact likelihood of their pronunciations (after Li et al. 2020 and
Pratap et al. 2024: phones or letters of many languages, and a lexicon).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from asr_transfer.data.features import FeatureStore
from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.notations import Scheme, scheme_of
from asr_transfer.decoding.lexicon_search import Rejection, calibrate
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import DataError
from asr_transfer.evaluation.clusters import rate
from asr_transfer.evaluation.scoring import Hypothesis, write_scores
from asr_transfer.experiments.words.isolated_words import Judged, Vocabulary, in_units, judge, listen, spelling
from asr_transfer.experiments.words.word_exposure import KNOWN, SEEN, WITHIN, Heard, syllables
from asr_transfer.plain import to_plain
from asr_transfer.ranges import Count, Filled, Range, Ranged, Seed

UNSEEN = "never trained on"
"""The group of the headline: neither the word nor one that sounds like it was trained on; of a phrase, not all of its
words; in languages without spaces, nor do its characters stand inside a longer trained text."""

LexiconSize = Annotated[int, Range(at_least=2)]
"""A number of words to be told apart."""

MANY = 5
"""So many syllables and more are one row of the table."""
SEEN_WORDS = "seen in training"
"""The group that the headline is held against: the word itself was trained on, alone or in a longer text."""
WITHIN_WORDS = "whose characters stand inside a longer trained text"
"""The group that is neither: of languages without spaces."""


@dataclass(frozen=True)
class WordsConfig(Ranged):
    """How unseen words are looked for.

    Attributes:
        lexicon_sizes: words of the lexica, rising; a size beyond the whole lexicon means the whole.
        draws: random lexica of each size that is smaller; each holds the word that was said.
        draw_seed: random seed of these.
        top: the second accuracy counts a word among so many best as found.
        false_rejection: share of the development words in the lexicon that the threshold may refuse.
        map_phones: whether to write phones that a model does not know as the nearest ones that it knows; otherwise they
            are refused.
    """

    lexicon_sizes: Annotated[tuple[LexiconSize, ...], Filled(rising=True)] = (
        100,
        1000,
        2306,
        5000,
    )
    draws: Count = 5
    draw_seed: Seed = 0
    top: Count = 5
    false_rejection: Annotated[float, Range(at_least=0, below=1)] = 0.05
    map_phones: bool = False

    def sizes(self, words: int) -> tuple[int, ...]:
        """Return the sizes for a lexicon of so many words, which is the greatest."""
        return tuple(sorted({min(size, words) for size in self.lexicon_sizes}))


@dataclass(frozen=True)
class Words:
    """What an experiment is run on.

    Attributes:
        train: speech that the models were trained on; may hold sentences beside words.
        dev: words to choose the threshold on; may be empty, then nothing is rejected.
        test: words to recognise.
        lexicon: lexicon with a pronunciation of each of them, with tones where the language has them.
        sentences: longer utterances to recognise with the lexicon's single words; may be empty.
        by_rule: the lexicon with every test word pronounced by rule; None where a rule cannot or did so already.
        judging: speech that the best weights of a training are chosen on; None takes `dev`.
        pieces: speech that is trained on beside `train` and says nothing new: parts of its utterances.
    """

    train: Sequence[Utterance]
    dev: Sequence[Utterance]
    test: Sequence[Utterance]
    lexicon: Lexicon
    sentences: Sequence[Utterance] = ()
    by_rule: Lexicon | None = None
    judging: Sequence[Utterance] | None = None
    pieces: Sequence[Utterance] = ()


@dataclass(frozen=True)
class Row:
    """How well the words of a group are found in lexica of one size, over all models and draws.

    Attributes:
        size: words of the lexicon.
        group: words of the test set that it is about.
        words, utterances, models: their numbers.
        first, top: share of trials in which the word that was said is the best, or among the best few; of words that
            sound alike the lexicon's first counts as found.
        low, high: 95 % interval of `first` over words; None below four.
        sound, sound_top: the same with words that sound alike counted as one.
        sound_low, sound_high: 95 % interval of `sound`.
        false_rejection: share of trials in which the word is in the lexicon and refused; None without a threshold.
        false_acceptance: share of trials in which it is not, and another word is taken for it.
    """

    size: int
    group: str
    words: int
    utterances: int
    models: int
    first: float
    low: float | None
    high: float | None
    top: float
    sound: float
    sound_low: float | None
    sound_high: float | None
    sound_top: float
    false_rejection: float | None = None
    false_acceptance: float | None = None


@dataclass(frozen=True)
class Trial:
    """A model's results.

    Attributes:
        name: name of the model.
        sizes: numbers of words of the lexica.
        judged: the test words.
        thresholds: thresholds by lexicon size; empty without development words.
        hypotheses: hypotheses with the whole lexicon.
    """

    name: str
    sizes: tuple[int, ...]
    judged: Judged
    thresholds: tuple[Rejection, ...]
    hypotheses: tuple[Hypothesis, ...]


def try_model(name: str, recogniser: Recogniser, words: Words, store: FeatureStore, config: WordsConfig) -> Trial:
    """Look for the test words with a model that is trained.

    Args:
        name: name of the model.
        recogniser: spells phones; its own lexicon is not used.
        words: the data.
        store: features of the development and test words.
        config: lexica and threshold.

    Raises:
        ConfigError: the model does not spell phones.
        DataError: a test word is not in the lexicon, or the lexicon has phones that the model does not know.
    """
    lexicon = in_units(words.lexicon, recogniser.tokens, config.map_phones)
    try:
        vocabulary = Vocabulary(lexicon, recogniser.tokens)
    except DataError as error:
        raise DataError(f"{error} With --map_phones the nearest phones are taken.") from None
    sizes = config.sizes(len(vocabulary))
    judged = _judged(recogniser, words.test, store, vocabulary, sizes, config)
    thresholds: tuple[Rejection, ...] = ()
    if words.dev:
        dev = _judged(recogniser, words.dev, store, vocabulary, sizes, config)
        thresholds = tuple(
            calibrate(dev.own[s].ravel(), dev.foreign[s].ravel(), config.false_rejection) for s in range(len(sizes))
        )
    found = tuple(
        Hypothesis(u.id, u.speaker, u.language, spelling(u), vocabulary.words[best] if best >= 0 else "")
        for u, best in zip(words.test, judged.best.tolist(), strict=True)
    )
    return Trial(name, sizes, judged, thresholds, found)


def groups(words: Words, recogniser: Recogniser) -> dict[str, NDArray[np.bool_]]:
    """Return which test words belong to which group, the headline first: (utterances,) each; none is empty.

    Words are compared in the model's units: without tones, words that differ in tone alone sound alike.
    """
    scheme: Scheme = scheme_of(dict.fromkeys(phone for entry in words.lexicon for phone in entry.phones))
    phones = _pronunciations(words)
    test = [_pronounced(u, phones) for u in words.test]
    heard = Heard([_pronounced(u, phones) for u in words.train], recogniser.tokens.units, scheme)
    category = np.array([heard.category(u) for u in test])
    unseen = ~np.isin(category, KNOWN)
    count = np.array([syllables((u.pronunciation or "").split(), scheme) for u in test])
    found = {UNSEEN: unseen}
    for number in sorted(set(count[unseen].tolist()) & set(range(MANY))):
        found[f"- {number} syllable{'s' * (number != 1)}"] = unseen & (count == number)
    found[f"- {MANY} or more syllables"] = unseen & (count >= MANY)
    for name in heard.categories:
        found[name if name in KNOWN else f"- {name}"] = category == name
    return {name: where for name, where in found.items() if where.any()}


def headline(members: Mapping[str, NDArray[np.bool_]]) -> dict[str, NDArray[np.bool_]]:
    """Return the words that were never trained on, those that were, and what is neither, out of `groups`."""
    named = {UNSEEN: UNSEEN, WITHIN: WITHIN_WORDS}
    found = {named[name]: members[name] for name in named if name in members}
    seen = [members[name] for name in SEEN if name in members]
    return {**found, SEEN_WORDS: np.logical_or.reduce(seen)} if seen else found


def summarise(
    trials: Sequence[Trial], test: Sequence[Utterance], members: Mapping[str, NDArray[np.bool_]], top: int
) -> list[Row]:
    """Sum models and draws up to a row for each lexicon size and group.

    Raises:
        DataError: the models' lexica differ in size; they hold words that not all models can spell.
    """
    sizes = trials[0].sizes
    if any(trial.sizes != sizes for trial in trials):
        raise DataError("the models' lexica differ; score models of the same phones together.")
    texts = np.array([spelling(u) for u in test])
    rows = []
    for s, size in enumerate(sizes):
        # (utterances, models and draws)
        rank, sound = (np.concatenate([getattr(t.judged, n)[s] for t in trials], 1) for n in ("rank", "sound_rank"))
        refused = taken = None
        if all(trial.thresholds for trial in trials):
            limits = [trial.thresholds[s].threshold for trial in trials]
            refused = np.concatenate([t.judged.own[s] < x for t, x in zip(trials, limits, strict=True)], 1)
            taken = np.concatenate([t.judged.foreign[s] >= x for t, x in zip(trials, limits, strict=True)], 1)
        for group, where in members.items():
            own, alike, labels = rank[where], sound[where], texts[where]
            first, sounding = _share(own <= 1, labels), _share(alike <= 1, labels)
            rows.append(
                Row(
                    size, group, len(set(labels.tolist())), int(where.sum()), len(trials),
                    *first, float((own <= top).mean()), *sounding, float((alike <= top).mean()),
                    None if refused is None else float(refused[where].mean()),
                    None if taken is None else float(taken[where].mean()),
                )
            )  # fmt: skip
    return rows


def write_trials(folder: Path, trials: Sequence[Trial]) -> dict[str, Any]:
    """Write what each model found in the whole lexicon, and return the scores and thresholds for a run record.

    `hypotheses.jsonl` in the folder itself is the first model's; all models' are in `models/NAME/words`.
    """
    write_scores(folder, trials[0].hypotheses)
    found: dict[str, Any] = {}
    for trial in trials:
        score = write_scores(folder / "models" / trial.name / "words", trial.hypotheses)
        limits = {str(size): to_plain(own) for size, own in zip(trial.sizes, trial.thresholds, strict=False)}
        found[trial.name] = {**score.to_plain(), "thresholds": limits}
    return found


def refuse_leaks(words: Words, say: Callable[[str], None]) -> None:
    """Make sure that no test or development recording was trained on, and say how many test words have a homophone.

    Raises:
        DataError: a recording occurs in two splits, or there is nothing to test.
    """
    if not words.test:
        raise DataError("there are no test words; check the manifest.")
    owner: dict[tuple[str, float | None], str] = {}
    for split, part in (
        ("train", words.train), ("dev", words.judging or ()), ("dev", words.dev), ("test", words.test),
        ("test", words.sentences),
    ):  # fmt: skip
        for utterance in part:
            whole = owner.get((utterance.audio, None), split)  # a word may be cut out of a recording
            first = whole if whole != split else owner.setdefault((utterance.audio, utterance.start), split)
            if first != split:
                raise DataError(
                    f"utterance '{utterance.id}': its recording is in `{first}` and in `{split}`; a word is tested on "
                    "a recording that nothing was trained on: leave it out of one."
                )
    shared = sum(len(same) for same in words.lexicon.homophones().values())
    total = len(words.lexicon.words)
    say(f"{len(words.test)} test words; {shared} of the lexicon's {total:,} words have homophones, tones included")


def _judged(
    recogniser: Recogniser,
    utterances: Sequence[Utterance],
    store: FeatureStore,
    vocabulary: Vocabulary,
    sizes: Sequence[int],
    config: WordsConfig,
) -> Judged:
    listened = listen(recogniser, utterances, store, vocabulary)
    return judge(listened, utterances, vocabulary, sizes, config.draws, config.draw_seed)


def _share(right: NDArray[np.bool_], words: NDArray[Any]) -> tuple[float, float | None, float | None]:
    """Return the share of `right` (utterances, trials) and its interval over words."""
    found = rate(right.sum(1), np.full(len(right), right.shape[1]), words)
    return found.value, found.low, found.high


def _pronunciations(words: Words) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in words.lexicon:
        found.setdefault(entry.word, " ".join(entry.phones))
    return found


def _pronounced(utterance: Utterance, phones: Mapping[str, str]) -> Utterance:
    """Give an utterance that lacks its pronunciation the lexicon's."""
    if utterance.pronunciation is not None or spelling(utterance) not in phones:
        return utterance
    return replace(utterance, pronunciation=phones[spelling(utterance)])
