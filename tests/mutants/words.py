"""Bugs of looking for words that were never heard: what counts as unseen, and what lexica hold."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

ROOM = "asr_transfer/words"

MUTANTS = (
    Mutant(
        "tones-make-words-unseen",
        "asr_transfer/experiments/words/word_exposure.py",
        "if plain in self._whole:",
        "if tuple(phones) in self._whole:",
        "a word that differs from a trained one in a tone that the model does not hear counts as never trained on",
        ("tests/experiments/words/test_unseen.py::test_what_was_heard_of_a_word",),
    ),
    Mutant(
        "held-out-words-are-heard-in-sentences",
        "asr_transfer/experiments/words/word_corpus.py",
        "or unwanted.isdisjoint(spelling(u).split())]",
        "or spelling(u) not in unwanted]",
        "sentences that hold a held-out word are trained on",
        ("tests/experiments/words/test_word_corpus.py",),
    ),
    Mutant(
        "leaks-are-looked-for-by-name",
        "asr_transfer/experiments/words/unseen.py",
        "owner.setdefault((utterance.audio, utterance.start), split)",
        "owner.setdefault((utterance.id, utterance.start), split)",
        "a recording that is trained on under another name may be tested on",
        ("tests/experiments/words/test_unseen.py::test_settings_and_recordings_that_make_no_sense_are_refused",),
    ),
    Mutant(
        "the-word-is-drawn-among-the-others",
        "asr_transfer/experiments/words/isolated_words.py",
        "others = np.delete(np.arange(words), word)",
        "others = np.delete(np.arange(words), 0)",
        "a random lexicon may hold the word that was said twice, and one other word less",
        (
            "tests/experiments/words/test_unseen.py::test_ranks_and_margins_are_those_of_a_search_in_each_random_lexicon",
        ),
    ),
    Mutant(
        "homophones-pass-for-foreign-words",
        "asr_transfer/experiments/words/isolated_words.py",
        "scores[others[~alike[others]]].max",
        "scores[others].max",
        "a word that sounds like the one that was said counts as falsely accepted",
        (
            "tests/experiments/words/test_unseen.py::test_words_that_sound_alike_are_one_by_sound_and_the_first_of_the_lexicon_otherwise",
        ),
    ),
    Mutant(
        "held-out-words-stay-in-the-lexicon",
        "asr_transfer/experiments/sentences/vocabulary.py",
        "tuple(word for word in trained if word not in set(held_out)),",
        "tuple(trained),",
        "the lexicon without the unseen words holds some of them",
        ("tests/experiments/sentences/test_searches.py::test_held_out_words_leave_lexicon_and_language_model",),
    ),
    Mutant(
        "the-language-model-knows-held-out-words",
        "asr_transfer/experiments/sentences/searches.py",
        "unlisted={*vocabulary.held_out, *own.held_out}",
        "unlisted=own.held_out",
        "the language model is estimated with the held-out words of the test sentences in it",
        ("tests/experiments/sentences/test_searches.py::test_held_out_words_leave_lexicon_and_language_model",),
    ),
    Mutant(
        "weights-are-tuned-on-the-test-sentences",
        "asr_transfer/experiments/sentences/searches.py",
        "tune_all(dev, [u.text for u in material.dev]",
        "tune_all(test, [u.text for u in material.test]",
        "the weights of the searches are chosen on the sentences that they are judged on",
        ("tests/experiments/sentences/test_searches.py::test_weights_are_chosen_on_development_sentences_alone",),
    ),
    Mutant(
        "rejection-is-calibrated-on-test-words",
        "asr_transfer/experiments/words/unseen.py",
        "dev = _judged(recogniser, words.dev,",
        "dev = _judged(recogniser, words.test,",
        "the threshold that refuses words is chosen on the words that are tested",
        ("tests/experiments/words/test_unseen.py::test_the_threshold_is_chosen_on_development_words",),
    ),
    Mutant(
        "parts-of-words-count-as-said",
        "asr_transfer/experiments/words/word_exposure.py",
        'if f" {text} " in self._said.get(language, ""):',
        'if text in self._said.get(language, ""):',
        "a word counts as trained on because a longer word begins with it",
        ("tests/experiments/words/test_word_corpus.py",),
    ),
    Mutant(
        "cuts-reach-the-word-before",
        "asr_transfer/experiments/words/segments.py",
        "(before + begin) / 2 if first",
        "before if first",
        "a word that is cut out of a sentence brings the end of the word before",
        ("tests/experiments/words/test_word_corpus.py",),
    ),
    Mutant(
        "insertions-cost-nothing",
        "asr_transfer/experiments/sentences/effects.py",
        "return _counted(words, lambda reference: reference not in chosen)",
        "return _counted(words, lambda reference: reference is not None and reference not in chosen)",
        "hot words that are heard where nothing was said are no errors",
        ("tests/experiments/sentences/test_searches.py::test_errors_are_divided_between_listed_words_and_the_others",),
    ),
)
