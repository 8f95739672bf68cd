"""The pages' plots are drawn from the records as these are, and every one of them is shown."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from docs import pictures
from docs.pictures import FOLDER, PICTURES, Picture, drawn
from docs.records import PAGES, record


def test_pictures_are_of_the_records() -> None:
    assert drawn(write=False) == []


def test_every_picture_is_known_and_shown() -> None:
    assert {file.stem for file in FOLDER.iterdir()} == set(PICTURES)
    pages = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    for name in PICTURES:
        assert f"docs/pictures/{name}.svg)" in pages, name


def test_a_picture_shows_what_its_record_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "FOLDER", tmp_path)
    assert len(drawn(write=True)) == len(PICTURES) and drawn(write=False) == []
    shown = (tmp_path / "rates-images.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(shown)
    texts = {element.text for element in root.iter() if element.tag.endswith("}text")}
    rows = [row for row in record("learned_rates")["scores"]["rates"] if row["what"] == "images"]
    assert rows and {f"images: {row['place']}" for row in rows} <= texts
    assert "docs/results/learned_rates.json" in shown


def test_a_picture_of_another_record_is_drawn_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = PICTURES["rates-languages"]
    monkeypatch.setattr(pictures, "FOLDER", tmp_path)
    monkeypatch.setattr(pictures, "PICTURES", {"one": own})
    (file,) = drawn(write=True)
    before = file.read_text(encoding="utf-8")
    monkeypatch.setattr(pictures, "PICTURES", {"one": Picture(("learned_rates",), own.draw)})
    assert drawn(write=False) == [file] and file.read_text(encoding="utf-8") == before
    assert drawn(write=True) == [file] and drawn(write=False) == []
