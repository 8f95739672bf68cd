"""Makes what the rates of adaptations to classes of images are learnt on: digits of 8 by 8 pixels."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from asr_transfer.config import ImageConfig
from asr_transfer.data.batching import ArrayData
from asr_transfer.errors import ConfigError
from asr_transfer.experiments.rates.config import ImageRates
from asr_transfer.models.contract import Model
from asr_transfer.models.image import image_network
from asr_transfer.training.criteria import cross_entropy
from asr_transfer.training.streams import Task
from asr_transfer.training.trainer import Trainer

MOST_ORDERS = 24
"""Orders of the classes that count as tasks of their own."""


def image_rates(config: ImageRates, seed: int) -> tuple[Model, Task, Task]:
    """Train a source model of some digits, and return tasks of others, to learn on and to try on, with a new head.

    A task is an order of the classes, so that only the images that are adapted to tell which class is which.

    Raises:
        ConfigError: there are too few digits, or unlike many classes to learn on and to try on.
    """
    from sklearn.datasets import load_digits  # scikit-learn comes with librosa

    if config.learn != config.test or config.learn + config.test > 8:
        raise ConfigError(
            "`images.learn` and `images.test` must be the same number of classes, at most 4, for ten digits."
        )
    images, labels = load_digits(return_X_y=True)
    pixels = torch.tensor(images / 16, dtype=torch.float32).reshape(-1, 1, 8, 8)
    order = list(range(10))
    random.Random(seed).shuffle(order)
    first = 10 - config.learn - config.test
    seen, learn, test = order[:first], order[first : first + config.learn], order[first + config.learn :]
    torch.manual_seed(seed)
    model = image_network(ImageConfig(channels=config.channels), {"seen": len(seen), "new": config.learn})
    settings = replace(config.training(seed), steps=config.source_steps, learning_rate=0.01, accumulate=1)
    Trainer(model, [_task("seen", [_pick(pixels, labels, seen)], "seen")], config=settings).train()

    def orders(name: str, classes: Sequence[int]) -> Task:
        drawn = itertools.islice(itertools.permutations(classes), MOST_ORDERS)
        return _task(name, [_pick(pixels, labels, one) for one in drawn], "new")

    return model, orders("learn", learn), orders("test", test)


def _pick(pixels: torch.Tensor, labels: np.ndarray, classes: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the images of some classes, and their places in that order."""
    chosen = np.isin(labels, classes)
    return pixels[torch.tensor(chosen)], torch.tensor([list(classes).index(label) for label in labels[chosen]])


def _task(name: str, parts: Sequence[tuple[torch.Tensor, torch.Tensor]], head: str) -> Task:
    images, classes = (torch.cat([part[side] for part in parts]) for side in (0, 1))
    together = [f"{number}" for number, (own, _) in enumerate(parts) for _ in own]
    return Task(name, ArrayData(images, classes), criterion=cross_entropy, head=head, together=together)
