"""A language that a model knows by another code is taught to the head that it has, and a variety is said to be one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from asr_transfer.data.manifest import read_manifest
from asr_transfer.decoding.recogniser import Recogniser
from tests.learning import Languages, learn, manifest

QUICK = ("--way", "head", "--steps", 8)


def test_a_code_of_three_letters(languages: Languages, tmp_path: Path) -> None:
    more = [replace(u, language="ger") for u in read_manifest(languages.more)]
    data = manifest(tmp_path / "ger.jsonl", more)
    ran = learn(languages.base, data, tmp_path / "out", *QUICK, "--language", "deu")
    assert set(Recogniser.load(ran.out, "de").model.head_names()) == {"de", "fr"}
    assert "'deu' is the language of the model's head 'de', which is taught" in ran.printed
    again = learn(languages.base, data, tmp_path / "again", *QUICK)
    assert "'ger' is the language of the model's head 'de', which is taught" in again.printed
    assert again.record["learning"]["language"] == "de"


def test_another_variety(languages: Languages, tmp_path: Path) -> None:
    austrian = [replace(u, language="de-AT") for u in read_manifest(languages.more)]
    ran = learn(languages.base, manifest(tmp_path / "at.jsonl", austrian), tmp_path / "out", *QUICK, "--steps", 30)
    assert set(Recogniser.load(ran.out, "fr").model.head_names()) == {"de", "fr", "de-AT"}
    assert "the model knows another variety of the language, 'de'; 'de-AT' gets a head of its own" in ran.printed
