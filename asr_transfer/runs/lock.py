"""Keeps a run folder to one process: two that train in the same folder would delete each other's checkpoints.

The file `run.lock` names the process and is locked for as long as it lives, so that what a killed process left behind
is no lock. A machine cannot see whether a process of another one lives: that is for a person to say.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from asr_transfer.errors import ConfigError

FILE = "run.lock"

_HELD: dict[Path, RunLock] = {}
"""Locks of this process by folder: a second record of the same folder takes the first one's over."""


class RunLock:
    """A run folder's lock, held from when it is made until it is released or the process ends.

    Args:
        folder: folder that exists.

    Attributes:
        at_release: weak reference to what is called before the folder is let go.

    Raises:
        ConfigError: another process holds it, or it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._file, self._owner = folder.resolve() / FILE, os.getpid()
        self.at_release: Callable[[], Callable[[], None] | None] = lambda: None
        held = _HELD.get(self._file)
        if held is not None and held._owner == self._owner and held._descriptor is not None:
            # One process is in one folder at a time; its earlier record is done with, though nobody said so.
            self._descriptor: int | None = held._descriptor
            held._descriptor = None
        else:
            self._descriptor = self._take(folder)
        _HELD[self._file] = self

    def release(self) -> None:
        """Let the folder go; a second time does nothing, and so does a forked child."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None or os.getpid() != self._owner:
            return
        if (note := self.at_release()) is not None:
            note()
        _HELD.pop(self._file, None)
        with contextlib.suppress(OSError):  # removed together with its folder
            self._file.unlink()
        os.close(descriptor)

    def _take(self, folder: Path) -> int:
        while True:
            try:
                descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            except OSError as error:
                raise ConfigError(
                    f"{folder}: cannot be written to ({error.strerror}); make it writable or give another --out."
                ) from None
            try:
                if self._lock(descriptor, folder):
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def _lock(self, descriptor: int, folder: Path) -> bool:
        """Lock the file and write who holds it; False where it was removed meanwhile, by whoever held it."""
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = True
        except BlockingIOError:
            free = False
        except OSError:  # a file system without locks: then the number of the process has to do
            free = not _lives(_holder(descriptor))
        try:
            same = os.path.samestat(os.fstat(descriptor), os.stat(self._file))
        except FileNotFoundError:
            return False
        if not same:
            return False
        holder = _holder(descriptor)
        who = f"pid {holder.get('pid', 'unknown')} on {holder.get('host', 'an unknown machine')}"
        if not free:
            raise ConfigError(f"{folder}: another process ({who}) is at work here; wait for it or stop it.")
        if holder.get("host") not in (None, socket.gethostname()):
            raise ConfigError(
                f"{folder}: another process ({who}, since {holder.get('started')}) may still be at work here, which "
                f"this machine cannot see; if it has ended, delete {self._file} and try again."
            )
        started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        own = {"pid": self._owner, "host": socket.gethostname(), "started": started}
        with contextlib.suppress(OSError):  # a full disk: the lock holds all the same
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, (json.dumps(own) + "\n").encode(), 0)
        return True


def release_all() -> None:
    """Let go of every folder that this process holds, as at the end of a command that failed."""
    for lock in list(_HELD.values()):
        lock.release()


@contextlib.contextmanager
def released() -> Iterator[None]:
    """Let go of every folder that is taken inside, however it ends: a Python program goes on after a failed run."""
    before = set(_HELD.values())
    try:
        yield
    finally:
        for lock in set(_HELD.values()) - before:
            lock.release()


def _holder(descriptor: int) -> dict[str, Any]:
    """Return what the lock file says; nothing where it is being written or damaged."""
    with contextlib.suppress(ValueError):
        holder = json.loads(os.pread(descriptor, 4096, 0))
        if isinstance(holder, dict):
            return holder
    return {}


def _lives(holder: dict[str, Any]) -> bool:
    pid = holder.get("pid")
    if holder.get("host") != socket.gethostname() or not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != os.getpid()
