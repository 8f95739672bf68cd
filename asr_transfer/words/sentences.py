"""Sentences that hold words no training text held: how many are found with a lexicon or a list of hot words, and what
that costs at the other words.

A search that is bound to a lexicon finds no word that the lexicon lacks; with the word's spelling in it, it can. A
search for spellings finds a word sometimes; a list of hot words makes it likelier. Weights are chosen on development
sentences alone, with a lexicon that holds their unseen words: the words change from there to the test, the weights do
not. The language model knows the training texts only; every word that these lack counts as its `<unk>`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from asr_transfer.data.features import FeatureStore
from asr_transfer.data.lexicon import Lexicon, spelled_lexicon
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import SpeechData
from asr_transfer.data.tokens import Tokens, spells_phones
from asr_transfer.decoding.beam import SentenceSearch
from asr_transfer.decoding.biasing import PrefixSearch
from asr_transfer.decoding.decoders import Decoder, GreedyDecoder, HotWordDecoder, SentenceDecoder
from asr_transfer.decoding.hot_words import HotWords
from asr_transfer.decoding.ngram import NgramModel
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.decoding.tuning import (
    DEFAULT_GRID,
    HOT_GRID,
    Posteriors,
    Tuned,
    log_posteriors,
    tune,
    tune_hot_words,
    unknown_scores,
)
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.evaluation.scoring import Alignments, Hypothesis, align
from asr_transfer.evaluation.significance import paired_bootstrap
from asr_transfer.search_config import SearchConfig

Integers = NDArray[np.int64]

GREEDY, BEAM, HOT = "greedy", "beam", "beam, hot words"
WITHOUT, WITH, WITH_HOT = "lexicon without the words", "lexicon with the words", "lexicon with the words, hot words"


@dataclass(frozen=True)
class SentencesConfig:
    """How unseen words of sentences are looked for.

    Attributes:
        order: the longest n-gram of the language model.
        held_out: take so many of the training words that are tested out of lexicon and language model too, drawn.
        hot_words: words of the list, drawn among the unseen words.
        shortest: letters that a word of the list has at least.
        draw_seed: decides what is drawn.
        search: beam and threshold; of the weights those to begin with.
    """

    order: int = 3
    held_out: int = 0
    hot_words: int = 50
    shortest: int = 4
    draw_seed: int = 0
    search: SearchConfig = field(default_factory=lambda: SearchConfig(beam=50, beam_threshold=15.0))

    def __post_init__(self) -> None:
        for name in ("order", "hot_words", "shortest"):
            if getattr(self, name) < 1:
                raise ConfigError(f"`{name}` must be at least 1, got {getattr(self, name)}.")
        for name in ("held_out", "draw_seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"`{name}` must not be negative, got {getattr(self, name)}.")


@dataclass(frozen=True)
class Material:
    """What an experiment is run on.

    Attributes:
        texts: sentences that were trained on.
        dev, test: to choose the weights on, and to recognise.
        more: further words for the lexica, which nobody need say.
        lexicon: pronunciations of all words; None spells them in the model's characters.
    """

    texts: Sequence[str]
    dev: Sequence[Utterance]
    test: Sequence[Utterance]
    more: Sequence[str] = ()
    lexicon: Lexicon | None = None


@dataclass(frozen=True)
class Vocabulary:
    """The words of some sentences, by whether training texts hold them.

    Attributes:
        known: of the training texts and the further words, without those held out.
        unseen: words of the sentences that are not among them.
        held_out: those of the unseen words that training texts do hold.
        listed: hot words, drawn among the unseen ones.
        unspelled: words that the model cannot spell, which no lexicon holds.
    """

    known: tuple[str, ...]
    unseen: tuple[str, ...]
    held_out: tuple[str, ...]
    listed: tuple[str, ...]
    unspelled: tuple[str, ...]


@dataclass(frozen=True)
class System:
    """What a search makes of the test sentences.

    Attributes:
        name: of the search.
        hypotheses: of the test sentences.
        words: their alignment.
    """

    name: str
    hypotheses: Sequence[Hypothesis]
    words: Alignments


@dataclass(frozen=True)
class Effect:
    """What a lexicon or list of words changes, test sentences resampled (95 %, two-sided p).

    Attributes:
        system, baseline: names of the searches with the words and without.
        listed, occurrences: the words, and how often the test sentences hold them.
        recall_before, recall: share of the occurrences that were found in their place.
        recall_low, recall_high, recall_p: of the difference.
        others: number of the other reference words.
        wer_before, wer: their errors, all insertions included, per word.
        wer_low, wer_high, wer_p: of the difference; below 0 is better.
    """

    system: str
    baseline: str
    listed: int
    occurrences: int
    recall_before: float
    recall: float
    recall_low: float
    recall_high: float
    recall_p: float
    others: int
    wer_before: float
    wer: float
    wer_low: float
    wer_high: float
    wer_p: float

    def to_plain(self) -> dict[str, Any]:
        """Return everything for a run record."""
        return asdict(self)


@dataclass(frozen=True)
class Outcome:
    """All that an experiment found.

    Attributes:
        vocabulary: of the test sentences.
        systems: by name.
        effects: of the lexicon, and of the hot words in either search.
        tuned: what was chosen on the development sentences, by what it is for.
        lexicon, model: with the unseen words; of the training texts.
    """

    vocabulary: Vocabulary
    systems: dict[str, System]
    effects: tuple[Effect, ...]
    tuned: dict[str, Tuned]
    lexicon: Lexicon
    model: NgramModel


def choose_words(
    material: Material, utterances: Sequence[Utterance], tokens: Tokens, config: SentencesConfig
) -> Vocabulary:
    """Divide the words of sentences by whether training texts hold them, and draw the hot words.

    Raises:
        DataError: there are no unseen words, or none that can be on the list.
    """
    trained = dict.fromkeys(word for text in (*material.texts, *material.more) for word in text.split())
    said = sorted({word for utterance in utterances for word in utterance.text.split()})
    random = np.random.default_rng(config.draw_seed)
    both = [word for word in said if word in trained]
    count = min(config.held_out, len(both))
    held_out = sorted(both[n] for n in random.choice(len(both), count, replace=False)) if count else []
    unseen = [word for word in said if word not in trained or word in set(held_out)]
    if not unseen:
        raise DataError("the training texts hold every word of the sentences; set `held_out` to take some out.")
    spells = _speller(material.lexicon, tokens)
    unspelled = [word for word in (*trained, *unseen) if not spells(word)]
    able = [word for word in unseen if spells(word) and len(word) >= config.shortest]
    if not able:
        raise DataError(f"no unseen word has the {config.shortest} letters of a hot word; lower `shortest`.")
    drawn = random.permutation(len(able))[: config.hot_words]
    return Vocabulary(
        tuple(word for word in trained if word not in set(held_out)),
        tuple(unseen),
        tuple(held_out),
        tuple(sorted(able[n] for n in drawn)),
        tuple(dict.fromkeys(unspelled)),
    )


def lexicon_of(material: Material, words: Iterable[str], unspelled: Iterable[str], tokens: Tokens) -> Lexicon:
    """Return a lexicon of words, without those that cannot be spelled."""
    left = set(unspelled)
    kept = list(dict.fromkeys(word for word in words if word not in left))
    if material.lexicon is None:
        return spelled_lexicon(kept, tokens, "the words of the texts")
    wanted, symbols = set(kept), set(tokens.symbols[1:])
    able = (entry for entry in material.lexicon if entry.word in wanted and symbols.issuperset(entry.phones))
    return Lexicon(able, material.lexicon.source)


def run_sentences(
    recogniser: Recogniser,
    material: Material,
    store: FeatureStore,
    config: SentencesConfig,
    say: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Choose the weights on development sentences, recognise the test sentences in every way, and compare.

    Args:
        recogniser: listens; its own decoder is not used.
        material: texts and speech.
        store: features of the development and test utterances.
        config: see there.
        say: told what is done.

    Raises:
        ConfigError: the model hears phones and there is no lexicon.
        DataError: there are no unseen words; an utterance is in both sets.
    """
    tokens = recogniser.tokens
    if spells_phones(tokens.units) and material.lexicon is None:
        raise ConfigError("the model hears phones, so words need pronunciations; give a lexicon that holds them.")
    if twice := {u.id for u in material.dev} & {u.id for u in material.test}:
        raise DataError(f"the utterance '{min(twice)}' is in both `dev` and `test`; leave it out of one.")
    dev, test = (_heard(recogniser, part, store) for part in (material.dev, material.test))
    vocabulary = choose_words(material, material.test, tokens, config)
    own = choose_words(material, material.dev, tokens, config)
    model = NgramModel.from_texts(material.texts, config.order, unlisted={*vocabulary.held_out, *own.held_out})
    tuned = tune_all(dev, [u.text for u in material.dev], material, own, model, tokens, config)
    for name, chosen in tuned.items():
        best = min(chosen.trials, key=lambda trial: trial.errors)
        weights = ", ".join(f"{weight} {value:g}" for weight, value in best.weights.items())
        say(f"{name}: {weights} ({100 * best.rate:.1f} % word errors on the development sentences)")
    known = lexicon_of(material, vocabulary.known, vocabulary.unspelled, tokens)
    every = lexicon_of(material, (*vocabulary.known, *vocabulary.unseen), vocabulary.unspelled, tokens)
    hot = HotWords(vocabulary.listed)
    boosted = hot.boosted(every, tuned[WITH_HOT].config.hot_weight)
    ways: dict[str, Decoder] = {
        WITHOUT: SentenceDecoder(SentenceSearch(known, tokens, tuned[WITH].config, model)),
        WITH: SentenceDecoder(SentenceSearch(every, tokens, tuned[WITH].config, model)),
        WITH_HOT: SentenceDecoder(SentenceSearch(boosted, tokens, tuned[WITH_HOT].config, model)),
    }
    pairs = [(WITH, WITHOUT, vocabulary.unseen), (WITH_HOT, WITH, vocabulary.listed)]
    if _writes_words(tokens):
        ways = {
            GREEDY: GreedyDecoder(tokens),
            BEAM: HotWordDecoder(PrefixSearch(tokens, config.search)),
            HOT: HotWordDecoder(PrefixSearch(tokens, tuned[HOT].config, hot)),
            **ways,
        }
        pairs.append((HOT, BEAM, vocabulary.listed))
    systems = {}
    for name, decode in ways.items():
        systems[name] = _recognised(name, decode, test, material.test)
        say(f"{name}: {100 * systems[name].words.counts().rate:.1f} % word errors")
    effects = tuple(effect(systems[name], systems[base], words) for name, base, words in pairs)
    return Outcome(vocabulary, systems, effects, tuned, every, model)


