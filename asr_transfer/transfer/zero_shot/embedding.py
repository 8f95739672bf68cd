"""Learns a space in which an item lies at its class's attributes, and away from those of other classes.

Both sides are learnt: f, a head of the model, maps items, and g, kept here, maps class vectors (Akata et al.,
"Label-embedding for attribute-based classification", 2013). Where the vectors stay as they are (DeViSE), the criterion
`ranking_hinge` of a task does it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import nn

from asr_transfer.errors import ConfigError
from asr_transfer.models.heads import Headed
from asr_transfer.training.criteria import ranking_hinge
from asr_transfer.training.objective import TrainedObjective
from asr_transfer.training.streams import Output

Form = Literal["max", "sum", "pull"]


def headed(model: nn.Module, head: str, output: Output, tap: str) -> torch.Tensor:
    """Return (items, outputs) what a head of the model makes of a stream's vectors: heads may share a stream."""
    assert isinstance(model, Headed)
    found: torch.Tensor = model.head(head)(output.vectors(tap, "utterance"))
    return found


class ClassEmbedding(TrainedObjective):
    """Hinge of f(x)·g(v) over the class vectors v, or, to show why it needs wrong classes, the pull alone.

    Where nothing pushes, the least of ‖f(x) - g(v)‖² is that f and g map everything to one point, which is 0 and says
    nothing of any class.

    Args:
        stream: name of the stream, whose labels are rows of the class vectors.
        head: name of the model's head that is f.
        tap: dotted path of the module that the head stands on.
        class_vectors: (classes, size) vectors of the seen classes.
        dim: size of the space, which is the head's.
        form: `max` or `sum` of `ranking_hinge`, or `pull` for ‖f(x) - g(v)‖² alone.
        margin: lead that the right class is to have, of the two hinges.
        pace: factor on the learning rate of g.
        seed: random seed of g's initial weights.

    Raises:
        ConfigError: `form` is not known, or the margin is not above 0.
        DataError: two classes have the same vector.
    """

    def __init__(
        self,
        stream: str,
        head: str,
        tap: str,
        class_vectors: torch.Tensor,
        dim: int,
        form: Form = "max",
        margin: float = 1.0,
        pace: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if form not in ("max", "sum", "pull"):
            raise ConfigError(f"`form` of ClassEmbedding must be 'max', 'sum' or 'pull', got '{form}'.")
        ranking_hinge(margin, class_vectors)  # refuses what cannot be
        self.streams, self.taps, self.pace = (stream,), (tap,), pace
        self.head, self.form, self.margin = head, form, margin
        self.vectors: torch.Tensor
        self.register_buffer("vectors", class_vectors)
        generator = torch.Generator().manual_seed(seed)
        self.map = nn.Linear(class_vectors.shape[1], dim)
        with torch.no_grad():
            for own in self.map.parameters():
                own.uniform_(-(class_vectors.shape[1] ** -0.5), class_vectors.shape[1] ** -0.5, generator=generator)
        self.map.to(class_vectors.dtype)

    def forward(self, model: nn.Module, outputs: Mapping[str, Output]) -> torch.Tensor:
        """Return the mean loss of an item."""
        output = outputs[self.streams[0]]
        places: torch.Tensor = self.map(self.vectors)
        targets = output.batch.targets
        embedded = headed(model, self.head, output, self.taps[0])
        if self.form == "pull":
            return (embedded - places[targets]).square().sum(1).mean()
        scores = embedded @ places.T
        short = self.margin - scores.gather(1, targets[:, None]) + scores
        lost = short.scatter(1, targets[:, None], 0.0).clamp(min=0)
        return (lost.amax(1) if self.form == "max" else lost.sum(1)).mean()

    @torch.no_grad()
    def scores(self, embedded: torch.Tensor, class_vectors: torch.Tensor) -> torch.Tensor:
        """Return (items, classes) scores of items' (items, dim) f(x) with any classes: f(x)·g(v).

        Of `pull` it is minus the squared distance, which is what was made small.
        """
        places: torch.Tensor = self.map(class_vectors.to(self.vectors))
        if self.form == "pull":
            return -torch.cdist(embedded.to(places), places).square()
        return embedded.to(places) @ places.T

    @torch.no_grad()
    def spread(self) -> float:
        """Return the root mean squared distance of the seen classes' places from their mean: 0 is one point."""
        places = self.map(self.vectors)
        return float((places - places.mean(0)).square().sum(1).mean().sqrt())
