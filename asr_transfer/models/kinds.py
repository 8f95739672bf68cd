"""Describes models as plain values and makes them again, whatever their kind, with their adapters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asr_transfer.config import ModelConfig, TopConfig
from asr_transfer.data.inputs import Inputs, as_inputs
from asr_transfer.errors import ConfigError, ModelError
from asr_transfer.models.adapters import adapter_specs, add_adapter, specs_from_plain
from asr_transfer.models.adapters.speaker_parts import parts_from_plain, sizes_of
from asr_transfer.models.contract import Model, SpeechModel, find_kind, kind_of
from asr_transfer.models.pretrained.door import open_pretrained
from asr_transfer.models.pretrained.hub import local_folder
from asr_transfer.plain import checked, to_plain

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
    plain.update(sizes_of(model))
    if specs := adapter_specs(model):
        plain["adapters"] = [spec.plain() for spec in specs]
    return plain


def make_network(config: ModelConfig, heads: Mapping[str, int]) -> SpeechModel:
    """Make the network that settings describe, with initial weights and a head for each name.

    A pretrained encoder has its own weights, and initial ones on top of it.

    Raises:
        ModelError: the pretrained model cannot be opened.
    """
    if config.pretrained is not None:
        return _on_pretrained(config.pretrained, config.top, heads)
    model = find_kind(PLAIN, "model").from_plain({"model": config}, heads, "model")
    assert isinstance(model, SpeechModel)
    return model


def _on_pretrained(folder: Path, top: TopConfig, heads: Mapping[str, int]) -> SpeechModel:
    found = open_pretrained(local_folder(folder), "ctc").model
    return with_top(found, top, heads, str(folder))


def with_top(found: SpeechModel, top: TopConfig, heads: Mapping[str, int], where: str) -> SpeechModel:
    """Return a pretrained model with other heads, its own layers on a published encoder of the sizes that are given.

    Args:
        found: Pretrained model, none of whose own layers are trained.
        top: Sizes of the layers.
        heads: Number of outputs of each head.
        where: Folder, for messages.

    Raises:
        ConfigError: Sizes of layers are given, but nothing is put between this encoder and its heads.
    """
    tops = bool(found.on_published())
    if top != TopConfig() and not tops:
        raise ConfigError(
            f"`top`: no layers are put on {where}, whose heads stand on the encoder itself; leave it out."
        )
    plain = {**describe(found), "heads": dict(heads), **({"top": to_plain(top)} if tops else {})}
    model = build(plain, where)
    new = tuple(f"{block.path}." for block in found.untrained())
    known = {name: own for name, own in found.state_dict().items() if not name.startswith(("heads.", *new))}
    model.load_state_dict(known, strict=False)
    return model


def network_inputs(config: ModelConfig) -> Inputs:
    """Return what the network that settings describe is fed.

    Raises:
        ModelError: its pretrained encoder cannot be opened.
    """
    return as_inputs(config.features) if config.pretrained is None else make_network(config, {}).inputs


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
    parts_from_plain(plain, model, where)
    for spec in specs_from_plain(plain.get("adapters", []), where):
        add_adapter(model, spec)
    return model
