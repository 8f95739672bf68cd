"""Computes task losses: small callables that return (sum, count) in one unit, the output position (frame or item).

With one unit for all losses, a weight such as KLD's ρ means the same for every objective and batch size.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from asr_transfer.training.streams import Output


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
