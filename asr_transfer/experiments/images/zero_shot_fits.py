"""Fits all ways to know classes that were never seen, on the items of some seen classes: two trainings, many heads.

The heads that are trained share a step of the one trainer and nothing else: each has its own loss and its own weights,
so that training them together is training each alone. Relation networks learn more slowly and have a training of
their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated

import torch
from torch.nn.functional import normalize

from asr_transfer.config import TrainerConfig
from asr_transfer.data.batching import ArrayData
from asr_transfer.models.vectors import VectorConfig, VectorModel
from asr_transfer.ranges import Count, Positive, Range, Ranged
from asr_transfer.training.criteria import binary_cross_entropy, cross_entropy, ranking_hinge
from asr_transfer.training.streams import Stream, Task
from asr_transfer.training.trainer import Trainer
from asr_transfer.transfer.zero_shot import (
    AttributePrediction,
    ClassEmbedding,
    ClassRelation,
    averaged_attributes,
    bilinear_scores,
    class_ridge,
    convex_combination,
    cosine_scores,
    fit_bilinear,
)
from asr_transfer.transfer.zero_shot.embedding import Form

TAP = "encoder"
ATTRIBUTES, WORDS = "attributes", "words"

Scorer = Callable[[torch.Tensor], torch.Tensor]
"""Maps (items, dim) features to (items, classes) scores of all classes, seen and unseen."""


@dataclass(frozen=True)
class RelationSettings(Ranged, section="fits.relation"):
    """Settings of the relation network's training, which has more steps than the other heads'.

    Attributes:
        units: Units of the network.
        steps: Optimiser steps.
        warmup: Fraction of the steps with a rising learning rate; without any the network says at once that nothing
            goes together, and stays there.
        pace: Factor on the learning rate of the class vectors' side.
        scale: Factor on the class vectors.
    """

    units: Count = 32
    steps: Count = 300
    warmup: Annotated[float, Range(at_least=0, below=1)] = 0.3
    pace: Positive = 3.0
    scale: Positive = 4.0


@dataclass(frozen=True)
class FitSettings(Ranged, section="fits"):
    """Settings of the ways; chosen on training images that no way is fitted on.

    Attributes:
        gamma: ESZSL's weight of its map as seen from the features.
        lam: ESZSL's weight of its map as seen from the class vectors.
        top: Number of seen classes that ConSE's mean is of.
        margin: Lead of the right class that the hinges ask for.
        dim: Numbers in the space of the attribute embedding.
        pace: Factor on the learning rate of the class vectors' side of the embedding.
        scale: Length of the class vectors, from whose mean over the seen classes they point.
        relation: Settings of the relation network.
    """

    gamma: Positive = 1000.0
    lam: Positive = 1.0
    top: Annotated[int, Range(at_least=1)] = 6
    margin: Positive = 1.0
    dim: Count = 32
    pace: Positive = 10.0
    scale: Positive = 1.0
    relation: RelationSettings = field(default_factory=RelationSettings)


def centred(vectors: torch.Tensor, seen: Sequence[int], scale: float = 1.0) -> torch.Tensor:
    """Return (classes, size) class vectors less the mean of the seen ones, each of one length."""
    return scale * normalize(vectors - vectors[list(seen)].mean(0), dim=1)


def fit_ways(
    features: torch.Tensor,
    labels: torch.Tensor,
    seen: Sequence[int],
    vectors: Mapping[str, torch.Tensor],
    settings: FitSettings,
    trainer: TrainerConfig,
) -> tuple[dict[str, Scorer], dict[str, float]]:
    """Return the scores of each way by its name, and how much of their spread the classes' places have at the end.

    Args:
        features: (items, dim) features of items of seen classes.
        labels: (items,) numbers of their classes.
        seen: numbers of the seen classes.
        vectors: (classes, size) vectors of all classes, by kind; `attributes` are 0 or 1.
        settings: settings of the ways.
        trainer: training of those that are trained.
    """
    seen = sorted(seen)
    mean, deviation = features.mean(0), features.std(0) + 1e-3
    inputs = (features - mean) / deviation
    rows = torch.searchsorted(torch.tensor(seen), labels)
    kinds = {kind: centred(own, seen, settings.scale) for kind, own in vectors.items()}
    truths = vectors[ATTRIBUTES][seen]
    heads = {"classes": len(seen), ATTRIBUTES: truths.shape[1]}
    data = ArrayData(inputs, rows)
    tasks = [
        Task("classes", data, cross_entropy, head="classes"),
        Task(ATTRIBUTES, ArrayData(inputs, truths[rows]), binary_cross_entropy, head=ATTRIBUTES),
    ]
    learnt: dict[str, ClassEmbedding] = {}
    relations: dict[str, ClassRelation] = {}
    own_seed, relation = trainer.seed, settings.relation
    for kind, every in kinds.items():
        own = every[seen]
        heads[f"devise-{kind}"] = own.shape[1]
        hinge = ranking_hinge(settings.margin, own, "sum")
        tasks.append(Task(f"devise-{kind}", data, hinge, head=f"devise-{kind}"))
        forms: dict[str, Form] = {f"embedding-{kind}": "max", f"pull-{kind}": "pull"}
        for name, form in forms.items():
            heads[name] = settings.dim
            learnt[name] = ClassEmbedding(
                "classes", name, TAP, own, settings.dim, form, settings.margin, settings.pace, own_seed
            )
        heads[name := f"relation-{kind}"] = relation.units
        relations[name] = ClassRelation(
            "classes", name, TAP, relation.scale * own, relation.units, pace=relation.pace, seed=own_seed
        )
    torch.manual_seed(own_seed)
    model = VectorModel(VectorConfig(inputs.shape[1]), heads)
    before = {name: one.spread() for name, one in learnt.items()}
    Trainer(model, tasks, [(1.0, one) for one in learnt.values()], config=trainer).train()
    longer = replace(trainer, steps=relation.steps, warmup=relation.warmup)
    Trainer(model, [Stream("classes", data)], [(1.0, one) for one in relations.values()], config=longer).train()
    for trained in (model, *learnt.values(), *relations.values()):
        trained.cpu()  # where the features are
    spread = {name: one.spread() / before[name] for name, one in learnt.items()}

    def head(name: str) -> Callable[[torch.Tensor], torch.Tensor]:
        @torch.no_grad()
        def outputs(items: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = model.head(name)((items - mean) / deviation)
            return found

        return outputs

    ridge = class_ridge(inputs, rows, len(seen), settings.gamma)
    direct, classes = AttributePrediction(truths), head("classes")
    ways: dict[str, Scorer] = {
        "dap": lambda items: direct.scores(head(ATTRIBUTES)(items), vectors[ATTRIBUTES]),
        "iap": lambda items: direct.scores(averaged_attributes(classes(items).softmax(1), truths), vectors[ATTRIBUTES]),
    }
    for kind, every in kinds.items():
        ways |= {
            f"devise-{kind}": _devise(head(f"devise-{kind}"), every),
            f"eszsl-{kind}": _bilinear(fit_bilinear(ridge, every[seen], settings.lam), mean, deviation, every),
            f"conse-{kind}": _convex(classes, every[seen], every, min(settings.top, len(seen))),
        }
        for name in (f"embedding-{kind}", f"pull-{kind}"):
            ways[name] = _learnt(head(name), learnt[name], every)
        name = f"relation-{kind}"
        ways[name] = _learnt(head(name), relations[name], relation.scale * every)
    return ways, spread


def _devise(head: Scorer, vectors: torch.Tensor) -> Scorer:
    return lambda items: head(items) @ vectors.T


def _bilinear(bilinear: torch.Tensor, mean: torch.Tensor, deviation: torch.Tensor, vectors: torch.Tensor) -> Scorer:
    return lambda items: bilinear_scores((items - mean) / deviation, bilinear, vectors)


def _convex(classes: Scorer, seen: torch.Tensor, vectors: torch.Tensor, top: int) -> Scorer:
    return lambda items: cosine_scores(convex_combination(classes(items).softmax(1), seen, top), vectors)


def _learnt(head: Scorer, learnt: ClassEmbedding | ClassRelation, vectors: torch.Tensor) -> Scorer:
    return lambda items: learnt.scores(head(items), vectors)
