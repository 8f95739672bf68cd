"""Texts of corpora: what is spoken in them, what CTC cannot spell, odd paces, and texts that two splits share."""

from __future__ import annotations

import pytest

from asr_transfer.data.manifest import Utterance
from data_prep.transcripts import rate_defect, shared_texts, spoken, text_defect


@pytest.mark.parametrize(
    ("text", "defect"),
    [
        ("it's fine", None),
        ("žluťoučký kůň", None),
        ("e\u0301tude", None),
        ("", "empty"),
        ("room 24", "digits or symbols"),
        ("1 % of", "digits or symbols"),
        ("wait подожди", "another script"),
    ],
)
def test_text_defect(text: str, defect: str | None) -> None:
    found = text_defect(text)
    assert (found is None) if defect is None else (found is not None and defect in found)


def test_text_of_any_script() -> None:
    assert text_defect("नमस्ते दुनिया", script="") is None
    assert text_defect("नमस्ते २४", script="") is not None


def test_spoken() -> None:
    assert spoken('The "C.I.A."?  That\'s -- well, DEAD-END…') == "the c i a that's well dead end"


@pytest.mark.parametrize(
    ("length", "duration", "fine"),
    [(25, 1.0, True), (26, 1.0, False), (3, 2.0, True), (3, 2.1, False), (5, 2.4, True), (1, 1.4, True), (5, 0, False)],
)
def test_rate_defect(length: int, duration: float, fine: bool) -> None:
    assert (rate_defect("a" * length, duration) is None) == fine


def test_shared_texts() -> None:
    def split(*texts: str) -> list[Utterance]:
        return [Utterance(str(i), "a.wav", 1.0, text, "x", "en") for i, text in enumerate(texts)]

    lines = shared_texts({"train": split("a", "b"), "dev": split("c"), "test": split("b", "b", "c", "d")})
    assert lines == [
        "test: 2 of its 4 utterances have a text that train has too",
        "test: 1 of its 4 utterances have a text that dev has too",
    ]
