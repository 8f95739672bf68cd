"""`asr-transfer lexicon g2p` and `pronounce` for a head of a model: its notation, the phones that it lacks, and what
espeak-ng has no rules for.
"""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from asr_transfer.cli import main
from asr_transfer.commands.listen import open_recogniser
from asr_transfer.commands.options import ListenOptions
from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.manifest import Utterance, read_manifest, write_manifest
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from tests.small import small_model

pytestmark = [
    pytest.mark.voices,
    pytest.mark.skipif(importlib.util.find_spec("panphon") is None, reason="the extra `phones` is absent"),
]

GERMAN = ["h", "aː", "a", "n", "t", "ʊ", "s", "z", "ə", "oː", "o"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return the folder of a model of German and of a language that espeak-ng has not, in IPA, and of letters."""
    tokens = {"de": Tokens(GERMAN, "phones"), "nds": Tokens(GERMAN[:8], "phones"), "en": Tokens([*"abc"])}
    recogniser = Recogniser(
        small_model(heads={name: len(own) for name, own in tokens.items()}), tokens["de"], "de", {},
        others={name: tokens[name] for name in ("nds", "en")},
    )  # fmt: skip
    recogniser.save(tmp_path / "model", "# A model\n", {})
    return tmp_path / "model"


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    file = tmp_path / "list.txt"
    file.write_text("Hand\nuns\nRose\n", encoding="utf-8")
    return file


def test_words_are_written_for_a_head_that_knows_their_phones(model: Path, listed: Path, tmp_path: Path) -> None:
    out = tmp_path / "lexicon.de.txt"
    listed.write_text("Hand\nuns\n", encoding="utf-8")
    assert main(["lexicon", "g2p", str(listed), "--language", "de", "--model", str(model), "--out", str(out)]) == 0
    assert [entry.phones for entry in Lexicon.read(out)] == [("h", "a", "n", "t"), ("ʊ", "n", "s")]
    assert open_recogniser(ListenOptions(model=model, language="de", lexicon=out)).lexicon is not None


def test_phones_that_a_head_lacks_are_named_and_nothing_is_written(
    model: Path, listed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "lexicon.txt"
    call = ["lexicon", "g2p", str(listed), "--language", "de", "--model", str(model), "--out", str(out)]
    assert main(call) == 1 and not out.exists()
    error = capsys.readouterr().err
    assert f"{model} lacks 1 of the" in error and "'ʁ' (1); give --map" in error and error.count("\n") == 1
    assert main([*call, "--map", "true"]) == 0 and "taken for" in capsys.readouterr().out
    assert {phone for entry in Lexicon.read(out) for phone in entry.phones} <= set(GERMAN)


def test_a_language_without_rules_is_read_by_those_of_another(
    model: Path, listed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "lexicon.nds.txt"
    call = ["lexicon", "g2p", str(listed), "--language", "nds", "--model", str(model), "--out", str(out)]
    assert main(call) == 1
    error = capsys.readouterr().err
    assert "espeak-ng has no language 'nds'" in error and "characters as units, which need none" in error
    assert main([*call, "--voice", "de", "--map", "true"]) == 0
    assert {phone for entry in Lexicon.read(out) for phone in entry.phones} <= set(GERMAN[:8])


@pytest.mark.parametrize(
    ("language", "more", "message"),
    [
        ("fr", ["--model"], "has no head 'fr'"),
        ("en", ["--model"], "its head 'en' spells characters, so words need no pronunciations; give the list"),
        ("de", ["--map"], "--map takes phones of a model; give --model too"),
    ],
)
def test_what_fits_no_model_is_refused(
    language: str, more: list[str], message: str, model: Path, listed: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    given = [value for name in more for value in (name, str(model) if name == "--model" else "true")]
    out = str(tmp_path / "out.txt")
    assert main(["lexicon", "g2p", str(listed), "--language", language, "--out", out, *given]) == 1
    assert message in capsys.readouterr().err


def test_transcripts_are_pronounced_in_the_phones_of_a_head(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = Utterance("a", "a.wav", 1.0, "Hand", "s", "nds")
    manifest, out = tmp_path / "said.jsonl", tmp_path / "out.jsonl"
    write_manifest(manifest, [said, replace(said, id="b", text="uns Rose"), replace(said, id="c")])
    call = ["lexicon", "pronounce", str(manifest), "--voice", "de", "--model", str(model), "--out", str(out)]
    assert main(call) == 1 and "'ʁ' (1)" in capsys.readouterr().err and not out.exists()
    assert main([*call, "--map", "true"]) == 0
    first, second, third = (str(u.pronunciation) for u in read_manifest(out))
    assert first == third == "h a n t" and second.startswith("ʊ n s ")
    assert set(second.split()) <= set(GERMAN[:8])
    write_manifest(manifest, [said, replace(said, id="b", language="de")])
    assert main([*call[:-1], str(tmp_path / "both.jsonl")]) == 1
    assert "holds utterances in de, nds, but --model fits one language" in capsys.readouterr().err
