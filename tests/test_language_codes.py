"""What is a language code and what is none."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from asr_transfer.errors import ConfigError
from asr_transfer.language_codes import CODES, NAMES, require_code, same_language, varieties
from data_prep.multilingual import SOURCES, TARGETS

ISO = Path("/usr/share/iso-codes/json/iso_639-2.json")


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


def test_codes_of_one_language_are_known_as_one() -> None:
    known = ["de", "pol", "pt-BR", "cmn", "aii"]
    for code, name in (
        ("deu", "de"),
        ("ger", "de"),
        ("pl", "pol"),
        ("por-br", "pt-BR"),
        ("cmn", "cmn"),
        # Other languages, and other varieties of one, are others.
        ("pt", "pt"),
        ("zh", "zh"),
        ("nds", "nds"),
        ("xx", "xx"),
    ):
        assert same_language(code, known) == name
    assert same_language("deu", ["de", "deu"]) == "deu", "what is known by its own name is that"


def test_varieties_of_one_language() -> None:
    assert varieties("por", ["pt-BR", "pt-PT", "es", "pt"]) == ["pt-BR", "pt-PT"]
    assert varieties("nob", ["no", "nn", "sv"]) == ["no", "nn"] and varieties("yue", ["cmn"]) == ["cmn"]
    assert varieties("de", ["nl", "deu", "nds"]) == []


@pytest.mark.skipif(not ISO.is_file(), reason="the iso-codes of the system are not installed")
def test_the_codes_are_those_of_the_standard() -> None:
    entries = [entry for entry in json.loads(ISO.read_text(encoding="utf-8"))["639-2"] if "alpha_2" in entry]
    two = {entry["alpha_2"] for entry in entries} - {"sh"}
    assert two >= CODES and len(two - CODES) < 3
    for entry in entries:
        for key in ("alpha_3", "bibliographic"):
            if entry["alpha_2"] in CODES and key in entry:
                assert same_language(entry[key], [entry["alpha_2"]]) == entry["alpha_2"]
