"""Log-mel features, computed once into a memory-mapped store that is found again by its content.

A store's folder is named after a hash of the audio's bytes, the utterances' boundaries, the speed copies and the
feature settings, so that a second run over the same recordings starts at once and a changed recording is never
mistaken for the old one. It holds `features.f16` (all frames of all views, float16) and `index.json`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchaudio

from asr_transfer import audio
from asr_transfer.config import FeatureConfig, cache_folder
from asr_transfer.data.manifest import Utterance
from asr_transfer.errors import DataError

VERSION = 1
"""Raise when the computation changes, so that old stores are not reused."""

_FRAMES = "features.f16"

_FLOOR = 1e-6
"""Added to mel energies before the logarithm: about -60 dB below full scale, under any recording's own noise."""


def log_mel(samples: torch.Tensor, config: FeatureConfig) -> torch.Tensor:
    """Compute log-mel features.

    Args:
        samples: (n,) mono audio at `audio.SAMPLE_RATE`, n at least one window.
        config: window, hop and number of bands.

    Returns:
        (frames, mels) float32, frames = 1 + (n - window) // hop.
    """
    window = round(config.window_ms * audio.SAMPLE_RATE / 1000)
    hop = round(config.hop_ms * audio.SAMPLE_RATE / 1000)
    size = 1 << (window - 1).bit_length()
    pad = size - window
    padded = torch.nn.functional.pad(samples, (pad // 2, pad - pad // 2))
    spectrum = torch.stft(padded, size, hop, window, torch.hann_window(window), center=False, return_complex=True).abs()
    return torch.log(_filterbank(size, config.mels).T @ spectrum.square() + _FLOOR).T


def frame_count(duration: float, config: FeatureConfig, speed: float = 1.0) -> int:
    """Return about how many frames `duration` seconds give at `speed`."""
    return max(1, 1 + int((1000 * duration / speed - config.window_ms) // config.hop_ms))


class FeatureStore:
    """Features of a list of utterances and their speed copies, memory-mapped.

    Attributes:
        frames: (total, mels) float16, all views one after the other.
        offsets: (views + 1,) first frame of each view.
        mean, std: (views, mels) float32 per-view statistics, kept so that normalising at load costs one pass.
    """

    def __init__(self, folder: Path) -> None:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        self.folder = folder
        self.config = FeatureConfig(**index["config"])
        self.offsets = np.asarray(index["offsets"], dtype=np.int64)
        self.frames: np.ndarray = np.memmap(
            folder / _FRAMES, dtype=np.float16, mode="r", shape=(int(self.offsets[-1]), self.config.mels)
        )
        statistics = np.load(folder / "statistics.npy")
        self.mean, self.std = torch.from_numpy(statistics[0]), torch.from_numpy(statistics[1])
        self._views = {(str(i), float(s)): n for n, (i, s) in enumerate(index["views"])}

    def __len__(self) -> int:
        """Return the number of views."""
        return len(self.offsets) - 1

    def view(self, utterance: str, speed: float = 1.0) -> int:
        """Return the row of an utterance's view at `speed`.

        Raises:
            KeyError: the store was not built for that utterance or speed.
        """
        return self._views[(utterance, speed)]

    def length(self, view: int) -> int:
        """Return the number of frames of a view."""
        return int(self.offsets[view + 1] - self.offsets[view])

    def load(self, view: int) -> torch.Tensor:
        """Return the normalised features of a view, (frames, mels) float32."""
        block = torch.from_numpy(self.frames[self.offsets[view] : self.offsets[view + 1]].astype(np.float32))
        return _normalise(block, self.mean[view], self.std[view], self.config)

    def save_part(self, folder: Path, utterances: Sequence[str]) -> None:
        """Write a store of `utterances` alone, as they were spoken (speed 1), into an existing empty folder.

        Raises:
            KeyError: one of them is not there at speed 1.
            OSError: the folder cannot be written.
        """
        rows = [self.view(name) for name in utterances]
        blocks = [self.frames[self.offsets[row] : self.offsets[row + 1]] for row in rows]
        with (folder / _FRAMES).open("wb") as out:
            for block in blocks:
                out.write(block.tobytes())
        offsets = [0, *np.cumsum([len(block) for block in blocks]).tolist()]
        statistics = np.stack([self.mean[rows].numpy(), self.std[rows].numpy()])
        _write_index(folder, self.config, offsets, [[name, 1.0] for name in utterances], statistics)


class JoinedStore(FeatureStore):
    """The views of two stores behind each other, such as a speaker's recordings and what a model keeps of its source.

    It has no files of its own: the frames of both are read into memory.

    Args:
        first: a store.
        second: one with the same feature settings.
        names: which of the second store's utterances to take: the name that each gets here, and its name there.

    Raises:
        DataError: the stores hold different features.
        ValueError: a name is already in the first store.
    """

    def __init__(self, first: FeatureStore, second: FeatureStore, names: Mapping[str, str]) -> None:
        if first.config != second.config:
            raise DataError(f"{second.folder}: holds features of {second.config}, not of {first.config}; compute anew.")
        if taken := {name for name, _ in first._views} & names.keys():
            raise ValueError(f"'{min(taken)}' is in both stores; give one of them another name.")
        self.folder, self.config = first.folder, first.config
        self.offsets = np.concatenate([first.offsets, second.offsets[1:] + first.offsets[-1]])
        self.frames = np.concatenate([first.frames, second.frames])
        self.mean, self.std = torch.cat([first.mean, second.mean]), torch.cat([first.std, second.std])
        here = {own: name for name, own in names.items()}
        more = {(here[own], speed): len(first) + row for (own, speed), row in second._views.items() if own in here}
        self._views = {**first._views, **more}


def model_input(samples: torch.Tensor, config: FeatureConfig) -> torch.Tensor:
    """Return the (frames, mels) float32 that `FeatureStore.load` would give for (n,) `samples`, without a store."""
    block = log_mel(samples, config)
    mean, std = _statistics(block, config)
    return _normalise(block.to(torch.float16).float(), mean, std, config)


_FIXED_MEAN, _FIXED_STD = -10.0, 3.5
"""Mean and deviation of log-mel energies over all bands and frames of close-talk recordings (AN4 and FSDD, rounded)."""


def _statistics(block: torch.Tensor, config: FeatureConfig) -> tuple[torch.Tensor, torch.Tensor]:
    if config.normalisation == "speech-mean":
        loudness = block.mean(1)
        block = block[loudness >= (loudness.min() + loudness.max()) / 2]
    return block.mean(0), block.std(0, correction=0) + _STD_FLOOR


def _normalise(block: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, config: FeatureConfig) -> torch.Tensor:
    if config.normalisation == "fixed":
        return (block - _FIXED_MEAN) / _FIXED_STD
    return (block - mean) / std if config.normalisation == "utterance" else block - mean


_STD_FLOOR = 0.1
"""Keeps constant bands (band-limited recordings) from being blown up to noise of deviation 1."""


def build_store(
    utterances: Sequence[Utterance],
    config: FeatureConfig,
    speeds: Sequence[float] = (1.0,),
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FeatureStore:
    """Return the store of `utterances`, computed only when no store of the same content exists.

    Args:
        utterances: of one or several manifests; ids unique.
        config: feature settings.
        speeds: speed copies of every utterance; 1.0 is the recording itself.
        cache: folder of stores; default `config.cache_folder() / "features"`.
        progress: called with (done, total) utterances while computing.

    Raises:
        DataError: recordings cannot be read; all of them are named, none is cached.
    """
    root = cache or cache_folder() / "features"
    root.mkdir(parents=True, exist_ok=True)
    key = _content_key(utterances, config, speeds, root)
    folder = root / key
    store = _opened(folder)
    if store is None:
        partial = root / f"{key}.partial-{os.getpid()}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            _compute(utterances, config, speeds, partial, progress)
            try:
                os.replace(partial, folder)
            except OSError:
                # Another process finished the same store first; its content is equal.
                if not (folder / "index.json").is_file():
                    raise
        except OSError as error:
            raise DataError(
                f"{root}: features cannot be written ({error.strerror}); free space or set "
                "ASR_TRANSFER_CACHE to another folder."
            ) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        store = FeatureStore(folder)
    return store


def _opened(folder: Path) -> FeatureStore | None:
    """Open a finished store; remove one that is damaged, to be computed again."""
    if not folder.exists():
        return None
    try:
        return FeatureStore(folder)
    except (OSError, ValueError, KeyError, TypeError):
        shutil.rmtree(folder, ignore_errors=True)
        return None


def _compute(
    utterances: Sequence[Utterance],
    config: FeatureConfig,
    speeds: Sequence[float],
    folder: Path,
    progress: Callable[[int, int], None] | None,
) -> None:
    offsets, views, statistics, failures = [0], [], [], []
    with (folder / _FRAMES).open("wb") as out:
        for number, utterance in enumerate(utterances, start=1):
            try:
                duration = None if utterance.start is None else utterance.duration
                samples = audio.read(utterance.audio, utterance.start, duration)
            except DataError as error:
                failures.append(str(error))
                continue
            for speed in speeds:
                block = log_mel(torch.from_numpy(audio.change_speed(samples, speed)), config)
                out.write(block.to(torch.float16).numpy().tobytes())
                offsets.append(offsets[-1] + len(block))
                views.append([utterance.id, speed])
                statistics.append(torch.stack(_statistics(block, config)).numpy())
            if progress:
                progress(number, len(utterances))
    if failures:
        more = f" (and {len(failures) - 5} more files)" if len(failures) > 5 else ""
        raise DataError(" ".join(failures[:5]) + more)
    _write_index(folder, config, offsets, views, np.stack(statistics, axis=1))


def _write_index(
    folder: Path, config: FeatureConfig, offsets: Sequence[int], views: Sequence[list[Any]], statistics: np.ndarray
) -> None:
    """Write all of a store but its frames; `statistics` are (2, views, mels), means and deviations."""
    np.save(folder / "statistics.npy", statistics.astype(np.float32))
    index: dict[str, Any] = {"config": config.__dict__, "offsets": list(offsets), "views": list(views)}
    (folder / "index.json").write_text(json.dumps(index, ensure_ascii=False), encoding="utf-8")


def _content_key(utterances: Sequence[Utterance], config: FeatureConfig, speeds: Sequence[float], root: Path) -> str:
    digests = _FileDigests(root / "digests.json")
    key = hashlib.sha256(json.dumps([VERSION, config.__dict__, list(speeds)], sort_keys=True).encode())
    for utterance in utterances:
        piece = (utterance.id, digests.of(utterance.audio), utterance.start, round(utterance.duration, 4))
        key.update(repr(piece).encode())
    digests.save()
    return key.hexdigest()[:24]


class _FileDigests:
    """Hashes of files' bytes, remembered by path, size and modification time so that big corpora are read once."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._changed = False
        self._known: dict[str, list[Any]] = {}
        with contextlib.suppress(OSError, ValueError, TypeError):  # then the recordings are hashed again
            self._known.update(json.loads(file.read_text(encoding="utf-8")))

    def of(self, path: str) -> str:
        resolved = os.path.abspath(path)
        try:
            status = os.stat(resolved)
        except OSError:
            raise DataError(
                f"{path}: there is no such audio file; correct the path in the manifest or the command."
            ) from None
        stamp = [status.st_size, status.st_mtime_ns]
        entry = self._known.get(resolved)
        if entry is None or entry[:2] != stamp:
            with open(resolved, "rb") as file:
                entry = [
                    *stamp,
                    hashlib.file_digest(file, "sha256").hexdigest()[:32]
                    if hasattr(hashlib, "file_digest")
                    else hashlib.sha256(file.read()).hexdigest()[:32],
                ]
            self._known[resolved] = entry
            self._changed = True
        return str(entry[2])

    def save(self) -> None:
        if self._changed:
            partial = self._file.with_name(f"{self._file.name}.partial-{os.getpid()}")
            partial.write_text(json.dumps(self._known), encoding="utf-8")
            os.replace(partial, self._file)


_LOWEST, _HIGHEST = 20.0, audio.SAMPLE_RATE / 2
"""Hertz, between which the bands lie."""

_BEND = 4800.0
"""Hertz: above the third formant, from where a warped axis returns to its end."""

_FILTERBANKS: dict[tuple[int, int], torch.Tensor] = {}


def _filterbank(size: int, mels: int) -> torch.Tensor:
    """Return the (size // 2 + 1, mels) triangular filters, made once per setting."""
    if (size, mels) not in _FILTERBANKS:
        _FILTERBANKS[(size, mels)] = torchaudio.functional.melscale_fbanks(
            size // 2 + 1, _LOWEST, _HIGHEST, mels, audio.SAMPLE_RATE, norm="slaney", mel_scale="htk"
        )
    return _FILTERBANKS[(size, mels)]


def warp_bands(inputs: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Stretch each utterance's frequency axis, as another length of the vocal tract would (Jaitly and Hinton 2013).

    What was heard at a frequency is found at that frequency times the factor; towards the highest frequency, which
    stays in its place, the line bends. Between bands values are interpolated, so that bands of mean 0 keep it.

    Args:
        inputs: (batch, time, mels) log-mels as `log_mel` makes them, normalised or not.
        factors: (batch,) above 0; 1 leaves an utterance as it is.

    Returns:
        (batch, time, mels) like `inputs`.
    """
    mels = inputs.shape[2]
    low, high = _to_mel(torch.tensor([_LOWEST, _HIGHEST], dtype=torch.float64))
    step = (high - low) / (mels + 1)
    centres = _to_hertz(low + step * torch.arange(1, mels + 1))
    # Where each band of the result is taken from.
    inverse = 1 / factors.double()[:, None]
    bend = _BEND * inverse.clamp(max=1) / inverse
    above = _HIGHEST - (_HIGHEST - bend * inverse) / (_HIGHEST - bend) * (_HIGHEST - centres)
    origin = torch.where(centres <= bend, centres * inverse, above)
    place = ((_to_mel(origin) - low) / step - 1).clamp(0, mels - 1)
    weights = (1 - (place[:, None, :] - torch.arange(mels)[:, None]).abs()).clamp(min=0)
    return torch.matmul(inputs, weights.to(inputs.dtype))


def _to_mel(hertz: torch.Tensor) -> torch.Tensor:
    return 2595 * torch.log10(1 + hertz / 700)


def _to_hertz(mel: torch.Tensor) -> torch.Tensor:
    return 700 * (torch.pow(10, mel / 2595) - 1)
