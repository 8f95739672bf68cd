"""Finds words of sentences that no training text held, with a lexicon or a list of hot words, and measures what that
costs at the other words.

A search that is bound to a lexicon finds no word that the lexicon lacks; with the word's spelling in it, it can. A
search for spellings finds a word sometimes; a list of hot words makes it likelier. Weights are chosen on development
sentences alone, with a lexicon that holds their unseen words: the words change from there to the test, the weights do
not. The language model knows the training texts only; every word that these lack counts as its `<unk>`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from asr_transfer.data.features import FeatureStore
from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens, spells_phones
from asr_transfer.decoding.beam import SentenceSearch
from asr_transfer.decoding.biasing import PrefixSearch
from asr_transfer.decoding.decoders import Decoder, GreedyDecoder, SentenceDecoder, SpellingDecoder
from asr_transfer.decoding.hot_words import HotWords
from asr_transfer.decoding.ngram import NgramModel
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.decoding.settings import SearchConfig
from asr_transfer.decoding.tuning import (
    DEFAULT_GRID,
    HOT_GRID,
    Posteriors,
    Trial,
    Tuned,
    tune,
    tune_hot_words,
    unknown_scores,
)
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.evaluation.scoring import Hypothesis, align
from asr_transfer.experiments.core.ledger import Kept
from asr_transfer.experiments.sentences.effects import Effect, System, effect
from asr_transfer.experiments.sentences.vocabulary import (
    Material,
    SentencesConfig,
    Vocabulary,
    choose_words,
    lexicon_of,
)
from asr_transfer.plain import from_plain

GREEDY, BEAM, HOT = "greedy", "beam", "beam, hot words"
WITHOUT, WITH, WITH_HOT = "lexicon without the words", "lexicon with the words", "lexicon with the words, hot words"


@dataclass(frozen=True)
class Outcome:
    """All that an experiment found.

    Attributes:
        vocabulary: words of the test sentences.
        systems: systems by name.
        effects: effects of the lexicon, and of the hot words in either search.
        tuned: weights that were chosen on the development sentences, by their use.
        lexicon, model: lexicon with the unseen words, and language model of the training texts.
    """

    vocabulary: Vocabulary
    systems: dict[str, System]
    effects: tuple[Effect, ...]
    tuned: dict[str, Tuned]
    lexicon: Lexicon
    model: NgramModel


def run_sentences(
    recogniser: Recogniser,
    material: Material,
    store: FeatureStore,
    config: SentencesConfig,
    say: Callable[[str], None] = lambda line: None,
    kept: Kept | None = None,
) -> Outcome:
    """Choose the weights on development sentences, recognise the test sentences in every way, and compare.

    Args:
        recogniser: listens; its own decoder is not used.
        material: texts and speech.
        store: features of the development and test utterances.
        config: settings of the experiment.
        say: function that is called with a line at each stage.
        kept: Weights of each search and the texts that it recognised; none of those is made again.

    Raises:
        ConfigError: the model hears phones and there is no lexicon.
        DataError: there are no unseen words; an utterance is in both sets.
    """
    tokens, kept = recogniser.tokens, kept or Kept()
    if spells_phones(tokens.units) and material.lexicon is None:
        raise ConfigError("the model hears phones, so words need pronunciations; give a lexicon that holds them.")
    if twice := {u.id for u in material.dev} & {u.id for u in material.test}:
        raise DataError(f"the utterance '{min(twice)}' is in both `dev` and `test`; leave it out of one.")
    # Listened to only if a search is yet to be run.
    dev, test = (
        functools.cache(functools.partial(_heard, recogniser, part, store)) for part in (material.dev, material.test)
    )
    vocabulary = choose_words(material, material.test, tokens, config)
    own = choose_words(material, material.dev, tokens, config)
    model = NgramModel.from_texts(material.texts, config.order, unlisted={*vocabulary.held_out, *own.held_out})
    tuned = tune_all(dev, [u.text for u in material.dev], material, own, model, tokens, config, kept)
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
            BEAM: SpellingDecoder(PrefixSearch(tokens, config.search)),
            HOT: SpellingDecoder(PrefixSearch(tokens, tuned[HOT].config, hot)),
            **ways,
        }
        pairs.append((HOT, BEAM, vocabulary.listed))
    systems = {}
    for name, decode in ways.items():
        texts = kept.get(f"recognised {name}", functools.partial(_recognised, decode, test))
        heard = zip(material.test, texts, strict=True)
        found = [Hypothesis(u.id, u.speaker, u.language, u.text, text) for u, text in heard]
        systems[name] = System(name, found, align(found))
        say(f"{name}: {100 * systems[name].words.counts().rate:.1f} % word errors")
    effects = tuple(effect(systems[name], systems[base], words) for name, base, words in pairs)
    return Outcome(vocabulary, systems, effects, tuned, every, model)


def tune_all(
    posteriors: Callable[[], Posteriors],
    references: Sequence[str],
    material: Material,
    vocabulary: Vocabulary,
    model: NgramModel,
    tokens: Tokens,
    config: SentencesConfig,
    kept: Kept,
) -> dict[str, Tuned]:
    """Choose the weights of each search on development sentences, whose words `vocabulary` divides."""
    every = lexicon_of(material, (*vocabulary.known, *vocabulary.unseen), vocabulary.unspelled, tokens)
    hot = HotWords(vocabulary.listed)
    grid = {**DEFAULT_GRID, "unknown_score": unknown_scores(model, every)}

    def search(start: SearchConfig, tried: Mapping[str, Sequence[float]], listed: HotWords | None = None) -> Tuned:
        return tune(posteriors(), references, every, tokens, model, start, tried, hot_words=listed)

    tuned = {WITH: _tuned(kept, WITH, lambda: search(config.search, grid))}
    start = replace(tuned[WITH].config, hot_weight=0.0)
    tuned[WITH_HOT] = _tuned(kept, WITH_HOT, lambda: search(start, HOT_GRID, hot))
    if _writes_words(tokens):
        tuned[HOT] = _tuned(
            kept, HOT, lambda: tune_hot_words(posteriors(), references, tokens, hot, None, config.search)
        )
    return tuned


def _tuned(kept: Kept, name: str, make: Callable[[], Tuned]) -> Tuned:
    """Return the weights of a search, chosen only if they are not kept."""
    plain = kept.get(f"tuned {name}", make)
    trials = tuple(Trial(**trial) for trial in plain["trials"])
    return Tuned(from_plain(SearchConfig, plain["config"], name), trials)


def _writes_words(tokens: Tokens) -> bool:
    """Say whether hot words can be listened for without a lexicon: phones do not spell them so."""
    return not spells_phones(tokens.units)


def _heard(recogniser: Recogniser, utterances: Sequence[Utterance], store: FeatureStore) -> list[torch.Tensor]:
    return recogniser.posteriors(Spoken(utterances, store))


def _recognised(decode: Decoder, posteriors: Callable[[], Posteriors]) -> list[str]:
    return [decode(frames[None], torch.tensor([len(frames)]))[0].text for frames in posteriors()]
