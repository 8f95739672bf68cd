"""Our search for sentences beside flashlight-text's: the same best sentence, with the same score."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from asr_transfer.data.lexicon import Entry, Lexicon
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.beam import SearchConfig, SentenceSearch
from asr_transfer.decoding.flashlight import FlashlightSearch
from asr_transfer.decoding.ngram import NgramModel
from asr_transfer.errors import ConfigError

TOKENS = Tokens([" ", *"abcdefgh"])


def _lexicon(words: int) -> Lexicon:
    random = np.random.default_rng(0)
    drawn = {"".join(random.choice(list("abcdefgh"), random.integers(1, 6))) for _ in range(words)}
    return Lexicon.from_pairs([(word, " ".join(word)) for word in sorted(drawn)])


@pytest.mark.parametrize("lm_weight", [0.0, 0.7])
@pytest.mark.parametrize("look_ahead", [True, False])
@pytest.mark.parametrize("word_score", [-1.0, 0.5])
def test_the_best_sentence_is_the_same_at_equal_beam(lm_weight: float, look_ahead: bool, word_score: float) -> None:
    pytest.importorskip("flashlight.lib.text", reason="flashlight-text is not installed")
    lexicon = _lexicon(60)
    random = np.random.default_rng(1)
    model = NgramModel.from_texts([" ".join(random.choice(lexicon.words[:40], 6)) for _ in range(100)], 3)
    config = SearchConfig(
        beam=2000, beam_threshold=80.0, lm_weight=lm_weight, word_score=word_score, look_ahead=look_ahead
    )
    ours, theirs = SentenceSearch(lexicon, TOKENS, config, model), FlashlightSearch(lexicon, TOKENS, config, model)
    for seed in range(2):
        generator = torch.Generator().manual_seed(seed)
        speech = (3 * torch.randn(1, 16, len(TOKENS), generator=generator)).log_softmax(-1)
        first, second = (s.best_sentences(speech, torch.tensor([16]))[0][0] for s in (ours, theirs))
        assert first.words == second.words
        assert first.words
        # Ours keeps both ends of a hypothesis in one place of the beam, so that it drops less.
        assert second.score - 1e-4 <= first.score <= second.score + 0.2


def test_what_it_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flashlight.lib.text.decoder", None)
    with pytest.raises(ConfigError, match="not installed"):
        FlashlightSearch(_lexicon(3), TOKENS)
    monkeypatch.undo()
    pytest.importorskip("flashlight.lib.text", reason="flashlight-text is not installed")
    with pytest.raises(ConfigError, match="needs tokens with a space"):
        FlashlightSearch(Lexicon.from_pairs([("x", "a")]), Tokens(["a"], "phones"))
    with pytest.raises(ConfigError, match="knows neither"):
        FlashlightSearch(Lexicon([Entry("a", ("a",), -1.0)]), TOKENS)
    with pytest.raises(ConfigError, match="knows neither"):
        FlashlightSearch(_lexicon(3), TOKENS, SearchConfig(unknown_score=-3.0))
