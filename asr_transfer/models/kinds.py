"""Describes models as plain values and makes them again, whatever their kind, with their adapters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asr_transfer.config import ModelConfig
from asr_transfer.errors import ConfigError, ModelError
from asr_transfer.models.adapters import adapter_specs, add_adapter, specs_from_plain
from asr_transfer.models.contract import Model, SpeechModel, find_kind, kind_of
from asr_transfer.plain import checked

MOST_TOKENS = 10_000_000
"""More in a head are damage."""

PLAIN = "acoustic"
"""Kind of the models that name none."""


def describe(model: Model) -> dict[str, Any]:
    """Return all that `build` needs to make a model of the same architecture, as plain values that YAML can hold.

    Raises:
        ModelError: The model's class is not registered.
    """
    kind = kind_of(model)
    own: dict[str, Any] = {"heads": {name: head.out_features for name, head in model.heads.items()}, **model.describe()}
    plain: dict[str, Any] = {name: own.pop(name) for name in ("model", "heads") if name in own}
    if kind != PLAIN:
        plain["kind"] = kind
    plain.update(own)
    if specs := adapter_specs(model):
        plain["adapters"] = [spec.plain() for spec in specs]
    return plain


def make_network(config: ModelConfig, heads: Mapping[str, int]) -> SpeechModel:
    """Make the network that settings describe, with initial weights and a head for each name."""
    model = find_kind(PLAIN, "model").from_plain({"model": config}, heads, "model")
    assert isinstance(model, SpeechModel)
    return model


def build(plain: Mapping[str, Any], where: str) -> SpeechModel:
    """Make a model of speech from what `describe` returned, with initial weights; see `make`.

    Raises:
        ModelError: The kind is unknown or no model of speech, or an adapter is damaged.
        ConfigError: A field is missing, of another type or impossible.
    """
    return require_speech(make(plain, where), where)


def require_speech(model: Model, where: str) -> SpeechModel:
    """Return a model of speech.

    Raises:
        ModelError: It is none.
    """
    if not isinstance(model, SpeechModel):
        raise ModelError(
            f"{where}: `kind` is '{kind_of(model)}', which listens to no speech; give the folder of another model."
        )
    return model


def make(plain: Mapping[str, Any], where: str) -> Model:
    """Make a model from what `describe` returned, with initial weights.

    Args:
        plain: Description; other keys are left alone.
        where: File, for messages.

    Raises:
        ModelError: The kind is unknown, or an adapter is damaged.
        ConfigError: A field is missing, of another type or impossible.
    """
    heads: dict[str, int] = checked(Mapping[str, int], plain.get("heads"), where, "heads")
    if not all(1 <= size <= MOST_TOKENS for size in heads.values()):
        raise ConfigError(f"{where}: each of the `heads` must have from 1 to {MOST_TOKENS:,} tokens.")
    kind = plain.get("kind", PLAIN)
    model = find_kind(kind, where).from_plain(plain, heads, where)
    for spec in specs_from_plain(plain.get("adapters", []), where):
        add_adapter(model, spec)
    return model
