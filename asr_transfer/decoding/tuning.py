"""Choosing the weights of a beam search on development data."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from rapidfuzz.distance import Levenshtein

from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.beam import SentenceSearch
from asr_transfer.decoding.biasing import PrefixSearch
from asr_transfer.decoding.hot_words import HotWords
from asr_transfer.decoding.ngram import NgramModel
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.search_config import SearchConfig

__all__ = ["DEFAULT_GRID", "Posteriors", "Trial", "Tuned", "tune", "tune_hot_words"]

DEFAULT_GRID: Mapping[str, Sequence[float]] = {
    "lm_weight": (0.0, 0.3, 0.6, 1.0, 1.5, 2.0),
    "word_score": (-8.0, -5.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0),
}
HOT_GRID: Mapping[str, Sequence[float]] = {"hot_weight": (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0)}

Posteriors = Sequence[torch.Tensor]
"""(frames, tokens) log-probabilities of each utterance."""


@dataclass(frozen=True)
class Trial:
    """What some weights gave.

    Attributes:
        weights: by their name in `SearchConfig`.
        errors: word errors on the development data.
        reference: words in its references.
    """

    weights: Mapping[str, float]
    errors: int
    reference: int

    @property
    def rate(self) -> float:
        """Errors per reference word."""
        return self.errors / self.reference


@dataclass(frozen=True)
class Tuned:
    """The chosen settings and how they came about.

    Attributes:
        config: with the weights that made the fewest errors; of equal ones, those tried first.
        trials: all that was tried, in order.
    """

    config: SearchConfig
    trials: tuple[Trial, ...]

    def to_plain(self) -> list[dict[str, float]]:
        """Return a row for each trial, for a table or run record."""
        return [{**trial.weights, "errors": trial.errors, "rate": trial.rate} for trial in self.trials]


def tune(
    posteriors: Posteriors,
    references: Sequence[str],
    lexicon: Lexicon,
    tokens: Tokens,
    model: NgramModel | None = None,
    config: SearchConfig | None = None,
    grid: Mapping[str, Sequence[float]] | None = None,
    exhaustive: bool = False,
) -> Tuned:
    """Choose `lm_weight` and `word_score` of the search for sentences by word errors on development data.

    From the weights of the grid nearest to those of `config`, one weight after the other is set to its best value with
    the others as they are, until none changes (coordinate descent); or all combinations are tried.

    Args:
        posteriors: of the development utterances.
        references: what was said in each.
        lexicon, tokens, model: as of `SentenceSearch`; without a model `lm_weight` is left as it is.
        config: the other settings.
        grid: values to try, by name of a number in `SearchConfig`; None for `DEFAULT_GRID`.
        exhaustive: try all combinations.

    Raises:
        ConfigError: the grid names what is no weight, or holds no or wrong values.
        DataError: there are no reference words, or not as many references as posteriors.
    """
    grid = dict(DEFAULT_GRID if grid is None else grid)
    if model is None:
        grid.pop("lm_weight", None)

    made = SentenceSearch(lexicon, tokens, config, model)

    def recognise(settings: SearchConfig) -> list[str]:
        search = made.with_config(settings)
        found = (search.best_sentences(p[None], torch.tensor([len(p)]))[0] for p in posteriors)
        return [best[0].text if best else "" for best in found]

    return _descend(recognise, posteriors, references, config or SearchConfig(), grid, exhaustive)


def tune_hot_words(
    posteriors: Posteriors,
    references: Sequence[str],
    tokens: Tokens,
    hot_words: HotWords,
    lexicon: Lexicon | None = None,
    config: SearchConfig | None = None,
    grid: Mapping[str, Sequence[float]] | None = None,
) -> Tuned:
    """Choose `hot_weight` by word errors (of phones: phone errors) on development data; see `tune`.

    Args:
        posteriors: of the development utterances; some should hold hot words, and some none.
        references: what was said in each, for models that hear phones in phones.
        tokens, hot_words, lexicon: as of `PrefixSearch`.
        config: the other settings.
        grid: values of `hot_weight` to try; None for `HOT_GRID`.

    Raises:
        ConfigError, DataError: as of `tune`; also where a hot word cannot be spelled.
    """

    def recognise(settings: SearchConfig) -> list[str]:
        search = PrefixSearch(tokens, settings, hot_words, lexicon)
        found = (search.best_texts(p[None], torch.tensor([len(p)]))[0] for p in posteriors)
        return [best[0].text if best else "" for best in found]

    return _descend(recognise, posteriors, references, config or SearchConfig(), dict(grid or HOT_GRID), True)


def _descend(
    recognise: Callable[[SearchConfig], list[str]],
    posteriors: Posteriors,
    references: Sequence[str],
    config: SearchConfig,
    grid: dict[str, Sequence[float]],
    exhaustive: bool,
) -> Tuned:
    _check(posteriors, references, grid)
    words = [reference.split() for reference in references]
    tried: dict[tuple[float, ...], Trial] = {}

    def errors(values: tuple[float, ...]) -> int:
        if values not in tried:
            weights = dict(zip(grid, values, strict=True))
            texts = recognise(dataclasses.replace(config, **weights))  # type: ignore[arg-type]
            wrong = sum(Levenshtein.distance(a, b.split()) for a, b in zip(words, texts, strict=True))
            tried[values] = Trial(weights, wrong, sum(map(len, words)))
        return tried[values].errors

    if exhaustive:
        for values in itertools.product(*grid.values()):
            errors(values)
    best = tuple(min(values, key=lambda v: abs(v - getattr(config, name))) for name, values in grid.items())
    changed = not exhaustive
    while changed:  # fewer errors each time, so that it ends
        before = errors(best)
        for place, choices in enumerate(grid.values()):
            ways = [(*best[:place], value, *best[place + 1 :]) for value in choices]
            best = min([best, *ways], key=errors)
        changed = errors(best) < before
    errors(best)
    chosen = min(tried.values(), key=lambda trial: trial.errors)
    return Tuned(dataclasses.replace(config, **chosen.weights), tuple(tried.values()))  # type: ignore[arg-type]


def _check(posteriors: Posteriors, references: Sequence[str], grid: Mapping[str, Sequence[float]]) -> None:
    for name, values in grid.items():
        if name not in ("lm_weight", "word_score", "hot_weight"):
            raise ConfigError(f"`{name}` cannot be tuned; choose among lm_weight, word_score and hot_weight.")
        if not values or not all(math.isfinite(value) for value in values):
            raise ConfigError(f"the values of `{name}` to try must be finite numbers, got {list(values)}.")
    if len(posteriors) != len(references):
        raise DataError(f"there are {len(posteriors)} posteriors but {len(references)} references; give one for each.")
    if not any(reference.split() for reference in references):
        raise DataError("the development references hold no words; give transcribed utterances.")
