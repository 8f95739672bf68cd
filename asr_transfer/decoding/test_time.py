"""Adapts to a single utterance at test time, without its transcript (SUTA; Lin, Li and Lee 2022).

Before an utterance is decoded, a few steps make the model surer of what it hears in it; then it forgets them again.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator

import torch
from torch import nn

from asr_transfer.data.batching import Batch
from asr_transfer.decoding.settings import SutaConfig
from asr_transfer.errors import ConfigError, TrainingError
from asr_transfer.models.contract import SpeechModel, paths_with_tensors
from asr_transfer.models.encoders import valid_frames


def suta_loss(logits: torch.Tensor, lengths: torch.Tensor, config: SutaConfig) -> torch.Tensor:
    """Return w · entropy + (1 - w) · class confusion, the mean over utterances, as a scalar.

    The entropy of the posteriors is a mean over frames whose best token is not the blank; 0 where there are none. Class
    confusion (Jin et al. 2020) is the off-diagonal part of the row-normalised token correlation PᵀP over all frames,
    divided by the number of tokens.

    Args:
        logits: (batch, frames, tokens); the blank is token 0.
        lengths: (batch,) valid frames.
        config: weight and temperature.
    """
    keep = valid_frames(lengths, logits.shape[1])
    # Not by a product alone: padding may hold anything, and zero times NaN is NaN.
    log_probs = (logits.masked_fill(~keep[:, :, None], 0) / config.temperature).log_softmax(-1)
    probs = log_probs.exp()
    speech = (keep & (logits.argmax(-1) != 0)).to(log_probs.dtype)
    entropy = -((probs * log_probs).sum(-1) * speech).sum(1) / speech.sum(1).clamp(min=1)
    # A row of PᵀP sums to Σ_t p_tj, for a frame's posteriors sum to 1; so the diagonal is all that need be computed.
    probs = probs * keep[:, :, None]
    mass = probs.sum(1).clamp(min=torch.finfo(probs.dtype).tiny)
    confusion = 1 - (probs.square().sum(1) / mass).mean(-1)
    return (config.entropy_weight * entropy + (1 - config.entropy_weight) * confusion).mean()


def adapted_outputs(
    model: SpeechModel, head: str, batches: Iterable[tuple[str, Batch]], config: SutaConfig
) -> Iterator[tuple[Batch, torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Yield each named utterance's batch of one and what a model makes of it that was adapted to it alone.

    That is the hidden (1, frames, dim), the logits (1, frames, tokens) and the (1,) lengths.

    Only the front end and the scales and shifts of normalisation layers are trained, in evaluation mode: BatchNorm
    keeps its statistics. A copy of the model is trained and reset after each utterance, so that the model's own
    weights stay as they are and the order has no influence.

    Raises:
        ConfigError: the model has no front end to adapt.
        TrainingError: an output is no longer finite.
    """
    model = copy.deepcopy(model).eval().requires_grad_(False)
    adapted = [parameter.requires_grad_(True) for parameter in _adapted_parameters(model)]
    start = [parameter.detach().clone() for parameter in adapted]
    device = start[0].device
    for name, batch in batches:
        # cuDNN's recurrent layers cannot go backward in evaluation mode; torch's own can.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            torch._foreach_copy_([parameter.data for parameter in adapted], start)
            optimizer = torch.optim.AdamW(adapted, lr=config.learning_rate, weight_decay=0.0)
            batch = batch.to(device)
            assert batch.lengths is not None
            for step in range(config.steps + 1):
                hidden, lengths = model(batch.inputs, batch.lengths)
                logits = model.head(head)(hidden)
                if not bool(torch.isfinite(logits).all()):
                    raise TrainingError(
                        f"{name}: the outputs are not finite after {step} steps of test-time adaptation; lower "
                        "`suta.learning_rate`, or look for damaged recordings."
                    )
                if step < config.steps:
                    optimizer.zero_grad()
                    suta_loss(logits, lengths, config).backward()  # type: ignore[no-untyped-call]
                    optimizer.step()
        yield batch, hidden.detach(), logits.detach(), lengths


def _adapted_parameters(model: SpeechModel) -> list[nn.Parameter]:
    """Return the parameters of the front end and of all normalisation layers, each once."""
    norms = nn.modules.batchnorm._NormBase | nn.LayerNorm | nn.GroupNorm | nn.RMSNorm
    front = set(paths_with_tensors(model, [block.path for block in model.front_end()]))
    if not front:
        raise ConfigError(
            f"`suta` trains the front end and the normalisation layers, but {type(model).__name__} has no front end "
            "with weights; choose another method."
        )
    chosen = {
        parameter: None
        for path, module in model.named_modules()
        if path in front or isinstance(module, norms)
        for parameter in module.parameters()
    }
    return list(chosen)
