"""Defines a family of pretrained models, what opening one gives, and keeps the families by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asr_transfer.data.tokens import Tokens
from asr_transfer.models.contract import Criterion, SpeechModel


@dataclass(frozen=True)
class Matched:
    """Names of tensors by what became of them when a folder of weights was read.

    Attributes:
        taken: Names in the model that were filled from the folder.
        ignored: Names in the folder that the family leaves out by intention, such as a decoder's.
        initialised: Names in the model that the folder has not and that keep their initial values, as the family says.
    """

    taken: tuple[str, ...]
    ignored: tuple[str, ...] = ()
    initialised: tuple[str, ...] = ()

    def __str__(self) -> str:
        counts = {"tensors taken": self.taken, "ignored": self.ignored, "initialised": self.initialised}
        return ", ".join(f"{len(names)} {what}" for what, names in counts.items() if names)


@dataclass(frozen=True)
class Pretrained:
    """A model of another house, opened.

    Attributes:
        model: Model under the contract, in float32 and evaluation mode; a bare encoder has no head.
        tokens: Tokens of each head; empty for a bare encoder.
        matched: Names of tensors by what became of them.
    """

    model: SpeechModel
    tokens: Mapping[str, Tokens] = field(default_factory=dict)
    matched: Matched = field(default_factory=lambda: Matched(()))


@dataclass(frozen=True)
class Family:
    """Pretrained models that one class serves.

    Attributes:
        name: Name of the family, for messages.
        model_types: Values of `model_type` in `config.json` that it opens.
        criterion: Loss by which its models are trained here; of one `model_type` there may be a family for each.
        open: Function from a folder and its `config.json` to the model.
        heads: Function from the same to the heads that the model has for whoever asks for them, where that is known
            without opening it, else None.
    """

    name: str
    model_types: frozenset[str]
    criterion: Criterion
    open: Callable[[Path, Mapping[str, Any]], Pretrained]
    heads: Callable[[Path, Mapping[str, Any]], list[str] | None] = lambda folder, config: None


FAMILIES: dict[str, Family] = {}
"""All families by name."""


def family(
    name: str,
    model_types: frozenset[str],
    criterion: Criterion = "ctc",
    heads: Callable[[Path, Mapping[str, Any]], list[str] | None] = lambda folder, config: None,
) -> Callable[[Callable[[Path, Mapping[str, Any]], Pretrained]], Callable[[Path, Mapping[str, Any]], Pretrained]]:
    """Return a decorator that makes a function which opens a family's folders known; see `Family`."""

    def known(
        opened: Callable[[Path, Mapping[str, Any]], Pretrained],
    ) -> Callable[[Path, Mapping[str, Any]], Pretrained]:
        FAMILIES[name] = Family(name, model_types, criterion, opened, heads)
        return opened

    return known
