"""Ranges of settings: what is refused, in which words, and that no settings with numbers go without."""

from __future__ import annotations

import importlib
import math
import pkgutil
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from jsonargparse import ArgumentParser

import asr_transfer
import data_prep
from asr_transfer.commands.options import add_settings
from asr_transfer.config import TrainerConfig
from asr_transfer.decoding.settings import SearchConfig, SutaConfig
from asr_transfer.errors import ConfigError
from asr_transfer.experiments.own_language.config import Language
from asr_transfer.ranges import Count, Filled, Positive, Range, Ranged, Seeds, Share, hints, words

ROOT = Path(__file__).resolve().parents[1]

NEEDED: Mapping[type, Any] = {int: 1, float: 1.0, str: "en-us", Path: Path("x")}
"""Values of fields without defaults."""


def _modules() -> Iterator[str]:
    for package in (asr_transfer, data_prep):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.startswith("asr_transfer.app"):
                yield found.name
    for file in sorted((ROOT / "recipes").glob("*/*.py")):
        yield f"recipes.{file.parent.name}.{file.stem}"


def _settings() -> list[type[Any]]:
    """Return all settings of the project that have numbers."""

    def below(kind: type[Any]) -> Iterator[type[Any]]:
        for own in kind.__subclasses__():
            if own.__module__.partition(".")[0] in ("asr_transfer", "data_prep", "recipes"):
                yield own
            yield from below(own)

    for name in _modules():
        importlib.import_module(name)
    found = {kind: None for kind in below(Ranged) if any(_number(hint) for hint in hints(kind).values())}
    return sorted(found, key=lambda kind: (kind.__module__, kind.__name__))


def _number(hint: Any) -> tuple[type, Range, bool] | None:
    """Return kind and range of a field of numbers, and whether it holds a row of them; None for other fields."""
    if get_origin(hint) in (Union, types.UnionType):
        return next(filter(None, map(_number, get_args(hint))), None)
    if get_origin(hint) is Annotated:
        inner, *marks = get_args(hint)
        limits = next((mark for mark in marks if isinstance(mark, Range)), Range())
        return (inner, limits, False) if inner in (int, float) else _number(inner)
    if get_origin(hint) is tuple:
        part = _number(get_args(hint)[0])
        return part and (part[0], part[1], True)
    return (hint, Range(), False) if hint in (int, float) else None


def _wrong(kind: type, limits: Range) -> Iterator[Any]:
    """Give values that are just below and just above the limits, and others that are no numbers of the kind."""
    step = 1 if kind is int else 1e-6
    low, high = (limits.at_least, limits.above), (limits.at_most, limits.below)
    yield from (kind(one - away) for one, away in zip(low, (step, 0), strict=True) if one is not None)
    yield from (kind(one + away) for one, away in zip(high, (step, 0), strict=True) if one is not None)
    yield from (math.nan, True, "1")
    if not limits.infinite:
        yield math.inf
    if kind is int:
        yield 1.5


def _needed(kind: type[Any]) -> dict[str, Any]:
    """Return values of the fields that have no default."""
    known = {}
    for one in fields(kind):
        hint = hints(kind)[one.name]
        inner = get_args(hint)[0] if get_origin(hint) is Annotated else hint
        row = get_origin(inner) is tuple
        if inner == tuple[Language, ...]:
            known[one.name] = (Language("en", ("a/train",), ("a/dev",), new=("a/test",)),)
        elif one.default is MISSING and one.default_factory is MISSING:
            item = get_args(inner)[0] if row else inner
            value = "a/b" if row and item is str else NEEDED[item]
            known[one.name] = (value,) if row else value
    return known


def test_every_number_of_every_setting_is_refused_out_of_its_range_by_its_name() -> None:
    settings = _settings()
    tried = 0
    for kind in settings:
        for one in fields(kind):
            if (number := _number(hints(kind)[one.name])) is None:
                continue
            for value in _wrong(number[0], number[1]):
                shown = f"{kind.__name__}({one.name}={value!r})"
                with pytest.raises(ConfigError) as raised:
                    kind(**{**_needed(kind), one.name: (value,) if number[2] else value})
                    pytest.fail(f"{shown} is taken")
                section = kind._section
                name = f"{section}.{one.name}" if section else one.name
                assert re.match(rf"`{re.escape(name)}` must (be|hold) .+, got .+\.$", str(raised.value)), shown
                assert str(raised.value).count("\n") == 0
                tried += 1
    assert {TrainerConfig, SutaConfig} <= set(settings) and tried > 800


