"""Chooses the weights of a beam search on development data."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from rapidfuzz.distance import Levenshtein

from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.beam import SentenceSearch
from asr_transfer.decoding.biasing import PrefixSearch
from asr_transfer.decoding.hot_words import HotWords
from asr_transfer.decoding.letters import Letters
from asr_transfer.decoding.ngram import ROOT, NgramModel
from asr_transfer.decoding.settings import SearchConfig
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.progress import tracked
from asr_transfer.whitespace import words_of

__all__ = [
    "DEFAULT_GRID",
    "HOT_GRID",
    "Posteriors",
    "Trial",
    "Tuned",
    "tune",
    "tune_hot_words",
    "tune_spelling",
    "unknown_scores",
]

DEFAULT_GRID: Mapping[str, Sequence[float]] = {
    "lm_weight": (0.0, 0.3, 0.6, 1.0, 1.5, 2.0),
    "word_score": (-8.0, -5.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0),
}
HOT_GRID: Mapping[str, Sequence[float]] = {"hot_weight": (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0)}

WEIGHTS = ("lm_weight", "word_score", "unknown_score", "hot_weight")

Unit = Literal["words", "characters"]
"""What errors are counted in."""
Posteriors = Sequence[torch.Tensor]
"""(frames, tokens) log-probabilities of each utterance."""


@dataclass(frozen=True)
class Trial:
    """What some weights gave.

    Attributes:
        weights: weights by their name in `SearchConfig`.
        errors: word errors on the development data, or character errors.
        reference: words in its references, or characters.
    """

    weights: Mapping[str, float]
    errors: int
    reference: int

    @property
    def rate(self) -> float:
        """Errors per word, or character, of the references."""
        return self.errors / self.reference


@dataclass(frozen=True)
class Tuned:
    """The chosen settings and how they came about.

    Attributes:
        config: settings with the weights that made the fewest errors; of equal ones, those tried first.
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
    hot_words: HotWords | None = None,
    unit: Unit = "words",
) -> Tuned:
    """Choose the weights of the search for sentences by its errors on development data.

    From the weights of the grid nearest to those of `config`, one weight after the other is set to its best value with
    the others as they are, until none changes (coordinate descent); or all combinations are tried.

    Args:
        posteriors: posteriors of the development utterances.
        references: text of each.
        lexicon, tokens, model: arguments of `SentenceSearch`; without a model `lm_weight` is left as it is.
        config: the other settings.
        grid: values to try, by name of a number in `SearchConfig`; None for `DEFAULT_GRID`.
        exhaustive: whether to try all combinations.
        hot_words: words whose entries of the lexicon have a bonus, as `HotWords.boosted` gives it; without them
            `hot_weight` is left as it is.
        unit: errors that are counted.

    Raises:
        ConfigError: the grid names what is no weight, or holds no or wrong values.
        DataError: there are no reference words, or not as many references as posteriors; the lexicon lacks a hot word.
    """
    grid = dict(DEFAULT_GRID if grid is None else grid)
    if model is None:
        grid.pop("lm_weight", None)
    if hot_words is None:
        grid.pop("hot_weight", None)

    config = config or SearchConfig()
    if grid.get("unknown_score") and config.unknown_score is None:
        config = dataclasses.replace(config, unknown_score=grid["unknown_score"][0])
    made: dict[float, SentenceSearch] = {}  # by the weight of hot words, which is in the lexicon

    def recognise(settings: SearchConfig) -> list[str]:
        boost = 0.0 if hot_words is None else settings.hot_weight
        if boost not in made:
            own = lexicon if hot_words is None else hot_words.boosted(lexicon, boost)
            made[boost] = SentenceSearch(own, tokens, settings, model)
        search = made[boost].with_config(settings)
        found = (search.best_sentences(p[None], torch.tensor([len(p)]))[0] for p in posteriors)
        return [best[0].text if best else "" for best in found]

    return _descend(recognise, posteriors, references, config, grid, exhaustive, unit)


def unknown_scores(model: NgramModel, lexicon: Lexicon) -> tuple[float, ...]:
    """Return values of `unknown_score` to try where a model lists not all words of a lexicon; else none.

    A model of the texts alone knows how rare each new word is, not that several of them are to come: the values begin
    at its own `<unk>` (without one, at the reciprocal of its number of words) and rise.
    """
    if all(part in model for word in lexicon.words for part in words_of(word)):
        return ()
    own = -math.log(len(model.words)) if model.unknown is None else float(model.score(model.unknown, ROOT)[0])
    return tuple(dict.fromkeys(min(0.0, own + more) for more in (0.0, 1.5, 3.0, 4.5)))


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
        posteriors: posteriors of the development utterances; some should hold hot words, and some none.
        references: text of each, for models of phones in phones.
        tokens, hot_words, lexicon: arguments of `PrefixSearch`.
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


