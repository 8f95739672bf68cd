"""Shows how far long work has come: bars on a terminal; elsewhere (nohup, CI, a notebook, a cluster's log) plain lines.

A line is printed to the standard error at least every half minute while work is open, and none for short work. Work
inside work is told in one line, the outermost first. A thread of its own tells, so that one step of many minutes is
told of too. Processes that work for another print nothing: they leave what they are at where that one looks.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO, TypeVar

from asr_transfer import textfiles
from asr_transfer.errors import DataError

EVERY = 20.0
"""Seconds from the beginning to the first line, and from one to the next; below what is promised, for threads wait."""
REPORTED = 5.0
"""Seconds between two reports of a process that works for another."""
NOTED = 0.5
"""Seconds between two looks at what a bar says beside its count."""
SHORT = 0.5
"""Seconds before there is a bar: short work needs none."""

T = TypeVar("T")


class Work:
    """Long work that is told of while it is open, as a context.

    Args:
        label: name of the work, such as `training`.
        total: number of units that make it up; None where that is not known.
        unit: name of a unit, such as `step`.
        note: function that returns what else is worth showing now; it is called from another thread, and seldom.
        bar: whether a terminal shows it as a bar.
    """

    def __init__(
        self,
        label: str,
        total: int | None = None,
        unit: str = "",
        note: Callable[[], str] | None = None,
        bar: bool = True,
    ) -> None:
        self.label, self.total, self.unit = label, total, unit
        self._note, self._wants_bar = note, bar
        # Of several processes that do the same under torchrun, the first one tells.
        self._show = os.environ.get("RANK", "0") == "0"
        self._done, self._first, self._begin = 0, 0, now()
        self._bar: Any = None
        self._looked = 0.0

    def __enter__(self) -> Work:
        self._begin = now()
        if self._show:
            _teller.open(self)
            if self._wants_bar and _teller.on_terminal():
                from tqdm import tqdm

                shape: Any = {"leave": False, "dynamic_ncols": True, "delay": SHORT}
                self._bar = tqdm(desc=self.label, total=self.total, unit=self.unit or "it", **shape)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        if self._show:
            _teller.close(self)

    def advance(self, units: int = 1) -> None:
        """Count units that are done."""
        self._done += units
        if self._bar is not None:
            if self._note is not None and now() - self._looked > NOTED:
                self._bar.set_postfix_str(self._note(), refresh=False)
                self._looked = now()
            self._bar.update(units)

    def begin_at(self, done: int) -> None:
        """Say that so many units were done before, so that they do not count in the speed."""
        self.advance(done - self._done)
        self._first, self._begin = done, now()

    def text(self) -> str:
        """Return what is told of it: label, count, note, speed and time left, as far as they are known."""
        parts = []
        if self.total is not None:
            unit = f"{self.unit} " if self.unit else ""
            parts.append(f"{unit}{min(self._done, self.total)} of {self.total}")
        elif self._done:
            parts.append(f"{self._done} {self.unit}s".strip())
        if self._note is not None and (note := self._note()):
            parts.append(note)
        done, seconds = self._done - self._first, now() - self._begin
        if done > 0 and seconds > 0:
            if self.unit:
                rate = done / seconds
                parts.append(f"{rate:.3g} {self.unit}s/s" if rate >= 1 else f"{1 / rate:.3g} s per {self.unit}")
            if self.total is not None and self._done < self.total:
                parts.append(f"{duration(seconds / done * (self.total - self._done))} left")
        return f"{self.label}: {', '.join(parts)}" if parts else self.label


def tracked(items: Iterable[T], label: str, total: int | None = None, unit: str = "", bar: bool = True) -> Iterator[T]:
    """Yield items and tell how many are done; for the other arguments see `Work`."""
    with Work(label, total, unit, bar=bar) as work:
        for item in items:
            yield item
            work.advance()


def report_to(file: Path) -> None:
    """Print nothing in this process any more: leave what it is at in `file`, for `reports` of another one."""
    _teller.report = file


def reports(folder: Path) -> list[str]:
    """Return what the processes that were told to report to files in `folder` are at."""
    found = []
    try:
        for file in sorted(folder.glob("[!.]*")):
            found.append(textfiles.read_text(file))
    except (OSError, DataError):
        pass  # a file was taken away meanwhile; the next line will have the others
    return [line for line in found if line]


def told() -> str:
    """Return what is told now: the open work, the outermost first, with the time since that began."""
    return _teller.line()


def duration(seconds: float) -> str:
    """Return a length of time as it is said."""
    if seconds < 119.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def now() -> float:
    """Return the time in seconds from some moment on."""
    return time.monotonic()


class _Teller:
    """The open work of this process, and the thread that tells of it."""

    def __init__(self) -> None:
        self.report: Path | None = None
        self._open: list[Work] = []
        self._told = now()
        self._stop: threading.Event | None = None
        self._lock = threading.Lock()

    def on_terminal(self) -> bool:
        """Return whether bars are shown; a terminal of no width, as `script` and containers make them, has no place."""
        return self.report is None and sys.stderr is not None and sys.stderr.isatty() and _width(sys.stderr) > 0

    def open(self, work: Work) -> None:
        self._open.append(work)
        if len(self._open) == 1:
            self._told = now()
            if not self.on_terminal():
                self._stop = threading.Event()
                threading.Thread(target=self._run, args=(self._stop,), daemon=True, name="progress").start()

    def close(self, work: Work) -> None:
        if work in self._open:
            self._open.remove(work)
        if not self._open:
            with self._lock:
                if self._stop is not None:
                    self._stop.set()
                    self._stop = None
                if self.report is not None:
                    self.report.unlink(missing_ok=True)

    def line(self) -> str:
        works = list(self._open)
        since = f"{duration(now() - works[0]._begin)}: " if works else ""
        return since + " | ".join(work.text() for work in works)

    def _run(self, stop: threading.Event) -> None:
        every = EVERY if self.report is None else REPORTED
        while not stop.wait(max(0.0, self._told + every - now())):
            self._told = now()
            try:
                line = self.line()
                with self._lock:  # what is done by now is told of no more
                    if stop.is_set() or not line:
                        continue
                    if self.report is None:
                        _print(line)
                    else:
                        textfiles.write_text(self.report, line)
            except Exception:  # what is only told must never stop what is done
                continue


def _width(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return 80  # as good as any: a bar asks again


def _print(line: str) -> None:
    stream = sys.stderr
    if stream is None:
        return
    try:
        stream.write(f"{line}\n")
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(f"{line.encode(encoding, 'backslashreplace').decode(encoding)}\n")
    stream.flush()


_teller = _Teller()


def _forget() -> None:
    """A forked process has neither the thread nor the work of the one that it was forked from."""
    global _teller
    _teller = _Teller()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
