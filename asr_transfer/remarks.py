"""Remarks on what is used although something is unusual about it, above all recordings, once in each command.

A remark is a Python warning, so a program that calls this package sees it without doing anything.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from asr_transfer.errors import one_line

SHOWN = 8
"""Files that a line names."""


class Remark(UserWarning):
    """What is unusual about some recordings, or about something else that was given.

    Args:
        files: the recordings; none where the reason says what it is about.
        reason: words that are true of each of them, such as "its channels cancel each other".
    """

    def __init__(self, files: tuple[str, ...], reason: str) -> None:
        names = ", ".join(map(one_line, files[:SHOWN]))
        more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
        super().__init__(f"{names}{more}: {reason}" if files else reason)
        self.files, self.reason = files, reason


def remark(reason: str, *files: str) -> None:
    """Say something, of recordings or of none, to whoever listens: a command, `collected`, or Python's own warnings."""
    warnings.warn(Remark(files, reason), stacklevel=3)


@contextmanager
def collected() -> Iterator[dict[str, list[str]]]:
    """Gather the remarks made inside, files by reason, instead of saying them; each file once."""
    found: dict[str, list[str]] = {}

    def gather(made: Remark) -> None:
        files = found.setdefault(made.reason, [])
        files += [file for file in made.files if file not in files]

    with _heard_by(gather):
        yield found


def lines(found: Mapping[str, list[str]]) -> list[str]:
    """Return a line for each reason of what `collected` gives."""
    return [str(Remark(tuple(files), reason)) for reason, files in found.items()]


@contextmanager
def held_back() -> Iterator[list[Remark]]:
    """Gather the remarks made inside, by any thread, instead of saying them, in the order in which they are made."""
    found: list[Remark] = []
    with _heard_by(found.append):
        yield found


@contextmanager
def grouped() -> Iterator[None]:
    """Say the remarks made inside when it ends, one for each reason."""
    with collected() as found:
        yield
    for reason, files in found.items():
        remark(reason, *files)


@contextmanager
def told(program: str) -> Iterator[None]:
    """Print the remarks made inside to the standard error as they are made, each of a file once."""
    known: set[tuple[str, str]] = set()

    def tell(made: Remark) -> None:
        new = {file: (os.path.abspath(file) if file else "", made.reason) for file in made.files or ("",)}
        new = {file: key for file, key in new.items() if key not in known}
        known.update(new.values())
        if new and int(os.environ.get("RANK", "0")) == 0:
            print(f"{program}: {Remark(tuple(filter(None, new)), made.reason)}", file=sys.stderr, flush=True)

    with _heard_by(tell):
        yield


@contextmanager
def _heard_by(listener: Callable[[Remark], None]) -> Iterator[None]:
    with warnings.catch_warnings():
        show = warnings.showwarning

        def heard(message: Warning | str, *details: object, **more: object) -> None:
            if isinstance(message, Remark):
                listener(message)
            else:
                show(message, *details, **more)  # type: ignore[arg-type]

        warnings.showwarning = heard
        warnings.simplefilter("always", Remark)
        yield
