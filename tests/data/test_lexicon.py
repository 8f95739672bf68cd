"""Lexica: what is written is read back, every mistake is named by its line, and nothing but a DataError is raised."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from asr_transfer.data.lexicon import LONGEST_LINE, Entry, Lexicon
from asr_transfer.data.manifest import Utterance
from asr_transfer.errors import DataError

GOOD = "zero\tz ih r ow\n# a comment\n\nzero\tz iy r ow\t-0.7\nnew york\tn uw y ao r k\t?\nété\te t e\t-1.5?\n"


def _read(folder: Path, content: str | bytes) -> Lexicon:
    path = folder / "words.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return Lexicon.read(path)


def _refusal(folder: Path, content: str | bytes) -> str:
    with pytest.raises(DataError) as caught:
        _read(folder, content)
    message = str(caught.value)
    assert message.startswith(str(folder / "words.txt")) and "\n" not in message and len(message) < 500
    return message.removeprefix(str(folder / "words.txt"))


def test_a_file_is_read_line_by_line(tmp_path: Path) -> None:
    lexicon = _read(tmp_path, GOOD)
    assert list(lexicon) == [
        Entry("zero", ("z", "ih", "r", "ow"), line=1),
        Entry("zero", ("z", "iy", "r", "ow"), -0.7, line=4),
        Entry("new york", ("n", "uw", "y", "ao", "r", "k"), guessed=True, line=5),
        Entry("été", ("e", "t", "e"), -1.5, True, 6),
    ]
    assert lexicon.words == ["zero", "new york", "été"]
    assert len(lexicon) == 4 and lexicon[1].weight == -0.7


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    lexicon = _read(tmp_path, GOOD)
    lexicon.save(tmp_path / "deeper" / "copy.txt")
    again = Lexicon.read(tmp_path / "deeper" / "copy.txt")
    assert [(e.word, e.phones, e.weight, e.guessed) for e in again] == [
        (e.word, e.phones, e.weight, e.guessed) for e in lexicon
    ]
    assert [path.name for path in (tmp_path / "deeper").iterdir()] == ["copy.txt"]


def test_unicode_line_ends_and_byte_order_marks_do_not_matter(tmp_path: Path) -> None:
    plain = list(_read(tmp_path, GOOD))
    decomposed = GOOD.replace("é", "e\u0301")
    assert decomposed != GOOD
    assert list(_read(tmp_path, decomposed)) == plain
    assert list(_read(tmp_path, GOOD.replace("\n", "\r\n"))) == plain
    assert list(_read(tmp_path, b"\xef\xbb\xbf" + GOOD.replace("\nzero", "\n\ufeffzero").encode())) == plain


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("zero\tz\nsix\t\n", " line 2: the word 'six' has an empty pronunciation"),
        ("zero\tz\n\n\t s i\n", " line 3: the word is empty"),
        ("# x\nzero\tz\nnew york\n", " line 3: 'new york' has 1 column; write `word<TAB>phones"),
        (
            "# x\nturn off the lamp\n",
            " line 2: 'turn off the lamp' is a word or phrase without phones; write",
        ),
        ("zero\tz\t1\t2\n", " line 1: 'zero\\tz\\t1\\t2' has 4 columns; write"),
        ("zero\tz\theavy\n", " line 1: the weight 'heavy' is no finite number"),
        ("zero\tz\tnan\n", " line 1: the weight 'nan' is no finite number"),
        ("zero\tz\t-inf?\n", " line 1: the weight '-inf?' is no finite number"),
        ("a\tb c\n\na\tb  c\t-2\n", " line 3: 'a' already has the pronunciation 'b c' on line 1"),
        (b"a\tb\nc\t\xe9\n", " line 2: is not UTF-8 text (byte 6 is 0xe9); save it as UTF-8."),
        (GOOD.encode("utf-16"), ": is UTF-16; save it as UTF-8"),
        (b"a\tb\nc\td\0\n", " line 2: holds the control character NUL"),
        ("a\tb\rc\td\n", " line 1: holds the control character U+000D"),
        ("a\tb\nc\t" + "x " * 500_000 + "\n", f" line 2: is longer than {LONGEST_LINE:,} characters"),
        ("x" * 2_000_000, " line 1: is longer than"),
        ("", ": holds no words; add lines"),
        ("# nothing\n\n", ": holds no words; add lines"),
    ],
)
def test_mistakes_are_named_by_their_line(tmp_path: Path, content: str | bytes, expected: str) -> None:
    assert _refusal(tmp_path, content).startswith(expected)


def test_a_path_that_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.txt: there is no such file; write a lexicon with lines"):
        Lexicon.read(tmp_path / "none.txt")
    with pytest.raises(DataError, match="is a folder"):
        Lexicon.read(tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        Lexicon.read("a\0b")


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], "holds no words"),
        ([("zero", " ")], "'zero' has an empty pronunciation"),
        ([("", "z")], "'' cannot be a word"),
        ([("#x", "z")], "'#x' cannot be a word"),
        ([("a\0", "z")], "control characters"),
        ([("a", "\ud800")], "control characters"),
        ([("a", "z"), ("a", "z ")], "'a' already has the pronunciation 'z'; keep"),
    ],
)
def test_pairs_that_no_file_could_hold_are_refused(pairs: list[tuple[str, str]], expected: str) -> None:
    with pytest.raises(DataError, match=f"^the lexicon: .*{expected}"):
        Lexicon.from_pairs(pairs)


def test_entries_that_no_file_could_hold_are_refused() -> None:
    for entry in (Entry("a\tb", ("z",)), Entry("a", ("z z",)), Entry("a", ("",)), Entry("a", ("z",), float("nan"))):
        with pytest.raises(DataError):
            Lexicon([entry])


def test_an_unknown_phone_is_named_with_file_line_word_and_the_nearest_phone(tmp_path: Path) -> None:
    lexicon = _read(tmp_path, GOOD)
    lexicon.check([*"zihrowetk", "ih", "iy", "ow", "uw", "ao", "y", "n"])
    with pytest.raises(DataError) as caught:
        lexicon.check(["z", "ih1", "r", "ow"], "the model 'm'")
    assert str(caught.value) == (
        f"{tmp_path / 'words.txt'} line 1: the word 'zero' has the phone 'ih', which the model 'm' does not know "
        "(3 other entries have unknown phones too); write it in the model's phones. Did you mean 'ih1'?"
    )
    with pytest.raises(DataError, match="the phone 'AH', .* Did you mean 'ah'"):
        Lexicon.from_pairs([("a", "AH")]).check(["ah", "AA"])
    Lexicon.from_pairs([("a", "é")]).check(["e\u0301"])


def test_homophones_are_words_that_sound_alike() -> None:
    lexicon = Lexicon.from_pairs([("to", "t u"), ("two", "t u"), ("to", "t e"), ("too", "t u"), ("tea", "t i")])
    assert lexicon.homophones() == {("t", "u"): ["to", "two", "too"]}


def test_toneless_cuts_digits_and_merges_what_becomes_equal() -> None:
    lexicon = Lexicon(
        [
            Entry("好", ("h", "ao3"), -1.0, True, 1),
            Entry("好", ("h", "ao4"), -0.5, False, 2),
            Entry("号", ("h", "ao4"), 0.0, False, 3),
            Entry("x", ("12",), 0.0, False, 4),
        ]
    )
    assert list(lexicon.toneless()) == [
        Entry("好", ("h", "ao"), -0.5, False, 1),
        Entry("号", ("h", "ao"), 0.0, False, 3),
        Entry("x", ("12",), 0.0, False, 4),
    ]


def test_utterances_with_pronunciations_make_a_lexicon() -> None:
    def utterance(text: str, pronunciation: str | None) -> Utterance:
        return Utterance(f"id-{text}", "a.wav", 1.0, text, "s", "cmn", pronunciation=pronunciation)

    made = Lexicon.from_utterances([utterance("中国", "zh ong1 g uo2"), utterance("二", "er4")] * 2)
    assert list(made) == [Entry("中国", ("zh", "ong1", "g", "uo2")), Entry("二", ("er4",))]
    with pytest.raises(DataError, match="'id-x' has no `pronunciation`"):
        Lexicon.from_utterances([utterance("x", None)])


def test_a_hundred_thousand_entries_are_read_in_no_time(tmp_path: Path) -> None:
    content = "".join(f"word{n}\t{' '.join(f'p{n // 7**k % 7}' for k in range(6))}\n" for n in range(100_000))
    begin = time.process_time()
    assert len(_read(tmp_path, content)) == 100_000
    # It takes half of one; the bound is for what grows with the square of something, not for a slow or busy machine.
    assert time.process_time() - begin < 10


def test_damaged_files_raise_nothing_but_data_errors(tmp_path: Path) -> None:
    chance = random.Random(0)
    pieces = [
        b"\t",
        b"\n",
        b"\r",
        b"\0",
        b"#",
        b"?",
        b"\xff",
        b"\xef\xbb\xbf",
        b"nan",
        b" ",
        "\u2028é".encode(),
        b"1e999",
    ]
    outcomes = {"read": 0, "refused": 0}
    for turn in range(400):
        content = bytearray(chance.randbytes(chance.randrange(200)) if turn % 5 == 0 else GOOD.encode())
        for _ in range(chance.randrange(1, 6)):
            place = chance.randrange(len(content) + 1)
            content[place : place + chance.randrange(4)] = chance.choice([*pieces, chance.randbytes(1)])
        try:
            lexicon = _read(tmp_path, bytes(content))
        except DataError as error:
            assert "\n" not in str(error)
            outcomes["refused"] += 1
            continue
        lexicon.save(tmp_path / "again.txt")
        again = Lexicon.read(tmp_path / "again.txt")
        assert [(e.word, e.phones, e.weight) for e in again] == [(e.word, e.phones, e.weight) for e in lexicon]
        outcomes["read"] += 1
    assert min(outcomes.values()) > 40
