"""Run folders and run records: `run.json` says what was run, on what, with which result, and what it cost.

A run folder also holds `log.txt`, `hypotheses.jsonl`, `scores.txt`, `checkpoints/` while training, and `model/`.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import resource
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from asr_transfer.data.manifest import Utterance, checksum
from asr_transfer.errors import ConfigError, DataError

FORMAT = 1
_PACKAGES = ("asr-transfer", "torch", "torchaudio", "speechbrain", "jiwer", "librosa", "sentencepiece", "numpy")


class RunRecord:
    """The record of one run, written to its folder when it starts, and again with its results when it ends.

    Args:
        folder: the run folder; made when it does not exist.
        config: the resolved configuration, plain values only.
        resume: go on with the run that the folder holds; its configuration must be the same.
        overwrite: remove the run that the folder holds first.

    Raises:
        ConfigError: the folder holds a run and neither was asked for, holds something else, or holds a run of another
            configuration.
    """

    def __init__(
        self, folder: Path, config: Mapping[str, Any], *, resume: bool = False, overwrite: bool = False
    ) -> None:
        if resume and overwrite:
            raise ConfigError("`--resume` and `--overwrite` exclude each other; give one.")
        self.folder = folder
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"{folder}: is a file; give --out a folder.")
        file = folder / "run.json"
        previous: dict[str, Any] | None = None
        if file.is_file():
            if not (resume or overwrite):
                raise ConfigError(
                    f"{folder}: already holds a run; give --resume to go on with it, --overwrite to replace it, "
                    "or another --out."
                )
            if resume:
                previous = read_record(folder)
                _same_config(previous.get("config", {}), dict(config), folder)
            else:
                _clear(folder)
        elif folder.exists() and any(folder.iterdir()):
            raise ConfigError(f"{folder}: is not empty and holds no run (no run.json); give another --out.")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{folder}: cannot be made ({error.strerror}); give another --out.") from None
        self._begin, self._cpu = time.time(), time.process_time()
        self._earlier = (previous or {}).get("time", {"wall_seconds": 0.0, "cpu_seconds": 0.0})
        self.finished_before = (previous or {}).get("status") == "finished"
        self.values: dict[str, Any] = (
            previous
            if previous and self.finished_before
            else {
                "format": FORMAT,
                "status": "running",
                "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
                "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "config": dict(config),
                "data": {},
                "versions": versions(),
                "commit": commit(),
                "history": [],
                "scores": {},
            }
        )
        if not self.finished_before:
            self._write()

    def data(self, name: str, path: Path | str, utterances: Sequence[Utterance]) -> None:
        """Note a manifest: its path, size and checksum."""
        self.values["data"][name] = {
            "path": str(path),
            "utterances": len(utterances),
            "speakers": len({u.speaker for u in utterances}),
            "seconds": round(sum(u.duration for u in utterances), 2),
            "checksum": checksum(utterances),
        }

    def log(self, line: str) -> None:
        """Append a line with the time of day to `log.txt`."""
        with (self.folder / "log.txt").open("a", encoding="utf-8") as out:
            out.write(f"{time.strftime('%H:%M:%S')}  {line}\n")

    def say(self, line: str) -> None:
        """Print a line and append it to `log.txt`."""
        print(line, flush=True)
        self.log(line)

    def finish(self, **results: Any) -> None:
        """Add `results`, time and memory, mark the run as finished, and remove the checkpoints that served resuming."""
        self.values.update(results)
        self.values["status"] = "finished"
        self.values["finished"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.values["time"] = {
            "wall_seconds": round(self._earlier["wall_seconds"] + time.time() - self._begin, 2),
            "cpu_seconds": round(self._earlier["cpu_seconds"] + time.process_time() - self._cpu, 2),
        }
        self.values["peak_memory_mb"] = peak_memory()
        self._write()
        shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)

    def _write(self) -> None:
        # What a training has taken for a precision that was left to it.
        with contextlib.suppress(OSError, ValueError):
            self.values["precision"] = json.loads((self.folder / "precision.json").read_text(encoding="utf-8"))
        file = self.folder / "run.json"
        partial = file.with_name("run.json.partial")
        partial.write_text(json.dumps(self.values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(partial, file)


def read_record(folder: Path) -> dict[str, Any]:
    """Read a run folder's `run.json`.

    Raises:
        DataError: it is missing, not JSON, or of another format.
    """
    file = folder / "run.json"
    if not file.is_file():
        raise DataError(f"{folder}: is not a run folder (it holds no run.json).")
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: is not JSON ({error}); the record is damaged, run again with --overwrite.") from None
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise DataError(f"{file}: `format` must be {FORMAT}; the record is damaged or of another version.")
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


def commit() -> str | None:
    """Return the commit of this toolkit's checkout, with "+" when it has changes; None outside a checkout."""
    here = Path(__file__).parent
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=here, capture_output=True, text=True, check=True, timeout=10
        )
        changed = subprocess.run(
            ["git", "status", "--porcelain", "-uno"], cwd=here, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def peak_memory() -> float:
    """Return the greatest resident memory of this process so far, in megabytes."""
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(kilobytes / (1024 if sys.platform != "darwin" else 1024**2), 1)


def _same_config(before: dict[str, Any], now: dict[str, Any], folder: Path) -> None:
    old, new = _flat(before), _flat(now)
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            raise ConfigError(
                f"{folder}: cannot be resumed, for `{key}` was {old.get(key)!r} and is now {new.get(key)!r}; "
                "use the same settings, or --overwrite."
            )


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict):
        return {prefix: values}
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat.update(_flat(value, f"{prefix}.{key}" if prefix else str(key)))
    return flat


def _clear(folder: Path) -> None:
    for name in (
        "log.txt",
        "hypotheses.jsonl",
        "scores.txt",
        "trials.jsonl",
        "table.md",
        "report.html",
        "precision.json",
    ):
        (folder / name).unlink(missing_ok=True)
    for name in ("checkpoints", "model", "models", "profile", "systems"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "run.json").unlink()