def tune_spelling(
    posteriors: Posteriors,
    references: Sequence[str],
    tokens: Tokens,
    model: NgramModel,
    hot_words: HotWords | None = None,
    config: SearchConfig | None = None,
    grid: Mapping[str, Sequence[float]] | None = None,
    unit: Unit = "words",
) -> Tuned:
    """Choose the weights of a language model of letters by its errors on development data, as `tune` does.

    Args:
        posteriors: posteriors of the development utterances.
        references: text of each.
        tokens, model, hot_words: arguments of `PrefixSearch`; without hot words `hot_weight` is left as it is.
        config: the other settings.
        grid: values to try; None for `DEFAULT_GRID`, with hot words `HOT_GRID` too. Where the tokens have no space,
            `word_score` is left as it is.
        unit: errors that are counted.

    Raises:
        ConfigError, DataError: as of `tune`; also where the model is not of letters, or a hot word cannot be spelled.
    """
    grid = dict({**DEFAULT_GRID, **(HOT_GRID if hot_words is not None else {})} if grid is None else grid)
    if Letters(tokens).space < 0:
        grid.pop("word_score", None)

    def recognise(settings: SearchConfig) -> list[str]:
        search = PrefixSearch(tokens, settings, hot_words, model=model)
        found = (search.best_texts(p[None], torch.tensor([len(p)]))[0] for p in posteriors)
        return [best[0].text if best else "" for best in found]

    return _descend(recognise, posteriors, references, config or SearchConfig(), grid, False, unit)


def _descend(
    recognise: Callable[[SearchConfig], list[str]],
    posteriors: Posteriors,
    references: Sequence[str],
    config: SearchConfig,
    grid: dict[str, Sequence[float]],
    exhaustive: bool,
    unit: Unit = "words",
) -> Tuned:
    _check(posteriors, references, grid)
    wanted = [_units(reference, unit) for reference in references]
    tried: dict[tuple[float, ...], Trial] = {}

    def errors(values: tuple[float, ...]) -> int:
        if values not in tried:
            weights = dict(zip(grid, values, strict=True))
            texts = recognise(dataclasses.replace(config, **weights))  # type: ignore[arg-type]
            wrong = sum(Levenshtein.distance(a, _units(b, unit)) for a, b in zip(wanted, texts, strict=True))
            tried[values] = Trial(weights, wrong, sum(map(len, wanted)))
        return tried[values].errors

    if exhaustive:
        ways = list(itertools.product(*grid.values()))
        for values in tracked(ways, "trying weights", len(ways), "combination"):
            errors(values)
    best = tuple(min(values, key=lambda v: abs(v - getattr(config, name))) for name, values in grid.items())
    changed = not exhaustive
    while changed:  # fewer errors each time, so that it ends
        before = errors(best)
        for place, choices in enumerate(tracked(grid.values(), "trying weights", len(grid))):
            ways = [(*best[:place], value, *best[place + 1 :]) for value in choices]
            best = min([best, *ways], key=errors)
        changed = errors(best) < before
    errors(best)
    chosen = min(tried.values(), key=lambda trial: trial.errors)
    return Tuned(dataclasses.replace(config, **chosen.weights), tuple(tried.values()))  # type: ignore[arg-type]


def _units(text: str, unit: Unit) -> list[str]:
    """Return the words of a text, or its characters with the spaces, as scores count them."""
    words = text.split()
    return words if unit == "words" else list(" ".join(words))


def _check(posteriors: Posteriors, references: Sequence[str], grid: Mapping[str, Sequence[float]]) -> None:
    for name, values in grid.items():
        if name not in WEIGHTS:
            raise ConfigError(f"`{name}` cannot be tuned; choose among {', '.join(WEIGHTS)}.")
        if not values or not all(math.isfinite(value) for value in values):
            raise ConfigError(f"the values of `{name}` to try must be finite numbers, got {list(values)}.")
    if len(posteriors) != len(references):
        raise DataError(f"there are {len(posteriors)} posteriors but {len(references)} references; give one for each.")
    if not any(reference.split() for reference in references):
        raise DataError("the development references hold no words; give transcribed utterances.")
