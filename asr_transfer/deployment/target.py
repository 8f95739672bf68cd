"""Defines what every target of an export offers, and keeps the targets by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from asr_transfer.deployment.source import Source
from asr_transfer.errors import ConfigError, nearest_hint


@dataclass(frozen=True)
class ExportOptions:
    """How a model is written; a target takes those that it names in `takes`.

    Attributes:
        int8: Whether weights are whole numbers of eight bits, a quarter of the size.
        fp16: Whether weights are floating-point numbers of sixteen bits, half of the size.
        adapters: Whether adapters are written apart, for the model that they belong to.
        lexicon: File of the only words that can be said; None for any.
        sentences: Whether a recording is a sentence of such words, instead of one of them.
    """

    int8: bool = False
    fp16: bool = False
    adapters: bool = False
    lexicon: Path | None = None
    sentences: bool = False


@dataclass(frozen=True)
class Report:
    """What a target found while writing.

    Attributes:
        check: Results of the comparison with the model itself, as plain values for `export.json`.
        lines: Sentences on them for a person, without a full stop; they are printed, and stand on the card.
        facts: Anything else that a program may need, as plain values for `export.json`.
    """

    check: Mapping[str, Any]
    lines: Sequence[str]
    facts: Mapping[str, Any] = field(default_factory=dict)


class Target(ABC):
    """A program or format that models are written for.

    Attributes:
        name: Name of the target.
        runtime: Name of the program that runs it, as its makers write it.
        takes: Options that it knows; others are refused.
        needs: Modules that writing needs, each with the extra that installs it.
        nearest: Targets that are offered first where this one cannot carry a model.
    """

    name: ClassVar[str]
    runtime: ClassVar[str]
    takes: ClassVar[frozenset[str]] = frozenset()
    needs: ClassVar[Mapping[str, str]] = {}
    nearest: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def refusal(self, source: Source, options: ExportOptions) -> str | None:
        """Return why it cannot carry the model, as what follows "because "; None where it can."""

    @abstractmethod
    def write(self, source: Source, folder: Path, options: ExportOptions) -> Report:
        """Write the files into an empty folder, and compare them with the model.

        The folder takes its name afterwards; README.md and export.json are written by the caller.

        Raises:
            ModelError: What was written recognises otherwise than the model.
        """

    @abstractmethod
    def usage(self, source: Source, options: ExportOptions) -> str:
        """Return Markdown on how the folder is run, with the exact command."""

    def front_matter(self, source: Source, options: ExportOptions) -> Mapping[str, Any]:
        """Return plain values that stand in YAML at the head of the card, as model hubs read them; empty for none."""
        return {}


TARGETS: dict[str, Target] = {}

Class = TypeVar("Class", bound=type[Target])


def register(name: str) -> Callable[[Class], Class]:
    """Return a decorator that makes a class of targets known by `name`."""

    def known(cls: Class) -> Class:
        cls.name = name
        TARGETS[name] = cls()
        return cls

    return known


def find_target(name: str) -> Target:
    """Return the target of a name.

    Raises:
        ConfigError: there is none.
    """
    if name not in TARGETS:
        raise ConfigError(f"`to` is '{name}', which is no target of an export.{nearest_hint(name, TARGETS)}")
    return TARGETS[name]


def require_carried(target: Target, source: Source, options: ExportOptions) -> None:
    """Refuse options that a target does not take, and a model that it cannot carry.

    Raises:
        ConfigError: it cannot; the message says why, and names the nearest target that can.
    """
    asked = [one.name for one in fields(options) if getattr(options, one.name)]
    if unknown := [name for name in asked if name not in target.takes]:
        able = ", ".join(name for name, other in TARGETS.items() if unknown[0] in other.takes)
        raise ConfigError(
            f"`{unknown[0]}` is nothing that --to {target.name} can write; leave it out"
            + (f", or choose among {able}." if able else ".")
        )
    if (reason := target.refusal(source, options)) is None:
        return
    order = dict.fromkeys([*(name for name in target.nearest if name in TARGETS), *TARGETS])
    others = (TARGETS[name] for name in order if name != target.name)
    plain = ExportOptions()
    able = next((other.name for other in others if other.refusal(source, plain) is None), "")
    mend = f"give --to {able}" if able else "no other target can either"
    raise ConfigError(f"{source.model}: cannot be exported to {target.name}, because {reason}; {mend}.")
