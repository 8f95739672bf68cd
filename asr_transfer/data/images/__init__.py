"""Reads images on disk, makes sets of them, and tells of their classes; each format and set has a file here."""

from asr_transfer.data.images.cifar import CIFAR10
from asr_transfer.data.images.cifar_attributes import cifar10_attributes
from asr_transfer.data.images.class_vectors import ClassVectors, read_class_vectors
from asr_transfer.data.images.font_characters import font_characters
from asr_transfer.data.images.imagenet import imagenet_names
from asr_transfer.data.images.images import Images, resize
from asr_transfer.data.images.mnist_m import in_front_of, mnist_m, photographs
from asr_transfer.data.images.reading import read_fetched, read_images
from asr_transfer.data.images.small_digits import small_digits
from asr_transfer.data.images.usps_like import usps_like
from asr_transfer.data.images.word_vectors import word_vectors
from asr_transfer.data.images.zoo import zoo_attributes

__all__ = [
    "CIFAR10",
    "ClassVectors",
    "Images",
    "cifar10_attributes",
    "font_characters",
    "imagenet_names",
    "in_front_of",
    "mnist_m",
    "photographs",
    "read_class_vectors",
    "read_fetched",
    "read_images",
    "resize",
    "small_digits",
    "usps_like",
    "word_vectors",
    "zoo_attributes",
]
