"""Takes the statistics of BatchNorm layers anew from other data, without labels (AdaBN; Li et al. 2016)."""

from __future__ import annotations

import torch
from torch import nn

from asr_transfer.data.batching import Data, sequential
from asr_transfer.models.domains import keep_domains, normalisation_layers, normalised_for
from asr_transfer.models.modes import evaluating


@torch.no_grad()
def recalibrate(model: nn.Module, data: Data, domain: str | None = None, budget: int = 6_000) -> int:
    """Set the statistics of a model's BatchNorm layers to those of `data`, and return how many were set.

    All layers see the data in the same pass, each behind layers that normalise by the batch, as in training; the
    statistics are the means over the batches, each counting by its items, or their frames. Weights stay as they are,
    and so do statistics that a plan has frozen.

    Args:
        model: model under the contract; its modules keep their modes.
        data: data of the new domain; labels are not looked at.
        domain: domain whose statistics are set, made where the model has none; None for the model's own.
        budget: padded cost of a batch: statistics of a few items are noise.
    """
    layers = [layer for layer in normalisation_layers(model) if not getattr(layer, "statistics_frozen", False)]
    if domain is not None:
        keep_domains(model, [domain])
    device = next(model.parameters()).device
    momenta = [layer.momentum for layer in layers]
    with normalised_for(model, domain), evaluating(model):
        for layer in layers:
            layer.reset_running_stats()
            layer.training = True
        try:
            seen = 0
            for batch in sequential(data, budget):
                own = batch.to(device)
                size = len(own.items) if own.lengths is None else int(own.lengths.sum())
                seen += size
                for layer in layers:
                    layer.momentum = size / seen
                model(own.inputs, own.lengths)
        finally:
            for layer, momentum in zip(layers, momenta, strict=True):
                layer.momentum = momentum
    return len(layers)
