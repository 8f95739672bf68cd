"""Declares the settings of the beam searches and of adaptation at test time, readable without loading PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from asr_transfer.ranges import Count, CountOrNone, Positive, Range, Ranged, Share, Weight


@dataclass(frozen=True)
class SearchConfig(Ranged, section="search"):
    """How hypotheses are searched for.

    Attributes:
        beam: number of hypotheses kept at each frame.
        beam_threshold: distance below the best hypothesis, in nats, beyond which others are dropped; infinity for none.
        lm_weight: factor of the language model's natural log-probability.
        word_score: score added for every word; above 0 for more words, below for fewer.
        unknown_score: natural log-probability of a word that the language model does not list; None takes the model's
            own `<unk>`. Other words lose to it too easily if it is very low, which hides new words.
        hot_weight: score added for every token of a hot word (with pieces of words and CTC, for every character), times
            the word's own weight.
        look_ahead: whether unfinished words are compared as if they were already the likeliest word that they can
            become. It changes what is dropped, not the scores.
    """

    beam: Count = 100
    beam_threshold: Annotated[float, Range(above=0, infinite=True)] = 25.0
    lm_weight: Weight = 1.0
    word_score: float = 0.0
    unknown_score: Annotated[float, Range(at_most=0, remark="it is a natural log-probability")] | None = None
    hot_weight: float = 1.0
    look_ahead: bool = True


@dataclass(frozen=True)
class SutaConfig(Ranged, section="suta"):
    """How a model is adapted to an utterance.

    Attributes:
        steps: number of AdamW steps; 0 for none.
        learning_rate: learning rate of AdamW. The paper's 2e-5 is for wav2vec 2.0; on small models of spoken digits,
            with and without noise, 3e-4 never took fewer errors away and mostly two to four times as many.
        temperature: divisor of the logits in both losses, so that sure frames still have a gradient.
        entropy_weight: weight of the entropy; minimum class confusion has the rest of 1.
    """

    steps: CountOrNone = 10
    learning_rate: Weight = 3e-4
    temperature: Positive = 2.5
    entropy_weight: Share = 0.3


@dataclass(frozen=True)
class WritingConfig(Ranged, section="writing"):
    """How a model of sequence to sequence writes, and how it is kept from running away.

    Attributes:
        beam: number of hypotheses of each utterance; 1 for the likeliest token each time.
        guard: whether loops and texts too long for their recording are found, searched again by `fallback_beam`, and
            cut.
        fallback_beam: number of hypotheses in the second search; 1 for none.
        repeats: number of times that a phrase is repeated in a loop.
        repeated_tokens: number of tokens that a loop has at least.
        tokens_per_second: number of tokens that a second of speech can hold.
        tokens_beside: number of tokens that a text can have besides.
        compression: number of times that a text is shorter when compressed, above which it is taken for a loop.
        no_speech: probability of there being no speech, above which an unlikely text is dropped.
        least_likely: natural log-probability of a token, on average, below which a text is unlikely.
        prompt: whether the hot words stand in the prompt too, as if they had been said before; with
            `search.hot_weight` 0 only there.
    """

    beam: Count = 1
    guard: bool = True
    fallback_beam: Count = 5
    repeats: Annotated[int, Range(at_least=2)] = 4
    repeated_tokens: Count = 8
    tokens_per_second: Positive = 12.0
    tokens_beside: Count = 8
    compression: Annotated[float, Range(above=1, infinite=True)] = 2.4
    no_speech: Share = 0.6
    least_likely: Annotated[float, Range(at_most=0, remark="it is a natural log-probability")] = -1.0
    prompt: bool = False
