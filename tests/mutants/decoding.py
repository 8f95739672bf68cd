"""Bugs of searches: scores that are no sums over alignments, language models, hot words, test-time adaptation."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

ROOM = "asr_transfer/decoding"

MUTANTS = (
    Mutant(
        "halves-meet-without-a-blank",
        f"{ROOM}/lexicon_tree.py",
        "self.starts = torch.from_numpy(starts + across * len(self.first))",
        "self.starts = torch.from_numpy(starts)",
        "words with a double letter in their middle score too high",
        ("tests/test_lexicon_search.py",),
    ),
    Mutant(
        "only-the-best-pronunciation-counts",
        f"{ROOM}/lexicon_tree.py",
        "total[:, words] = torch.logaddexp(total[:, words], scores[:, entries])",
        "total[:, words] = torch.maximum(total[:, words], scores[:, entries])",
        "a word's score is not the sum of its pronunciations",
        ("tests/test_lexicon_search.py",),
    ),
    Mutant(
        "words-that-just-fit-are-lost",
        f"{ROOM}/lexicon_search.py",
        "doubtful = ~trusted & (needed <= lengths[:, None])",
        "doubtful = ~trusted & (needed < lengths[:, None])",
        "an improbable word that needs every frame has no score",
        ("tests/test_lexicon_search.py",),
    ),
    Mutant(
        "rejection-refuses-less-than-it-may",
        f"{ROOM}/lexicon_search.py",
        "key=lambda n: (taken[n], refused[n])",
        "key=lambda n: (refused[n], taken[n])",
        "the threshold takes more foreign words than it need",
        ("tests/test_lexicon_search.py",),
    ),
    Mutant(
        "repeated-symbols-need-no-blank",
        f"{ROOM}/beam.py",
        "score = np.where(symbol == beam.last[source], beam.blank[source], total[source]) + emitted[symbol]",
        "score = total[source] + emitted[symbol]",
        "the search for sentences spells double letters without a blank between them",
        ("tests/test_beam.py",),
    ),
    Mutant(
        "the-end-of-a-sentence-weighs-fully",
        f"{ROOM}/beam.py",
        "total = total + self.config.lm_weight * self.model.end(beam.state)",
        "total = total + self.model.end(beam.state)",
        "the language model's weight does not hold for the end of a sentence",
        ("tests/test_beam.py",),
    ),
    Mutant(
        "lower-orders-count-occurrences",
        f"{ROOM}/kneser_ney.py",
        "before = Counter(gram[1:] for gram in counts[n + 1])",
        "before = section",
        "the language model is smoothed by how often a word occurs instead of behind how many others",
        ("tests/test_ngram.py",),
    ),
    Mutant(
        "the-discount-is-another",
        f"{ROOM}/kneser_ney.py",
        "return once / (once + 2 * twice)",
        "return once / (once + twice)",
        "Kneser-Ney discounts too much",
        ("tests/test_ngram.py",),
    ),
    Mutant(
        "hot-words-inside-hot-words-are-missed",
        f"{ROOM}/hot_words.py",
        "kept[node] += kept[fail]",
        "kept[node] += 0.0",
        "a hot word that ends inside a longer one has no bonus",
        ("tests/test_biasing.py",),
    ),
    Mutant(
        "unfinished-hot-words-keep-their-bonus",
        f"{ROOM}/biasing.py",
        "beam.bonus - self._potential[beam.node]",
        "beam.bonus",
        "the beginning of a hot word at the end of a text keeps the bonus of the whole",
        ("tests/test_biasing.py",),
    ),
    Mutant(
        "test-utterances-learn-from-each-other",
        f"{ROOM}/test_time.py",
        "torch._foreach_copy_([parameter.data for parameter in adapted], start)",
        "pass",
        "test-time adaptation goes on from one test utterance to the next",
        ("tests/test_test_time.py",),
    ),
    Mutant(
        "weights-that-make-most-errors",
        f"{ROOM}/tuning.py",
        "chosen = min(tried.values(), key=lambda trial: trial.errors)",
        "chosen = list(tried.values())[-1]",
        "the weights that were tried last are taken for the best",
        ("tests/test_tuning.py",),
    ),
    Mutant(
        "a-language-keeps-another-s-lexicon",
        f"{ROOM}/recogniser.py",
        "lexicon = self.lexicon if name == self.head else None",
        "lexicon = self.lexicon",
        "another language is searched for the words of the first",
        ("tests/test_languages.py",),
    ),
    Mutant(
        "contexts-forget-a-word",
        f"{ROOM}/ngram.py",
        "follows = [_longest(words, states) for section",
        "follows = [_longest(words[1:], states) for section",
        "the language model forgets the word that was said before",
        ("tests/test_ngram.py",),
    ),
)
