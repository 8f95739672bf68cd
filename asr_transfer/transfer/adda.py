"""Adapts an encoder of its own to an unlabelled target (ADDA; Tzeng et al. 2017)."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional

from asr_transfer.models.modes import evaluating
from asr_transfer.training.forward import run
from asr_transfer.training.objective import TrainedObjective
from asr_transfer.training.streams import Output, Stream
from asr_transfer.transfer.discriminator import discriminator, domain_loss, standing_still, two_streams, vectors_of


class AdversarialDiscriminative(TrainedObjective):
    """A discriminator of source and target, and the target's encoder that is trained to be taken for the source's.

    The model that is trained becomes the target's encoder; the source's is a copy of it as it is at the start, frozen,
    so a trained model of the source comes in. The discriminator learns to name the domains, from vectors through which
    no gradient goes; the encoder learns from the inverted label, through a discriminator that stands still. Each has
    the gradient of its own loss alone, so the one optimiser does what two would, with steps at the same time; `pace`
    is the discriminator's factor on the learning rate.

    Freeze the head by the plan: with no label of the source in training nothing would hold it. Give the source's stream
    a domain of its own, so that it leaves no trace in the statistics of the target's.

    Args:
        tap: dotted path of the module whose output is made alike.
        streams: names of the source, and of the target.
        level: whether a vector is a frame, or the mean over an `utterance`.
        width: units in each of the discriminator's two hidden layers.
        pace: factor on the discriminator's learning rate.
        seed: random seed of its initial weights.

    Raises:
        ConfigError: there are not two different streams.
    """

    def __init__(
        self,
        tap: str,
        streams: Sequence[str],
        level: str = "utterance",
        width: int = 128,
        pace: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.streams, self.taps = two_streams("AdversarialDiscriminative", streams), (tap,)
        self.tap, self.level, self.width, self.seed, self.pace = tap, level, width, seed, pace
        self.discriminator: nn.Module = nn.Identity()
        self._source: tuple[nn.Module, Stream] | None = None  # in a tuple: it is no part of what is trained

    def setup(self, model: nn.Module, streams: Mapping[str, Stream]) -> None:
        """Copy the source's encoder and make the discriminator."""
        source = streams[self.streams[0]]
        self._source = copy.deepcopy(model).requires_grad_(False), source
        vectors = self._fixed(source.data.collate([0]).to(next(model.parameters()).device))
        self.discriminator = discriminator(vectors.shape[1], 2, self.width, self.seed, vectors)

    def _fixed(self, batch: object) -> torch.Tensor:
        assert self._source is not None
        model, stream = self._source
        with torch.no_grad(), evaluating(model):
            output = run(model, stream, batch, (self.tap,))  # type: ignore[arg-type]
        return vectors_of({stream.name: output}, [stream.name], self.tap, self.level)[0]

    def forward(self, model: nn.Module, outputs: Mapping[str, Output]) -> torch.Tensor:
        """Return the discriminator's loss and the encoder's, each with a gradient for its own weights alone."""
        (target,) = vectors_of(outputs, self.streams[1:], self.tap, self.level)
        source = self._fixed(outputs[self.streams[0]].batch)
        loss, right = domain_loss([self.discriminator(own) for own in (source, target.detach())])
        inverted = standing_still(self.discriminator, target)
        fooling = functional.cross_entropy(inverted, torch.zeros(len(inverted), dtype=torch.long, device=target.device))
        self.note(f"{self.tap}.domain_loss", loss)
        self.note(f"{self.tap}.domain_accuracy", right)
        return loss + fooling
