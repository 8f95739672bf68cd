"""Normalisations do what their names say, leave digits alone, and change nothing the second time."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from asr_transfer.errors import ConfigError
from asr_transfer.evaluation.normalisation import PROFILES, find_profile, normalise, tokens


@pytest.mark.parametrize(
    ("profile", "text", "expected"),
    [
        ("none", " Ａ  b. ", "Ａ b."),
        ("nfkc", "ﬁnd ２ Cafe\u0301", "find 2 Café"),
        ("lower", "ÉTÉ, Straße", "été, straße"),
        ("basic", "“Don’t – stop!” she said...", "don't stop she said"),
        ("basic", "3.5, 1,000 and 12", "3.5 1,000 and 12"),
        ("basic", "'tis the dogs' well-known", "tis the dogs well known"),
        ("basic", "पानी, किताब।", "पानी किताब"),
        ("basic", "...", ""),
        ("basic", "'.'", ""),
        ("basic", "10 $ + ½", "10 $ + 1⁄2"),
        ("mandarin", "你 好，世界。 ３ 个", "你好世界3个"),
    ],
)
def test_profiles(profile: str, text: str, expected: str) -> None:
    assert normalise(text, profile) == unicodedata.normalize("NFC", expected)


@pytest.mark.parametrize("profile", PROFILES)
def test_doing_it_twice_changes_nothing(profile: str) -> None:
    random = np.random.default_rng(3)
    pieces = [*"aÄßİ'’.,-_5٣ﬁ½你。 ́ क्", "  ", "\u3000", "Dž", "K", "İ\u0307", *"ʼ՛Ֆ·lא״\u200cب"]
    for _ in range(2000):
        once = normalise("".join(random.choice(pieces, random.integers(0, 12))), profile)
        assert normalise(once, profile) == once


def test_units_of_a_text() -> None:
    assert tokens(" a  bc") == ["a", "bc"]
    assert tokens(" a  bc", "character") == ["a", " ", "b", "c"]
    assert tokens("你 好", "word", "mandarin") == tokens("你好", "character", "mandarin") == ["你", "好"]
    assert tokens("A: b", "phone", "basic") == ["A:", "b"]
    assert tokens("", "character") == tokens("!", "word", "basic") == []


def test_an_unknown_profile_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="'basics' is not known. Did you mean 'basic'"):
        find_profile("basics")
