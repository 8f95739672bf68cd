"""Finds what the systems of a comparison have in common, which alone they can be compared on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from asr_transfer.errors import DataError
from asr_transfer.evaluation.foreign import listed


def in_common(
    names: Sequence[str], tables: Sequence[Mapping[str, Any]], intersect: bool, unit: str, did: str
) -> list[str]:
    """Return the ids that all systems know, in the first one's order.

    Args:
        names: names of the systems.
        tables: Knowledge of each of them, by id.
        intersect: whether systems may know different ids, of which those of all are compared.
        unit: word for what an id stands for, such as `utterance`.
        did: words for what the systems did with it, such as `were scored on`.

    Raises:
        DataError: the ids differ and `intersect` is false, or no id is common to all; the message lists some.
    """
    first = tables[0]
    for name, table in zip(names[1:], tables[1:], strict=True):
        lacking, surplus = [n for n in first if n not in table], [n for n in table if n not in first]
        if (lacking or surplus) and not intersect:
            parts = [f"only in '{names[0]}': {listed(lacking)}"] if lacking else []
            parts += [f"only in '{name}': {listed(surplus)}"] if surplus else []
            raise DataError(
                f"'{names[0]}' and '{name}' {did} different {unit}s ({'; '.join(parts)}); "
                "compare what all have in common with --intersection."
            )
    common = [name for name in first if all(name in table for table in tables)]
    if not common:
        raise DataError(f"the systems have no {unit} in common ({', '.join(names)}).")
    return common
