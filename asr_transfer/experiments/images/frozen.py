"""Computes what the fetched ImageNet network makes of images, once: features and probabilities are kept.

They lie below the cache folder under a name made of the images, their size and the network's weights, so that others
are never taken for them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from asr_transfer.cache import cache_folder
from asr_transfer.data.batching import ArrayData
from asr_transfer.data.images import Images
from asr_transfer.models.efficientnet import IMAGENET, EfficientNetLite, fetched_efficientnet
from asr_transfer.models.weight_files import write_weights
from asr_transfer.training.prediction import embed

FOLDER = "image-features"
"""Folder below the cache."""

_AT_ONCE = 100
"""Images in a batch: more are no faster and take more memory."""


@dataclass(frozen=True)
class Frozen:
    """What a trained network makes of images.

    Attributes:
        features: (items, dim) vectors that its head is fed.
        probabilities: (items, classes) probabilities of the classes that it was trained on.
    """

    features: torch.Tensor
    probabilities: torch.Tensor

    def pick(self, items: torch.Tensor) -> Frozen:
        """Return some of the items, by their numbers or by a (items,) mask."""
        return Frozen(self.features[items], self.probabilities[items])


def frozen_features(images: Images, size: int, model: EfficientNetLite | None = None) -> Frozen:
    """Return what a network makes of images, from the cache where they were seen before.

    Args:
        images: coloured images.
        size: pixels of a side that they are brought to first.
        model: network with the head `imagenet`; by default the fetched EfficientNet-Lite0.

    Raises:
        DataError: the network was not fetched.
    """
    network = model or fetched_efficientnet()
    digest = hashlib.sha256(f"{size} {tuple(images.pixels.shape)}".encode())
    digest.update(np.ascontiguousarray(images.pixels.numpy()).data)
    for weights in network.state_dict().values():
        digest.update(np.ascontiguousarray(weights.cpu().numpy()).data)
    file = cache_folder() / FOLDER / f"{digest.hexdigest()[:24]}.safetensors"
    try:
        found = load_file(file)
        return Frozen(found["features"], found["probabilities"])
    except (OSError, SafetensorError, KeyError):
        pass  # not computed yet, or cut off
    features = embed(network, ArrayData(images.resized(size).pixels), budget=_AT_ONCE)
    with torch.no_grad():
        probabilities = network.head(IMAGENET)(features).softmax(1)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_weights(file, {"features": features, "probabilities": probabilities})
    return Frozen(features, probabilities)
