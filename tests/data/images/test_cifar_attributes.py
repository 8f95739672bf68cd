"""The attributes of CIFAR-10's classes tell any two apart, and stay of use whichever two are not seen."""

from __future__ import annotations

from asr_transfer.data.images import CIFAR10, cifar10_attributes
from asr_transfer.data.images.cifar_attributes import ATTRIBUTES


def test_every_attribute_names_known_classes() -> None:
    assert {name for true in ATTRIBUTES.values() for name in true.split()} == set(CIFAR10)


def test_any_two_classes_differ() -> None:
    attributes = cifar10_attributes()
    attributes.require_distinct()
    assert attributes.of(["frog"])[0, attributes.dimensions.index("has fur")] == 0
    assert attributes.of(["deer"])[0, attributes.dimensions.index("has fur")] == 1


def test_each_is_true_and_false_of_a_seen_class_for_every_unseen_pair() -> None:
    true = cifar10_attributes().vectors.sum(0)
    assert true.min() >= 3 and true.max() <= 7
