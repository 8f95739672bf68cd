"""Texts of corpora: what is spoken in them, what CTC cannot spell, odd paces, and texts that two splits share."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import theilslopes

from asr_transfer.data.manifest import Utterance
from data_prep.transcripts import rate_defect, shared_texts, spoken, text_defect, usual_seconds


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


@pytest.mark.parametrize("seed", range(4))
def test_the_usual_length_is_the_one_of_scipy(seed: int) -> None:
    random = np.random.default_rng(seed)
    lengths = random.integers(1, 30, 41 + seed).tolist()
    pairs = [(length, round(0.3 + 0.07 * length + random.exponential(0.2), 3)) for length in lengths]
    fit = theilslopes([seconds for _, seconds in pairs], lengths)
    assert usual_seconds(pairs) == (fit.intercept, fit.slope)
    assert usual_seconds([]) == (0.0, 0.0) and usual_seconds([(3, 2.0), (3, 1.0)]) == (1.0, 0.0)
