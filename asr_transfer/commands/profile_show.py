"""Shows profiles: all below a folder in a table, or everything about one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from asr_transfer.commands.profile_folders import DIGITS, find_profiles, open_profile
from asr_transfer.commands.show import flat
from asr_transfer.errors import ModelError
from asr_transfer.plain import to_plain
from asr_transfer.runs.console import legible, show

if TYPE_CHECKING:
    import torch

    from asr_transfer.adaptation.profile import Profile


def list_profiles(folder: Path, console: Console | None = None) -> int:
    """Print a table of all profiles below `folder`, each damaged one with what is wrong with it.

    Returns:
        1 when one is damaged, else 0.

    Raises:
        ModelError: `folder` is no folder.
    """
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("path", "method", "utterances", "seconds", "kB", "created", "base", "parent"):
        number = heading in ("utterances", "seconds", "kB")
        whole = number or heading in ("base", "parent")
        table.add_column(heading, justify="right" if number else "left", overflow="fold", no_wrap=whole)
    damaged: list[Text] = []
    for path in find_profiles(folder):
        try:
            profile = open_profile(path)
        except ModelError as error:
            table.add_row(legible(path), Text("damaged", style="red"))
            damaged.append(legible(error))
            continue
        facts = profile.facts
        table.add_row(
            legible(path),
            legible(facts.method),
            str(facts.utterances),
            f"{facts.seconds:.1f}",
            f"{profile.size_bytes / 1000:.1f}",
            legible(facts.created[:16].replace("T", " ")),
            profile.base[:DIGITS],
            (facts.parent or "–")[:DIGITS],
        )
    if not table.row_count:
        show(
            legible(f"{folder}: there is no profile in this folder or below it; `asr-transfer adapt` makes them."),
            console,
        )
    else:
        show(table, console)
    for line in damaged:
        show(line, console)
    return 1 if damaged else 0


def show_profile(path: Path, model: Path | None = None, console: Console | None = None) -> int:
    """Print everything about a profile and, where `model` is given, whether it can be put on that model.

    Returns:
        1 when it cannot, else 0.

    Raises:
        ModelError: a folder is missing or damaged.
    """
    from asr_transfer.models.adapters import PREFIX

    profile = open_profile(path)
    facts = profile.facts
    rows: list[tuple[str, object]] = [
        ("path", profile.folder),
        ("method", facts.method),
        *([("head", facts.head)] if facts.head is not None else []),
        ("utterances", facts.utterances),
        ("seconds", f"{facts.seconds:.1f}"),
        ("created", facts.created),
        ("checksum", profile.checksum),
        ("base", profile.base),
        ("parent", facts.parent or "–"),
        ("size", f"{profile.size_bytes / 1000:.1f} kB"),
    ]
    for spec in profile.specs:
        start = f"{PREFIX}{spec.kind}."
        rows.append(("adapter", f"{spec}: {_amount(t for n, t in profile.tensors.items() if n.startswith(start))}"))
    changed = {name: tensor for name, tensor in profile.tensors.items() if not name.startswith(PREFIX)}
    rows.append(("changed", f"of the base: {_amount(changed.values())}" if changed else "nothing of the base"))
    rows += [("", f"{place}: {counted}") for place, counted in _places(changed).items()]
    if facts.test_time is not None:
        rows += [(f"test-time {name}", value) for name, value in to_plain(facts.test_time).items()]
    rows += [(f"origin {name}".rstrip(), value) for name, value in flat(facts.origin) if name]
    reason = _mismatch(profile, model) if model is not None else None
    if model is not None:
        rows.append(("model", f"{model}: {reason or 'the profile belongs to this model'}"))
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(legible(name), legible(value))
    show(table, console)
    return 1 if reason else 0


def _mismatch(profile: Profile, model: Path) -> str | None:
    """Return why the profile cannot be put on a model, or None where it can."""
    from asr_transfer.models.folder import load_model

    path = model if (model / "config.yaml").is_file() or not (model / "model").is_dir() else model / "model"
    loaded = load_model(path)
    try:
        profile.apply(loaded)
    except ModelError as error:
        return str(error).removeprefix(f"{profile.folder}: ")
    return None


def _places(tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """Return how much of each layer is there: `encoder.layers.0` and its amount, layers counted upwards."""
    places: dict[tuple[str, ...], list[torch.Tensor]] = {}
    for name, tensor in tensors.items():
        parts = name.split(".")
        number = next((n for n, part in enumerate(parts) if part.isdigit()), len(parts) - 2)
        places.setdefault(tuple(parts[: number + 1]), []).append(tensor)
    ordered = sorted(
        places, key=lambda place: [(part.isdigit(), int(part) if part.isdigit() else part) for part in place]
    )
    return {".".join(place): _amount(places[place]) for place in ordered}


def _amount(tensors: Iterable[torch.Tensor]) -> str:
    sizes = [tensor.numel() for tensor in tensors]
    return f"{len(sizes)} tensor{'s' if len(sizes) != 1 else ''}, {sum(sizes):,} values"
