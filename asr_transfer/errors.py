"""Defines the errors a user can mend.

Every message is one sentence that names the file, line or field and says what to do. The command line prints it
without a traceback and exits with status 1; anything that is not an `AsrTransferError` is a bug of ours.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable


class AsrTransferError(Exception):
    """Base of all errors that come from the user's input rather than from a bug."""


class DataError(AsrTransferError):
    """A corpus, manifest, transcript or audio file cannot be used as it is."""


class NothingUsable(DataError):
    """There are recordings, but of none of them can anything be learnt."""


class ConfigError(AsrTransferError):
    """An option or configuration field is unknown, of the wrong type or in conflict with another."""


class SelectionError(AsrTransferError):
    """A selector is malformed or one of its alternatives matches nothing in the model."""


class ModelError(AsrTransferError):
    """A model folder or checkpoint is missing, damaged or of another architecture."""


class TrainingError(AsrTransferError):
    """Training cannot go on, for example because the loss stays non-finite."""


def nearest_hint(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the known name closest to `name`, or the list of known names."""
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f" Did you mean '{close[0]}'?"
    return f" Known: {', '.join(names)}." if names else ""


def one_line(text: str) -> str:
    """Return text that is one line with no column breaks: tabs, line ends and control characters as escapes (`\\t`)."""
    if text.isprintable():
        return text
    return "".join(
        letter.encode("unicode_escape").decode() if unicodedata.category(letter) in ("Cc", "Zl", "Zp") else letter
        for letter in text
    )


def class_of(thing: object) -> str:
    """Return what a thing is, by its class, behind the indefinite article that the name takes.

    >>> class_of([]), class_of(ValueError()), class_of(ArithmeticError())
    ('a list', 'a ValueError', 'an ArithmeticError')
    """
    name = type(thing).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
