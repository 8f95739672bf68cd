"""Draws the characters of the fetched fonts: a small Omniglot, in which whole scripts are kept from training.

Classes are characters, and the drawings of one are those of the faces. Latin, digits and Cyrillic are for training,
Greek for choosing settings, Armenian, Georgian and Hebrew for the test. Cyrillic and Greek letters that look like one
of the others are left out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from asr_transfer.data.images.distortion import distorted
from asr_transfer.data.images.images import Images
from asr_transfer.errors import ConfigError, DataError, nearest_hint
from asr_transfer.fetched import fetched_images
from asr_transfer.progress import tracked

SCRIPTS = {
    "Latin": "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
    "digits": "0123456789",
    "Cyrillic": "БГДЖИЙЛПУФЦЧШЩЪЫЬЭЮЯбвгджзийклмнптфцчшщъыьэюя",
    "Greek": "ΔΘΛΞΣΨΩαβγδεζηθλμξπσςτφχψω",
    "Armenian": "".join(map(chr, (*range(0x531, 0x557), *range(0x561, 0x587)))),
    "Georgian": "".join(map(chr, range(0x10D0, 0x10F1))),
    "Hebrew": "".join(map(chr, range(0x5D0, 0x5EB))),
}
"""Characters of each script: of the held-out ones all letters."""

SPLITS = {"train": ("Latin", "digits", "Cyrillic"), "dev": ("Greek",), "test": ("Armenian", "Georgian", "Hebrew")}
"""Scripts of each split: 107 characters for training, 26 for choosing settings, 136 for the test."""

_FINER = 4
"""Factor by which characters are drawn larger, before they are made smaller smoothly."""
_EM, _BASELINE = 0.74, 0.71
"""Size of the type and height of the line that letters stand on, in parts of the image, which holds all of a letter."""


def font_characters(split: str, size: int = 28, drawings: int = 1, distortion: float = 1.0, seed: int = 0) -> Images:
    """Draw the characters of a split in every fetched face that has them, white on black.

    Args:
        split: `train`, `dev` or `test`.
        size: Height and width.
        drawings: Number of images of a character in one face.
        distortion: Factor on the distortions of each image (`distorted`); without any, drawings in the faces of one
            family are nearly the same, and pixels alone tell the characters apart.
        seed: Random seed of the distortions.

    Returns:
        (items, 1, size, size) images, character by character, with their numbers; the classes are the characters.

    Raises:
        DataError: The fonts were not fetched, or there is no such split.
        ConfigError: Pillow or fontTools is not installed.
    """
    if split not in SPLITS:
        raise DataError(f"the characters of fonts have no split '{split}'.{nearest_hint(split, SPLITS)}")
    characters = "".join(SCRIPTS[script] for script in SPLITS[split])
    pixels, labels = draw(characters, faces(fetched_images("fonts")), size)
    pixels, labels = pixels.repeat_interleave(drawings, 0), labels.repeat_interleave(drawings)
    random = np.random.default_rng((seed, list(SPLITS).index(split)))
    return Images(distorted(pixels, distortion, random), labels, tuple(characters))


def faces(folder: Path) -> dict[Path, frozenset[str]]:
    """Return the files of fonts below a folder that have all characters for training, and the characters of each.

    Faces of initials, of keys and of formulas are so left out.

    Raises:
        DataError: There is none.
    """
    try:
        from fontTools.ttLib import TTFont, TTLibError
    except ImportError:
        raise ConfigError("`fonttools` is not installed; install it with: pip install asr-transfer[images]") from None
    wanted = {character for script in SPLITS["train"] for character in SCRIPTS[script]}
    found = {}
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".ttf", ".otf"))
    for file in tracked(files, "reading fonts", len(files), "font"):
        try:
            with TTFont(file, lazy=True) as font:
                own = frozenset(map(chr, font.getBestCmap() or {}))
        except (TTLibError, OSError, KeyError, AssertionError) as error:
            raise DataError(f"{file}: is no font that can be read ({error}); remove it or get it again.") from None
        if wanted <= own:
            found[file] = own
    if not found:
        raise DataError(
            f"{folder}: holds no font with Latin, digits and Cyrillic; give a folder of .ttf or .otf files."
        )
    return found


def draw(characters: str, faces: dict[Path, frozenset[str]], size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw each character in each of the faces that have it, standing on one line, white on black.

    Args:
        characters: Characters, each once.
        faces: Files of fonts and the characters of each.
        size: Height and width.

    Returns:
        (items, 1, size, size) bytes, character by character, and (items,) numbers of the characters.

    Raises:
        DataError: No face has a character.
    """
    from PIL import Image, ImageDraw, ImageFont

    large = size * _FINER
    fonts = [(ImageFont.truetype(str(file), round(_EM * large)), own) for file, own in faces.items()]
    drawn: list[np.ndarray] = []
    labels: list[int] = []
    for label, character in enumerate(tracked(characters, "drawing", len(characters), "character")):
        having = [font for font, own in fonts if character in own]
        if not having:
            raise DataError(f"no face has the character {character} (U+{ord(character):04X}); give other fonts.")
        for font in having:
            picture = Image.new("L", (large, large))
            place = (large / 2, _BASELINE * large)
            ImageDraw.Draw(picture).text(place, character, fill=255, font=font, anchor="ms")
            drawn.append(np.array(picture.reduce(_FINER)))
        labels += [label] * len(having)
    return torch.from_numpy(np.stack(drawn))[:, None], torch.tensor(labels)
