"""Makes few-shot episodes of labelled items: a few classes, some examples of each, and queries to tell apart.

An item is an episode, a pure function of the seed and its number, so that a trainer batches, resumes and repeats
episodes as it does anything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from asr_transfer.data.batching import Augment, Batch
from asr_transfer.errors import DataError
from asr_transfer.ranges import Count, Ranged


@dataclass(frozen=True, kw_only=True)
class EpisodeShape(Ranged, section="episodes"):
    """Sizes of an episode.

    Attributes:
        ways: Number of classes.
        shots: Examples of each class.
        queries: Queries of each class.
    """

    ways: Count = 5
    shots: Count = 1
    queries: Count = 5

    @property
    def support(self) -> int:
        """Number of examples."""
        return self.ways * self.shots

    @property
    def images(self) -> int:
        """Number of items that an episode holds, examples first, class by class."""
        return self.ways * (self.shots + self.queries)


class Episodes:
    """Episodes of items held in memory, as items of a stream.

    A batch's inputs are the items of its episodes one after the other, (episodes × items, ...): of each episode first
    the examples, class by class, then the queries, class by class. Its targets are (episodes, queries), the numbers of
    the queries' classes in their episode.

    Args:
        inputs: (items, ...) floats; or uint8 of 0 to 255, which batches hold as floats from 0 to 1.
        labels: (items,) class numbers; episodes are of the classes that occur.
        shape: Sizes of an episode.
        count: Number of episodes.
        seed: Random seed of what is drawn.
        augment: Change of the images of a batch in training; None for none.

    Raises:
        DataError: There are fewer classes than ways, or a class has too few items.
    """

    def __init__(
        self,
        inputs: torch.Tensor,
        labels: torch.Tensor,
        shape: EpisodeShape,
        count: int,
        seed: int,
        augment: Augment | None = None,
    ) -> None:
        self.inputs, self.shape, self.augment = inputs, shape, augment
        self._seed, self._count = seed, count
        self.classes: list[int] = sorted(set(labels.tolist()))
        if shape.ways < 2:
            raise DataError("episodes of one way have nothing to tell apart; take two or more `ways`.")
        if shape.ways > len(self.classes):
            raise DataError(
                f"episodes of {shape.ways} ways need as many classes, but there are {len(self.classes)}; lower `ways`."
            )
        self._members = [(labels == one).nonzero().flatten().numpy() for one in self.classes]
        needed = shape.shots + shape.queries
        for one, members in zip(self.classes, self._members, strict=True):
            if len(members) < needed:
                raise DataError(
                    f"class {one} has {len(members)} items, but an episode takes {shape.shots} examples and "
                    f"{shape.queries} queries of it; lower `shots` or `queries`."
                )

    def costs(self) -> np.ndarray:
        """Return what each episode costs: the items that it holds."""
        return np.full(self._count, self.shape.images, dtype=np.int64)

    def draw(self, episode: int) -> np.ndarray:
        """Return the numbers of an episode's items, in their order in a batch."""
        random = np.random.default_rng((self._seed, episode))
        chosen = random.permutation(len(self._members))[: self.shape.ways]
        needed = self.shape.shots + self.shape.queries
        drawn = np.stack([random.choice(self._members[one], needed, replace=False) for one in chosen])
        return np.concatenate([drawn[:, : self.shape.shots].reshape(-1), drawn[:, self.shape.shots :].reshape(-1)])

    def collate(self, items: Sequence[int], augment: torch.Generator | None = None) -> Batch:
        """Return the batch of some episodes."""
        inputs = self.inputs[torch.from_numpy(np.concatenate([self.draw(episode) for episode in items]))]
        if inputs.dtype == torch.uint8:
            inputs = inputs.float() / 255
        if augment is not None and self.augment is not None:
            inputs = self.augment(inputs, augment)
        targets = torch.arange(self.shape.ways).repeat_interleave(self.shape.queries).expand(len(items), -1)
        return Batch(torch.as_tensor(items), inputs, targets)
