"""Trains features on which a discriminator is undecided, and class-wise soft labels (Tzeng et al. 2015)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from asr_transfer.data.batching import sequential
from asr_transfer.errors import ConfigError
from asr_transfer.models.modes import evaluating
from asr_transfer.training.forward import run
from asr_transfer.training.objective import TrainedObjective
from asr_transfer.training.streams import Output, Stream, Task
from asr_transfer.transfer.discriminator import discriminator, domain_loss, standing_still, two_streams, vectors_of


class DomainConfusion(TrainedObjective):
    """A discriminator of two streams, and features that are to leave it at even chances.

    Unlike a reversed gradient, the confusion loss, the cross-entropy to even chances, is least where the discriminator
    is undecided, not where it is wrong. The discriminator learns from vectors through which no gradient goes, the
    features through a discriminator that stands still.

    Args:
        tap: dotted path of the module whose output is made alike.
        streams: names of the source and of the target.
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
        self.streams, self.taps = two_streams("DomainConfusion", streams), (tap,)
        self.tap, self.level, self.width, self.pace, self.seed = tap, level, width, pace, seed
        self.discriminator: nn.Module = nn.Identity()

    def setup(self, model: nn.Module, streams: Mapping[str, Stream]) -> None:
        """Make the discriminator, for vectors as long as the tap's."""
        stream = streams[self.streams[0]]
        batch = stream.data.collate([0]).to(next(model.parameters()).device)
        with torch.no_grad(), evaluating(model):
            output = run(model, stream, batch, (self.tap,))
        (vectors,) = vectors_of({stream.name: output}, [stream.name], self.tap, self.level)
        self.discriminator = discriminator(vectors.shape[1], 2, self.width, self.seed, vectors)

    def forward(self, model: nn.Module, outputs: Mapping[str, Output]) -> torch.Tensor:
        """Return the discriminator's loss and the features' confusion loss."""
        vectors = vectors_of(outputs, self.streams, self.tap, self.level)
        loss, right = domain_loss([self.discriminator(own.detach()) for own in vectors])
        confusion = torch.stack(
            [-standing_still(self.discriminator, own).log_softmax(-1).mean() for own in vectors]
        ).mean()
        self.note(f"{self.tap}.domain_loss", loss)
        self.note(f"{self.tap}.domain_accuracy", right)
        return loss + confusion


class SoftLabels(TrainedObjective):
    """Cross-entropy of labelled target items to the mean answer that the source's items of their class get.

    The answers are those of the model as it comes in, trained on the source, at a temperature above 1, which lets the
    likeness of classes show: a bottle looks more like a mug than like a keyboard.

    Args:
        source: name of the source's task.
        target: name of the target's task, which may have few items.
        temperature: divisor of the logits on both sides.

    Raises:
        ConfigError: both are one stream, or the temperature is not above 0.
    """

    def __init__(self, source: str, target: str, temperature: float = 2.0) -> None:
        super().__init__()
        self.source, self.target = two_streams("SoftLabels", (source, target))
        if not temperature > 0:
            raise ConfigError(f"The 'temperature' parameter of SoftLabels must be above 0, got {temperature}.")
        self.streams, self.temperature = (target,), temperature
        self.register_buffer("labels", torch.zeros(0))

    @torch.no_grad()
    def setup(self, model: nn.Module, streams: Mapping[str, Stream]) -> None:
        """Find each class's mean answer.

        Raises:
            ConfigError: the source is no task that the trainer has, or lacks a class of the head.
        """
        task = streams.get(self.source)
        if not isinstance(task, Task):
            raise ConfigError(f"SoftLabels needs the task '{self.source}' among the streams; give it, with weight 0.")
        device = next(model.parameters()).device
        answered, classes = [], []
        with evaluating(model):
            for batch in sequential(task.data, task.budget or 6_000):
                logits = run(model, task, batch.to(device)).require_logits()
                answered.append((logits / self.temperature).softmax(-1).cpu())
                classes.append(batch.targets)
        answers, labels = torch.cat(answered), torch.cat(classes)
        count = torch.bincount(labels, minlength=answers.shape[1])
        if not bool((count > 0).all()):
            raise ConfigError(
                f"SoftLabels: the source '{self.source}' has no item of class {int(count.argmin())}; give each some."
            )
        total = answers.new_zeros(len(count), answers.shape[1]).index_add_(0, labels, answers)
        self.labels = (total / count[:, None]).to(device)

    def forward(self, model: nn.Module, outputs: Mapping[str, Output]) -> torch.Tensor:
        """Return the mean cross-entropy over the target's items."""
        output = outputs[self.target]
        own = (output.require_logits() / self.temperature).log_softmax(-1)
        return -(self.labels[output.batch.targets].to(own.dtype) * own).sum(-1).mean()
