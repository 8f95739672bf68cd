"""Writes texts token after token and follows several hypotheses of each utterance: beam search.

A finished hypothesis counts by its mean score a token: log-probability, and bonus of hot words. A search ends when all
that are kept have finished and none that is unfinished is better, as Transformers' `generate` does it with its usual
settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from asr_transfer.decoding.sequence import Spelled, Stop, Vocabulary
from asr_transfer.decoding.token_bias import START, Place, TokenBias
from asr_transfer.models.contract import SequenceModel


class _Live(NamedTuple):
    """An unfinished hypothesis.

    Attributes:
        tokens: tokens so far.
        score: log-probability and bonus.
        bonus: bonus of hot words, of what may have to be given back too.
        place: place in the automaton over them.
    """

    tokens: tuple[int, ...] = ()
    score: float = 0.0
    bonus: float = 0.0
    place: Place = START

    def broken_off(self, bias: TokenBias | None) -> Spelled:
        """Return it as it is written when it goes on no more."""
        bonus = self.bonus + (0.0 if bias is None else bias.at_end(self.place))
        return Spelled(self.tokens, self.score - self.bonus, False, bonus)


@dataclass
class _Search:
    """The hypotheses of one utterance.

    Attributes:
        live: unfinished ones, the best first.
        finished: finished ones.
        done: whether nothing better can come.
    """

    live: list[_Live] = field(default_factory=lambda: [_Live()])
    finished: list[Spelled] = field(default_factory=list)
    done: bool = False

    def finish(self, spelled: Spelled, beam: int) -> None:
        self.finished = sorted([*self.finished, spelled], key=_score, reverse=True)[:beam]

    def settle(self, beam: int) -> None:
        """Say that nothing better can come, where that is so."""
        if len(self.finished) < beam or not self.live:
            self.done = not self.live
            return
        first = self.live[0]
        self.done = first.score / max(1, len(first.tokens)) <= _score(self.finished[-1])

    def best(self, bias: TokenBias | None) -> Spelled:
        return self.finished[0] if self.finished else self.live[0].broken_off(bias)


def _score(spelled: Spelled) -> float:
    return (spelled.log_probability + spelled.bonus) / max(1, len(spelled.tokens) + spelled.ended)


def write_by_beam(
    model: SequenceModel,
    vocabulary: Vocabulary,
    states: torch.Tensor,
    prompts: Sequence[Sequence[int]],
    limits: Sequence[int],
    beam: int,
    stop: Stop | None = None,
    bias: TokenBias | None = None,
) -> list[Spelled]:
    """Write a text for each utterance; see `write_greedily`.

    Args:
        model: Model that writes.
        vocabulary: Tokens that may be written.
        states: States of the encoder, (batch, frames, dim).
        prompts: Tokens that each text follows, equally many.
        limits: Greatest number of tokens of each text.
        beam: Number of hypotheses of each utterance.
        stop: Function that is asked after every token; what it stops is given up, as long as there is another.
        bias: Bonus of hot words; None for none.
    """
    count, device = len(prompts), states.device
    searches = [_Search(done=limit < 1) for limit in limits]
    state = model.begin(states)
    hidden = model.follow(torch.tensor(prompts, device=device), state)[:, -1]
    width = 1  # hypotheses of each utterance in the state
    while not all(search.done for search in searches):
        log_probs = vocabulary.log_probs(hidden, width == 1)
        size = log_probs.shape[1]
        before = torch.full((count, width), -torch.inf, device=device)
        added = torch.zeros(count, width, 1 if bias is None else size, device=device)
        for number, search in enumerate(searches):
            before[number, : len(search.live)] = torch.tensor([live.score for live in search.live], device=device)
            if bias is not None and search.live and not search.done:
                added[number, : len(search.live)] = bias.gains([live.place for live in search.live]).to(device)
        totals = (log_probs.view(count, width, size) + before[:, :, None] + added).view(count, width * size)
        values, places = totals.topk(min(2 * beam, totals.shape[1]))
        rows, tokens = [], []
        for number, search in enumerate(searches):
            sources = [0] * beam
            if not search.done:
                gains = added[number].expand(width, size).reshape(-1)[places[number]].tolist()
                found = zip(values[number].tolist(), places[number].tolist(), gains, strict=True)
                candidates = [_Candidate(v, gain, *divmod(p, size)) for v, p, gain in found]
                sources = _extend(search, candidates, vocabulary.end, beam, stop, bias)
                if search.live and len(search.live[0].tokens) >= limits[number]:
                    for live in search.live:
                        search.finish(live.broken_off(bias), beam)
                    search.done = True
                else:
                    search.settle(beam)
            rows += [number * width + source for source in [*sources, *[0] * beam][:beam]]
            tokens += [live.tokens[-1] if live.tokens else 0 for live in [*search.live, *[_Live()] * beam][:beam]]
        state.pick(torch.tensor(rows, device=device))
        width = beam
        hidden = model.follow(torch.tensor(tokens, device=device)[:, None], state)[:, -1]
    return [search.best(bias) for search in searches]


class _Candidate(NamedTuple):
    """A token behind a hypothesis.

    Attributes:
        score: score of both.
        gain: bonus that the token adds.
        source: number of the hypothesis.
        token: token.
    """

    score: float
    gain: float
    source: int
    token: int


def _extend(
    search: _Search,
    candidates: Sequence[_Candidate],
    end: int,
    beam: int,
    stop: Stop | None,
    bias: TokenBias | None,
) -> list[int]:
    """Go on with the best candidates, and return which hypothesis each came from."""
    live: list[_Live] = []
    sources, stopped = [], []
    for rank, (score, gain, source, token) in enumerate(candidates):
        if score == -torch.inf:
            continue
        before = search.live[source]
        bonus = before.bonus + gain
        if token == end:
            if rank < beam:
                search.finish(Spelled(before.tokens, score - bonus, True, bonus), beam)
            continue
        place = before.place if bias is None else bias.after(before.place, token)
        longer = _Live((*before.tokens, token), score, bonus, place)
        if stop is not None and stop(longer.tokens):
            stopped.append(longer.broken_off(bias))
        elif len(live) < beam:
            live.append(longer)
            sources.append(source)
    if not live and not search.finished and stopped:
        search.finished = stopped[:1]
    search.live = live
    return sources
