"""Selects tensors of a model by their names, in words that cannot silently match nothing.

    encoder.layers.1            that module (never `layers.10`) and all below it
    encoder.layers[:2]          the first two children; `[-2:]` the last two, `[0]` the first
    heads.*                     glob inside one segment; `**` stands for any number of segments
    frontend | encoder.layers[0]      union
    ** - heads                  difference (the minus stands between spaces), from left to right

Every alternative must match something; otherwise `SelectionError` says what exists there.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator

from torch import nn

from asr_transfer.errors import SelectionError, nearest_hint

_SEGMENT = re.compile(r"^(?P<name>[^\[\]]+)(?P<slices>(\[[^\[\]]*\])*)$")
_SLICE = re.compile(r"^-?\d+$|^(-?\d+)?:(-?\d+)?$")


def select(model: nn.Module, selector: str) -> list[str]:
    """Return the names of the parameters and buffers that `selector` means, in the model's order.

    Raises:
        SelectionError: the selector is malformed, or one of its alternatives matches nothing.
    """
    chosen: set[str] = set()
    for sign, alternative in _alternatives(selector):
        matched = _match(model, alternative, selector)
        chosen = chosen | matched if sign == "|" else chosen - matched
    if not chosen:
        raise SelectionError(f"the selector '{selector}' leaves nothing after its differences.")
    return [name for name in state_names(model) if name in chosen]


def select_modules(model: nn.Module, selector: str) -> list[str]:
    """Return the paths of the modules whose own tensors are all selected, in the model's order."""
    chosen = set(select(model, selector))
    paths = []
    for path, module in model.named_modules():
        own = [f"{path}.{name}" if path else name for name in _own_tensors(module)]
        if own and all(name in chosen for name in own):
            paths.append(path)
    return paths


def state_names(model: nn.Module) -> list[str]:
    """Return the names of all parameters and persistent buffers."""
    return list(model.state_dict(keep_vars=True))


def _own_tensors(module: nn.Module) -> list[str]:
    names = [name for name, _ in module.named_parameters(recurse=False)]
    return names + [n for n, _ in module.named_buffers(recurse=False) if n not in module._non_persistent_buffers_set]


def _alternatives(selector: str) -> Iterator[tuple[str, str]]:
    pieces = re.split(r"\s*(\|)\s*|\s+(-)\s+", selector.strip())
    tokens = [piece for piece in pieces if piece is not None]
    sign = "|"
    for position, token in enumerate(tokens):
        if position % 2:
            sign = token
        elif not token:
            raise SelectionError(
                f"the selector '{selector}' has an empty alternative; write a module path on each side."
            )
        else:
            yield sign, token


def _match(model: nn.Module, alternative: str, selector: str) -> set[str]:
    nodes: list[tuple[str, nn.Module | None]] = [("", model)]
    walked: list[str] = []
    for segment in _segments(alternative, selector):
        following: dict[str, nn.Module | None] = {}
        for path, module in nodes:
            if module is not None:
                following.update(_step(path, module, segment, selector))
        if not following:
            _refuse(alternative, segment, nodes, walked, selector)
        nodes = list(following.items())
        walked.append(segment)
    names = state_names(model)
    matched: set[str] = set()
    for path, module in nodes:
        prefix = f"{path}." if path else ""
        matched.update(name for name in names if name == path or (module is not None and name.startswith(prefix)))
    if not matched:
        raise SelectionError(f"'{alternative}' in the selector '{selector}' matches only modules without parameters.")
    return matched


def _segments(alternative: str, selector: str) -> list[str]:
    segments = alternative.split(".")
    for segment in segments:
        match = _SEGMENT.match(segment)
        slices = re.findall(r"\[([^\[\]]*)\]", segment)
        if match is None or any(not _SLICE.match(text) for text in slices):
            raise SelectionError(
                f"'{segment}' in the selector '{selector}' is malformed; a segment is a name or glob, "
                "optionally followed by [i], [a:b], [:b] or [a:]."
            )
    return segments


def _step(path: str, module: nn.Module, segment: str, selector: str) -> dict[str, nn.Module | None]:
    """Return what `segment` leads to from `module`: submodules by path, and tensors (with None)."""
    if segment == "**":
        return {_join(path, below): sub for below, sub in module.named_modules()}
    name, *rest = re.split(r"\[", segment, maxsplit=1)
    found: dict[str, nn.Module | None] = {
        _join(path, child): sub for child, sub in module.named_children() if fnmatch.fnmatchcase(child, name)
    }
    if not rest:
        found.update({_join(path, t): None for t in _own_tensors(module) if fnmatch.fnmatchcase(t, name)})
        return found
    for text in re.findall(r"\[([^\[\]]*)\]", segment):
        sliced: dict[str, nn.Module | None] = {}
        for parent, sub in found.items():
            children = list(sub.named_children()) if sub is not None else []
            for child, grandchild in children[_as_slice(text)]:
                sliced[_join(parent, child)] = grandchild
        found = sliced
    return found


def _as_slice(text: str) -> slice:
    if ":" not in text:
        index = int(text)
        return slice(index, index + 1 or None)
    first, last = text.split(":")
    return slice(int(first) if first else None, int(last) if last else None)


def _refuse(
    alternative: str, segment: str, nodes: list[tuple[str, nn.Module | None]], walked: list[str], selector: str
) -> None:
    existing = sorted(
        {
            name
            for _, module in nodes
            if module is not None
            for name in [*(child for child, _ in module.named_children()), *_own_tensors(module)]
        }
    )
    place = f"below '{'.'.join(walked)}'" if walked else "at the top of the model"
    size = ""
    if "[" in segment:
        base = segment.split("[")[0]
        counts = {
            len(list(m.get_submodule(base).children()))
            for _, m in nodes
            if m is not None and base in existing and base in dict(m.named_children())
        }
        size = f" '{base}' has {max(counts)} children." if counts else ""
    hint = size or nearest_hint(segment.split("[")[0], existing)
    raise SelectionError(
        f"'{alternative}' in the selector '{selector}' matches nothing: {place} there is no '{segment}'.{hint}"
    )


def _join(path: str, below: str) -> str:
    return f"{path}.{below}" if path and below else path or below
