"""An open quotation mark takes in no rows, and tables divided by bars or tabs know no quoting."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from asr_transfer.cli import main
from asr_transfer.errors import DataError
from data_prep.folder import read_folder

MakeAudio = Callable[..., Path]


@pytest.fixture
def speech(tmp_path: Path, make_audio: MakeAudio) -> Path:
    for name in ("a", "b", "c"):
        make_audio(tmp_path / "in" / "wavs" / f"{name}.wav")
    return tmp_path / "in"


def texts(root: Path, table: str, name: str = "t.csv") -> dict[str, str]:
    (root / name).write_text(table, encoding="utf-8")
    return {Path(u.audio).stem: u.text for u in read_folder(root, case="kept")}


SWALLOWED = {
    "comma": ('file,text\na.wav,"Hello\nb.wav,good morning\nc.wav,nice day"\n', 2, 4, 3),
    "semicolon": ('file;text\na.wav;one\nb.wav;"Hello\nc.wav;nice day"\n', 3, 4, 4),
    "without header": ('a.wav,"Hello\nb.wav,good"\nc.wav,nice\n', 1, 2, 2),
    "without suffix": ('file,text\na,"Hello\nb,good morning"\nc,nice\n', 2, 3, 3),
    "text first": ('text,file\n"Hello,a.wav\ngood,b.wav\nnice",c.wav\n', 2, 4, 3),
    "commas in the text": ('file,text\na.wav,"Hello\nb.wav,good, very good"\nc.wav,x\n', 2, 3, 3),
    "behind a text of two lines": ('file,text\na.wav,"one\ntwo"\nb.wav,"Hello\nc.wav,x"\n', 4, 5, 5),
    "recordings that are missing": ('file,text\na,"Hello\nx1,good morning\nx2,nice day"\nb,x\n', 2, 4, 3),
    "missing behind semicolons": ('speaker;file;text\nann;a;"Hello\nben;x1;good"\neve;b;x\n', 2, 3, 3),
    "more columns": ('file,text,speaker\na.wav,"Hello,ann\nb.wav,good,ben\nc.wav,nice",eve\n', 2, 4, 3),
}


@pytest.mark.parametrize("kind", SWALLOWED)
def test_a_mark_that_takes_in_rows_is_refused_with_both_lines(speech: Path, kind: str) -> None:
    table, opens, closes, row = SWALLOWED[kind]
    with pytest.raises(DataError) as error:
        texts(speech, table)
    assert (
        f"t.csv line {opens}: a quotation mark opens here and closes on line {closes}, and takes in the row of line "
        f"{row}; close it" in str(error.value)
    )


@pytest.mark.parametrize(("table", "message"), [
    ('file,text\na.wav,"Hello\nb.wav,good\nc.wav,nice\n', r"line 2: .* opens here that is not closed up to line 4"),
    ('file,text\na.wav,"Hello\nb.wav,"good"\nc.wav,nice\n', r"line 2: .* opens here, and on line 3 .* check its"),
    ('file,text\na.wav,"Hello" he said\nb.wav,good\n', r"line 2: is not proper CSV"),
])  # fmt: skip
def test_other_open_marks_are_refused(speech: Path, table: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        texts(speech, table)


def test_a_text_of_several_lines_stays(speech: Path) -> None:
    table = 'file,text\na.wav,"Hello,\nmy dear, and all\nwho listen"\nb.wav,"good, morning"\nc.wav,"a ""nice"" day"\n'
    assert texts(speech, table) == {
        "a": "Hello, my dear, and all who listen",
        "b": "good, morning",
        "c": 'a "nice" day',
    }
    assert texts(speech, 'file,text\na,"Yes,\nno,\nperhaps"\nb,good\n')["a"] == "Yes, no, perhaps"


BARS = {
    "header": 'file|text\na.wav|"Hello" he said\nb.wav|"good\nc.wav|nice day"\n',
    "two columns": 'a|"Hello" he said\nb|"good\nc|nice day"\n',
    "two columns with suffix": 'a.wav|"Hello" he said\nb.wav|"good\nc.wav|nice day"\n',
    "three columns": 'a|"Hello" he said|"Hello" he said\nb|"good|"good\nc|nice day"|nice day"\n',
}


@pytest.mark.parametrize("kind", BARS)
def test_bars_know_no_quoting(speech: Path, kind: str) -> None:
    expected = {"a": '"Hello" he said', "b": '"good', "c": 'nice day"'}
    assert texts(speech, BARS[kind], "metadata.csv") == expected


def test_ljspeech(speech: Path) -> None:
    table = 'a|He had 2 dogs, "Rex" and|He had two dogs, "Rex" and\nb|Yes; no, maybe.|Yes; no, maybe.\nc|Dr. X|Dr. X\n'
    assert texts(speech, table, "metadata.csv") == {
        "a": 'He had two dogs, "Rex" and', "b": "Yes; no, maybe.", "c": "Dr. X"
    }  # fmt: skip


def test_a_part_of_ljspeech(speech: Path) -> None:
    assert texts(speech, "gone|One, two.|One, two.\na|Three.|Three.\n", "metadata.csv") == {"a": "Three."}


def test_three_columns_of_something_else_need_a_header(speech: Path) -> None:
    with pytest.raises(DataError, match=r"line 1: has three columns and no header, .*such as `file\|speaker\|text`"):
        texts(speech, "a|ann|hello there\nb|ann|good morning\nc|ben|nice\n", "metadata.csv")
    assert texts(speech, "file|speaker|text\na|ann|hello there\nb|ann|good\n", "metadata.csv")["a"] == "hello there"


def test_tabs_know_no_quoting(speech: Path) -> None:
    assert texts(speech, 'file\ttext\na.wav\t"Hello\nb.wav\tgood\nc.wav\tnice day"\n', "t.tsv")["b"] == "good"


def test_commands_refuse_it_with_one_sentence(
    speech: Path, tone_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (speech / "t.csv").write_text(SWALLOWED["comma"][0])
    for command in (["prepare", "folder", "--root"], ["evaluate", "--model", str(tone_run), "--data"]):
        assert main([*command, str(speech), "--out", str(tmp_path / "out")]) == 1
        assert "takes in the row of line 3" in capsys.readouterr().err and not (tmp_path / "out").exists()
