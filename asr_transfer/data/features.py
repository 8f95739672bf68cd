"""Computes what models are fed once into a memory-mapped store that is found again by its content.

A store's folder is named after a hash of the audio's bytes, the utterances' boundaries, the speed copies and the
kind of inputs, so that a second run over the same recordings starts at once and a changed recording is never mistaken
for the old one. It holds `features.f16` (all frames of all views, float16; `features.f32` of waveforms) and
`index.json`.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asr_transfer import audio, remarks, textfiles
from asr_transfer.cache import cache_folder
from asr_transfer.data.digests import NAME, FileDigests
from asr_transfer.data.inputs import Inputs, Wanted, as_inputs, inputs_from_plain
from asr_transfer.data.manifest import Utterance, naming
from asr_transfer.data.streamed import AT_ONCE, write_inputs
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.plain import to_json
from asr_transfer.progress import tracked

VERSION = 3
"""Raise when the computation changes, so that old stores are not reused."""

FRAMES = {"features.f16": np.float16, "features.f32": np.float32}
"""Names of the file of frames, by the type of its numbers."""


def frames_file(inputs: Inputs) -> str:
    """Return the name of the file that holds a store's frames."""
    (name,) = (name for name, dtype in FRAMES.items() if dtype is inputs.dtype)
    return name


class FeatureStore:
    """Inputs of a list of utterances and their speed copies, memory-mapped.

    Attributes:
        inputs: kind of the inputs.
        frames: (total, dim), all views one after the other, not normalised.
        offsets: (views + 1,) first frame of each view.
        mean, std: (views, dim) float32 per-view statistics, kept so that normalising at load costs one pass.
        remarks: oddities of recordings, by utterance.
    """

    def __init__(self, folder: Path) -> None:
        index = json.loads(textfiles.read_text(folder / "index.json"))
        self.folder = folder
        self.inputs = inputs_from_plain(index["config"], str(folder / "index.json"))
        self.offsets = np.asarray(index["offsets"], dtype=np.int64)
        self.frames: np.ndarray = np.memmap(
            folder / frames_file(self.inputs),
            dtype=self.inputs.dtype,
            mode="r",
            shape=(int(self.offsets[-1]), self.inputs.dim),
        )
        statistics = np.load(folder / "statistics.npy")
        self.mean, self.std = torch.from_numpy(statistics[0]), torch.from_numpy(statistics[1])
        self._views = {(str(i), float(s)): n for n, (i, s) in enumerate(index["views"])}
        self.remarks: dict[str, list[str]] = dict(index.get("remarks", {}))

    def __len__(self) -> int:
        """Return the number of views."""
        return len(self.offsets) - 1

    def view(self, utterance: str, speed: float = 1.0) -> int:
        """Return the row of an utterance's view at `speed`.

        Raises:
            KeyError: the store was not built for that utterance or speed.
        """
        return self._views[(utterance, speed)]

    def holds(self, utterance: str, speed: float = 1.0) -> bool:
        """Say whether the store has a view of an utterance at `speed`."""
        return (utterance, speed) in self._views

    def names(self) -> set[str]:
        """Return the utterances of which the store has a view, at whatever speed."""
        return {name for name, _ in self._views}

    def length(self, view: int) -> int:
        """Return the number of frames, time steps of its inputs, of a view."""
        return int(self.offsets[view + 1] - self.offsets[view])

    def load(self, view: int) -> torch.Tensor:
        """Return the normalised inputs of a view, (frames, dim) float32."""
        return self.load_part(view, 0, self.length(view))

    def load_part(self, view: int, first: int, last: int) -> torch.Tensor:
        """Return the inputs from frame `first` to before `last` of a view, normalised as those of the whole view."""
        return self.inputs.normalise(self._block(view, first, last), self.mean[view], self.std[view])

    def loudness(self, view: int) -> torch.Tensor:
        """Return how loud each unit of cost of a view is, (cost,) float32, without loading it whole."""
        end, at_once = self.length(view), AT_ONCE * self.inputs.step
        return torch.cat(
            [self.inputs.loudness(self._block(view, n, min(n + at_once, end))) for n in range(0, end, at_once)]
        )

    def _block(self, view: int, first: int, last: int) -> torch.Tensor:
        """Return frames of a view, (frames, dim) float32, not normalised."""
        begin = int(self.offsets[view])
        if last - first < self.length(view) and isinstance(self.frames, np.memmap):
            # Read, not mapped: the pages of a whole long view would stay in memory.
            size, dtype = self.inputs.dim, self.frames.dtype
            file, offset = self.folder / frames_file(self.inputs), dtype.itemsize * size * (begin + first)
            part = np.fromfile(file, dtype, (last - first) * size, offset=offset)
            return torch.from_numpy(part.reshape(-1, size).astype(np.float32))
        return torch.from_numpy(self.frames[begin + first : begin + last].astype(np.float32))

    def save_part(self, folder: Path, utterances: Sequence[str]) -> None:
        """Write a store of `utterances` alone, as they were spoken (speed 1), into an existing empty folder.

        Raises:
            KeyError: one of them is not there at speed 1.
            OSError: the folder cannot be written.
        """
        rows = [self.view(name) for name in utterances]
        blocks = [self.frames[self.offsets[row] : self.offsets[row + 1]] for row in rows]
        with (folder / frames_file(self.inputs)).open("wb") as out:
            for block in blocks:
                out.write(block.tobytes())
        offsets = [0, *np.cumsum([len(block) for block in blocks]).tolist()]
        statistics = np.stack([self.mean[rows].numpy(), self.std[rows].numpy()])
        _write_index(folder, self.inputs, offsets, [[name, 1.0] for name in utterances], statistics)


