"""Fills in figures inside sentences from records, as tables are.

`<!-- figure NAME PATH -->12.3<!-- end -->` is the value at PATH in the record NAME. PATH is made of names and places
joined by points; `rows[method=auto,amount=5]` is the one item of a list whose fields are these, values with spaces or
commas in them in double quotes. A minus before PATH turns the sign round, for what a sentence calls a loss. Behind PATH
a format may stand, as Python has it; `.1%`, the default, is a percentage of which the sign is left out, for a page
writes `12.3 %`.
"""

from __future__ import annotations

import re
from typing import Any

from asr_transfer.errors import DataError
from docs.records import measured, record

FIGURE = re.compile(
    r"(?P<head><!-- figure (?P<name>\S+) (?P<path>(?:[^\s\"]|\"[^\"]*\")+)(?: (?P<form>[^\s>]+))? -->)"
    r"(?P<body>[^<\n]*)(?P<tail><!-- end -->)"
)
_STEP = re.compile(r"\.?(?P<name>[^.\[\]]+)|\[(?P<only>(?:[^\]\"]|\"[^\"]*\")+)\]")
_FIELD = re.compile(r"(?P<name>\w+)=(?:\"(?P<quoted>[^\"]*)\"|(?P<bare>[^,]*))(?:,|$)")


def figure(name: str, path: str, form: str = ".1%") -> str:
    """Return a figure of a record as text.

    Raises:
        DataError: there is no such record, or nothing at that place of it, or no number.
    """
    where = f"figure {name} {path}"
    sign, path = (-1, path[1:]) if path.startswith("-") else (1, path)
    if not measured(name):
        raise DataError(f"{where}: there is no record of that name.")
    value: Any = record(name)
    place = 0
    while place < len(path):
        step = _STEP.match(path, place)
        if step is None:
            raise DataError(f"{where}: cannot be read from '{path[place:]}' on.")
        try:
            value = _one(value, step["only"]) if step["only"] else value[_key(value, step["name"])]
        except (KeyError, IndexError, TypeError, ValueError, LookupError):
            raise DataError(f"{where}: the record has nothing at '{step[0]}'.") from None
        place = step.end()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"{where}: is {value!r} and no number.")
    try:
        return f"{sign * value:{form}}".removesuffix("%")
    except ValueError:
        raise DataError(f"{where}: '{form}' is no format of a number, such as .1% or .2f.") from None


def fill_figures(text: str) -> str:
    """Return a page with the figures in its sentences filled in.

    Raises:
        DataError: one of them names nothing that a record holds.
    """
    return FIGURE.sub(lambda m: f"{m['head']}{figure(m['name'], m['path'], m['form'] or '.1%')}{m['tail']}", text)


def _key(value: Any, name: str) -> Any:
    return int(name) if isinstance(value, list) else name


def _told(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _one(values: Any, fields: str) -> Any:
    """Return the one item of a list that has the fields."""
    wanted = {m["name"]: m["quoted"] if m["quoted"] is not None else m["bare"] for m in _FIELD.finditer(fields)}
    found = [item for item in values if wanted and all(_told(item[name]) == told for name, told in wanted.items())]
    if len(found) != 1:
        raise LookupError
    return found[0]
