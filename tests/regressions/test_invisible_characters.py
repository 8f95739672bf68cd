"""Invisible characters stay where they are writing, part words where they mean to, and are gone everywhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_transfer.data.manifest import read_manifest
from asr_transfer.data.tokens import Tokens
from asr_transfer.errors import DataError
from asr_transfer.evaluation.normalisation import PROFILES, normalise
from asr_transfer.evaluation.scoring import score
from data_prep import commonvoice, folder
from data_prep.transcripts import spoken, text_defect
from tests.recorded import MakeAudio, distinct

WRITING = [
    "می\u200cخواهم به خانه بروم",  # Persian: the parts of one word are not joined
    "کتاب\u200cها",
    "هه\u200cولێر",  # Sorani Kurdish
    "श्रीमान्\u200cको",  # Nepali
    "সফ্টও\u200cয়্যার",
    "ಸಾಫ್ಟ್\u200cವೇರ್",
    "ශ්\u200dරී ලංකා",  # Sinhala: ZWJ joins consonants
    "র\u200d্যাম",
    "क्\u200dष",
    "ᠪᠠᠢᠨ\u180eᠠ",  # Mongolian: the last vowel stands apart
    "ᠪᠢ\u180bᠴᠢᠭ",
]

STRAY = [
    ("\u200eturn off\u200f the lamp\u200f", "turn off the lamp"),
    ("\u202bשלום\u202c \u2067עולם\u2069", "שלום עולם"),
    ("السلام عليكم\u200f ورحمة", "السلام عليكم ورحمة"),
    ("Zei\u00adchen", "Zeichen"),
    ("\ufeffhello wor\ufeffld", "hello world"),
    ("wo\u2060rd\u2061", "word"),
    ("co\u034fde", "code"),
    ("Auf\u200clage", "Auflage"),
    ("fi\u200dsh", "fish"),
    ("слово\u200cформа", "словоформа"),
    ("می\u200c خواهم\u200c", "می خواهم"),
    ("کتاب\u200c\u200c\u200fها", "کتاب\u200cها"),
    ("नमस्ते\u200d", "नमस्ते"),
    ("heart\ufe0f", "heart"),
    ("a\u180ea", "aa"),
    ("한\u3164글", "한글"),
    ("สวัสดี\u200bครับ", "สวัสดี ครับ"),
    ("ខ្ញុំ\u200bទៅ", "ខ្ញុំ ទៅ"),
    ("word\u200bword \u200b word", "word word word"),
    ("അവന്\u200d", "അവൻ"),  # the older spelling of a letter
    ("উত্\u200dসব", "উৎসব"),
    ("\u200b\u200e", ""),
]


@pytest.mark.parametrize("text", WRITING)
def test_those_that_are_writing_stay(text: str) -> None:
    assert normalise(text) == normalise(text, "basic") == spoken(text) == text
    assert text_defect(text, script="") is None
    tokens = Tokens.from_texts([text])
    assert tokens.decode(tokens.encode(text)) == text


@pytest.mark.parametrize(("text", "expected"), STRAY)
def test_all_others_go(text: str, expected: str) -> None:
    assert normalise(text) == expected
    assert normalise(text, "basic") == expected.lower()
    for profile in PROFILES:
        once = normalise(text, profile)
        assert normalise(once, profile) == once


def test_they_are_no_errors_when_texts_are_compared() -> None:
    assert score(["\u200eturn o\u00adff\u200f"], ["turn off"]).characters.errors == 0


def test_common_voice_keeps_the_sentences(tmp_path: Path, make_audio: MakeAudio) -> None:
    make = distinct(make_audio)
    sentences = {"a": "می\u200cخواهم بروم", "b": "\u200fمن رفتم.", "c": "كتاب\u00ad خوب"}
    for split, names in {"train": "a", "dev": "b", "test": "c"}.items():
        rows = [f"{name}\t{name}.mp3\t{sentences[name]}" for name in names]
        (tmp_path / "fa").mkdir(exist_ok=True)
        (tmp_path / "fa" / f"{split}.tsv").write_text("\n".join(["client_id\tpath\tsentence", *rows]) + "\n", "utf-8")
    for name in sentences:
        make(tmp_path / "fa" / "clips" / f"{name}.mp3", seconds=1.5)
    commonvoice.prepare(tmp_path / "fa", tmp_path / "out")
    manifests = [read_manifest(tmp_path / "out" / f"{split}.jsonl") for split in ("train", "dev", "test")]
    found = {u.id: u.text for part in manifests for u in part}
    assert found == {"a": "می\u200cخواهم بروم", "b": "من رفتم", "c": "كتاب خوب"}


def test_folders_hold_none_that_nobody_wrote(tmp_path: Path, make_audio: MakeAudio) -> None:
    make_audio(tmp_path / "in" / "a.wav")
    make_audio(tmp_path / "in" / "b.wav", level=0.2)
    (tmp_path / "in" / "a.txt").write_text("\u200eturn off the lamp,\u200f\u200b please\u00ad!", "utf-8")
    (tmp_path / "in" / "b.txt").write_text("\u200f\u2060", "utf-8")
    (found,) = folder.read_folder(tmp_path / "in")
    assert found.text == "turn off the lamp, please!"
    left_out = folder.scan_folder(tmp_path / "in")[1].dropped
    assert [name for name, reason in left_out if "its transcript is empty" in reason] == ["b.wav"]


def test_tokens_are_made_of_what_is_written() -> None:
    tokens = Tokens.from_texts(["\u200eab\u00ad c\u200f"])
    assert tokens.symbols[1:] == [" ", "a", "b", "c"]
    assert tokens.decode(tokens.encode("\ufeffa\u2060bc")) == "abc"
    with pytest.raises(DataError, match="'d' cannot be spelled"):
        tokens.encode("\u200ed")