class JoinedStore(FeatureStore):
    """The views of two stores behind each other, such as a speaker's recordings and what a model keeps of its source.

    It has no files of its own: the frames of both are read into memory.

    Args:
        first: a store.
        second: one with the same kind of inputs.
        names: utterances of the second store to take: the name that each gets here, and its name there.

    Raises:
        DataError: the stores hold different inputs.
        ValueError: a name is already in the first store.
    """

    def __init__(self, first: FeatureStore, second: FeatureStore, names: Mapping[str, str]) -> None:
        if first.inputs != second.inputs:
            raise DataError(f"{second.folder}: holds features of {second.inputs}, not of {first.inputs}; compute anew.")
        if taken := first.names() & names.keys():
            raise ValueError(f"'{min(taken)}' is in both stores; give one of them another name.")
        self.folder, self.inputs = first.folder, first.inputs
        self.offsets = np.concatenate([first.offsets, second.offsets[1:] + first.offsets[-1]])
        self.frames = np.concatenate([first.frames, second.frames])
        self.mean, self.std = torch.cat([first.mean, second.mean]), torch.cat([first.std, second.std])
        here = {own: name for name, own in names.items()}
        more = {(here[own], speed): len(first) + row for (own, speed), row in second._views.items() if own in here}
        self._views = {**first._views, **more}
        self.remarks = first.remarks


def model_input(samples: torch.Tensor, wanted: Wanted) -> torch.Tensor:
    """Return the (frames, dim) float32 that `FeatureStore.load` would give for (n,) `samples`, without a store."""
    inputs = as_inputs(wanted)
    block = inputs.analyse(samples)
    kept = torch.from_numpy(block.numpy().astype(inputs.dtype)).float()
    return inputs.normalise(kept, *inputs.statistics(lambda: [block]))


@dataclass(frozen=True)
class Request:
    """Inputs of utterances that are wanted.

    Attributes:
        utterances: lines of one or several manifests; ids unique.
        config: kind of inputs, or the features that a model's settings name.
        speeds: speed copies of every utterance; 1.0 is the recording itself.
    """

    utterances: Sequence[Utterance]
    config: Wanted
    speeds: Sequence[float] = (1.0,)

    @property
    def inputs(self) -> Inputs:
        """Return the kind of inputs."""
        return as_inputs(self.config)


