"""What is a language code and what is none."""

from __future__ import annotations

import re

import pytest

from asr_transfer.errors import ConfigError
from asr_transfer.language_codes import CODES, NAMES, require_code
from data_prep.multilingual import SOURCES, TARGETS


def test_the_codes_of_all_corpora_are_codes() -> None:
    for place in {**SOURCES, **TARGETS}.values():
        require_code(str(place.language))
    for code in (*NAMES.values(), "pt-BR", "sr-latin", "zh-TW", "yue", "aii"):
        require_code(code)
    assert len(CODES) == 183 and all(re.fullmatch("[a-z]{2}", code) for code in CODES)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("zz", "'zz', which is no ISO 639 code; give one such as"),
        ("auto", "'auto', which is no ISO 639 code"),
        ("", "'', which is no ISO 639 code"),
        ("DE", "'DE', which is no ISO 639 code"),
        ("de_DE", "'de_DE', which is no ISO 639 code"),
        ("German", "'German', which is a name; give its code, 'de'"),
        ("mandarin", "give its code, 'cmn'"),
    ],
)
def test_what_is_no_code_is_refused(code: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        require_code(code)
