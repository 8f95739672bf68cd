"""Learns at which rate each block of a model is adapted best, and measures what that is worth on other labels.

It answers by measurement which layers are to be moved by an adaptation: to speakers, to languages, to classes of
images. The model itself stays as it is; one factor for each block and head is learnt (Meta-SGD; Li et al. 2017).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from asr_transfer.config import TrainerConfig
from asr_transfer.models.contract import Model
from asr_transfer.models.modes import evaluating
from asr_transfer.progress import tracked
from asr_transfer.training.forward import run
from asr_transfer.training.streams import Mixture, Task, deal, make_buckets, members
from asr_transfer.training.trainer import Trainer
from asr_transfer.transfer.meta import Meta
from asr_transfer.transfer.plan import Freeze, TransferPlan


@dataclass(frozen=True)
class LearnedRates:
    """Factors on the learning rate of an adaptation, and the loss that it leaves of other labels.

    Attributes:
        factors: factor by block or head, in the order of running.
        before: loss for each output position without an adaptation.
        constant: loss behind an adaptation at one rate.
        learned: loss behind one at the learnt rates.
    """

    factors: Mapping[str, float]
    before: float
    constant: float
    learned: float


def learn_rates(
    model: Model, learn: Task | Mixture, test: Task | Mixture, meta: Meta, config: TrainerConfig, batches: int = 40
) -> LearnedRates:
    """Learn the rates of an adaptation on some labels, and measure it on others.

    Args:
        model: model that is adapted; its weights and statistics are afterwards as they were.
        learn: task or mixture to learn the rates on, whose batches hold items of one label.
        test: task or mixture of other labels to measure on.
        meta: adaptation, with rates that are to be learnt.
        config: training of the rates; of each step, `accumulate` is the number of labels.
        batches: number of batches that are measured.
    """
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    own = replace(config, validate_every=0, weight_decay=0.0)
    Trainer(model, [learn], [(1.0, meta)], TransferPlan(Freeze("**")), own).train()
    for parameter, flag in flags:
        parameter.requires_grad_(flag)
    factors, logarithms, steps = meta.factors(), meta.logarithms, meta.steps
    assert logarithms is not None
    meta.label({stream.name: stream for stream in members(test)})
    learned = _loss(model, test, meta, config, batches, "adapting at the learned rates")
    with torch.no_grad():
        logarithms.zero_()
    constant = _loss(model, test, meta, config, batches, "adapting at one rate")
    meta.steps = 0
    before = _loss(model, test, meta, config, batches, "without adapting")
    meta.steps = steps
    order = {block.path: number for number, block in enumerate(model.blocks())}
    listed = sorted(factors, key=lambda place: order.get(place, len(order)))
    return LearnedRates({place: factors[place] for place in listed}, before, constant, learned)


def _loss(model: Model, test: Task | Mixture, meta: Meta, config: TrainerConfig, batches: int, label: str) -> float:
    """Return the mean loss for each output position of batches behind an adaptation to other items of their label."""
    buckets = make_buckets(test, config.batch_budget, config.seed)
    model.train()  # an adaptation has dropout
    total, count = 0.0, 0.0
    for number in tracked(range(batches), label, batches, "batch"):
        for stream, items in deal(test, buckets.batch(number)):
            assert isinstance(stream, Task)
            torch.manual_seed(number)
            batch = stream.data.collate(items).to(next(model.parameters()).device)
            with meta.around(model, {stream.name: (stream, batch)}, 1.0), evaluating(model), torch.no_grad():
                loss, positions = stream.criterion(run(model, stream, batch))
            total, count = total + float(loss), count + float(positions)
    model.eval()
    return total / count
