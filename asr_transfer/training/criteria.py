"""Computes task losses: small callables that return (sum, count) in one unit, the output position (frame or item).

With one unit for all losses, a weight such as KLD's ρ means the same for every objective and batch size.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch.nn import functional

from asr_transfer.errors import ConfigError, DataError
from asr_transfer.training.streams import Criterion, Output


def ctc(output: Output) -> tuple[torch.Tensor, torch.Tensor]:
    """Connectionist temporal classification (Graves et al. 2006), blank 0, summed over utterances; count in frames."""
    log_probs = output.require_logits().log_softmax(-1).transpose(0, 1)
    lengths, targets, target_lengths = output.lengths, output.batch.targets, output.batch.target_lengths
    if lengths is None or target_lengths is None:
        raise ValueError("ctc needs inputs and targets with a time axis.")
    loss = functional.ctc_loss(log_probs, targets, lengths, target_lengths, blank=0, reduction="sum")
    return loss, output.count()


def cross_entropy(output: Output) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy of class indices, summed over items; count in items."""
    return functional.cross_entropy(output.require_logits(), output.batch.targets, reduction="sum"), output.count()


def next_token(output: Output) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy of the next token under teacher forcing, summed over tokens; count in tokens.

    Logits foretell all targets but the first. What a prompt foretells of itself is left out: `answered` of a model of
    sequence to sequence gives no logits for it.
    """
    logits, targets = output.require_logits(), output.batch.targets
    labels = targets[:, targets.shape[1] - logits.shape[1] :]
    valid = output.valid()
    return functional.cross_entropy(logits[valid], labels[valid], reduction="sum"), output.count()


def soft_targets(output: Output) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy of probabilities, (items, classes) float targets, summed over items; count in items.

    That is −Σ_c t_c log p_c, as of soft labels that another model gave. One-hot targets give `cross_entropy`.

    Raises:
        ValueError: the targets are class indices, or of another shape than the logits.
    """
    logits, targets = output.require_logits(), output.batch.targets
    if not targets.is_floating_point():
        raise ValueError("soft_targets needs a probability of every class; class indices are for cross_entropy.")
    _require_shape(logits, targets, "soft_targets")
    return functional.cross_entropy(logits, targets.to(logits.dtype), reduction="sum"), output.count()


def binary_cross_entropy(output: Output) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy of yes or no for each attribute of an item, summed over items *and* attributes; count in items.

    Targets are 0 or 1, (items, attributes) of any type; logits are log odds. An item's loss is thus the negative
    logarithm of the probability of all that is said of it, its attributes taken as independent.

    Raises:
        ValueError: the targets are of another shape than the logits.
    """
    logits, targets = output.require_logits(), output.batch.targets
    _require_shape(logits, targets, "binary_cross_entropy")
    loss = functional.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype), reduction="sum")
    return loss, output.count()


def squared_error(output: Output) -> tuple[torch.Tensor, torch.Tensor]:
    """Squared error of numbers, (items, numbers) float targets, summed over items *and* numbers; count in items.

    That is what an autoencoder loses, whose targets are its inputs.

    Raises:
        ValueError: the targets are of another shape than the outputs.
    """
    logits, targets = output.require_logits(), output.batch.targets
    _require_shape(logits, targets, "squared_error")
    return (logits - targets.to(logits.dtype)).square().sum(), output.count()


def ranking_hinge(margin: float, class_vectors: torch.Tensor, form: Literal["max", "sum"] = "max") -> Criterion:
    """Return a loss that pulls an item towards its class's vector, and pushes it off the wrong ones by a margin.

    With f the head's output for an item, g the class vectors and f·g the score, an item of class y loses
    max(0, margin − f·g(y) + f·g(m)), m the wrong class of the highest score (`max`; Akata et al., "Evaluation of output
    embeddings for fine-grained image classification", 2015), or the sum of that over all wrong classes (`sum`, DeViSE;
    Frome et al. 2013). It is zero where the right class leads by at least the margin. Summed over items; count in
    items. Scores are computed in full precision.

    Args:
        margin: lead of the right class that is asked for, above 0.
        class_vectors: (classes, dim) float; dim is the head's output size.
        form: wrong classes that count, the worst (`max`) or all (`sum`).

    Raises:
        ConfigError: the margin is no number above 0, or the form is not known.
        DataError: there are fewer than two vectors, one is no number, or two are the same, which cannot be told apart.
    """
    if form not in ("max", "sum"):
        raise ConfigError(f"`form` of ranking_hinge must be 'max' or 'sum', got '{form}'.")
    if not (math.isfinite(margin) and margin > 0):
        raise ConfigError(f"`margin` of ranking_hinge must be a number above 0, got {margin}.")
    _require_class_vectors(class_vectors)

    def criterion(output: Output) -> tuple[torch.Tensor, torch.Tensor]:
        scores, targets = class_scores(output, class_vectors), output.batch.targets[:, None]
        short = margin - scores.gather(1, targets) + scores
        lost = short.scatter(1, targets, 0.0).clamp(min=0)
        return (lost.amax(1) if form == "max" else lost.sum(1)).sum(), output.count()

    return criterion


def class_scores(output: Output, class_vectors: torch.Tensor | None = None) -> torch.Tensor:
    """Return (items, classes) the logits, or their products with (classes, dim) class vectors, in full precision.

    Raises:
        DataError: the vectors are of another size than the head's output.
    """
    logits = output.require_logits()
    if class_vectors is None:
        return logits
    if class_vectors.shape[-1] != logits.shape[-1]:
        raise DataError(
            f"the class vectors have {class_vectors.shape[-1]} numbers each and the head's output {logits.shape[-1]}; "
            "make the head of the vectors' size."
        )
    with torch.autocast(logits.device.type, enabled=False):
        logits = logits if logits.dtype == torch.float64 else logits.float()
        return logits @ class_vectors.to(logits).T


def _require_shape(logits: torch.Tensor, targets: torch.Tensor, name: str) -> None:
    if logits.shape != targets.shape:
        raise ValueError(
            f"{name} needs targets of the logits' shape {tuple(logits.shape)}, got {tuple(targets.shape)}."
        )


def _require_class_vectors(vectors: torch.Tensor) -> None:
    if vectors.dim() != 2 or len(vectors) < 2:
        raise DataError(
            f"class vectors must be (classes, dim) of at least two classes, got the shape {tuple(vectors.shape)}."
        )
    if not torch.isfinite(vectors).all():
        row = int((~torch.isfinite(vectors)).any(1).nonzero()[0])
        raise DataError(f"the vector of class {row} holds what is no number; mend the class vectors.")
    first: dict[tuple[float, ...], int] = {}
    for row, values in enumerate(map(tuple, vectors.tolist())):
        if values in first:
            raise DataError(
                f"classes {first[values]} and {row} have the same vector, so that no item can be told to be of one of "
                "them; merge them."
            )
        first[values] = row
