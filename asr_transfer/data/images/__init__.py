"""Reads images on disk and makes sets of them; each format and each set has a file here."""

from asr_transfer.data.images.font_characters import font_characters
from asr_transfer.data.images.images import Images, resize
from asr_transfer.data.images.mnist_m import in_front_of, mnist_m, photographs
from asr_transfer.data.images.reading import read_fetched, read_images

__all__ = [
    "Images",
    "font_characters",
    "in_front_of",
    "mnist_m",
    "photographs",
    "read_fetched",
    "read_images",
    "resize",
]
