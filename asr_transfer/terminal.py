"""Prints to terminals whose encoding lacks letters: nothing that is printed can fail, and no report is lost by it."""

from __future__ import annotations

import codecs
import sys

from asr_transfer.textfiles import spelled

SPELLED = "asr_transfer.spelled"
"""The error handler of Python's codecs that `print_everything` installs."""

_LIKE = str.maketrans(
    {
        "−": "-", "–": "-", "—": "-", "‑": "-", "→": ">", "×": "x", "±": "~", "…": "~", "·": ".", "•": "*",
        "‘": "'", "’": "'", "“": '"', "”": '"', "▼": "v", "▲": "^", "≤": "<", "≥": ">", "\u00a0": " ", "�": "?",
        "▁": "1", "▂": "2", "▃": "3", "▄": "4", "▅": "5", "▆": "6", "▇": "7", "█": "8",
    }
)  # fmt: skip
"""What tables are made of, one character for one, so that columns stay in line."""

_lacking: set[str] = set()


def print_everything() -> None:
    """Let the standard output and error print what their encoding lacks: signs as similar ones, letters as escapes."""
    codecs.register_error(SPELLED, _spell)
    _lacking.clear()
    for stream in (sys.stdout, sys.stderr):
        # A test's or notebook's own stream holds any text.
        if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
            reconfigure(errors=SPELLED)


def unspelled() -> str:
    """Return a sentence where letters were printed as escapes since `print_everything`, else nothing."""
    if not _lacking:
        return ""
    encoding = sorted(_lacking)[0]
    if encoding == "charmap":  # what Python calls every code page
        encoding = getattr(sys.stdout, "encoding", None) or encoding
    return (
        f"the output is in {encoding}, which lacks some letters, so they were printed as escapes such as \\u0436; set "
        "PYTHONIOENCODING=utf-8 to get them."
    )


def refused(error: OSError | UnicodeEncodeError) -> str:
    """Return what the system refused, as a sentence: a folder whose rights changed, a disk that is full."""
    if isinstance(error, UnicodeEncodeError):
        part = error.object[error.start : error.end]
        if any("\ud800" <= letter <= "\udfff" for letter in part):
            return f"{spelled(error.object)!r} is not UTF-8; rename the file, or mend the text."
        return (
            f"a file's name cannot be spelled in the system's encoding, {error.encoding}; set PYTHONUTF8=1 and run the "
            "command again."
        )
    if error.filename is None:
        return f"the output cannot be written ({error.strerror or error}); free space or write it elsewhere."
    if isinstance(error, PermissionError):
        return f"{error.filename}: may not be read or written (permission denied); ask its owner for the right."
    return f"{error.filename}: {error.strerror}; mend the path or free space on its disk."


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    spelt = []
    for letter in error.object[error.start : error.end]:
        similar = letter.translate(_LIKE)
        if "\udc80" <= letter <= "\udcff":  # a byte of a file's name
            spelt.append(f"\\x{ord(letter) - 0xDC00:02x}")
        elif similar != letter and similar.isascii():
            spelt.append(similar)
        else:
            spelt.append(letter.encode("ascii", "backslashreplace").decode("ascii"))
            if not "\ud800" <= letter <= "\udfff":
                _lacking.add(error.encoding)
    return "".join(spelt), error.end
