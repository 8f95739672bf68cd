"""Records attempts at a run: which code made it, by which command, when, and in how much time.

A run that was stopped and resumed is the work of several attempts, perhaps of different code, and its record keeps all
of them, so that no figure is put down to code that did not make it.
"""

from __future__ import annotations

import hashlib
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from asr_transfer.errors import DataError

UNKNOWN = "unknown"
"""Stands for the checksum of changes that nobody took."""

_FIELDS: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "status": (str, "text"),
    "command": (str, "text"),
    "commit": ((str, type(None)), "text or null"),
    "changes": ((str, type(None)), "text or null"),
    "wall_seconds": ((int, float), "a number"),
    "cpu_seconds": ((int, float), "a number"),
}
"""Fields of an attempt that somebody relies on, and what they hold."""

_CODE = ("*.py", "*.yaml", "*.toml", "*.j2", "*.js", "*.css")
"""Files that make results, which count although git does not know them yet."""


def begin(earlier: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return the attempts of an earlier record, None for none, and behind them one that begins now."""
    return [*attempts_of(earlier or {}), {"status": "running", "command": command(), **code(), **_times(now(), 0, 0)}]


def attempts_of(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a record's attempts; of a record that was made before they were kept, the last one, which alone is known.

    Each has `status`, `command`, `commit` and `changes` (see `code`), `started`, `ended`, `wall_seconds` and
    `cpu_seconds`.
    """
    if "attempts" in record:
        return [dict(attempt) for attempt in record["attempts"]]
    if not record.get("command"):
        return []
    commit = record.get("commit")
    known = {"status": record.get("status", "finished"), "command": record["command"]}
    known |= {"commit": commit and commit.rstrip("+"), "changes": UNKNOWN if commit and commit.endswith("+") else None}
    spent = record.get("time") or {"wall_seconds": 0.0, "cpu_seconds": 0.0}
    return [{**known, "started": record.get("started"), "ended": record.get("finished"), **spent}]


def require_attempts(record: Mapping[str, Any], file: Path) -> None:
    """Require that attempts which a record keeps are ones.

    Raises:
        DataError: they are something else, or a field is missing or of another kind.
    """
    damaged = "the record is damaged, restore it from a copy or run again elsewhere"
    kept = record.get("attempts", [])
    if not isinstance(kept, list) or not all(isinstance(one, dict) for one in kept):
        raise DataError(f"{file}: `attempts` must be a list of objects, got {kept!r}; {damaged}.")
    for number, one in enumerate(kept):
        for field, (kind, wanted) in _FIELDS.items():
            if field not in one or not isinstance(one[field], kind) or isinstance(one[field], bool):
                got = repr(one[field]) if field in one else "nothing"
                raise DataError(f"{file}: `attempts.{number}.{field}` must be {wanted}, got {got}; {damaged}.")


def is_clean(record: Mapping[str, Any]) -> bool:
    """Return whether all code that made a record is in the history: each attempt is known and had no changes."""
    return "attempts" in record and all(one["commit"] and not one["changes"] for one in record["attempts"])


def describe_origin(record: Mapping[str, Any]) -> str:
    """Return which code made a record, in words; empty where nothing is known of it.

    The commit is the oldest attempt's. A record from before attempts were kept, of a run that was resumed or of changed
    code, is called an older run to be repeated: it names a commit that did not make all of it.
    """
    every = attempts_of(record)
    if not every or not every[0]["commit"]:
        return ""
    text = f"commit `{every[0]['commit']}`"
    if len(every) > 1:
        newest = every[-1]["commit"]
        text += f", resumed {'once' if len(every) == 2 else f'{len(every) - 1} times'}" + (
            "" if newest == every[0]["commit"] else f" up to `{newest}`"
        )
    if any(one["changes"] for one in every):
        text += ", with uncommitted changes"
    if is_older(record):
        text += " (older run, to be repeated: this is the last of its attempts, the only one that was kept)"
    return text


def is_older(record: Mapping[str, Any]) -> bool:
    """Return whether a record from before attempts were kept names code that did not make all of it."""
    known = attempts_of(record)
    return "attempts" not in record and any(one["changes"] or "--resume" in one["command"] for one in known)


def spent(attempts: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the time of all attempts together."""
    return {name: round(sum(one[name] for one in attempts), 2) for name in ("wall_seconds", "cpu_seconds")}


class Stopwatch:
    """Keeps the time of the attempt that is under way, of the processes that it started and that have ended too."""

    def __init__(self) -> None:
        self._started, self._wall, self._cpu = now(), time.monotonic(), _cpu_seconds()

    def times(self) -> dict[str, Any]:
        """Return when the attempt began, when it was last at work, and what it spent until then."""
        return _times(self._started, time.monotonic() - self._wall, _cpu_seconds() - self._cpu)


def now() -> str:
    """Return the time of day as records have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def command() -> str:
    """Return the command line of this process."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


@cache
def code() -> dict[str, str | None]:
    """Return the `commit` of this toolkit's checkout, and a checksum of its `changes` since, None where there are none.

    Files that git does not know count as changes where they are code or settings. Outside a checkout both are None.
    """
    try:
        head = _git("rev-parse", "--short=12", "HEAD").strip().decode()
        changed = _git("diff", "HEAD", "--binary")
        top = Path(_git("rev-parse", "--show-toplevel").decode().rstrip("\n"))
        unknown = sorted(_git("ls-files", "--others", "--exclude-standard", "-z", "--", *_CODE, cwd=top).split(b"\0"))
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "changes": None}
    digest = hashlib.sha256(changed)
    for name in filter(None, unknown):
        file = top / name.decode(errors="surrogateescape")
        digest.update(name + b"\0" + (file.read_bytes() if file.is_file() else b""))
    return {"commit": head, "changes": digest.hexdigest()[:16] if changed or any(unknown) else None}


def _git(*arguments: str, cwd: Path | None = None) -> bytes:
    where = cwd or Path(__file__).parent
    return subprocess.run(["git", *arguments], cwd=where, capture_output=True, check=True, timeout=20).stdout


def _times(started: str, wall: float, cpu: float) -> dict[str, Any]:
    return {"started": started, "ended": now(), "wall_seconds": round(wall, 2), "cpu_seconds": round(cpu, 2)}


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
