"""Keeps utterances in a model's folder as features and transcripts, for adapting it later.

There are two, for nobody may have the recordings any more. `source` holds utterances that the model was trained on:
adaptation replays them against forgetting (rehearsal; Robins 1995). `judged` holds others that it was not trained on:
on them it is judged what is forgotten all the same. Each is an ordinary feature store and `utterances.jsonl`, whose
lines are those of a manifest without audio paths. Loading executes no code from it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asr_transfer import textfiles
from asr_transfer.data.features import FeatureStore, JoinedStore, build_store, frames_file
from asr_transfer.data.inputs import Inputs
from asr_transfer.data.judged import HeldOut
from asr_transfer.data.manifest import Report, Utterance, by_language
from asr_transfer.data.speech import spell
from asr_transfer.data.tokens import Tokens
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.plain import to_json

FOLDER, JUDGED = "source", "judged"
"""Their names in a model folder."""

_REMARKS = {
    FOLDER: "training utterances, which `asr-transfer adapt` mixes in",
    JUDGED: "utterances that were not trained on, on which `asr-transfer adapt` judges what others lose",
}

_ALWAYS = ("index.json", "statistics.npy", "utterances.jsonl")

FILES = ("features.f16", *_ALWAYS)
"""What it holds; of waveforms `features.f32` instead of the first."""

_TEXTS = ("id", "text", "speaker", "language")


@dataclass(frozen=True)
class Summary:
    """Utterances without recordings, and their features.

    Attributes:
        utterances: kept utterances, whose `audio` is empty.
        store: features of all of them at speed 1, and perhaps of others.
    """

    utterances: Sequence[Utterance]
    store: FeatureStore

    @classmethod
    def draw(cls, utterances: Sequence[Utterance], store: FeatureStore, count: int, seed: int) -> Summary:
        """Return `count` of `utterances`, or all where there are fewer, drawn by `seed`; `store` has their features.

        Of several languages as many are drawn of each, as far as it has them.
        """
        languages = by_language(utterances)
        shares = even_shares({name: len(own) for name, own in languages.items()}, count)
        chosen = [u for name, own in languages.items() for u in random.Random(seed).sample(own, shares[name])]
        return cls([replace(u, audio="", start=None, phones=None) for u in chosen], store)

    @classmethod
    def load(cls, folder: Path, inputs: Inputs) -> Summary:
        """Read the summary of a model that listens to `inputs`.

        Raises:
            DataError: it is damaged, incomplete or holds other features; the message names the folder.
        """
        needed = (frames_file(inputs), *_ALWAYS)
        if not folder.is_dir() or (missing := [name for name in needed if not (folder / name).is_file()]):
            raise _damaged(folder, f"{missing[0]} is missing" if folder.is_dir() else "it is no folder")
        try:
            store = FeatureStore(folder)
            foreign = store.inputs != inputs
            utterances = [] if foreign else list(_read(folder / "utterances.jsonl"))
            fault = "" if foreign else _fault(utterances, store)
        except (*_UNREADABLE, ConfigError, DataError) as error:
            raise _damaged(folder, str(error) or type(error).__name__) from None
        if foreign:
            raise DataError(
                f"{folder}: the source summary holds features of another model ({store.inputs}, not {inputs}); copy "
                "the model again, or remove that folder to do without."
            )
        if fault:
            raise _damaged(folder, fault)
        return cls(utterances, store)

    def save(self, folder: Path) -> None:
        """Write the summary into a new folder.

        Raises:
            OSError: it cannot be written.
        """
        folder.mkdir()
        self.store.save_part(folder, [u.id for u in self.utterances])
        with textfiles.writing(folder / "utterances.jsonl") as out:
            for utterance in self.utterances:
                out.write(to_json(_to_json(utterance)) + "\n")

    def require_spelled(self, tokens: Tokens, folder: Path) -> None:
        """Refuse a summary that belongs to a model with other tokens.

        Raises:
            DataError: a transcript cannot be spelled.
        """
        for utterance in self.utterances:
            try:
                spell(utterance, tokens)
            except DataError:
                raise DataError(
                    f"{folder}: the source summary belongs to another model (the tokens of this one cannot spell its "
                    f"utterance '{utterance.id}'); copy the model again, or remove that folder to do without."
                ) from None

    def joined(self, store: FeatureStore) -> tuple[list[Utterance], FeatureStore]:
        """Return the utterances and a store of them and of `store`; those whose id stands there already get another."""
        own, taken = {u.id for u in self.utterances}, store.names()
        names: dict[str, str] = {}
        for utterance in self.utterances:
            name = utterance.id
            while name in taken or name in names or (name != utterance.id and name in own):
                name = f"source/{name}"
            names[name] = utterance.id
        renamed = [replace(u, id=name) for u, name in zip(self.utterances, names, strict=True)]
        return renamed, JoinedStore(store, self.store, names)


def summary_folder(model: Path, name: str = FOLDER) -> Path | None:
    """Return where a model folder, or that of a run folder, has a summary; None where it has none."""
    place = model if (model / "config.yaml").is_file() or not (model / "model").is_dir() else model / "model"
    return place / name if (place / name).exists() else None


def load_summaries(model: Path, inputs: Inputs) -> dict[str, Summary]:
    """Return the summaries that a model folder, or that of a run folder, has, by name; see `Summary.load`."""
    places = {name: summary_folder(model, name) for name in (FOLDER, JUDGED)}
    return {name: Summary.load(place, inputs) for name, place in places.items() if place}


def writers(summaries: Mapping[str, Summary]) -> dict[str, Callable[[Path], None]]:
    """Return what writes summaries into a model folder, by name."""
    return {name: summary.save for name, summary in summaries.items()}


def remarks(names: Collection[str]) -> str:
    """Return what the card of a model with these summaries says of them; nothing where there are none."""
    lines = [
        f"`{name}` holds features and transcripts of {_REMARKS[name]}; remove that folder where they must not be "
        "passed on.\n"
        for name in names
    ]
    return "".join(f"\n{line}" for line in lines)


_UNREADABLE = (OSError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError, ArithmeticError,
               MemoryError, RecursionError)  # fmt: skip
"""What numpy, JSON and our own reading raise on files that others wrote or that were cut off."""


def _damaged(folder: Path, reason: str) -> DataError:
    return DataError(
        f"{folder}: the source summary is damaged ({' '.join(reason.split())}); copy the model again, or remove that "
        "folder to do without."
    )


def _read(file: Path) -> Iterator[Utterance]:
    for number, line in enumerate(textfiles.read_lines(file), start=1):
        if line.strip():
            yield _parse(json.loads(line), f"{file.name} line {number}")


def _parse(entry: Any, where: str) -> Utterance:
    pronunciation, seconds = entry.get("pronunciation"), entry["duration"]
    values = [entry[key] for key in _TEXTS] + ([] if pronunciation is None else [pronunciation])
    if not all(isinstance(value, str) and value.strip() for value in values):
        raise ValueError(f"{where}: an empty field")
    if type(seconds) not in (int, float) or not 0 < seconds < float("inf"):
        raise ValueError(f"{where}: no duration")
    return Utterance(
        entry["id"], "", float(seconds), entry["text"], entry["speaker"], entry["language"], pronunciation=pronunciation
    )


def _fault(utterances: Sequence[Utterance], store: FeatureStore) -> str:
    """Return what does not belong together in a summary, or nothing."""
    lengths = np.diff(store.offsets)
    shape, name = (len(lengths), store.inputs.dim), frames_file(store.inputs)
    size = store.frames.dtype.itemsize * int(store.offsets[-1]) * store.inputs.dim
    if not utterances or len({u.id for u in utterances}) < len(utterances):
        return "utterances.jsonl is empty or holds an id twice"
    if store.offsets[0] != 0 or (lengths < 1).any() or (store.folder / name).stat().st_size != size:
        return f"{name} and index.json disagree"
    if any(part.shape != shape or part.dtype != torch.float32 for part in (store.mean, store.std)):
        return "statistics.npy and index.json disagree"
    if sorted(store.view(u.id) for u in utterances) != list(range(len(store))):
        return "utterances.jsonl and index.json disagree"
    finite = np.isfinite(store.frames).all() and store.mean.isfinite().all() and store.std.isfinite().all()
    return "" if finite and (store.std > 0).all() else "its features are no finite numbers"


def _to_json(utterance: Utterance) -> dict[str, Any]:
    entry: dict[str, Any] = {name: getattr(utterance, name) for name in ("id", "duration", *_TEXTS[1:])}
    if utterance.pronunciation is not None:
        entry["pronunciation"] = utterance.pronunciation
    return entry


def keep(held: HeldOut, report: Report, store: FeatureStore, count: int, seed: int) -> dict[str, Summary]:
    """Return the summaries that a model keeps: of what it was trained on, and of what was held out from that.

    Args:
        held: training speech, and what is held out of it.
        report: utterances that training left out.
        store: features of the rest; those at speed 1 are computed where it has none.
        count: training utterances to keep; 0 for none.
        seed: random seed of the draw.
    """
    left_out = {name for name, _ in report.dropped}
    usable = [u for u in held.train if u.id not in left_out]
    kept = {}
    for name, utterances, number in ((FOLDER, usable, count), (JUDGED, held.judged, len(held.judged))):
        if number and utterances:
            kept[name] = _drawn(utterances, store, number, seed)
    return kept


def even_shares(there: Mapping[str, int], count: int) -> dict[str, int]:
    """Return how many to take of each name, `count` in all: the same of each, but never more than `there` are."""
    shares = dict.fromkeys(there, 0)
    while (left := count - sum(shares.values())) > 0 and (able := [n for n in there if shares[n] < there[n]]):
        each = max(1, min(left // len(able), min(there[n] - shares[n] for n in able)))
        for name in able[: max(1, left // each)]:
            shares[name] += each
    return shares


def judged_origin(held: HeldOut) -> dict[str, str]:
    """Return what a model folder's `origin` says of the utterances to judge on; nothing where there are none."""
    return {JUDGED: "speakers" if held.apart else "utterances"} if held.judged else {}


