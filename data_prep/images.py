"""Declares the image sets that lie in packages, and what belongs to them: fonts, attributes, word vectors, a network.

They are no corpora of speech: `asr-transfer prepare` does not know them, Python reads them where `fetch` put them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from asr_transfer.errors import DataError
from data_prep.registry import Packages


@dataclass(frozen=True)
class ImageSet:
    """Images, or what is fetched for them.

    Attributes:
        packages: Packages that hold it.
        files: Patterns of the files that are kept, below the folder of the unpacked packages.
        next: Call that reads it, in Python.
    """

    packages: Packages
    files: tuple[str, ...]
    next: str


def keep_only(patterns: Sequence[str], content: Path, folder: Path) -> None:
    """Move the files that match patterns to the same places below another folder.

    Args:
        patterns: Patterns of files, each of which must match one.
        content: Folder of the unpacked packages.
        folder: Folder to make.

    Raises:
        DataError: No file matches a pattern.
    """
    for pattern in patterns:
        found = [file for file in sorted(content.glob(pattern)) if file.is_file()]
        if not found:
            raise DataError(f"the package holds no file {pattern}; get the version that is known here.")
        for file in found:
            target = folder / file.relative_to(content)
            target.parent.mkdir(parents=True, exist_ok=True)
            file.rename(target)


def _npm(name: str, version: str, licence: str, checksum: str) -> Packages:
    return Packages((name,), licence, {f"{name}_{version}": checksum}, registry="npm")


def _debian(licence: str, checksums: Mapping[str, str]) -> Packages:
    return Packages(tuple(entry.split("_")[0] for entry in checksums), licence, checksums)


IMAGE_SETS = {
    "mnist": ImageSet(
        _npm(
            "mnistjs",
            "0.0.3",
            "MIT for the package; of the digits themselves no terms are stated",
            "358ba863dd859d191b608d7de691965d6abb009c2449d68b584eb16fc92abbbe",
        ),
        ("package/package.json", "package/src/data/*-ubyte"),
        'asr_transfer.data.images.read_fetched("mnist", "train")',
    ),
    "fashion-mnist": ImageSet(
        _debian(
            "MIT, by Zalando",
            {
                "dataset-fashion-mnist_0.0~git20200523.55506a9-1": (
                    "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0"
                )
            },
        ),
        ("usr/share/datasets/fashion-mnist/*.gz", "usr/share/doc/dataset-fashion-mnist/copyright"),
        'asr_transfer.data.images.read_fetched("fashion-mnist", "train")',
    ),
    "photographs": ImageSet(
        _debian(
            "CC BY-SA 4.0, CC BY 4.0 or CC0 by photograph, told in usr/share/doc/lomiri-wallpapers-16.04/copyright",
            {"lomiri-wallpapers-16.04_20.04.0-2": "a99ff6a3bfe451e4cc0682ecb3cc82e71740626d59e4845ae34a0a0e45421eab"},
        ),
        ("usr/share/backgrounds/*.jpg", "usr/share/doc/lomiri-wallpapers-16.04/copyright"),
        'with mnist fetched as well, asr_transfer.data.images.mnist_m("train")',
    ),
}
"""Image sets that can be fetched, by name."""
