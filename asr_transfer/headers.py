"""Reads the first bytes of a file: text where a recording should be, and the length in NIST SPHERE headers."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from asr_transfer.errors import DataError

_WEB = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<error", b"<body")
_TEXT_FORMATS = (b"NIST", b"PVF", b"MATLAB")
"""How audio begins that has a header of text."""


def require_no_text(file: Path, head: bytes) -> None:
    """Refuse text with the name of a recording: what a server sends instead of a file.

    Raises:
        DataError: it is one.
    """
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.lower().startswith(_WEB):
        raise DataError(
            f"{file}: is no audio but a web page, such as a server's error message; download it again or leave it out."
        )
    if start.startswith(b"version https://git-lfs"):
        raise DataError(f"{file}: is no audio but a pointer of Git LFS; get the recordings with `git lfs pull`.")
    if head.startswith(_TEXT_FORMATS) or not start or not all(byte >= 32 or byte in b"\t\n\r" for byte in head):
        return
    with contextlib.suppress(UnicodeDecodeError):
        begins = head[:400].decode("utf-8", "strict" if len(head) < 400 else "ignore").split()
        raise DataError(
            f"{file}: is no audio but text (it begins with '{' '.join(begins)[:30]}'); copy the recording again or "
            "leave it out."
        )


def sphere_samples(file: Path) -> int:
    """Return how many samples a channel has by the header of a NIST SPHERE file, 0 where it leaves that open."""
    with file.open("rb") as stream:
        match = re.search(rb"^sample_count -i (\d+)", stream.read(1024), re.MULTILINE)
    return 0 if match is None else int(match[1])


def is_endless_flac(head: bytes) -> bool:
    """Whether FLAC was written into a pipe: its header has 0 samples (36 bits), which libsndfile cannot read."""
    return head[:4] == b"fLaC" and len(head) > 26 and head[21] & 15 == 0 and not any(head[22:26])
