"""Turns settings and results into plain values, as YAML and JSON hold them, and checks those against declared types."""

from __future__ import annotations

import json
import math
import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from asr_transfer.errors import ConfigError, nearest_hint

T = TypeVar("T")

_WORDS: frozenset[type] = frozenset({str, bool, type(None), int})
"""Types of values that are plain already, in JSON too; tables are full of them, and are looked over at once."""
_SCALARS: frozenset[type] = _WORDS | {float}
_KEYS: frozenset[type] = frozenset({str})
_JSON: dict[str, Any] = {"ensure_ascii": False, "allow_nan": False}
_COMPACT = json.JSONEncoder(**_JSON)


def to_plain(value: Any) -> Any:
    """Turn dataclasses, and whatever they hold, into dicts, lists and scalars: paths are text, numbers are Python's.

    >>> from asr_transfer.decoding.settings import SutaConfig
    >>> to_plain({"suta": SutaConfig(steps=3), "tried": (1, 2)})["suta"]["steps"]
    3
    """
    return _with_text(as_values(value))


def as_values(value: Any) -> Any:
    """Turn dataclasses into dicts, rows into lists, and numpy's numbers and arrays into Python's; paths stay paths."""
    if type(value) in _SCALARS:
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_values(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: as_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return list(value) if _only(_SCALARS, value) else [as_values(item) for item in value]
    return as_values(value.tolist()) if hasattr(value, "tolist") else value


def to_json(value: Any, indent: int | None = None) -> str:
    """Write a value as JSON that every reader takes, of what `to_plain` takes.

    A number that is none is null: a rate of nothing, or a share of no errors. JSON knows neither NaN nor infinities,
    which Python would write bare. Readers of older files meet these words still; `json.loads` takes them for numbers.

    >>> to_json({"wer": float("nan"), "errors": 2})
    '{"wer": null, "errors": 2}'
    """
    if not _is_line(value):
        value = _without_nan(to_plain(value))
    return _COMPACT.encode(value) if indent is None else json.dumps(value, **_JSON, indent=indent)


def _is_line(value: Any) -> bool:
    """Return whether a value can be written as it is, as nearly every line of a manifest or of hypotheses can."""
    if type(value) is not dict or not _only(_KEYS, value) or not _only(_SCALARS, value.values()):
        return False
    return all(math.isfinite(item) for item in value.values() if type(item) is float)


def spelled_infinity(value: Any) -> Any:
    """Return settings in plain values whose infinite numbers are texts, "inf" and "-inf", for JSON has none of them."""
    if isinstance(value, Mapping):
        return {str(key): spelled_infinity(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [spelled_infinity(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else to_plain(value)


def _only(kinds: frozenset[type], values: Iterable[Any]) -> bool:
    return kinds.issuperset(map(type, values))


def _with_text(values: Any) -> Any:
    """Return what `as_values` gave with paths and keys as text."""
    if isinstance(values, dict):
        return {str(key): _with_text(item) for key, item in values.items()}
    if isinstance(values, list):
        return values if _only(_SCALARS, values) else [_with_text(item) for item in values]
    return str(values) if isinstance(values, Path) else values


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return value if _only(_WORDS, value) else [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def from_plain(kind: type[T], values: Any, where: str) -> T:
    """Build a settings dataclass from plain values, as read from a model folder's `config.yaml`.

    Args:
        kind: the dataclass; its fields may be dataclasses themselves.
        values: a mapping with some or all of its fields.
        where: file or field, for messages.

    Raises:
        ConfigError: `values` is no mapping, lacks a field, holds an unknown one, or one of another type or value than
            is declared; the message names the field.
    """
    made = _dataclass(kind, values, where, "")
    return cast(T, made)


def checked(hint: Any, value: Any, where: str, field: str) -> Any:
    """Return a plain value as the type `hint` has it: a list as a tuple, a mapping as a dataclass, 25 as 25.0.

    Args:
        hint: declared type of a dataclass field, such as `int`, `tuple[float, ...]`, `Mapping[str, int]` or
            `Literal["a"] | None`.
        value: found one.
        where: file, for messages.
        field: name of the field, for messages.

    Raises:
        ConfigError: the value is of another type.
    """
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        (one,) = (part for part in inner if part is not type(None))
        return checked(one, value, where, field)
    if origin is Literal:
        if not isinstance(value, str):
            raise _wrong(where, field, f"one of {', '.join(map(str, inner))}", value)
        if value not in inner:
            raise ConfigError(f"{where}: `{field}` is {value!r}.{nearest_hint(value, map(str, inner))}")
        return value
    if is_dataclass(hint):
        return _dataclass(cast(type[Any], hint), value, where, f"{field}.")
    if origin is tuple or origin is list:
        return _row(inner, value, where, field) if origin is tuple else list(_row((*inner, ...), value, where, field))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(inner, value, where, field)
    return _scalar(hint, value, where, field)


def _dataclass(kind: type[Any], value: Any, where: str, prefix: str) -> Any:
    if isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        place = f"`{prefix[:-1]}` must be" if prefix else "must be"
        raise ConfigError(f"{where}: {place} a mapping of fields, got {_shown(value)}.")
    hints = get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}
    for key in value:
        if key not in known:
            raise ConfigError(f"{where}: unknown key `{prefix}{key}`.{nearest_hint(str(key), known)}")
    for name, field in known.items():
        if name not in value and field.default is MISSING and field.default_factory is MISSING:
            raise ConfigError(f"{where}: the field `{prefix}{name}` is missing.")
    arguments = {name: checked(hints[name], own, where, f"{prefix}{name}") for name, own in value.items()}
    try:
        return kind(**arguments)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _row(inner: tuple[Any, ...], value: Any, where: str, field: str) -> tuple[Any, ...]:
    many = len(inner) == 2 and inner[1] is ...
    if not isinstance(value, list | tuple) or not (many or len(value) == len(inner)):
        raise _wrong(where, field, "a list" if many else f"a list of {len(inner)}", value)
    each = [inner[0]] * len(value) if many else list(inner)
    return tuple(
        checked(kind, one, where, f"{field}[{n}]") for n, (kind, one) in enumerate(zip(each, value, strict=True))
    )


def _mapping(inner: tuple[Any, ...], value: Any, where: str, field: str) -> dict[Any, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(where, field, "a mapping", value)
    for key in value:
        if not isinstance(key, str):
            raise ConfigError(f"{where}: a name in `{field}` must be a text, got {_shown(key)}; put it in quotes.")
    return {key: checked(inner[1], one, where, f"{field}.{key}") for key, one in value.items()}


def _scalar(hint: Any, value: Any, where: str, field: str) -> Any:
    if hint is bool and isinstance(value, bool):
        return value
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.nan
        if not math.isnan(number):
            return number
    if hint is str and isinstance(value, str):
        return value
    if hint is Path and isinstance(value, str | Path):
        return Path(value)
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", Path: "a path"}
    if hint not in names:
        raise TypeError(f"`{field}` is declared as {hint}, which plain values cannot be checked against.")
    raise _wrong(where, field, names[hint], value)


def _wrong(where: str, field: str, wanted: str, value: Any) -> ConfigError:
    return ConfigError(f"{where}: `{field}` must be {wanted}, got {_shown(value)}.")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
