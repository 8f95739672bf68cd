"""Characters out of fonts, here those that matplotlib brings."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import matplotlib
import pytest
import torch

from asr_transfer.data.images import font_characters
from asr_transfer.data.images.font_characters import SCRIPTS, SPLITS, draw, faces
from asr_transfer.errors import DataError
from asr_transfer.fetched import IMAGES, STAMP, fetched_images
from asr_transfer.progress import Work

BROUGHT = Path(matplotlib.get_data_path()) / "fonts/ttf"


@pytest.fixture
def fonts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of fetched fonts: two faces with all scripts, and one of formulas."""
    monkeypatch.setenv("ASR_TRANSFER_DATA", str(tmp_path))
    folder = tmp_path / IMAGES / "fonts"
    folder.mkdir(parents=True)
    (folder / STAMP).write_text("{}")
    for name in ("DejaVuSans", "DejaVuSans-Bold", "cmsy10"):
        shutil.copy(BROUGHT / f"{name}.ttf", folder)
    return folder


def test_no_character_is_in_two_splits() -> None:
    counts = {split: sum(len(SCRIPTS[script]) for script in scripts) for split, scripts in SPLITS.items()}
    assert counts == {"train": 107, "dev": 26, "test": 136}
    assert max(Counter("".join(SCRIPTS.values())).values()) == 1


def test_every_face_draws_every_character(fonts: Path) -> None:
    images = font_characters("test", drawings=2, distortion=0)
    assert images.pixels.shape == (136 * 2 * 2, 1, 28, 28) and images.pixels.dtype == torch.uint8
    assert images.labels is not None and torch.bincount(images.labels).tolist() == [4] * 136
    assert images.classes[0] == "Ա" and images.classes[-1] == "ת"
    assert images.pixels.amax((1, 2, 3)).min() > 150, "none is empty"
    assert torch.equal(images.pixels[0], images.pixels[1]) and not torch.equal(images.pixels[0], images.pixels[2])
    sides = torch.cat([images.pixels[..., 0, :], images.pixels[..., -1, :]], -1)
    assert sides.max() < 100, "nor cut off"


def test_letters_stand_on_one_line(fonts: Path) -> None:
    pixels, labels = draw("xXp", {fonts / "DejaVuSans.ttf": frozenset("xXp")}, 40)
    lowest = [int((image[0] > 100).any(1).nonzero().max()) for image in pixels]
    assert labels.tolist() == [0, 1, 2]
    assert lowest[0] == lowest[1] < lowest[2], "and the small letter is not drawn as large as the capital"
    assert (pixels[0] > 100).sum() < (pixels[1] > 100).sum()


def test_distortions_are_seeded_and_of_their_own_for_every_drawing(fonts: Path) -> None:
    first = font_characters("dev", drawings=2)
    assert torch.equal(first.pixels, font_characters("dev", drawings=2).pixels)
    assert not torch.equal(first.pixels, font_characters("dev", drawings=2, seed=1).pixels)
    assert not torch.equal(first.pixels[0], first.pixels[1])


def test_drawing_is_counted_for_it_takes_a_minute(fonts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    advance = Work.advance

    def noted(self: Work, units: int = 1) -> None:
        advance(self, units)
        told.append(self.label)

    monkeypatch.setattr(Work, "advance", noted)
    font_characters("dev")
    assert Counter(told) == {"reading fonts": 3, "drawing": 26, "distorting": 1}


def test_a_face_of_formulas_is_left_out(fonts: Path) -> None:
    assert [file.name for file in faces(fonts)] == ["DejaVuSans-Bold.ttf", "DejaVuSans.ttf"]


def test_bad_fonts(fonts: Path) -> None:
    with pytest.raises(DataError, match=r"no split 'eval'\.|no split 'eval'.*Known: dev, test, train"):
        font_characters("eval")
    with pytest.raises(DataError, match=r"no face has the character 中 \(U\+4E2D\)"):
        draw("中", faces(fonts), 28)
    (fonts / "a.ttf").write_bytes(b"no font")
    with pytest.raises(DataError, match=r"a\.ttf: is no font that can be read \(.+\); remove it"):
        font_characters("test")
    for file in fonts.glob("*.ttf"):
        file.unlink()
    with pytest.raises(DataError, match="fonts: holds no font with Latin, digits and Cyrillic"):
        font_characters("test")


def test_the_fetched_fonts_have_54_faces() -> None:
    try:
        folder = fetched_images("fonts")
    except DataError as error:
        pytest.skip(str(error))
    known = faces(folder)
    assert len(known) == 54
    having = [
        sum(character in own for own in known.values()) for script in SPLITS["test"] for character in SCRIPTS[script]
    ]
    assert min(having) == 31
