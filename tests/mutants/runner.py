"""Tries mutants on copies of the tracked files, so that nobody's working tree is ever touched."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.mutant import Mutant

ENOUGH = 0.95
"""Share of the mutants that the tests must kill."""

LEAST, TIMES = 60.0, 5.0
"""Seconds that the tests of a mutant may take at least, and times their own length: longer, and they hang."""

_FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)
_PASSED, _FAILING = 0, 1
"""Exit statuses of pytest; all others say that no test was run to its end."""


class CannotBeTried(Exception):
    """Says in one sentence why mutants say nothing here."""


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant.

    Attributes:
        mutant: which.
        killer: test that failed, or why it counts as one; empty where the mutant survived.
        seconds: spent on it.
    """

    mutant: Mutant
    killer: str
    seconds: float


class Bench:
    """Copies of a checkout's tracked files, one for each worker, and the tests that run in them.

    Args:
        root: top of the checkout.
        folder: temporary folder that the copies go to.
        workers: how many run at a time.
    """

    def __init__(self, root: Path, folder: Path, workers: int) -> None:
        self._free: queue.SimpleQueue[Path] = queue.SimpleQueue()
        self._running: set[subprocess.Popen[str]] = set()
        self._lock, self._stopped = threading.Lock(), False
        for number in range(workers):
            tree = folder / f"tree-{number}"
            copy_tracked(root, tree)
            self._free.put(tree)

    def tests(self, tests: Sequence[str], limit: float | None = None) -> tuple[str, float]:
        """Run tests in a copy as it is; return the first that failed, empty for none, and the seconds spent.

        Raises:
            CannotBeTried: no test was run to its end.
        """
        with self._tree() as tree:
            return self._run(tree, tests, limit)

    def mutant(self, mutant: Mutant, limit: float) -> Outcome:
        """Put a bug into a copy, run its tests, and take it out again.

        Raises:
            CannotBeTried: no test was run to its end.
        """
        with self._tree() as tree:
            file = tree / mutant.file
            text = file.read_text(encoding="utf-8")
            try:
                file.write_text(mutant.applied(text), encoding="utf-8")
                return Outcome(mutant, *self._run(tree, mutant.tests, limit))
            finally:
                file.write_text(text, encoding="utf-8")

    def stop(self) -> None:
        """Kill what is running, and start nothing more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                _kill(process)

    @contextlib.contextmanager
    def _tree(self) -> Iterator[Path]:
        tree = self._free.get()
        try:
            yield tree
        finally:
            self._free.put(tree)

    def _run(self, tree: Path, tests: Sequence[str], limit: float | None) -> tuple[str, float]:
        scratch = tree.with_name(f"{tree.name}-scratch")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        # Compiled code would be known by second and size, which a mutant may share with the code that it replaces.
        own |= {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(scratch)}
        own |= {"ASR_TRANSFER_CACHE": str(scratch / "cache")}
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
        begin = time.monotonic()
        with self._lock:
            if self._stopped:
                raise CannotBeTried("stopped")
            process = subprocess.Popen(
                command, cwd=tree, env=own, text=True, errors="replace",
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            self._running.add(process)
        try:
            said, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            return f"the limit of {limit:.0f} s", time.monotonic() - begin
        finally:
            _kill(process)
            process.wait()
            with self._lock:
                self._running.discard(process)
            shutil.rmtree(scratch, ignore_errors=True)
        seconds = time.monotonic() - begin
        if process.returncode == _PASSED:
            return "", seconds
        if process.returncode != _FAILING:
            last = (said.strip().splitlines() or ["nothing was said"])[-1]
            raise CannotBeTried(f"{' '.join(tests)}: no test was run (exit {process.returncode}: {last})")
        return next(iter(_FAILED.findall(said)), "a test"), seconds


def copy_tracked(root: Path, target: Path) -> None:
    """Copy the files of a checkout that git knows, as they are now.

    Raises:
        CannotBeTried: it is no checkout.
    """
    command = ["git", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=root, capture_output=True, check=False)
    if listed.returncode:
        raise CannotBeTried(f"{root}: git cannot list its files ({listed.stderr.decode().strip()}); use a checkout.")
    for name in filter(None, listed.stdout.decode("utf-8", "surrogateescape").split("\0")):
        if (root / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target / name)


def try_all(mutants: Sequence[Mutant], root: Path, workers: int, say: Callable[[str], None]) -> list[Outcome]:
    """Try mutants, after their tests have passed on the code as it is.

    Args:
        mutants: without `faults`.
        root: top of the checkout, which is only read.
        workers: how many are tried at a time.
        say: told a line for each set of tests and each mutant as it goes.

    Raises:
        CannotBeTried: tests fail on the code as it is, or no test of a mutant was run to its end.
    """
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        bench = Bench(root, Path(scratch), workers)
        with ThreadPoolExecutor(workers) as pool:
            try:
                own = list(dict.fromkeys(mutant.tests for mutant in mutants))
                taken: dict[tuple[str, ...], float] = {}
                waiting = {pool.submit(bench.tests, tests): tests for tests in own}
                for number, done in enumerate(as_completed(waiting), start=1):
                    tests, (failed, seconds) = waiting[done], done.result()
                    if failed:
                        raise CannotBeTried(f"{failed} fails on the code as it is; mend it first.")
                    taken[tests] = seconds
                    say(f"[{number}/{len(own)}] passes without mutants {seconds:6.1f} s  {' '.join(tests)}")
                trying = [pool.submit(bench.mutant, one, max(LEAST, TIMES * taken[one.tests])) for one in mutants]
                outcomes = []
                for number, future in enumerate(as_completed(trying), start=1):
                    outcomes.append(one := future.result())
                    verdict = f"killed by {one.killer}" if one.killer else f"SURVIVED: {one.mutant.bug}"
                    say(f"[{number}/{len(mutants)}] {one.mutant.name} {one.seconds:6.1f} s  {verdict}")
            except BaseException:
                bench.stop()
                pool.shutdown(cancel_futures=True)
                raise
    return sorted(outcomes, key=lambda one: mutants.index(one.mutant))


def table(outcomes: Sequence[Outcome]) -> str:
    """Return a row for each room: how many were killed, and who survived."""
    rows = [("room", "killed", "survivors")]
    rooms = dict.fromkeys(one.mutant.room for one in outcomes)
    for room in (*rooms, "all"):
        own = [one for one in outcomes if room in (one.mutant.room, "all")]
        killed = sum(bool(one.killer) for one in own)
        names = ", ".join(one.mutant.name for one in own if not one.killer) if room != "all" else ""
        rows.append((room, f"{killed} / {len(own)}", names))
    wide = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(f"{room:<{wide[0]}}  {killed:>{wide[1]}}  {names}".rstrip() for room, killed, names in rows)


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill a process that still runs, and all that it started."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
