"""Reads HyperPyYAML as plain values: what a tag would make is not made, only its name is known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from asr_transfer import textfiles
from asr_transfer.errors import DataError, ModelError

_REFERENCE = re.compile(r"<([\w.-]+)>")


class Made(dict[str, Any]):
    """What an object would be made by: its fields, and the name of its class."""

    name: str = ""


class _Reader(yaml.SafeLoader):
    """Reads YAML whose tags name classes as plain values that know the name."""


def _tagged(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        fields = loader.construct_mapping(node, deep=True)
        made = Made((str(name), value) for name, value in fields.items())
        made.name = tag.partition(":")[2]
        return made
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    if isinstance(node, yaml.ScalarNode) and tag != "ref":
        made = Made()
        made.name = tag.partition(":")[2]
        return made
    return loader.construct_scalar(node)  # type: ignore[arg-type]


_Reader.add_multi_constructor("!", _tagged)


def read_tagged(file: Path) -> dict[str, Any]:
    """Read a file of SpeechBrain's.

    Raises:
        ModelError: it is missing, no YAML, or would make objects in other ways than SpeechBrain's.
    """
    try:
        settings = yaml.load(textfiles.read_text(file, "copy the model again"), _Reader)
    except DataError as error:
        raise ModelError(str(error)) from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        settings = None
    if not isinstance(settings, dict):
        raise ModelError(f"{file}: is no YAML of SpeechBrain; copy the model again.")
    return settings


def resolved(settings: Mapping[str, Any], value: Any) -> Any:
    """Return what a reference such as `<wav2vec2>` refers to, or other values as they are."""
    for _ in range(10):
        if not isinstance(value, str) or (found := _REFERENCE.fullmatch(value)) is None:
            break
        value = settings.get(found[1])
    return value
