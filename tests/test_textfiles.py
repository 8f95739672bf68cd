"""The one reader and the one writer of text files."""

from __future__ import annotations

import ast
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from asr_transfer import textfiles
from asr_transfer.errors import DataError

ROOT = Path(__file__).resolve().parents[1]

TEXT = {"read_text", "write_text"}
"""Methods of `Path` that read and write text."""

ALLOWED = {
    "asr_transfer/textfiles.py": "is the one",
    "docs/": "read and write pages of the repository",
}
"""Files and folders that read or write text otherwise, and what for."""


def _others(file: Path) -> Iterator[int]:
    """Give the lines where a file opens text for reading or writing by itself, or replaces a file by its own means."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        method = node.func.attr if isinstance(node.func, ast.Attribute) else called
        owner = called.rpartition(".")[0]
        if method in TEXT and owner and owner != "textfiles":
            yield node.lineno
        if method == "open" and owner not in ("av", "tarfile", "zipfile", "os", "Image", "_teller", "recipe", "self"):
            mode = node.args[1 if called == "open" else 0] if len(node.args) > (called == "open") else None
            shown = ast.literal_eval(mode) if isinstance(mode, ast.Constant) else "r" if mode is None else "b"
            if "b" not in shown:
                yield node.lineno
        if method == "NamedTemporaryFile" or called == "tempfile.mkstemp":
            yield node.lineno
        if method == "decode" and "read_bytes" in owner and "textfiles" not in owner:
            yield node.lineno


def test_nobody_else_reads_or_writes_text_files() -> None:
    found = {}
    for folder in ("asr_transfer", "data_prep", "recipes", "docs"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            name = file.relative_to(ROOT).as_posix()
            lines = list(_others(file))
            if lines and not any(name.startswith(allowed) for allowed in ALLOWED):
                found[name] = lines
    assert not found, "use asr_transfer.textfiles, which names line and mend, and leaves no half file"


@pytest.mark.parametrize(
    ("code", "seen"),
    [
        ("Path(x).read_text(encoding='utf-8')", True),
        ("file.write_text(x)", True),
        ("open(x)", True),
        ("open(x, 'rb')", False),
        ("file.open('a')", True),
        ("file.open()", True),
        ("file.open('wb')", False),
        ("textfiles.read_text(x)", False),
        ("read_text(x)", False),
        ("file.read_bytes().decode('utf-8')", True),
        ("tarfile.open(x)", False),
    ],
)
def test_the_search_sees_what_it_looks_for(tmp_path: Path, code: str, seen: bool) -> None:
    (tmp_path / "x.py").write_text(code, encoding="utf-8")
    assert bool(list(_others(tmp_path / "x.py"))) == seen


@pytest.mark.parametrize(
    ("encoding", "text"), [("utf-16", "grüße\n"), ("utf-16-le", "two words\n"), ("utf-16-be", "two words\n")]
)
def test_utf_16_is_recognised_and_the_command_that_is_told_mends_it(tmp_path: Path, encoding: str, text: str) -> None:
    file = tmp_path / "my list.txt"
    file.write_bytes(text.encode(encoding))
    with pytest.raises(
        DataError, match=r"my list\.txt: is UTF-16; save it as UTF-8, with an editor or `iconv"
    ) as raised:
        textfiles.read_text(file)
    if shutil.which("iconv"):
        subprocess.run(str(raised.value).split("`")[1], shell=True, check=True, cwd=tmp_path)
        assert textfiles.read_text(tmp_path / "utf8.txt") == text


def test_short_and_foreign_texts_are_not_taken_for_utf_16(tmp_path: Path) -> None:
    file = tmp_path / "x.txt"
    for content in (b"", b"a", b"\xef\xbb\xbfa\r\nb", "我们\n".encode(), b"a\0b c d e f\n"):
        file.write_bytes(content)
        assert textfiles.read_text(file) == content.decode("utf-8-sig")
    assert textfiles.lines_of("a\u2028b\r\nc\n") == ["a\u2028b", "c"]
    file.write_bytes(b"one\ncaf\xe9\n")
    with pytest.raises(DataError, match=r"x\.txt line 2: is not UTF-8 text \(byte 7 is 0xe9\); save it as UTF-8\.$"):
        textfiles.read_text(file)


@pytest.mark.parametrize("as_text", [True, False])
def test_a_file_is_replaced_as_a_whole_and_keeps_its_mode(tmp_path: Path, as_text: bool) -> None:
    file = tmp_path / "x.txt"
    file.write_text("old", encoding="utf-8")
    file.chmod(0o640)
    before = file.stat().st_ino
    if as_text:
        textfiles.write_text(file, "new")
    else:
        textfiles.write_bytes(file, b"new")
    assert file.read_bytes() == b"new" and stat.S_IMODE(file.stat().st_mode) == 0o640
    assert file.stat().st_ino != before and os.listdir(tmp_path) == ["x.txt"]


def test_what_stops_in_the_middle_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "x.txt"
    file.write_text("old", encoding="utf-8")
    with pytest.raises(KeyboardInterrupt), textfiles.writing(file) as out:
        out.write("half")
        raise KeyboardInterrupt
    assert file.read_text(encoding="utf-8") == "old" and os.listdir(tmp_path) == ["x.txt"]


def test_a_folder_that_takes_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    for target in (tmp_path / "file" / "x.txt", Path("/proc/x.txt")):
        with pytest.raises(DataError, match=r"x\.txt: cannot be written \(.+\); free space, mend its rights or give"):
            textfiles.write_bytes(target, b"x", "--to")
