"""Takes the statistics of BatchNorm layers anew from other data, without labels (AdaBN; Li et al. 2016)."""

from __future__ import annotations

import torch

from asr_transfer.data.batching import Data, sequential
from asr_transfer.models.adapters import adapter_specs
from asr_transfer.models.contract import Model
from asr_transfer.models.domains import keep_domains, normalisation_layers, normalised_for
from asr_transfer.models.modes import evaluating


@torch.no_grad()
def recalibrate(model: Model, data: Data, domain: str | None = None, budget: int = 6_000) -> int:
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
    momenta, last = [layer.momentum for layer in layers], _blocks_with_statistics(model)
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
                if last and own.lengths is not None:
                    model.run(0, last, own.inputs, own.lengths)
                else:
                    model(own.inputs, own.lengths)
        finally:
            for layer, momentum in zip(layers, momenta, strict=True):
                layer.momentum = momentum
    return len(layers)


def _blocks_with_statistics(model: Model) -> int:
    """Return how many blocks have to run, from the first on; 0 for the whole model, which may be more than these."""
    if not model.sequential or adapter_specs(model):
        return 0
    layers = set(normalisation_layers(model))
    numbers = (
        n for n, block in enumerate(model.blocks(), 1) if layers & set(model.get_submodule(block.path).modules())
    )
    return max(numbers, default=0)
