"""Selects sentences that a model was not trained on: to choose weights on, and to score."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asr_transfer.data.manifest import Utterance, checksum
from asr_transfer.errors import DataError
from asr_transfer.runs.record import read_record

LEVELS = 3
"""Folders above a model's that may hold the record of its training: `EXPERIMENT/sources/NAME/model`."""

_TRAINED = re.compile(r"(?!source test |target dev |target test )\S+ (train|dev|test|others)|target train .+")
"""Names under which the record of an experiment has manifests that its models are trained on."""

_DRAWN = ("sources", "subset")
"""Paths in the record of an experiment's model that stand for what was drawn from manifests it does not name."""


def halves(utterances: Sequence[Utterance], seed: int) -> tuple[list[Utterance], list[Utterance]]:
    """Divide utterances in two, those of one text together.

    Args:
        utterances: utterances to divide.
        seed: random seed, which decides which half of the texts comes first.

    Raises:
        DataError: all say the same.
    """
    texts = sorted({utterance.text for utterance in utterances})
    if len(texts) < 2:
        raise DataError("the test sentences are fewer than two texts, which cannot be divided; give more.")
    order = np.random.default_rng(seed).permutation(len(texts))
    first = {texts[n] for n in order[: len(texts) // 2]}
    return [u for u in utterances if u.text in first], [u for u in utterances if u.text not in first]


def trained_manifests(model: Path) -> dict[str, str] | None:
    """Return what the run records in and above a model's folder say that it was trained on; None where none says it.

    Args:
        model: run or model folder.

    Returns:
        The names of manifests by checksum.
    """
    folder = model.resolve()
    found: dict[str, str] = {}
    told = False
    for place in (folder, *list(folder.parents)[:LEVELS]):
        data = _recorded(place)
        if data is None:
            continue
        # The record of a single training names what it is tested on as it likes.
        single = "train" in data
        for name, entry in data.items():
            if name == "train" if single else _TRAINED.fullmatch(name):
                found[str(entry.get("checksum"))] = name
                told = told or not single or entry.get("path") not in _DRAWN
    return found if told else None


def require_unheard(model: Path, trained: Mapping[str, str], named: Mapping[str, Sequence[Utterance]]) -> None:
    """Make sure that a model was trained on none of these manifests.

    Args:
        model: folder of the model, for messages.
        trained: manifests as `trained_manifests` gives it.
        named: utterances of whole manifests, by path.

    Raises:
        DataError: it was trained on one.
    """
    for path, utterances in named.items():
        if (known := trained.get(checksum(utterances))) is not None:
            raise DataError(
                f"{path}: {model} was trained on it, as the record of the run says ({known}); weights "
                "are chosen on speech that the model never heard: divide the test sentences with --tune_on half-test, "
                "or give another --corpus."
            )


def _recorded(folder: Path) -> dict[str, dict[str, Any]] | None:
    """Return the manifests that a run record has, by name; None where the folder holds no record."""
    try:
        data = read_record(folder).get("data")
    except (DataError, OSError):
        return None
    if not isinstance(data, dict):
        return None
    return {name: entry for name, entry in data.items() if isinstance(entry, dict)}
