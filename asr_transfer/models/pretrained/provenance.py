"""Finds what a pretrained model is called and under which licence it is given, as its folder tells."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from asr_transfer import textfiles
from asr_transfer.errors import DataError, ModelError
from asr_transfer.models.pretrained.json_files import read_json

BASE = "base_model"
"""Where `origin` in a model folder's `config.yaml` keeps the pretrained model that it began with."""

NOT_TOLD = "not told"
"""Licence of a model whose folder says none."""

LICENCES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "COPYING")
"""Files that a licence stands in."""

_STAMP = "fetched.json"
_CACHED = re.compile(r"models--([^/]+?)--([^/]+)/snapshots/")
_LONGEST = 160


def base_of(folder: str | Path) -> dict[str, dict[str, str]]:
    """Return what `origin` says of a model that begins with the one in a folder: its name and its licence.

    The licence is that of `fetched.json`, of the page's head in `README.md`, of `config.json`, or the first line of a
    licence file; else `NOT_TOLD`.
    """
    path = Path(folder).resolve()
    cached = _CACHED.search(f"{path.as_posix()}/")
    head, config = _head(path / "README.md"), _object(path / "config.json")
    known = config.get("_name_or_path")
    named = f"{cached[1]}/{cached[2]}" if cached else known if isinstance(known, str) and _is_name(known) else path.name
    told = (_object(path / _STAMP).get("licence"), head.get("license_name"), head.get("license"), config.get("license"))
    licence = next((text for text in map(_line, told) if text and text != "other"), "") or _first_line(path)
    return {BASE: {"name": named, "licence": licence or NOT_TOLD}}


def told_base(origin: Mapping[str, Any]) -> str:
    """Return a sentence on the pretrained model that a model began with, as its `origin` says; empty for none."""
    base = origin.get(BASE)
    if not isinstance(base, Mapping):
        return ""
    name, licence = (_line(base.get(key)) for key in ("name", "licence"))
    if licence in ("", NOT_TOLD):
        return f"base model: {name}; licence: {NOT_TOLD}, see the page that it is from, for it binds this model too"
    return f"base model: {name}; licence, which binds this model too: {licence}"


def _is_name(text: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", text))


def _line(value: object) -> str:
    """Return a text, or texts, as one line of moderate length."""
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    return " ".join(value.split())[:_LONGEST] if isinstance(value, str) else ""


def _object(file: Path) -> dict[str, Any]:
    try:
        return read_json(file) if file.is_file() else {}
    except (ModelError, OSError):
        return {}


def _head(file: Path) -> dict[str, Any]:
    """Return the YAML between the two lines of dashes that a model's page begins with; {} where there is none."""
    found = re.match(r"---\r?\n(.*?)\r?\n---", _text(file), re.DOTALL)
    try:
        head = yaml.safe_load(found[1]) if found else None
    except yaml.YAMLError:
        return {}
    return head if isinstance(head, dict) else {}


def _first_line(folder: Path) -> str:
    texts = (_text(folder / name) for name in LICENCES)
    return next((_line(line) for text in texts for line in text.splitlines() if line.strip()), "")


def _text(file: Path) -> str:
    try:
        return textfiles.read_text(file) if file.is_file() else ""
    except (DataError, OSError):
        return ""
