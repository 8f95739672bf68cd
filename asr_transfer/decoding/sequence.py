"""Writes token after token, the likeliest each time, for a batch of utterances at once: greedy decoding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from asr_transfer.decoding.token_bias import START, TokenBias
from asr_transfer.models.contract import DecoderState, SequenceModel

Stop = Callable[[Sequence[int]], bool]
"""Says of the tokens of a text so far whether to write no more of it."""


@dataclass(frozen=True)
class Spelled:
    """The tokens of a text.

    Attributes:
        tokens: Tokens without the prompt and the end.
        log_probability: Natural log-probability of the tokens, and of the end where it was reached.
        ended: Whether the end was reached, within the limit and before it was stopped.
        bonus: Bonus of the hot words in it.
    """

    tokens: tuple[int, ...]
    log_probability: float
    ended: bool
    bonus: float = 0.0

    @property
    def mean(self) -> float:
        """Mean log-probability of a token, the end among them."""
        return self.log_probability / (len(self.tokens) + 1)


@dataclass(frozen=True)
class Vocabulary:
    """Which tokens may be written.

    Attributes:
        head: Module that maps hidden vectors to logits.
        end: Token that ends a text.
        never: Tokens that are never written.
        never_first: Tokens that no text begins with.
    """

    head: nn.Module
    end: int
    never: tuple[int, ...] = ()
    never_first: tuple[int, ...] = ()

    def log_probs(self, hidden: torch.Tensor, first: bool) -> torch.Tensor:
        """Map (rows, dim) hidden vectors to (rows, tokens) log-probabilities, -inf of what may not be written."""
        found: torch.Tensor = self.head(hidden).float().log_softmax(-1)
        if self.never:
            found[:, list(self.never)] = -torch.inf
        if first and self.never_first:
            found[:, list(self.never_first)] = -torch.inf
        return found


def write_greedily(
    model: SequenceModel,
    vocabulary: Vocabulary,
    states: torch.Tensor,
    prompts: Sequence[Sequence[int]],
    limits: Sequence[int],
    stop: Stop | None = None,
    bias: TokenBias | None = None,
) -> list[Spelled]:
    """Write a text for each utterance; those that are finished take no more time.

    Args:
        model: Model that writes.
        vocabulary: Tokens that may be written.
        states: States of the encoder, (batch, frames, dim).
        prompts: Tokens that each text follows, equally many.
        limits: Greatest number of tokens of each text.
        stop: Function that is asked after every token.
        bias: Bonus of hot words, on which the token that is chosen depends; None for none.
    """
    written: list[list[int]] = [[] for _ in prompts]
    totals, ended = [0.0] * len(prompts), [False] * len(prompts)
    bonuses, places = [0.0] * len(prompts), [START] * len(prompts)
    state: DecoderState = model.begin(states)
    hidden = model.follow(torch.tensor(prompts, device=states.device), state)[:, -1]
    rows = list(range(len(prompts)))  # utterances in the state, finished ones among them
    live = {row for row in rows if limits[row] > 0}
    while live:
        log_probs = vocabulary.log_probs(hidden, state.length == len(prompts[0]))
        added = torch.zeros_like(log_probs[:, :1])
        if bias is not None:
            added = bias.gains([places[row] for row in rows]).to(log_probs)
        best = (log_probs + added).argmax(-1)
        chosen = best[:, None]
        values, gains = log_probs.gather(1, chosen)[:, 0], added.expand_as(log_probs).gather(1, chosen)[:, 0]
        for row, value, gain, token in zip(rows, values.tolist(), gains.tolist(), best.tolist(), strict=True):
            if row not in live:
                continue
            totals[row] += value
            bonuses[row] += gain
            if token == vocabulary.end:
                ended[row] = True
                live.discard(row)
                continue
            written[row].append(token)
            if bias is not None:
                places[row] = bias.after(places[row], token)
            if len(written[row]) >= limits[row] or (stop is not None and stop(written[row])):
                live.discard(row)
        if not live:
            break
        if 2 * len(live) <= len(rows):
            kept = torch.tensor([place for place, row in enumerate(rows) if row in live], device=states.device)
            state.keep(kept)
            best, rows = best[kept], [row for row in rows if row in live]
        hidden = model.follow(best[:, None], state)[:, -1]
    if bias is not None:
        bonuses = [b if e else b + bias.at_end(p) for b, e, p in zip(bonuses, ended, places, strict=True)]
    return [
        Spelled(tuple(own), *rest) for own, rest in zip(written, zip(totals, ended, bonuses, strict=True), strict=True)
    ]