def judged_apart(origin: Mapping[str, Any], head: str) -> bool:
    """Return whether `origin` says that the utterances to judge on are of speakers whom the model was not trained on.

    Args:
        origin: Facts of a model folder; of all heads as one, or by head, of heads that were learnt one after the other.
        head: Head that listens to the utterances.
    """
    said = origin.get(JUDGED)
    return (said.get(head) if isinstance(said, Mapping) else said) == "speakers"


def judged_by_head(origin: Mapping[str, Any], heads: Iterable[str], head: str, apart: bool) -> dict[str, str]:
    """Return what `origin` says of each head's utterances to judge on when some of `head` are added.

    Args:
        origin: Facts of a model folder.
        heads: Heads of the model.
        head: Head whose utterances are added.
        apart: Whether these are of speakers whom the model was not trained on.
    """
    said = origin.get(JUDGED)
    found = {name: said.get(name) if isinstance(said, Mapping) else said for name in heads}
    found[head] = "speakers" if apart and found.get(head) != "utterances" else "utterances"
    return {name: value for name, value in found.items() if isinstance(value, str)}


def _drawn(utterances: Sequence[Utterance], store: FeatureStore, count: int, seed: int) -> Summary:
    drawn = Summary.draw(utterances, store, count, seed)
    try:
        store.view(drawn.utterances[0].id)
    except KeyError:
        names = {u.id for u in drawn.utterances}
        return Summary(drawn.utterances, build_store([u for u in utterances if u.id in names], store.inputs))
    return drawn
