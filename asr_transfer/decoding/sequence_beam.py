"""Writes texts token after token and follows several hypotheses of each utterance: beam search.

A finished hypothesis counts by its mean log-probability a token. A search ends when all that are kept have finished
and none that is unfinished is better, as Transformers' `generate` does it with its usual settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from asr_transfer.decoding.sequence import Spelled, Stop, Vocabulary
from asr_transfer.models.contract import SequenceModel


@dataclass
class _Search:
    """The hypotheses of one utterance.

    Attributes:
        live: unfinished tokens and their log-probability, the best first.
        finished: finished ones.
        done: whether nothing better can come.
    """

    live: list[tuple[tuple[int, ...], float]] = field(default_factory=lambda: [((), 0.0)])
    finished: list[Spelled] = field(default_factory=list)
    done: bool = False

    def finish(self, spelled: Spelled, beam: int) -> None:
        self.finished = sorted([*self.finished, spelled], key=_score, reverse=True)[:beam]

    def settle(self, beam: int) -> None:
        """Say that nothing better can come, where that is so."""
        if len(self.finished) < beam or not self.live:
            self.done = not self.live
            return
        tokens, value = self.live[0]
        self.done = value / max(1, len(tokens)) <= _score(self.finished[-1])

    def best(self) -> Spelled:
        return self.finished[0] if self.finished else Spelled(*self.live[0], False)


def _score(spelled: Spelled) -> float:
    return spelled.log_probability / max(1, len(spelled.tokens) + spelled.ended)


def write_by_beam(
    model: SequenceModel,
    vocabulary: Vocabulary,
    states: torch.Tensor,
    prompts: Sequence[Sequence[int]],
    limits: Sequence[int],
    beam: int,
    stop: Stop | None = None,
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
        for number, search in enumerate(searches):
            live = [value for _, value in search.live]
            before[number, : len(live)] = torch.tensor(live, device=device)
        totals = (log_probs.view(count, width, size) + before[:, :, None]).view(count, width * size)
        values, places = totals.topk(min(2 * beam, totals.shape[1]))
        rows, tokens = [], []
        for number, search in enumerate(searches):
            sources = [0] * beam
            if not search.done:
                found = zip(values[number].tolist(), places[number].tolist(), strict=True)
                sources = _extend(search, [(v, p // size, p % size) for v, p in found], vocabulary.end, beam, stop)
                if search.live and len(search.live[0][0]) >= limits[number]:
                    for text, value in search.live:
                        search.finish(Spelled(text, value, False), beam)
                    search.done = True
                else:
                    search.settle(beam)
            rows += [number * width + source for source in [*sources, *[0] * beam][:beam]]
            tokens += [text[-1] if text else 0 for text, _ in [*search.live, *[((), 0.0)] * beam][:beam]]
        state.pick(torch.tensor(rows, device=device))
        width = beam
        hidden = model.follow(torch.tensor(tokens, device=device)[:, None], state)[:, -1]
    return [search.best() for search in searches]


def _extend(
    search: _Search, candidates: Sequence[tuple[float, int, int]], end: int, beam: int, stop: Stop | None
) -> list[int]:
    """Go on with the best candidates (value, hypothesis, token), and return which hypothesis each came from."""
    live: list[tuple[tuple[int, ...], float]] = []
    sources, stopped = [], []
    for place, (value, source, token) in enumerate(candidates):
        if value == -torch.inf:
            continue
        text = search.live[source][0]
        if token == end:
            if place < beam:
                search.finish(Spelled(text, value, True), beam)
            continue
        longer = (*text, token)
        if stop is not None and stop(longer):
            stopped.append(Spelled(longer, value, False))
        elif len(live) < beam:
            live.append((longer, value))
            sources.append(source)
    if not live and not search.finished and stopped:
        search.finished = stopped[:1]
    search.live = live
    return sources
