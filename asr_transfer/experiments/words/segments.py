"""Cuts words and random pieces out of longer utterances, by forced alignment.

A corpus of sentences has few isolated words. What is cut out of its sentences is spoken in their flow, which makes it
harder to recognise than a word said by itself.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from asr_transfer.audio import MIN_SAMPLES, SAMPLE_RATE
from asr_transfer.data.features import FeatureStore, build_store
from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.notations import scheme_of
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.alignment import best_path, segments
from asr_transfer.decoding.recogniser import Frames, Recogniser
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.experiments.words.isolated_words import in_units, spelling
from asr_transfer.experiments.words.unseen import Words
from asr_transfer.experiments.words.word_corpus import (
    MaterialConfig,
    Say,
    SpokenWords,
    make_lexicon,
    pronounced,
    rule_lexicon,
)

MARGIN = 0.15
"""Seconds at most between a cut and the phone beside it: CTC marks a phone for a moment, somewhere inside it."""
PIECE = (2, 4)
"""Fewest and most phones of a piece."""


@dataclass(frozen=True)
class Aligned:
    """An utterance and where its phones are.

    Attributes:
        utterance: utterance with a pronunciation.
        phones: phones of it, as the aligner knows them.
        places: (phones, 2) seconds from its beginning at which each begins and ends.
    """

    utterance: Utterance
    phones: tuple[str, ...]
    places: np.ndarray

    def cut(self, first: int, last: int, text: str) -> Utterance:
        """Return the phones `first` to `last`, the latter not included, as an utterance of its own.

        It is cut half-way to the phones beside it, and at most `MARGIN` seconds off.
        """
        begin, end = float(self.places[first, 0]), float(self.places[last - 1, 1])
        before = float(self.places[first - 1, 1]) if first else 0.0
        behind = float(self.places[last, 0]) if last < len(self.phones) else self.utterance.duration
        begin = max((before + begin) / 2 if first else 0.0, begin - MARGIN)
        end = min((end + behind) / 2 if last < len(self.phones) else self.utterance.duration, end + MARGIN)
        least = 2 * MIN_SAMPLES / SAMPLE_RATE
        end = min(max(end, begin + least), self.utterance.duration)
        begin = max(0.0, min(begin, end - least))
        return replace(
            self.utterance,
            id=f"{self.utterance.id}#{first}-{last}",
            start=round((self.utterance.start or 0.0) + begin, 4),
            duration=round(end - begin, 4),
            text=text,
            phones=None,
            pronunciation=" ".join(self.phones[first:last]),
        )


def align_phones(recogniser: Recogniser, utterances: Sequence[Utterance], store: FeatureStore) -> list[Aligned]:
    """Find the phones of utterances by the likeliest CTC alignment; those too short for theirs are remarked upon.

    Args:
        recogniser: model of phones; it must know all of the pronunciations.
        utterances: utterances with pronunciations.
        store: their features.

    Raises:
        DataError: a pronunciation is missing or has a phone that the recogniser does not know.
    """
    if not utterances:
        return []
    kept, _ = Spoken(utterances, store, recogniser.tokens).feasible(recogniser.model.frames)
    second = recogniser.model.frame_shift()

    def aligned(frames: Frames) -> Iterator[Aligned]:
        log_probs = frames.logits.float().log_softmax(-1).cpu()
        batch = frames.batch
        assert batch.target_lengths is not None
        for row, item in enumerate(batch.items.tolist()):
            target = batch.targets[row, : int(batch.target_lengths[row])].tolist()
            path = segments(recogniser.tokens, best_path(log_probs[row, : int(frames.lengths[row])], target))
            places = second * np.array([(s.start, s.end) for s in path], dtype=float)
            own = kept.utterance(item)
            yield Aligned(own, tuple(s.token for s in path), np.minimum(places, own.duration))

    return [found for (found,) in recogniser.listen_with(aligned, kept, whole=True, label="aligning")]


def cut_words(
    recogniser: Recogniser, utterances: Sequence[Utterance], store: FeatureStore, lexicon: Lexicon
) -> list[Utterance]:
    """Return every word of utterances as an utterance of its own, whose text is the word.

    Args:
        recogniser: model of phones.
        utterances: speech of any pronunciation: it is made of the lexicon's, the first of each word. Those that hold a
            word that the lexicon lacks, and those too short for their phones, are left out.
        store: their features.
        lexicon: lexicon in the recogniser's phones.
    """
    ways: dict[str, tuple[str, ...]] = {}
    for entry in lexicon:
        ways.setdefault(entry.word, entry.phones)
    spelt, bounds = [], {}
    for utterance in utterances:
        words = spelling(utterance).split()
        if all(word in ways for word in words):
            phones = [phone for word in words for phone in ways[word]]
            spelt.append(replace(utterance, pronunciation=" ".join(phones)))
            ends = np.cumsum([0, *(len(ways[word]) for word in words)]).tolist()
            bounds[utterance.id] = list(zip(words, pairwise(ends), strict=True))
    aligned = align_phones(recogniser, spelt, store)
    return [one.cut(*ends, word) for one in aligned for word, ends in bounds[one.utterance.id]]


def cut_pieces(aligned: Sequence[Aligned], count: int, seed: int) -> list[Utterance]:
    """Return random runs of phones of each utterance; their texts are their phones.

    Args:
        aligned: utterances of at least as many phones as a piece; shorter ones have none.
        count: pieces of each.
        seed: random seed of the places; pieces do not depend on the other utterances.
    """
    found = []
    for one in aligned:
        random = np.random.default_rng([seed, zlib.crc32(one.utterance.id.encode())])
        taken: dict[tuple[int, int], None] = {}
        for _ in range(count):
            size = int(random.integers(PIECE[0], PIECE[1] + 1))
            if size < len(one.phones):
                first = int(random.integers(len(one.phones) - size + 1))
                taken[first, first + size] = None
        found += [one.cut(first, last, " ".join(one.phones[first:last])) for first, last in taken]
    return found


def with_cuts(words: Words, spoken: SpokenWords, config: MaterialConfig, aligner: Recogniser, say: Say) -> Words:
    """Replace test words by words cut out of sentences, and add pieces of the training speech, as `config` says.

    Test words are all words of the test utterances, and the held-out words of the test corpus's training utterances,
    none of which was trained on.

    Args:
        words: data as `assemble` made them.
        spoken: corpora that it made them of.
        config: `cut` and `pieces`.
        aligner: model of phones of the test language, in any notation; it need not know unseen words.
        say: function that takes lines for a person to read.

    Raises:
        DataError: no test word could be cut.
        ConfigError: pieces are asked for and the aligner's notation is another than the experiment's.
    """
    language = spoken.test[0].language
    scheme = scheme_of(aligner.tokens.symbols[1:])
    if config.cut:
        unseen = frozenset(config.hold_out)
        left = [u for u in spoken.own if u.language == language and not unseen.isdisjoint(spelling(u).split())]
        said = [*spoken.test, *left]
        own = config if config.scheme == scheme else replace(config, scheme=scheme, spoken={})
        lexicon = make_lexicon(said, said, replace(own, phrase_words=1), language, say)
        store = build_store(said, aligner.model.inputs)
        cuts = cut_words(aligner, said, store, in_units(lexicon, aligner.tokens, nearest=True))
        trained = {u.id for u in left}
        listed = set(words.lexicon.words)
        cuts = [u for u in cuts if u.text in listed and (u.text in unseen or u.id.rpartition("#")[0] not in trained)]
        cuts = pronounced([replace(u, pronunciation=None) for u in cuts], config, language, say)
        if not cuts:
            raise DataError("no test word could be cut out of the sentences; check the manifest and the aligner.")
        say(f"{len(cuts)} test words cut out of {len({u.audio for u in cuts})} recordings")
        words = replace(words, test=cuts)
        words = replace(words, by_rule=rule_lexicon(words, config, language))
    if config.pieces:
        if config.scheme not in (None, scheme):
            raise ConfigError(
                f"pieces are cut by an aligner of the experiment's phones, but it writes {scheme} and "
                f"`material.scheme` is {config.scheme}; give another aligner or none."
            )
        known = set(aligner.tokens.symbols)
        own_train = [u for u in words.train if u.language == language and known.issuperset(_phones(u, aligner))]
        aligned = align_phones(aligner, own_train, build_store(own_train, aligner.model.inputs))
        words = replace(words, pieces=cut_pieces(aligned, config.pieces, seed=0))
        say(f"{len(words.pieces)} pieces cut out of {len(aligned)} training utterances")
    return words


def _phones(utterance: Utterance, recogniser: Recogniser) -> list[str]:
    return utterance.spelled(recogniser.tokens.units).split()
