"""Makes the networks that name the domain a vector is from, and counts how often they are right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from asr_transfer.errors import ConfigError
from asr_transfer.training.streams import Output


def discriminator(inputs: int, outputs: int, width: int, seed: int, like: torch.Tensor) -> nn.Sequential:
    """Make a network of two hidden layers.

    Its initial weights come from random numbers of its own, so that a training of which it is no part takes the same
    steps beside it as without.

    Args:
        inputs: length of the vectors.
        outputs: number of domains.
        width: units of each hidden layer.
        seed: random seed of the initial weights.
        like: tensor whose device and number format it takes.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = nn.Sequential(
            nn.Linear(inputs, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, outputs),
        )
    return made.to(like.device, like.dtype)


def domain_loss(logits: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean over domains of each one's mean cross-entropy, and the share that is named rightly.

    Args:
        logits: (vectors, domains) of each domain's vectors, in the order of the domains.
    """
    losses, right = [], []
    for number, own in enumerate(logits):
        losses.append(functional.cross_entropy(own, torch.full((len(own),), number, device=own.device)))
        right.append((own.detach().argmax(1) == number).float().mean())
    return torch.stack(losses).mean(), torch.stack(right).mean()


def standing_still(module: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """Return a module's outputs, through which gradients go to the inputs but not to its parameters."""
    still = {name: value.detach() for name, value in module.named_parameters()}
    outputs: torch.Tensor = functional_call(module, still, (inputs,))
    return outputs


def two_streams(method: str, streams: Sequence[str]) -> tuple[str, str]:
    """Return the source's and the target's name.

    Raises:
        ConfigError: there are not two different ones.
    """
    if len(streams) != 2 or streams[0] == streams[1]:
        raise ConfigError(f"{method} needs a source and a target, two different streams, got {list(streams)}.")
    return streams[0], streams[1]


def vectors_of(outputs: Mapping[str, Output], names: Sequence[str], tap: str, level: str) -> list[torch.Tensor]:
    """Return the vectors of each stream, in the format of losses: taps are coarser in mixed precision."""
    found = [outputs[name].vectors(tap, level) for name in names]
    return [own.float() if own.dtype in (torch.bfloat16, torch.float16) else own for own in found]