@dataclass(frozen=True)
class Part:
    """Utterances that stand one behind the other in a store.

    Attributes:
        store: key of the store.
        place: number of the part in its store.
        wanted: the part's own utterances.
        file: file for their frames.
    """

    store: str
    place: int
    wanted: Request
    file: Path


@dataclass(frozen=True)
class Computed:
    """A part whose frames are written.

    Attributes:
        part: the part to compute.
        lengths: frames of each view.
        views: utterance and speed of each view.
        statistics: (2, views, dim) statistics by which views are normalised.
        failures: reasons why recordings could not be read.
        remarks: oddities of recordings, by utterance.
    """

    part: Part
    lengths: list[int]
    views: list[list[Any]]
    statistics: np.ndarray
    failures: list[str]
    remarks: dict[str, list[str]]


Run = Callable[[Callable[[Part], Computed], Sequence[Part]], Iterable[Computed]]
"""Calls a function with every part, perhaps in several processes, and yields the results in any order."""


def build_store(
    utterances: Sequence[Utterance],
    config: Wanted,
    speeds: Sequence[float] = (1.0,),
    cache: Path | None = None,
) -> FeatureStore:
    """Return the store of `utterances`, computed only when no store of the same content exists.

    Args:
        utterances, config, speeds: fields of `Request`.
        cache: folder of stores; default `cache.cache_folder() / "features"`.

    Raises:
        DataError: recordings cannot be read; all of them are named, none is cached.
    """
    wanted = Request(utterances, config, speeds)
    (store,) = build_stores([wanted], map, cache, math.inf)
    return store


def build_stores(
    requests: Sequence[Request], run: Run, cache: Path | None = None, seconds: float = 300.0
) -> list[FeatureStore]:
    """Return the store of each request; those that do not exist are computed in parts, which change no byte of them.

    Args:
        requests: features that are wanted; those asked for twice are computed once.
        run: function that calls another with every part.
        cache: folder of stores; default `cache.cache_folder() / "features"`.
        seconds: approximate duration of the speech in a part.

    Raises:
        DataError: recordings cannot be read; all of a store are named, and it is not cached.
    """
    root = cache or cache_folder() / "features"
    root.mkdir(parents=True, exist_ok=True)
    keys = [_content_key(wanted, root) for wanted in requests]
    stores = {key: store for key in dict.fromkeys(keys) if (store := _opened(root / key)) is not None}
    begun: dict[str, _Assembly] = {}
    try:
        parts = []
        for key, wanted in zip(keys, requests, strict=True):
            if key not in stores and key not in begun:
                begun[key] = _Assembly(root / f"{key}.partial-{os.getpid()}")
                parts += begun[key].begin(key, wanted, seconds)
        for computed in run(_compute, parts) if parts else ():
            key = computed.part.store
            if begun[key].add(computed):
                stores[key] = begun[key].finish(root / key)
    except OSError as error:
        raise DataError(
            f"{root}: features cannot be written ({error.strerror}); free space or set "
            "ASR_TRANSFER_CACHE to another folder."
        ) from error
    finally:
        for assembly in begun.values():
            shutil.rmtree(assembly.folder, ignore_errors=True)
    with remarks.grouped():
        for key, wanted in zip(keys, requests, strict=True):
            for utterance in wanted.utterances if stores[key].remarks else ():
                for reason in stores[key].remarks.get(utterance.id, ()):
                    remarks.remark(reason, utterance.audio)
    return [stores[key] for key in keys]


