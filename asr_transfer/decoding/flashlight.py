"""Puts the beam search of flashlight-text behind the face of our own, as its peer; only where that package is
installed.

    pip install flashlight-text

It needs tokens with a space: in its lexicon every word ends with one, and it loses what repeats a word's last symbol
where there is none.
"""

from __future__ import annotations

import importlib
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.beam import Sentence
from asr_transfer.decoding.coverage import check_coverage
from asr_transfer.decoding.hypotheses import checked
from asr_transfer.decoding.ngram import NgramModel
from asr_transfer.decoding.search_tree import SearchTree
from asr_transfer.decoding.settings import SearchConfig
from asr_transfer.errors import ConfigError

__all__ = ["FlashlightSearch"]


class FlashlightSearch:
    """A search, made once and used for many utterances; arguments as of `SentenceSearch`.

    Raises:
        ConfigError: flashlight-text is not installed, the tokens hold no space, or the settings ask for what it lacks
            (`unknown_score`, weights in the lexicon).
        DataError: a phone is not among the tokens; the language model lists none of the words.
    """

    def __init__(
        self, lexicon: Lexicon, tokens: Tokens, config: SearchConfig | None = None, model: NgramModel | None = None
    ) -> None:
        try:
            library: Any = importlib.import_module("flashlight.lib.text.decoder")
        except ImportError:
            raise ConfigError(
                "`flashlight-text` is not installed; install it with: pip install flashlight-text, "
                "or take the search of our own."
            ) from None
        self.config, self.tokens, self.tree = config or SearchConfig(), tokens, SearchTree(lexicon, tokens)
        if " " not in tokens.symbols:
            raise ConfigError("flashlight-text needs tokens with a space between words; take the search of our own.")
        if self.config.unknown_score is not None or self.tree.weight.any():
            raise ConfigError(
                "flashlight-text knows neither `unknown_score` nor weights in the lexicon; take the search of our own."
            )
        if model is not None:
            check_coverage(self.tree.lexicon, model)
        space = tokens.symbols.index(" ")
        self._space, unweighted = space, not self.config.lm_weight
        self._model = library.ZeroLM() if model is None or unweighted else _kenlm(model, self.tree.words)
        start = self._model.start(False)
        likely = [self._model.score(start, n)[1] for n in range(len(self.tree.words))]
        trie = library.Trie(len(tokens), space)
        for target, word in zip(self.tree.targets, self.tree.word.tolist(), strict=True):
            trie.insert([*target, space], word, likely[word] if self.config.look_ahead else 0.0)
        trie.smear(library.SmearingMode.MAX if self.config.look_ahead else library.SmearingMode.NONE)
        # Its model speaks in logarithms to base 10.
        options = library.LexiconDecoderOptions(
            self.config.beam,
            len(tokens),
            min(self.config.beam_threshold, 1e6),
            self.config.lm_weight * math.log(10),
            self.config.word_score,
            -math.inf,
            0.0,
            True,
            library.CriterionType.CTC,
        )
        self._decoder = library.LexiconDecoder(options, trie, self._model, space, 0, -1, [], False)

    @torch.no_grad()
    def best_sentences(self, log_probs: torch.Tensor, lengths: torch.Tensor, n: int = 1) -> list[list[Sentence]]:
        """Return the `n` best sentences; as of `SentenceSearch.best_sentences`, without `entries`."""
        return [self._search(frames[:, :-1], n) for frames in checked(log_probs, lengths, len(self.tokens), n)]

    def _search(self, frames: np.ndarray[Any, np.dtype[np.float64]], n: int) -> list[Sentence]:
        # One frame of space behind the end, for its words end with one.
        emitted = np.full((len(frames) + 1, frames.shape[1]), -1e9, dtype=np.float32)
        emitted[:-1], emitted[-1, self._space] = frames, 0.0
        found = self._decoder.decode(emitted.ctypes.data, *emitted.shape)
        everything = np.logaddexp.reduce([result.score for result in found])
        return [
            Sentence(
                tuple(self.tree.words[word] for word in result.words if word >= 0),
                result.score,
                math.exp(min(0.0, result.score - everything)),
                (),
            )
            for result in found[:n]
        ]


def _kenlm(model: NgramModel, words: list[str]) -> Any:
    kenlm = importlib.import_module("flashlight.lib.text.decoder.kenlm")
    dictionary = importlib.import_module("flashlight.lib.text.dictionary").Dictionary()
    for word in words:
        dictionary.add_entry(word)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.arpa"
        model.write(path)
        return kenlm.KenLM(str(path), dictionary)
