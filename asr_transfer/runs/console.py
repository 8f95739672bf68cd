"""Prints what files hold to the terminal, and does not replace files unasked: what commands share."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from asr_transfer.errors import DataError
from asr_transfer.textfiles import require_writable_file


def legible(value: object) -> Text:
    """Return text without markup; what files from elsewhere hold must not send control characters to the terminal."""
    return Text("".join(letter if letter.isprintable() else "�" for letter in str(value)))


def show(what: RenderableType, console: Console | None = None) -> None:
    """Print to `console`, None for the standard output; nothing wraps in what a file or another program gets."""
    console = console or Console()
    # A file or another program gets each row on one line, however long.
    if not console.is_terminal and isinstance(what, Table):
        console.width = max(console.width, console.measure(what, options=console.options.update(width=10_000)).maximum)
    console.print(what, soft_wrap=isinstance(what, Text))


def say(line: str) -> None:
    """Print a line at once, from the first of several processes that train together."""
    if int(os.environ.get("RANK", "0")) == 0:
        print(line, flush=True)


def require_free(out: Path, overwrite: bool) -> None:
    """Make sure, before long work, that a file can be written, and without losing one.

    Raises:
        ConfigError: `out` is a folder or cannot be written.
        DataError: `out` exists and is not to be replaced.
    """
    require_writable_file(out)
    if out.is_file() and not overwrite:
        raise DataError(f"{out}: exists already; give --overwrite to replace it, or another --out.")
