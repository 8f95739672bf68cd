"""Sorts the words of an experiment on sentences: which of them training texts hold, and lexica of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from asr_transfer.data.lexicon import Lexicon, spelled_lexicon
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.settings import SearchConfig
from asr_transfer.errors import DataError
from asr_transfer.ranges import Count, CountOrNone, Ranged, Seed


@dataclass(frozen=True)
class SentencesConfig(Ranged):
    """How unseen words of sentences are looked for.

    Attributes:
        order: the longest n-gram of the language model.
        held_out: number of the tested training words, drawn, that lexicon and language model lack too.
        hot_words: words of the list, drawn among the unseen words.
        shortest: letters that a word of the list has at least.
        draw_seed: random seed of what is drawn.
        search: beam and threshold; of the weights those to begin with.
    """

    order: Count = 3
    held_out: CountOrNone = 0
    hot_words: Count = 50
    shortest: Count = 4
    draw_seed: Seed = 0
    search: SearchConfig = field(default_factory=lambda: SearchConfig(beam=50, beam_threshold=15.0))


@dataclass(frozen=True)
class Material:
    """What an experiment is run on.

    Attributes:
        texts: sentences that were trained on.
        dev, test: sentences to choose the weights on, and to recognise.
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
        known: words of the training texts and the further words, without those held out.
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