def tune_all(
    posteriors: Posteriors,
    references: Sequence[str],
    material: Material,
    vocabulary: Vocabulary,
    model: NgramModel,
    tokens: Tokens,
    config: SentencesConfig,
) -> dict[str, Tuned]:
    """Choose the weights of each search on development sentences, whose words `vocabulary` divides."""
    every = lexicon_of(material, (*vocabulary.known, *vocabulary.unseen), vocabulary.unspelled, tokens)
    hot = HotWords(vocabulary.listed)
    grid = {**DEFAULT_GRID, "unknown_score": unknown_scores(model, every)}
    tuned = {WITH: tune(posteriors, references, every, tokens, model, config.search, grid)}
    start = replace(tuned[WITH].config, hot_weight=0.0)
    tuned[WITH_HOT] = tune(posteriors, references, every, tokens, model, start, HOT_GRID, hot_words=hot)
    if _writes_words(tokens):
        tuned[HOT] = tune_hot_words(posteriors, references, tokens, hot, None, config.search)
    return tuned


def outside(words: Alignments, listed: Iterable[str]) -> tuple[Integers, Integers]:
    """Return, of each utterance, the errors at reference words that are not listed, and the number of these words.

    Insertions count as errors: a listed word put where nothing, or something else, was said is what a list costs.
    """
    chosen = frozenset(listed)
    errors, units = (np.zeros(len(words.ids), np.int64) for _ in range(2))
    for n in range(len(words.ids)):
        for operation, reference, _ in words.pairs(n):
            if reference is None or reference not in chosen:
                errors[n] += operation != "equal"
                units[n] += reference is not None
    return errors, units


