"""Adapts a model to many speakers at once by a summary of what each has said, which needs no transcript.

A training row is heard by the summary of a few other items of its speaker, as many as a new speaker may have recorded,
so that the model learns how far few recordings can be trusted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from asr_transfer.models.adapters.film import modulated
from asr_transfer.models.adapters.kind import PREFIX
from asr_transfer.models.adapters.many_speakers import Heard, ManySpeakers
from asr_transfer.models.adapters.modulation import add_modulation, heard_sums, statistics_of, sums_of
from asr_transfer.models.contract import Model

MOST_HEARD = 10
"""Items that a training row's summary is of at most; how many is drawn for each row."""


class ManyFilms(ManySpeakers):
    """Summaries of the items that were heard last, and matrices for each layer, 0 at the start.

    Attributes:
        sums: (items, 1 + 2 · channels) sums of each item, as the front end made them when it was last trained on.
        totals: (speakers, 1 + 2 · channels) sums of these by speaker.
    """

    kind = "film"
    sums: torch.Tensor
    totals: torch.Tensor

    def __init__(self, model: Model, owners: torch.Tensor, size: int) -> None:
        super().__init__(model, owners)
        # The matrices are the model's: what is kept of it, such as its best weights, has those that go with it.
        self.shared = (add_modulation(model, size),)
        for parameter in self.shared[0].parameters():
            parameter.requires_grad_(True)
        device, width = next(model.parameters()).device, 1 + 2 * self.shared[0].channels
        self.register_buffer("sums", torch.zeros(len(owners), width, dtype=torch.float64, device=device))
        self.register_buffer("totals", torch.zeros(self.speakers, width, dtype=torch.float64, device=device))
        self.owners = owners.tolist()
        self.items = [torch.nonzero(owners == speaker)[:, 0] for speaker in range(self.speakers)]
        self._summary: torch.Tensor | None = None

    def act(self, number: int, hidden: torch.Tensor, speakers: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        """See `ManySpeakers.act`."""
        assert self._summary is not None
        return modulated(hidden, self.shared[0].of(self.places[number].path), self._summary)

    @contextmanager
    def on(self, model: Model, speakers: torch.Tensor, own: torch.Tensor, items: torch.Tensor) -> Iterator[None]:
        """See `ManySpeakers.on`; what is heard meanwhile counts for the next batch."""
        summaries = self.shared[0].summary(self._statistics(items, own.tolist()))
        self._summary = torch.where(own[:, None], summaries, 0.0)

        def listen(module: nn.Module, arguments: Any, output: Any) -> None:
            hidden, lengths = output if isinstance(output, tuple) else (output, arguments[1])
            self._note(items, sums_of(hidden.detach(), lengths))

        handle = model.get_submodule(model.front_end()[-1].path).register_forward_hook(listen)
        try:
            with super().on(model, speakers, own, items):
                yield
        finally:
            handle.remove()
            self._summary = None

    @torch.no_grad()
    def _note(self, items: torch.Tensor, found: torch.Tensor) -> None:
        """Put the sums of items in place of what they were."""
        for item, sums in zip(items.tolist(), found.to(self.sums.device), strict=True):
            if item >= 0:
                self.totals[self.owners[item]] += sums - self.sums[item]
                self.sums[item] = sums
        heard = self.totals[self.totals[:, 0] > 0.5]
        if len(heard) > 1:
            self.shared[0].settle(statistics_of(heard))

    @torch.no_grad()
    def _statistics(self, items: torch.Tensor, own: list[bool]) -> torch.Tensor:
        """Return (batch, 2 · channels) statistics of what each row's speaker said in other items.

        Where nothing else of him was heard yet, they are those of the middle, of which the summary is 0.
        """
        rows = []
        for item, is_own in zip(items.tolist(), own, strict=True):
            drawn = self._others(item) if is_own and item >= 0 else []
            sums = self.sums[drawn].sum(0) if len(drawn) else self.sums.new_zeros(self.sums.shape[1])
            rows.append(statistics_of(sums) if sums[0] > 0 else self.shared[0].middle.to(sums))
        return torch.stack(rows)

    def _others(self, item: int) -> list[int]:
        """Draw some other items of the same speaker."""
        same = self.items[self.owners[item]]
        drawn = same[torch.randperm(len(same))[: int(torch.randint(1, MOST_HEARD + 1, ()))]]
        return [other for other in drawn.tolist() if other != item]

    def own(self, speaker: int) -> dict[str, torch.Tensor]:
        """See `ManySpeakers.own`: the summary of all that he said."""
        summary = self.shared[0].summary(statistics_of(self.totals[speaker]))
        return {f"{PREFIX}{self.kind}.summary": summary.detach()}

    @torch.no_grad()
    def settle(self, model: Model, heard: Iterable[Heard]) -> None:
        """Hold the matrices as they are; where the speakers lie is what the trained model makes of clean speech."""
        for parameter in self.shared[0].parameters():
            parameter.requires_grad_(False)
        training = model.training
        model.eval()
        totals = torch.zeros_like(self.totals)
        for batch in heard:
            sums = heard_sums(model, batch.inputs, batch.lengths)
            totals.index_add_(0, batch.speakers.to(totals.device), sums.to(totals))
        self.shared[0].settle(statistics_of(totals[totals[:, 0] > 0]))
        model.train(training)
