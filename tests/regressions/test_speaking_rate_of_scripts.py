"""How fast a text can be said depends on whether its characters are letters or syllables."""

from __future__ import annotations

import pytest

from data_prep.transcripts import rate_defect

HANZI = "今天天气很好我们去吧他昨天"
KANA = "きょうはいいてんきですね"
HANGUL = "오늘은 날씨가 참 좋네요"
LETTERS = "the weather is nice"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (HANZI, len(HANZI) / 8),  # hardly anybody is faster
        (HANZI, len(HANZI) / 4.5),
        (HANZI[:6], 4.0),  # between pauses
        ("你好吗我", 3.6),
        (KANA, len(KANA) / 10),
        (KANA, 5.0),
        (HANGUL, len(HANGUL) / 8),
        (HANGUL, 8.0),
        ("ሰላም እንዴት ነህ", 3.0),
        (LETTERS, 1.0),
        (LETTERS, 8.0),
    ],
)
def test_what_people_say_passes(text: str, seconds: float) -> None:
    assert rate_defect(text, seconds) is None


@pytest.mark.parametrize(
    ("text", "seconds", "expected"),
    [
        (HANZI, len(HANZI) / 15, "more than 11 characters per second"),
        (HANZI, 40.0, "fewer than 0.6 characters per second"),
        (KANA, len(KANA) / 20, "more than 15 characters per second"),
        (KANA, 20.0, "fewer than 1.0 characters per second"),
        ("오늘은날씨가참좋네요", 0.6, "more than 11 characters per second"),
        (LETTERS, 0.5, "more than 25 characters per second"),
        (LETTERS, 12.0, "fewer than 2 characters per second"),
    ],
)
def test_what_nobody_says_does_not(text: str, seconds: float, expected: str) -> None:
    found = rate_defect(text, seconds)
    assert found is not None and expected in found


def test_a_text_of_two_scripts_has_limits_between_theirs() -> None:
    mixed = "今天我们用wifi"
    assert rate_defect(mixed, len(mixed) / 12) is None and rate_defect(mixed, len(mixed) / 20) is not None
    assert rate_defect("", 1.0) is None