def test_options_of_commands_and_recipes_have_no_numbers_without_ranges() -> None:
    """Whatever settings can be reached from settings with ranges, or are called so, are checked too."""
    for name in _modules():
        for kind in vars(importlib.import_module(name)).values():
            if not (isinstance(kind, type) and is_dataclass(kind) and kind.__module__ == name):
                continue
            if re.search(r"(Config|Settings|Options|Command|Recipe)$", kind.__name__) and not issubclass(kind, Ranged):
                found = [one.name for one in fields(kind) if _number(hints(kind)[one.name])]
                assert not found, f"{name}.{kind.__name__} has numbers without a check: {found}"


@dataclass(frozen=True)
class _Inner(Ranged, section="inner"):
    """Settings inside of others.

    Attributes:
        weight: Weight of something.
    """

    weight: Share = 0.5


@dataclass(frozen=True)
class _Outer(Ranged):
    """Settings of all kinds.

    Attributes:
        steps: Number of steps.
        seeds: Random seeds.
        rate: Learning rate.
        kind: Kind of something.
        of: Counts by name.
        sizes: Sizes of something.
        pair: Two numbers.
        inner: Settings inside.
    """

    steps: Annotated[int, Range(at_least=2, at_most=9, unit="steps", remark="more never helped")] = 2
    seeds: Seeds = (0,)
    rate: Positive | None = None
    kind: Literal["long", "short"] = "long"
    of: Mapping[str, Count] | None = None
    sizes: Annotated[tuple[Count, ...], Filled(rising=True)] = (1, 2)
    pair: tuple[Share, Count] = (0.0, 1)
    inner: _Inner = _Inner()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"steps": 10}, "`steps` must be from 2 to 9 steps, got 10; more never helped."),
        ({"steps": 2.0}, "`steps` must be a whole number from 2 to 9 steps, got 2.0; more never helped."),
        ({"seeds": (1, 1)}, "`seeds` must not hold a value twice, got [1, 1]."),
        ({"seeds": ()}, "`seeds` must not be empty."),
        ({"seeds": (1, -1)}, "`seeds` must hold whole numbers of at least 0, got [1, -1]."),
        ({"rate": 0}, "`rate` must be above 0, got 0."),
        ({"rate": math.inf}, "`rate` must be a finite number above 0, got inf."),
        ({"rate": 10**400}, "`rate` must be a finite number above 0, got 1" + "0" * 56 + "…."),
        ({"kind": "lang"}, "`kind` is 'lang'. Did you mean 'long'?"),
        ({"of": {"en": 0}}, "`of.en` must be at least 1, got 0."),
        ({"sizes": (2, 1)}, "`sizes` must be rising, got [2, 1]."),
        ({"pair": (1.5, 1)}, "`pair` must hold numbers from 0 to 1, got [1.5, 1]."),
    ],
)
def test_a_sentence_names_field_range_and_value(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(sentence)}$"):
        _Outer(**given)


def test_a_section_is_named_and_ends_where_a_command_takes_the_settings_as_its_own() -> None:
    @dataclass(frozen=True)
    class Own(_Inner):
        more: Count = 1

    with pytest.raises(ConfigError, match=r"^`inner\.weight` must be from 0 to 1"):
        _Inner(weight=2)
    with pytest.raises(ConfigError, match=r"^`weight` must be from 0 to 1"):
        Own(weight=2)


def test_infinity_is_taken_where_a_range_says_so() -> None:
    assert SearchConfig(beam_threshold=math.inf).beam_threshold == math.inf
    with pytest.raises(ConfigError, match=r"^`search.beam_threshold` must be a number above 0, got nan"):
        SearchConfig(beam_threshold=math.nan)


def test_help_tells_the_ranges() -> None:
    parser = ArgumentParser(prog="x", exit_on_error=False)
    add_settings(parser, _Outer)
    text = " ".join(parser.format_help().split())
    for told in (
        "Number of steps; from 2 to 9 steps. (type: int",
        "Random seeds; none twice, each at least 0. (type",
        "Learning rate; above 0. (type",
        "Sizes of something; rising, each at least 1. (type",
        "Weight of something; from 0 to 1. (type: float",
        "Kind of something. (type",
    ):
        assert told in text, text
    assert words(Count | None) == "at least 1" and words(str) == ""
