"""Declares which values settings may have, beside their types, and refuses others in one sentence.

A field says its range where it stands, `steps: Annotated[int, Range(at_least=1)] = 1000`, or by one of the names below
(`steps: Count = 1000`); a dataclass that derives from `Ranged` checks all its fields when it is made. Numbers are
finite unless their range says otherwise, truth values are no numbers, and what a `Literal` does not list is refused
with the nearest name. Only checks that concern several fields at once are written by hand, in `__post_init__`.
"""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from numbers import Integral, Real
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from asr_transfer.errors import ConfigError, nearest_hint


@dataclass(frozen=True)
class Range:
    """Numbers that a field may hold.

    Attributes:
        at_least, above: lower limit, which is allowed itself or is not.
        at_most, below: upper limit, which is allowed itself or is not.
        unit: words behind the limits, such as "milliseconds".
        remark: reason or advice behind the sentence.
        infinite: infinity is allowed too.
    """

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    unit: str = ""
    remark: str = ""
    infinite: bool = False

    def holds(self, value: Any) -> bool:
        """Return whether a number is in the range."""
        return (
            (_finite(value) or (self.infinite and value in (math.inf, -math.inf)))
            and (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        low, high = (
            self.at_least if self.above is None else self.above,
            self.at_most if self.below is None else self.below,
        )
        if low is not None and high is not None:
            text = f"from {low} to {'' if self.below is None else 'below '}{high}"
            if self.above is not None:
                text = f"between {low} and {high}" if self.below is not None else f"above {low} and at most {high}"
        elif low is not None:
            text = f"{'at least' if self.above is None else 'above'} {low}"
        elif high is not None:
            text = f"{'at most' if self.below is None else 'below'} {high}"
        else:
            return ""
        return f"{text} {self.unit}".strip()


@dataclass(frozen=True)
class Filled:
    """Rows of values that a field may hold: one at least, besides the range of each value.

    Attributes:
        distinct: no value stands twice.
        rising: each value is greater than the one before.
    """

    distinct: bool = False
    rising: bool = False

    def fault(self, values: Any) -> str:
        """Return in words what a row must be and is not; empty where nothing is wrong."""
        if not values:
            return "must not be empty"
        if self.rising and any(not low < high for low, high in pairwise(values)):
            return f"must be rising, got {_shown(values)}"
        if self.distinct and len(set(values)) < len(values):
            return f"must not hold a value twice, got {_shown(values)}"
        return ""

    def __str__(self) -> str:
        return "rising" if self.rising else "none twice" if self.distinct else ""


Count = Annotated[int, Range(at_least=1)]
"""A number of things, one at least."""
CountOrNone = Annotated[int, Range(at_least=0)]
"""A number of things that may be 0."""
Seed = Annotated[int, Range(at_least=0)]
"""A random seed, as numpy takes it."""
Seeds = Annotated[tuple[Seed, ...], Filled(distinct=True)]
"""Random seeds of an experiment's repetitions."""
Positive = Annotated[float, Range(above=0)]
"""A rate, amount or divisor."""
Weight = Annotated[float, Range(at_least=0)]
"""A weight of a loss, 0 for none."""
Share = Annotated[float, Range(at_least=0, at_most=1)]
"""A share of a whole."""
Shares = Annotated[tuple[Share, ...], Filled()]
"""Shares of a whole, at least one."""
Speed = Annotated[float, Range(at_least=0.5, at_most=2)]
"""A factor on the speed of recordings."""
Speeds = Annotated[tuple[Speed, ...], Filled()]
"""Speed copies of recordings, 1.0 for them as they are."""


@dataclass(frozen=True)
class Ranged:
    """Base of settings: dataclasses whose fields are checked against their declared ranges when they are made.

    `section` of the class statement is the name under which a user writes the settings, for messages:
    `class SutaConfig(Ranged, section="suta")` is told of as `suta.steps`. A class that derives from it is at the top of
    its own command again unless it names a section too.
    """

    _section = ""

    def __init_subclass__(cls, section: str = "", **more: Any) -> None:
        super().__init_subclass__(**more)
        cls._section = section

    def __post_init__(self) -> None:
        for name, hint in hints(type(self)).items():
            check(hint, getattr(self, name), f"{self._section}.{name}" if self._section else name)


_known: dict[type[Any], dict[str, Any]] = {}
"""Declared types by dataclass, which are resolved once."""


def hints(kind: type[Any]) -> dict[str, Any]:
    """Return the declared types of a dataclass's fields by name, with their ranges."""
    if kind not in _known:
        found = get_type_hints(kind, include_extras=True)
        _known[kind] = {field.name: found[field.name] for field in fields(kind)}
    return _known[kind]


def check(hint: Any, value: Any, name: str) -> None:
    """Make sure that a value is in the range that its type declares.

    Args:
        hint: declared type, such as `int`, `Annotated[int, Range(at_least=1)] | None` or `tuple[Share, ...]`; what is
            neither number, `Literal`, row nor mapping of such is not looked at.
        value: value of the field.
        name: name of the field as the user writes it.

    Raises:
        ConfigError: it is not; the message says what is allowed, and what was given.
    """
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        if value is not None:
            for part in get_args(hint):
                if part is not type(None):
                    check(part, value, name)
    elif origin is Literal:
        if value not in get_args(hint):
            raise ConfigError(f"`{name}` is {value!r}.{nearest_hint(str(value), map(str, get_args(hint)))}")
    elif origin is Annotated:
        inner, *marks = get_args(hint)
        allowed = next((mark for mark in marks if isinstance(mark, Range)), None)
        if inner in (int, float):
            _require_number(inner, value, name, allowed or Range())
        else:
            check(inner, value, name)
        for mark in marks:
            if isinstance(mark, Filled) and (fault := mark.fault(value)):
                raise ConfigError(f"`{name}` {fault}.")
    elif hint in (int, float):
        _require_number(hint, value, name, Range())
    elif origin is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"`{name}` must hold lists, got {_shown(value)}.")
        parts = get_args(hint)
        for part, own in zip(parts[:1] * len(value) if parts[1:] == (...,) else parts, value, strict=False):
            _require_part(part, own, value, name)
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        for key, own in value.items():
            check(get_args(hint)[1], own, f"{name}.{key}")


def words(hint: Any) -> str:
    """Return in words which values a declared type allows, such as "at least 1"; empty where it declares no range."""
    if get_origin(hint) in (Union, types.UnionType):
        return next(filter(None, map(words, get_args(hint))), "")
    if get_origin(hint) is tuple:
        own = words(get_args(hint)[0])
        return f"each {own}" if own else ""
    if get_origin(hint) is Annotated:
        inner, *marks = get_args(hint)
        said = [str(mark) for mark in marks if isinstance(mark, Range | Filled)]
        return ", ".join(filter(None, [*said, words(inner)]))
    return ""


def _require_number(kind: type, value: Any, name: str, allowed: Range) -> None:
    is_number = isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
    if is_number and allowed.holds(value):
        return
    noun = "a whole number" if kind is int else "a finite number" if is_number and not allowed.infinite else "a number"
    wanted = str(allowed) if is_number and _finite(value) else _with_noun(noun, str(allowed))
    advice = f"; {allowed.remark}" if allowed.remark else ""
    raise ConfigError(f"`{name}` must be {wanted}, got {_shown(value)}{advice}.")


def _require_part(hint: Any, value: Any, whole: Any, name: str) -> None:
    """Check one value of a row, and show the whole row where a number in it is wrong."""
    inner = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    try:
        check(hint, value, name)
    except ConfigError:
        if inner not in (int, float):
            raise
        noun = "whole numbers" if inner is int else "numbers" if words(hint) else "finite numbers"
        wanted = _with_noun(noun, words(hint))
        raise ConfigError(f"`{name}` must hold {wanted}, got {_shown(whole)}.") from None


def _with_noun(noun: str, limits: str) -> str:
    return f"{noun} of {limits}" if limits.startswith("at ") else f"{noun} {limits}".strip()


def _finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # of a whole number that no float can hold
        return False


def _shown(value: Any) -> str:
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= 60 else f"{text[:57]}…"
