"""Identifies the language of an utterance: the one whose head is surest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Frames, Recogniser
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.models.encoders import valid_frames

Identified = list[tuple[str, dict[str, float]]]
"""Of each utterance the language and the score of every head."""

SILENCE = 0.5
"""Weight of the path of blanks alone in a head's score.

Held-out words and phrases of 11 and of 15 European languages, few voices each, mean share of languages found:

| score, with offsets | 11 languages | 15 languages | 11, other corpus | 15, other corpus |
|---|---:|---:|---:|---:|
| best path | 38 % | 40 % | 18 % | 36 % |
| greedy labels over all their paths | 45 % | 43 % | 22 % | 37 % |
| negative entropy | 52 % | 50 % | 21 % | 42 % |
| this one | 60 % | 52 % | 23 % | 45 % |

Other corpus: offsets without the corpus that is judged; where languages have several. The weight and the score were
chosen on these same recordings; fitted with the offsets on the calibration part, it came to 0.47 to 0.54. A Gaussian
classifier on all heads' scores found 58 % of 11 and 58 % of 15 languages, but in another corpus 7 and 27 %: it learns
rooms and microphones. Of 11 languages, slopes by head, scores per label and a bigram model of the texts gained at most
1.5 points.
"""

CONFUSIONS = 5
"""Mistakes that a report names."""


def identify(recogniser: Recogniser, spoken: Spoken, offsets: Mapping[str, float] | None = None) -> Identified:
    """Return the language of each utterance, and each head's score of it, in its order.

    The encoder runs once per utterance, then every head on what it heard.

    Args:
        recogniser: model of several languages; the head that it listens through does not matter.
        spoken: utterances; their targets are not read.
        offsets: offsets that are added to the scores, as `calibrate` gives them; only the languages named there come
            into question. None takes those that the recogniser keeps, and all heads' scores as they are where it keeps
            none.

    Raises:
        ConfigError: there are fewer than two languages to choose from.
        ModelError: an offset is given for a head that does not exist.
    """
    offsets = recogniser.offsets if offsets is None else offsets
    scores = head_scores(recogniser, spoken, list(offsets or recogniser.model.head_names()))
    return named(scores, offsets)


def named(scores: Sequence[Mapping[str, float]], offsets: Mapping[str, float] | None = None) -> Identified:
    """Return the language with the highest score of each utterance, and the scores with their offsets."""
    shifted = [{name: score + (offsets or {}).get(name, 0.0) for name, score in own.items()} for own in scores]
    return [(max(own, key=lambda name: own[name]), own) for own in shifted]


def head_scores(recogniser: Recogniser, spoken: Spoken, heads: Sequence[str]) -> list[dict[str, float]]:
    """Return how sure each head is of each utterance, per output frame in nats.

    That is the mean log-probability of paths drawn from the head's own distribution over CTC paths (its negative
    entropy), less `SILENCE` of the log-probability of the path of blanks alone: a head that hears nothing is sure too.

    Raises:
        ConfigError: fewer than two heads.
        ModelError: there is no such head.
    """
    if len(heads) < 2:
        raise ConfigError("to tell languages apart, a model needs heads of at least two; train it on several.")
    modules = [recogniser.model.head(name) for name in heads]

    def sureness(frames: Frames) -> Iterable[tuple[np.ndarray, float]]:
        valid = valid_frames(frames.lengths, frames.hidden.shape[1])
        columns = []
        for head in modules:
            log_probs = head(frames.hidden).float().log_softmax(-1)
            sure = (log_probs.exp() * log_probs).sum(-1) - SILENCE * log_probs[..., 0]
            columns.append(sure.masked_fill(~valid, 0).sum(1))
        return zip(torch.stack(columns, 1).double().cpu().numpy(), frames.lengths.tolist(), strict=True)

    scores = []
    for pieces in recogniser.listen_with(sureness, spoken, label="telling languages apart"):
        sums, lengths = zip(*pieces, strict=True)
        scores.append(dict(zip(heads, (np.stack(sums).sum(0) / sum(lengths)).tolist(), strict=True)))
    return scores


def calibrated(recogniser: Recogniser, spoken: Spoken, say: Callable[[str], None]) -> Recogniser:
    """Return a recogniser that keeps offsets from development speech, without where a language has none; it is said.

    Args:
        recogniser: model of several languages; one with a single head is returned as it is.
        spoken: utterances really in the languages they name; those in languages without a head are left out.
        say: function that takes the line that names the languages without speech.
    """
    heads = recogniser.model.head_names()
    if len(heads) < 2:
        return recogniser
    if unheard := sorted(set(heads) - set(spoken.languages())):
        say(f"languages will be identified without calibration: no development utterances in {', '.join(unheard)}")
        return replace(recogniser, offsets={})
    known = spoken.subset(n for n, u in enumerate(spoken.utterances) if u.language in heads)
    return replace(recogniser, offsets=calibrate(recogniser, known))


def calibrate(recogniser: Recogniser, spoken: Spoken) -> dict[str, float]:
    """Return offsets for `identify` that even out heads that are by nature more or less sure of themselves.

    They are those of a logistic regression on the scores with one common slope, in which every language counts the
    same (Brümmer and van Leeuwen 2006).

    Args:
        recogniser: model of several languages.
        spoken: Development utterances that are really in the languages they name.

    Raises:
        DataError: a language has no utterances, or an utterance is in none of the languages.
        ConfigError: there are fewer than two languages.
    """
    truth = [utterance.language for utterance in spoken.utterances]
    return fit_offsets(head_scores(recogniser, spoken, recogniser.model.head_names()), truth)


def fit_offsets(scores: Sequence[Mapping[str, float]], truth: Sequence[str]) -> dict[str, float]:
    """Return the offsets of scores whose utterances are in the languages of `truth`; see `calibrate`."""
    names = list(scores[0])
    for language in sorted(set(truth) | set(names)):
        if language not in names:
            raise DataError(
                f"an utterance to calibrate on is in '{language}', of which there is no head; leave it out."
            )
        if language not in truth:
            raise DataError(f"there is no utterance in '{language}' to calibrate on; give some, or leave the head out.")
    values = torch.tensor([[own[name] for name in names] for own in scores], dtype=torch.float64)
    values = values - values.mean(1, keepdim=True)
    scale = float(values.std()) or 1.0
    wanted = torch.tensor([names.index(language) for language in truth])
    weights = 1 / torch.bincount(wanted, minlength=len(names))[wanted].double() / len(names)
    slope = torch.zeros((), dtype=torch.float64, requires_grad=True)
    shift = torch.zeros(len(names), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([slope, shift], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        # In units of the scores, whatever the slope; a little pull to zero keeps separable languages finite.
        logits = slope.exp() * (values / scale + shift)
        return (weights * functional.cross_entropy(logits, wanted, reduction="none")).sum() + 1e-3 * (
            shift.square().sum() + slope.square()
        )

    def closure() -> float:
        optimizer.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return float(value.detach())

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    offsets = scale * (shift - shift.mean()).detach()
    return dict(zip(names, offsets.tolist(), strict=True))


def accuracy(found: Identified, truth: Sequence[str]) -> float:
    """Return the share of utterances whose language was found, the mean over the languages of `truth`."""
    if not truth:
        raise DataError("there are no utterances whose language could be found.")
    pairs = list(zip((name for name, _ in found), truth, strict=True))
    shares = []
    for language in sorted(set(truth)):
        own = [name for name, true in pairs if true == language]
        shares.append(own.count(language) / len(own))
    return sum(shares) / len(shares)


def confusions(found: Identified, truth: Sequence[str], most: int = CONFUSIONS) -> list[dict[str, Any]]:
    """Return the most frequent mistakes: the true language, the one it was taken for, and how many utterances."""
    wrong = Counter((true, name) for (name, _), true in zip(found, truth, strict=True) if name != true)
    ordered = sorted(wrong.items(), key=lambda pair: (-pair[1], pair[0]))
    return [{"language": true, "taken_for": name, "utterances": count} for (true, name), count in ordered[:most]]


def told_confusions(mistakes: Sequence[Mapping[str, Any]]) -> str:
    """Return mistakes of `confusions` as a line's part; empty without."""
    return ", ".join(f"{own['language']} for {own['taken_for']} ({own['utterances']})" for own in mistakes)
