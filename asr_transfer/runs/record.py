"""Writes run folders and run records: `run.json` states what was run, on what, with which result, and what it cost.

A run folder also holds `log.txt`, `hypotheses.jsonl` and `scores.txt` of speech or `predictions.jsonl` of items with
classes, `checkpoints/` while training, and `model/`. It is the run's own: `--overwrite` empties it, and one process at
a time works in it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import resource
import shutil
import sys
import time
import weakref
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any
from weakref import WeakMethod

from asr_transfer import textfiles
from asr_transfer.data.items import Items
from asr_transfer.data.manifest import Utterance, checksum
from asr_transfer.errors import AsrTransferError, ConfigError, DataError
from asr_transfer.option_files import given_option_files
from asr_transfer.plain import to_json
from asr_transfer.runs import attempts
from asr_transfer.runs.emptying import RECORD as FILE
from asr_transfer.runs.emptying import empty, holds_run, restore
from asr_transfer.runs.lock import FILE as LOCK
from asr_transfer.runs.lock import RunLock
from asr_transfer.runs.resuming import given_files, paths, plain, require_same_content, require_same_settings

FORMAT = 1
SELDOM = 10.0
"""Seconds between two notes that an attempt is still at work."""
_PACKAGES = ("asr-transfer", "torch", "torchaudio", "speechbrain", "jiwer", "librosa", "sentencepiece", "numpy")


class RunRecord:
    """The record of one run, written to its folder when it starts, and again with its results when it ends.

    Until then the folder is this process's alone.

    Args:
        folder: the run folder; made when it does not exist. A program may change its working directory afterwards.
        config: the resolved configuration: plain values, and paths as `Path`s.
        resume: whether to go on with the run that the folder holds; its configuration and data must be the same.
        overwrite: whether to remove all that the run has done that the folder holds first.

    Attributes:
        folder: Absolute path of the run folder.
        given: Its path as it was given, for a person to read.

    Raises:
        ConfigError: the folder cannot be written, holds a run and neither was asked for, holds something else, holds a
            run of another configuration, or another process is at work in it.
    """

    def __init__(
        self, folder: Path, config: Mapping[str, Any], *, resume: bool = False, overwrite: bool = False
    ) -> None:
        if resume and overwrite:
            raise ConfigError("`--resume` and `--overwrite` exclude each other; give one.")
        self.given, self.folder = folder, folder.absolute()
        files = given_files(config)
        self._lock: RunLock | None = None
        if not (resume and holds_run(folder)) or os.access(folder, os.W_OK):
            textfiles.require_writable_folder(folder)
            self._lock = self._enter(folder, config, files, resume, overwrite)
        previous = read_record(folder) if (folder / FILE).is_file() else None
        if previous is not None and self._lock is None:  # somebody else's, to be read if it is finished
            require_same_settings(previous, config, files, folder)
        self._watch = attempts.Stopwatch()
        self.finished_before = previous is not None and previous.get("status") == "finished"
        if previous is not None and self.finished_before:
            self.values: dict[str, Any] = previous
        else:
            made = attempts.begin(previous)
            self.values = {
                "format": FORMAT,
                "status": "running",
                # Of the first attempt, whose code is the oldest that made the run.
                **{name: made[0][name] for name in ("command", "started", "commit")},
                "attempts": made,
                "config": plain(config),
                # What an earlier attempt was given, until this one is given the same.
                "files": {**((previous or {}).get("files") or {}), **files},
                "data": (previous or {}).get("data") or {},
                "versions": versions(),
                "history": [],
                "scores": {},
            }
            self._write()
            if self._lock is not None:
                self._lock.at_release = WeakMethod(self._stopped)

    def _enter(
        self,
        folder: Path,
        config: Mapping[str, Any],
        files: Mapping[str, Mapping[str, str]],
        resume: bool,
        overwrite: bool,
    ) -> RunLock:
        """Take the folder, and empty it where that is asked for; what is refused leaves everything as it was."""
        there = folder.is_dir()
        if there and not holds_run(folder) and any(path.name != LOCK for path in folder.iterdir()):
            raise ConfigError(f"{folder}: is not empty and holds no run (no run.json); give another --out.")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{folder}: cannot be made ({error.strerror}); give another --out.") from None
        lock = RunLock(folder)
        try:
            restore(folder)
            if (folder / FILE).is_file():
                if not (resume or overwrite):
                    raise ConfigError(
                        f"{folder}: already holds a run; give --resume to go on with it, another --out, or --overwrite "
                        "to delete it and begin anew."
                    )
                if resume:
                    require_same_settings(read_record(folder), config, files, folder)
                else:
                    empty(folder, {**dict(paths(config)), **given_option_files()})
        except BaseException:
            lock.release()
            raise
        weakref.finalize(self, lock.release)
        return lock

    def data(self, name: str, path: Path | str, content: Sequence[Utterance] | Items) -> None:
        """Note a manifest, or items with classes: path, size and checksum, so that a later attempt can be held to it.

        Raises:
            ConfigError: the run began with other content under this name.
        """
        size: dict[str, int | float]
        if isinstance(content, Items):
            size, digest = {"items": content.count}, content.checksum
            if content.classes is not None:
                size["classes"] = content.classes
        else:
            size = {
                "utterances": len(content),
                "speakers": len({u.speaker for u in content}),
                "seconds": round(sum(u.duration for u in content), 2),
            }
            digest = checksum(content)
        self._note("data", name, {"path": str(path), **size, "checksum": digest})

    def texts(self, name: str, path: Path | str, lines: Iterable[str]) -> None:
        """Note texts that are no utterances: training sentences, or a lexicon's entries.

        Raises:
            ConfigError: the run began with other texts under this name.
        """
        digest = hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()[:16]
        self._note("files", name, {"path": str(path), "checksum": digest})

    def fingerprint(self) -> str:
        """Return what tells this run's data and files from others: their names and checksums."""
        parts = {**self.values["files"], **self.values["data"]}
        return " ".join(f"{name}:{entry['checksum']}" for name, entry in sorted(parts.items()))

    def _note(self, kind: str, name: str, entry: Mapping[str, Any]) -> None:
        noted = self.values.setdefault(kind, {})
        if name in noted:
            require_same_content(name, noted[name], entry, self.given)
        if not self.finished_before and noted.get(name) != entry:
            noted[name] = dict(entry)
            self._write()

    def log(self, line: str) -> None:
        """Append a line with the time of day to `log.txt`, and note that the attempt is still at work."""
        textfiles.append_text(self.folder / "log.txt", f"{time.strftime('%H:%M:%S')}  {line}\n")
        if self.values["status"] == "running" and time.monotonic() - self._written > SELDOM:
            self._write()

    def say(self, line: str) -> None:
        """Print a line and append it to `log.txt`."""
        print(line, flush=True)
        self.log(line)

    def finish(self, **results: Any) -> None:
        """Add `results`, time and memory, mark the run as finished, and remove the checkpoints that served resuming."""
        self.values.update(results)
        self.values["status"] = "finished"
        self.values["finished"] = attempts.now()
        self.values["attempts"][-1]["status"] = "finished"
        self.values["peak_memory_mb"] = peak_memory()
        self._write()
        shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
        if self._lock is not None:
            self._lock.release()

    def _stopped(self) -> None:
        """Note how far the attempt came, where the folder is let go before the run is finished."""
        if self.values["status"] == "running":
            self.values["attempts"][-1]["status"] = "stopped"
            with contextlib.suppress(AsrTransferError, OSError):
                self._write()

    def _write(self) -> None:
        self.values["attempts"][-1].update(self._watch.times())
        self.values["time"] = attempts.spent(self.values["attempts"])
        self._written = time.monotonic()
        # What a training has taken for a precision that was left to it.
        with contextlib.suppress(DataError, ValueError):
            self.values["precision"] = json.loads(textfiles.read_text(self.folder / "precision.json"))
        textfiles.write_text(self.folder / FILE, to_json(self.values, indent=2) + "\n")


def read_record(folder: Path) -> dict[str, Any]:
    """Read a run folder's `run.json`.

    Raises:
        DataError: it is missing, not JSON, of another format, or its attempts are damaged.
    """
    file = folder / FILE
    if not file.is_file():
        raise DataError(f"{folder}: is not a run folder (it holds no run.json).")
    text = textfiles.read_text(file)
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{file}: is not JSON ({error}); the record is damaged, restore it from a copy or run again elsewhere."
        ) from None
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise DataError(f"{file}: `format` must be {FORMAT}; the record is damaged or of another version.")
    attempts.require_attempts(values, file)
    return values


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def peak_memory() -> float:
    """Return the greatest resident memory of this process so far, in megabytes."""
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(kilobytes / (1024 if sys.platform != "darwin" else 1024**2), 1)