class _Assembly:
    """A store that is being computed, in a folder of its own; the frames of its parts are joined in their order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._parts: list[Part] = []
        self._done: list[Computed] = []
        self._early: dict[int, Computed] = {}

    def begin(self, key: str, wanted: Request, seconds: float) -> list[Part]:
        """Make the folder and return the parts."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        groups: list[list[Utterance]] = [[]]
        length = 0.0
        for utterance in wanted.utterances:
            if length >= seconds:
                groups.append([])
                length = 0.0
            groups[-1].append(utterance)
            length += utterance.duration
        self._parts = [
            Part(key, place, replace(wanted, utterances=group), self.folder / f"part-{place}")
            for place, group in enumerate(groups)
        ]
        return self._parts

    def add(self, computed: Computed) -> bool:
        """Take a part in, and return whether all are there."""
        self._early[computed.part.place] = computed
        while (following := self._early.pop(len(self._done), None)) is not None:
            frames = self.folder / frames_file(following.part.wanted.inputs)
            piece = following.part.file
            if following.part.place == 0:
                os.replace(piece, frames)
            else:
                with frames.open("ab") as out, piece.open("rb") as source:
                    shutil.copyfileobj(source, out, 2**20)
                piece.unlink()
            self._done.append(following)
        return len(self._done) == len(self._parts)

    def finish(self, final: Path) -> FeatureStore:
        """Write the index, give the store its name and open it."""
        failures = [failure for part in self._done for failure in part.failures]
        if failures:
            more = f" (and {len(failures) - 5} more files)" if len(failures) > 5 else ""
            raise DataError(" ".join(failures[:5]) + more)
        lengths = [length for part in self._done for length in part.lengths]
        views = [view for part in self._done for view in part.views]
        statistics = np.concatenate([part.statistics for part in self._done], axis=1)
        inputs = self._parts[0].wanted.inputs
        told = {name: reasons for part in self._done for name, reasons in part.remarks.items()}
        _write_index(self.folder, inputs, list(accumulate(lengths, initial=0)), views, statistics, told)
        try:
            os.replace(self.folder, final)
        except OSError:
            # Another process finished the same store first; its content is equal.
            if not (final / "index.json").is_file():
                raise
        return FeatureStore(final)


def _opened(folder: Path) -> FeatureStore | None:
    """Open a finished store; remove one that is damaged, to be computed again."""
    if not folder.exists():
        return None
    try:
        return FeatureStore(folder)
    except (OSError, ValueError, KeyError, TypeError, ConfigError, DataError):
        shutil.rmtree(folder, ignore_errors=True)
        return None


def _compute(part: Part) -> Computed:
    """Write the frames of a part."""
    wanted, inputs = part.wanted, part.wanted.inputs
    done = Computed(part, [], [], np.zeros((2, 0, inputs.dim), np.float32), [], {})
    means = []
    with part.file.open("w+b") as out:
        for utterance in tracked(wanted.utterances, "features", len(wanted.utterances), "utterance"):
            recording = audio.Recording(utterance.audio, utterance.start, utterance.duration)
            try:
                with remarks.collected() as found:
                    for speed in wanted.speeds:
                        length, statistics = write_inputs(out, audio.change_speed(recording, speed), inputs)
                        done.lengths.append(length)
                        done.views.append([utterance.id, speed])
                        means.append(torch.stack(statistics).numpy())
                done.remarks.update({utterance.id: list(found)} if found else {})
            except DataError as error:
                done.failures.append(str(naming(utterance, error)))
                continue
    return replace(done, statistics=np.stack(means, axis=1)) if means else done


def _write_index(
    folder: Path,
    inputs: Inputs,
    offsets: Sequence[int],
    views: Sequence[list[Any]],
    statistics: np.ndarray,
    told: Mapping[str, list[str]] | None = None,
) -> None:
    """Write all of a store but its frames; `statistics` are (2, views, dim); `told` remarks."""
    np.save(folder / "statistics.npy", statistics.astype(np.float32))
    index: dict[str, Any] = {"config": inputs.plain(), "offsets": list(offsets), "views": list(views)}
    if told:
        index["remarks"] = dict(told)
    textfiles.write_text(folder / "index.json", to_json(index), "ASR_TRANSFER_CACHE")


def _content_key(wanted: Request, root: Path) -> str:
    digests = FileDigests(root / NAME)
    key = hashlib.sha256(json.dumps([VERSION, wanted.inputs.plain(), list(wanted.speeds)], sort_keys=True).encode())
    for utterance in wanted.utterances:
        piece = (utterance.id, digests.of(utterance.audio), utterance.start, round(utterance.duration, 4))
        key.update(repr(piece).encode())
    digests.save()
    return key.hexdigest()[:24]
