"""States attributes of CIFAR-10's classes: what can be seen of them, or of what is around them.

Written down from what the classes are, not fitted to any result. Each attribute is true of at least three classes and
false of at least three: whichever two classes stay unseen, it is true of some seen class and false of another.
"""

from __future__ import annotations

import torch

from asr_transfer.data.images.cifar import CIFAR10
from asr_transfer.data.images.class_vectors import ClassVectors

ATTRIBUTES = {
    "is an animal": "bird cat deer dog frog horse",
    "has fur": "cat deer dog horse",
    "has four legs": "cat deer dog frog horse",
    "has thin legs": "bird deer horse",
    "has a tail": "airplane bird cat dog horse",
    "has a long snout": "deer dog horse",
    "has wheels": "airplane automobile truck",
    "is of metal": "airplane automobile ship truck",
    "is smooth": "airplane automobile frog ship truck",
    "is boxy": "automobile ship truck",
    "is small": "bird cat frog",
    "is larger than a car": "airplane ship truck",
    "is taller than a person": "airplane horse ship truck",
    "carries people": "airplane automobile horse ship truck",
    "is kept by people": "cat dog horse",
    "lives in the wild": "bird deer frog",
    "hunts": "bird cat dog frog",
    "is seen before the sky": "airplane bird ship",
    "is seen in grass or leaves": "bird deer frog horse",
    "is seen in water": "bird frog ship",
    "shows its face": "cat dog frog",
}
"""Classes that each attribute is true of."""


def cifar10_attributes() -> ClassVectors:
    """Return the (10, 21) attributes of CIFAR-10's classes, each 0 or 1; no two classes have the same."""
    rows = [[float(name in true.split()) for true in ATTRIBUTES.values()] for name in CIFAR10]
    return ClassVectors(CIFAR10, torch.tensor(rows), tuple(ATTRIBUTES))
