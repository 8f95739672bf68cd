"""Reads images on disk, whatever their format: the door to a reader for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from asr_transfer.data.images import cifar, folders, idx, svhn, usps
from asr_transfer.data.images.images import Images
from asr_transfer.errors import DataError, nearest_hint
from asr_transfer.fetched import fetched_images
from asr_transfer.textfiles import unreadable

FORMATS = (idx, cifar, svhn, usps)
"""Modules of the formats whose files are known by their names; what is none of them is a folder of images."""

CLASSES = {
    "fashion-mnist": (
        *("T-shirt/top", "trouser", "pullover", "dress", "coat"),
        *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
    ),
}
"""Names of the classes of fetched sets whose files do not tell them."""


def read_images(
    path: str | Path, split: str | None = None, size: int | None = None, classes: Sequence[str] | None = None
) -> Images:
    """Read one split of a set of images.

    Known are IDX files (MNIST and its like), CIFAR-10's binary version, SVHN's cropped digits, USPS as text, folders of
    image files with a folder for each class, and Omniglot's folders of characters below those of alphabets.

    Args:
        path: Folder of the set; the files of a known format may lie anywhere below it.
        split: Name of the split, such as `train` or `test`; it may be left out where there is but one.
        size: Height and width to bring each image to; by default they stay as they are.
        classes: Names of the classes in the order of their numbers, where the files do not tell them or another split
            has classes that this one lacks.

    Raises:
        DataError: There is no such folder or split, a file is damaged, or images and labels do not fit each other.
        ConfigError: Image files are to be decoded, and Pillow is not installed.
    """
    folder = Path(path)
    try:
        next(folder.iterdir(), None)
        found = next((found for known in FORMATS if (found := known.find(folder, classes))), None)
        found = found or folders.find(folder, classes, size)
    except OSError as error:
        raise DataError(unreadable(folder, error, "give the folder of the images")) from None
    images = _chosen(found, split, folder)()
    return images if size is None else images.resized(size)


def read_fetched(name: str, split: str, size: int | None = None) -> Images:
    """Read one split of a set that `asr-transfer fetch` got, such as `mnist`; see `read_images`.

    Raises:
        DataError: It was not fetched, or there is no such split.
    """
    return read_images(fetched_images(name), split, size, CLASSES.get(name))


def _chosen(found: dict[str, Callable[[], Images]], split: str | None, folder: Path) -> Callable[[], Images]:
    """Return the reader of a split.

    Raises:
        DataError: There is none of this name, or several and none was named.
    """
    if split is None and len(found) == 1:
        return next(iter(found.values()))
    if split is None:
        raise DataError(f"{folder}: holds several splits; name one of them: {', '.join(found)}.")
    if split not in found and list(found) == [""]:
        raise DataError(
            f"{folder}: holds no split '{split}' beside its classes; leave out the split to read all of it, or give "
            "the folder of the split itself."
        )
    if split not in found:
        raise DataError(f"{folder}: holds no split '{split}'.{nearest_hint(split, found)}")
    return found[split]