def missed(words: Alignments, listed: Iterable[str]) -> tuple[Integers, Integers]:
    """Return, of each utterance, the listed reference words that were not found in their place, and their number."""
    chosen = frozenset(listed)
    wrong, units = (np.zeros(len(words.ids), np.int64) for _ in range(2))
    for n in range(len(words.ids)):
        for operation, reference, _ in words.pairs(n):
            if reference is not None and reference in chosen:
                wrong[n] += operation != "equal"
                units[n] += 1
    return wrong, units


def effect(system: System, baseline: System, listed: Sequence[str]) -> Effect:
    """Compare a search that knows some words with one that does not, at these words and at all others."""
    (before, units), (after, _) = (missed(one.words, listed) for one in (baseline, system))
    (wrong, others), (cost, _) = (outside(one.words, listed) for one in (baseline, system))
    speakers = system.words.speakers
    found = paired_bootstrap(before, after, units, speakers)
    harm = paired_bootstrap(wrong, cost, others, speakers)
    return Effect(
        system.name,
        baseline.name,
        len(set(listed)),
        int(units.sum()),
        1 - (found.baseline or 0.0),
        1 - (found.rate or 0.0),
        -(found.high or 0.0),
        -(found.low or 0.0),
        found.p,
        int(others.sum()),
        harm.baseline or 0.0,
        harm.rate or 0.0,
        harm.low or 0.0,
        harm.high or 0.0,
        harm.p,
    )


def _writes_words(tokens: Tokens) -> bool:
    """Say whether hot words can be listened for without a lexicon: pieces of words and phones do not spell them so."""
    return tokens.units in ("characters", "words")


def _speller(lexicon: Lexicon | None, tokens: Tokens) -> Callable[[str], bool]:
    """Return what says whether a word can be spelled."""
    symbols = set(tokens.symbols[1:])
    if lexicon is not None:
        able = {entry.word for entry in lexicon if symbols.issuperset(entry.phones)}
        return lambda word: word in able

    def spells(word: str) -> bool:
        try:
            return bool(tokens.encode(word))
        except DataError:
            return False

    return spells


def _heard(recogniser: Recogniser, utterances: Sequence[Utterance], store: FeatureStore) -> list[torch.Tensor]:
    return log_posteriors(recogniser, SpeechData(utterances, store, recogniser.tokens, with_targets=False))


def _recognised(name: str, decode: Decoder, posteriors: Posteriors, utterances: Sequence[Utterance]) -> System:
    texts = [decode(frames[None], torch.tensor([len(frames)]))[0].text for frames in posteriors]
    found = [Hypothesis(u.id, u.speaker, u.language, u.text, t) for u, t in zip(utterances, texts, strict=True)]
    return System(name, found, align(found))
