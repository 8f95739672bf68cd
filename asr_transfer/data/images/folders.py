"""Reads folders of images: one folder for each class, or for each alphabet and in it one for each character.

The second is how Omniglot lies on disk (Lake, Salakhutdinov & Tenenbaum, Human-level concept learning through
probabilistic program induction, 2015). Images that lie in no folder of a class have no labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from asr_transfer.data.images.images import Images
from asr_transfer.data.images.pictures import ENDINGS, decode_all, is_picture
from asr_transfer.errors import DataError, nearest_hint

_SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval", "evaluation"}
_OMNIGLOT = "images_"
"""What Omniglot puts before the name of a split: `images_background`."""


def find(folder: Path, classes: Sequence[str] | None, size: int | None = None) -> dict[str, Callable[[], Images]]:
    """Return readers of the splits of a folder, by name: of the folders below it that are called like splits.

    Where none is, all that is there is offered under the empty name. One folder `train` among others is a class.
    """
    below = _folders(folder)
    named = {path.name.removeprefix(_OMNIGLOT): path for path in below if path.name.startswith(_OMNIGLOT)}
    named |= {path.name: path for path in below if path.name.lower() in _SPLITS}
    if len(named) == 1 < len(below):
        named = {}
    return {name: partial(read_folder, path, classes, size) for name, path in (named or {"": folder}).items()}


def read_folder(folder: Path, classes: Sequence[str] | None = None, size: int | None = None) -> Images:
    """Read the images of a folder.

    Args:
        folder: Folder of images, of folders of them, which are classes, or of folders of such folders.
        classes: Names of the classes, in the order of their numbers; by default those of the folders, sorted.
        size: Height and width to bring each image to; by default all must have the same size.

    Raises:
        DataError: There is no image, a class has none, is not among `classes`, or the images differ in size.
    """
    loose = _pictures(folder)
    homes = _classes(folder)
    if loose and not homes:
        return Images(decode_all(loose, size), None, tuple(classes or ()))
    if not homes:
        raise DataError(f"{folder}: holds no images ({', '.join(ENDINGS)}); give the folder that holds them.")
    names = tuple(classes) if classes else tuple(homes)
    files: list[Path] = []
    labels: list[int] = []
    for name, home in homes.items():
        if name not in names:
            raise DataError(f"{home}: is no class that was named.{nearest_hint(name, names)}")
        own = _pictures(home)
        if not own:
            raise DataError(f"{home}: holds no image of its class; put some there or remove the folder.")
        files += own
        labels += [names.index(name)] * len(own)
    return Images(decode_all(files, size), torch.tensor(labels), names)


def _classes(folder: Path) -> dict[str, Path]:
    """Return the folders of the classes by name, sorted: the folders that have none below them.

    Raises:
        DataError: An image lies beside them.
    """
    found: dict[str, Path] = {}
    for first in _folders(folder):
        below = _folders(first)
        found |= {f"{first.name}/{second.name}": second for second in below} or {first.name: first}
        _require_none(first if below else None)
    _require_none(folder if found else None)
    return found


def _require_none(folder: Path | None) -> None:
    if folder and (loose := _pictures(folder)):
        raise DataError(
            f"{loose[0]}: lies beside the folders of the classes, so that its class is not known; move it into one."
        )


def _folders(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith((".", "__"))]


def _pictures(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if is_picture(path) and path.is_file()]
