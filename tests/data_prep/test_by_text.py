"""Splits by the text alone, and texts as plain words."""

from __future__ import annotations

import zlib

from data_prep.by_text import plain_text, split_of
from tests.prepared import NUMBERS


def test_splits_follow_the_checksum_of_the_text() -> None:
    for text in NUMBERS:
        bucket = zlib.crc32(text.encode()) % 100
        assert split_of(text) == ("test" if bucket < 20 else "dev" if bucket < 30 else "train")
        assert split_of(text, {"dev": 100}) == "dev" and split_of(text, {}) == "train"
    counts = [split_of(f"text {n}", {"test": 30, "dev": 10}) for n in range(2000)]
    assert 0.27 < counts.count("test") / 2000 < 0.33 and 0.07 < counts.count("dev") / 2000 < 0.13


def test_plain_texts() -> None:
    assert plain_text("L'hôtel, s'il vous plaît !") == ("l'hôtel s'il vous plaît", None)
    assert plain_text("(mono)bloc")[1] == "the text holds brackets or strokes, whose reading is not known"
    assert plain_text("et/ou")[1] == "the text holds brackets or strokes, whose reading is not known"
    assert plain_text("à 6 heures")[1] == "the text holds digits or symbols, whose reading is not known"
    assert plain_text("...") == ("", "the transcript is empty")
    assert plain_text("γάτα", "GREEK") == ("γάτα", None)
    assert plain_text("γάτα")[1] == "the text holds letters of another script"
