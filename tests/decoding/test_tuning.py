"""The weights of a search are chosen by its word errors on development data."""

from __future__ import annotations

import math

import pytest
import torch

from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.texts import spelled
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.hot_words import HotWords
from asr_transfer.decoding.ngram import NgramModel
from asr_transfer.decoding.settings import SearchConfig
from asr_transfer.decoding.tuning import tune, tune_hot_words, tune_spelling, unknown_scores
from asr_transfer.errors import ConfigError, DataError

TOKENS = Tokens(["a", "b", "c"], "phones")
LEXICON = Lexicon.from_pairs([("long", "a b"), ("first", "a"), ("second", "b"), ("third", "c")])
REFERENCES = ["long third", "third long long", "long"]


def _speech(symbols: str, doubt: float = 1.0) -> torch.Tensor:
    logits = torch.zeros(2 * len(symbols), len(TOKENS))
    logits[::2, 0] = 4.0
    for n, symbol in enumerate(symbols):
        logits[2 * n + 1, TOKENS.symbols.index(symbol)] = 4.0
    return (doubt * logits).log_softmax(-1)


POSTERIORS = [_speech("abc"), _speech("cabab"), _speech("ab")]


@pytest.mark.parametrize("exhaustive", [False, True])
def test_a_word_score_that_keeps_short_words_away_is_found(exhaustive: bool) -> None:
    config = SearchConfig(word_score=2.0, beam=30)
    tuned = tune(POSTERIORS, REFERENCES, LEXICON, TOKENS, None, config, exhaustive=exhaustive)
    rows = tuned.to_plain()
    assert rows[0 if not exhaustive else -2]["errors"] > 0  # a bonus for words breaks the long one up
    assert tuned.config.word_score < 0
    assert min(row["rate"] for row in rows) == 0
    assert tuned.config.beam == 30 and tuned.config.lm_weight == config.lm_weight
    assert all(set(row) == {"word_score", "errors", "rate"} for row in rows)


def test_the_language_model_s_weight_is_found() -> None:
    homophones = Lexicon.from_pairs([("ate", "a"), ("eight", "a"), ("men", "b"), ("apples", "c")])
    model = NgramModel.from_texts(["eight men ate apples"] * 3 + ["eight apples"], 3)
    texts = ["eight men ate apples", "eight apples"]
    speech = [_speech("abac"), _speech("ac")]
    tuned = tune(speech, texts, homophones, TOKENS, model, SearchConfig(lm_weight=0.0))
    assert tuned.config.lm_weight > 0
    assert tuned.trials[-1].reference == 6
    assert min(trial.errors for trial in tuned.trials) == 0
    again = tune(speech, texts, homophones, TOKENS, model, SearchConfig(lm_weight=0.0))
    assert again == tuned


def test_new_words_are_expected_where_development_speech_holds_them() -> None:
    model = NgramModel.from_texts(["first second first second first"] * 9, 2)
    scores = unknown_scores(model, LEXICON)
    assert scores[0] == pytest.approx(model.score(model.unknown or 0, 0)[0]) and scores == tuple(sorted(scores))
    assert unknown_scores(model, Lexicon.from_pairs([("first", "a"), ("second", "b")])) == ()
    grid = {"unknown_score": scores}
    tuned = tune(POSTERIORS, REFERENCES, LEXICON, TOKENS, model, SearchConfig(lm_weight=2.0, beam=30), grid)
    assert tuned.trials[0].weights == {"unknown_score": scores[0]}  # begins with the model's own
    assert tuned.config.unknown_score is not None and tuned.config.unknown_score > scores[0]
    assert min(trial.errors for trial in tuned.trials) < tuned.trials[0].errors


def test_the_weight_of_hot_words_is_found() -> None:
    hot = HotWords(["long"])
    unsure = _speech("aac", 0.7)
    unsure[3, 2] = unsure[3, 1] - 0.3  # b instead of the second a, a little less likely
    tuned = tune_hot_words([unsure.log_softmax(-1), _speech("ac")], ["a b c", "a c"], TOKENS, hot, LEXICON)
    assert tuned.config.hot_weight > 0
    assert tuned.trials[0].errors > 0
    assert min(trial.errors for trial in tuned.trials) == 0


def test_the_weight_of_a_model_of_letters_is_found() -> None:
    tokens = Tokens([" ", "a", "b", "c"])
    model = NgramModel.from_texts(map(spelled, ["abc", "abc abc", "ac"]), 3)
    logits = torch.zeros(6, len(tokens))
    logits[::2, 0] = 4.0
    for n, symbol in enumerate("aac"):
        logits[2 * n + 1, tokens.symbols.index(symbol)] = 4.0
    logits[3, tokens.symbols.index("b")] = 3.5  # instead of the second a, a little less likely
    speech, config = [logits.log_softmax(-1)], SearchConfig(lm_weight=0.0)
    tuned = tune_spelling(speech, ["abc"], tokens, model, config=config)
    assert tuned.trials[0].errors == 1 and tuned.config.lm_weight > 0
    assert set(tuned.to_plain()[0]) == {"lm_weight", "word_score", "errors", "rate"}
    hot = tune_spelling(speech, ["abc"], tokens, model, HotWords(["abc"]), config, {"hot_weight": (0.0, 1.0)})
    assert hot.config.hot_weight == 1.0 and hot.config.lm_weight == 0.0
    letters = tune_spelling(speech, ["abc"], tokens, model, config=config, unit="characters")
    assert letters.trials[0].errors == 1 and letters.trials[0].reference == 3 and letters.config.lm_weight > 0
    assert "word_score" not in tune_spelling(speech, ["abc"], Tokens(["x", "a", "b", "c"]), model).trials[0].weights


def test_what_cannot_be_tuned_is_refused() -> None:
    with pytest.raises(ConfigError, match="`beam` cannot be tuned"):
        tune(POSTERIORS, REFERENCES, LEXICON, TOKENS, grid={"beam": (1, 2)})
    for values in ((), (math.nan,)):
        with pytest.raises(ConfigError, match="`word_score` to try must be finite"):
            tune(POSTERIORS, REFERENCES, LEXICON, TOKENS, grid={"word_score": values})
    with pytest.raises(DataError, match="3 posteriors but 2 references"):
        tune(POSTERIORS, REFERENCES[:2], LEXICON, TOKENS)
    with pytest.raises(DataError, match="hold no words"):
        tune(POSTERIORS, ["", " ", ""], LEXICON, TOKENS)
