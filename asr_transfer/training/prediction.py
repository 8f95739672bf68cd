"""Reads what a model makes of every item of some data: its vectors, and what a head says of them."""

from __future__ import annotations

import torch
from torch import nn

from asr_transfer.data.batching import Data, sequential
from asr_transfer.models.domains import normalised_for
from asr_transfer.models.modes import evaluating
from asr_transfer.training.forward import run
from asr_transfer.training.streams import Output, Stream


@torch.no_grad()
def embed(
    model: nn.Module, data: Data, tap: str | None = None, domain: str | None = None, budget: int = 6_000
) -> torch.Tensor:
    """Return the (items, dim) vectors of all items, in their order, on the CPU.

    Args:
        model: model under the contract; run in evaluation mode and left as it was.
        data: data without augmentation.
        tap: dotted path of the module whose outputs are taken, averaged over time where they have frames; None for
            what heads are fed.
        domain: domain whose statistics normalise; see `models.domains`.
        budget: padded cost of a batch.
    """

    def vectors(output: Output, hidden: torch.Tensor) -> torch.Tensor:
        if tap is not None:
            return output.vectors(tap, "utterance")
        if output.lengths is None:
            return hidden.flatten(1)
        keep = torch.arange(hidden.shape[1], device=hidden.device) < output.lengths[:, None]
        return hidden.masked_fill(~keep[:, :, None], 0).sum(1) / output.lengths[:, None]

    rows: dict[int, torch.Tensor] = {}
    device = next(model.parameters()).device
    stream = Stream("data", data, domain=domain)
    with evaluating(model):
        for batch in sequential(data, budget):
            if tap is not None:
                output = run(model, stream, batch.to(device), [tap])
                found = vectors(output, torch.empty(0))
            else:
                own = batch.to(device)
                with normalised_for(model, domain):
                    hidden, lengths = model(own.inputs, own.lengths)
                found = vectors(Output(None, lengths, {}, own), hidden)
            rows.update(zip(batch.items.tolist(), found.float().cpu(), strict=True))
    return torch.stack([rows[item] for item in range(len(rows))])


@torch.no_grad()
def predict(model: nn.Module, data: Data, head: str, domain: str | None = None, budget: int = 6_000) -> torch.Tensor:
    """Return the (items, classes) logits of all items, in their order, on the CPU.

    Args:
        model: model under the contract; run in evaluation mode and left as it was.
        data: data without augmentation.
        head: name of a head that gives one answer an item.
        domain: domain whose statistics normalise; see `models.domains`.
        budget: padded cost of a batch.

    Raises:
        ValueError: the head answers frame by frame.
    """
    rows: dict[int, torch.Tensor] = {}
    device = next(model.parameters()).device
    stream = Stream("data", data, domain=domain, head=head)
    with evaluating(model):
        for batch in sequential(data, budget):
            logits = run(model, stream, batch.to(device)).require_logits()
            if logits.dim() != 2:
                raise ValueError(f"the head '{head}' answers frame by frame; listen with a Recogniser instead.")
            rows.update(zip(batch.items.tolist(), logits.float().cpu(), strict=True))
    return torch.stack([rows[item] for item in range(len(rows))])
