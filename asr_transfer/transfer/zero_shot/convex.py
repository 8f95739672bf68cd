"""Places an item among class vectors as a mean of those of seen classes, weighed by how likely they are (ConSE).

Norouzi et al., "Zero-shot learning by convex combination of semantic embeddings" (2014).
"""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from asr_transfer.errors import ConfigError


def convex_combination(probabilities: torch.Tensor, class_vectors: torch.Tensor, top: int) -> torch.Tensor:
    """Return (items, size) the mean of the `top` likeliest classes' vectors, weighed by their probabilities.

    With `top` 1 it is the vector of the likeliest class itself.

    Args:
        probabilities: (items, seen classes) probabilities.
        class_vectors: (seen classes, size) vectors.
        top: number of classes (T), at most all.

    Raises:
        ConfigError: it is below 1 or more than there are.
    """
    if not 1 <= top <= len(class_vectors):
        raise ConfigError(f"`top` must be from 1 to the {len(class_vectors)} classes, got {top}.")
    values, places = probabilities.topk(top, dim=1)
    weights = values / values.sum(1, keepdim=True)
    return torch.einsum("nt,nts->ns", weights, class_vectors.to(weights)[places])


def cosine_scores(vectors: torch.Tensor, class_vectors: torch.Tensor) -> torch.Tensor:
    """Return (items, classes) cosines between items' and classes' vectors."""
    return normalize(vectors, dim=1) @ normalize(class_vectors.to(vectors), dim=1).T
