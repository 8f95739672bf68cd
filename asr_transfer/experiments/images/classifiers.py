"""Trains and judges classifiers of images for experiments: tasks of some classes, fits above frozen blocks, errors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from asr_transfer.config import TrainerConfig
from asr_transfer.data.batching import ArrayData
from asr_transfer.data.images import Images, read_fetched, read_images
from asr_transfer.errors import ConfigError
from asr_transfer.models.contract import Model
from asr_transfer.training.activations import Stored, above, stored_depth
from asr_transfer.training.criteria import cross_entropy
from asr_transfer.training.prediction import predict
from asr_transfer.training.streams import Task
from asr_transfer.training.trainer import Trainer
from asr_transfer.transfer.plan import Action, Done, TransferPlan

JUDGED_AT_ONCE = 250
"""Images in a batch that is only judged."""


@lru_cache(maxsize=8)
def images_of(source: str | Path, split: str) -> Images:
    """Read a split of a fetched set of images, by its name, or of a folder; once in a process.

    Raises:
        DataError: It is not there, or damaged.
    """
    return read_images(source, split) if isinstance(source, Path) else read_fetched(source, split)


def of_classes(images: Images, classes: Sequence[int], count: int, seed: int = 0, skip: int = 0) -> ArrayData:
    """Return so many images of each of some classes, whose labels are the classes' places in that order.

    Args:
        images: Images with labels.
        classes: Numbers of the classes.
        count: Number of images of each.
        seed: Random seed of which are taken.
        skip: Number of images of each class, in the same random order, that come before those.

    Raises:
        ConfigError: A class has fewer images.
    """
    assert images.labels is not None
    chosen, labels = [], []
    for place, number in enumerate(classes):
        own = np.flatnonzero(images.labels.numpy() == number)
        if len(own) < skip + count:
            raise ConfigError(
                f"{skip + count} images of each class are asked for, but the class '{images.classes[number]}' has "
                f"{len(own)}; ask for fewer."
            )
        chosen.append(np.random.default_rng((seed, number)).permutation(own)[skip : skip + count])
        labels += [place] * count
    return ArrayData(images.pixels[torch.from_numpy(np.concatenate(chosen))], torch.tensor(labels))


def fit(model: Model, data: ArrayData, head: str, config: TrainerConfig, *actions: Action) -> None:
    """Train a model on images behind a plan's actions; frozen first blocks run once over each image.

    Args:
        model: Model, changed in place.
        data: Images with labels.
        head: Name of the head.
        config: Settings of the training.
        actions: Actions of the plan.
    """
    applied = TransferPlan(*actions).apply(model)
    depth = stored_depth(model, masked=data.augment is not None)
    tasks = Stored(model).feed_all([Task("images", data, cross_entropy, head=head)], depth)
    Trainer(above(model, depth), tasks, plan=Done(applied), config=config).train()


def wrong(model: Model, data: ArrayData, head: str) -> int:
    """Return how many images a head takes for another class."""
    taken = predict(model, data, head, budget=JUDGED_AT_ONCE).argmax(1)
    return int((taken != data.targets).sum())
