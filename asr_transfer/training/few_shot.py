"""Scores the queries of few-shot episodes by their examples: prototypical and matching networks, as criteria.

Vectors are those of a head of the model, or any others. Batches are those of `data.episodes`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch.nn import functional

from asr_transfer.data.episodes import EpisodeShape
from asr_transfer.training.metrics import EpisodeError
from asr_transfer.training.streams import Criterion, Output

Scorer = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Maps examples (episodes, ways, shots, dim), queries (episodes, queries, dim) to logits (episodes, queries, ways)."""

SCALE = 10.0
"""Factor on the cosines of matching networks: a softmax over plain ones, of -1 to 1, is nearly even."""


def prototypical(examples: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
    """Return less the squared distances to the classes' means (Snell et al., "Prototypical networks", 2017).

    Up to the same number for all classes of a query, that is a linear classifier of weights 2c and biases −|c|².
    """
    means = examples.mean(2)
    return -(queries[:, :, None] - means[:, None]).square().sum(-1)


def matching(examples: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
    """Return logarithms of the attention that a query pays to each class's examples (Vinyals et al. 2016).

    The attention is a softmax over the cosines of all examples; it sums to 1. Examples are embedded apart from each
    other, without the paper's full context.
    """
    attention = attended(examples, queries)
    return attention.sum(-1).clamp(min=1e-9).log()


def attended(examples: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
    """Return (episodes, queries, ways, shots) the attention that a query pays to each example."""
    episodes, ways, shots, _ = examples.shape
    keys = functional.normalize(examples, dim=-1).flatten(1, 2)
    cosines = functional.normalize(queries, dim=-1) @ keys.transpose(1, 2)
    return (SCALE * cosines).softmax(-1).reshape(episodes, -1, ways, shots)


def divided(vectors: torch.Tensor, shape: EpisodeShape) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the examples (episodes, ways, shots, dim) and queries (episodes, queries, dim) of a batch's vectors."""
    each = vectors.reshape(-1, shape.images, vectors.shape[-1])
    examples = each[:, : shape.support].reshape(len(each), shape.ways, shape.shots, -1)
    return examples, each[:, shape.support :]


def scored(output: Output, shape: EpisodeShape, scorer: Scorer) -> torch.Tensor:
    """Return (episodes, queries, ways) the logits of a batch of episodes, whose vectors are a head's outputs."""
    return scorer(*divided(output.require_logits(), shape))


def episode_loss(shape: EpisodeShape, scorer: Scorer) -> Criterion:
    """Return the cross-entropy of the queries' classes, summed over queries; count in queries."""

    def criterion(output: Output) -> tuple[torch.Tensor, torch.Tensor]:
        logits, targets = scored(output, shape, scorer), output.batch.targets
        loss = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
        return loss, torch.tensor(targets.numel(), device=logits.device)

    return criterion


class EpisodeScores(EpisodeError):
    """Error over the queries of episodes; see `EpisodeError`.

    Args:
        shape: Sizes of an episode.
        scorer: Function that the queries are judged by.
    """

    def __init__(self, shape: EpisodeShape, scorer: Scorer) -> None:
        super().__init__()
        self._shape, self._scorer = shape, scorer

    def update(self, output: Output) -> None:
        """Count a batch."""
        super().update(replace(output, logits=scored(output, self._shape, self._scorer)))
