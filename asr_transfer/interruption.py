"""Ends a run at a signal without losing work: at the end of a training step, behind a checkpoint; elsewhere at once.

Ctrl-C (SIGINT), SIGTERM, which clusters and containers send before they kill, and SIGUSR1, which Slurm can send some
minutes earlier, are one request. A command that was stopped exits with 128 + the signal's number: 130, 143 or 138.
A second Ctrl-C ends it where it stands.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)

EXIT_STATUS = (
    "Exit status: 0 done; 1 a mistake that the printed sentence says how to mend; 2 a wrong command line; 130, 143 or "
    "138 stopped by Ctrl-C, SIGTERM or SIGUSR1, in training after a checkpoint at the end of the step, so that "
    "--resume ends in the same weights. A second Ctrl-C ends at once."
)


class Stopped(KeyboardInterrupt):
    """A signal asked this process to stop.

    Args:
        number: signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def status(self) -> int:
        """Exit status of the process, as shells have it for a signal."""
        return 128 + self.number

    @property
    def name(self) -> str:
        """Name of the signal, such as SIGTERM."""
        return signal.Signals(self.number).name


@dataclass
class _State:
    """Whether signals are heeded here, which came first, and whether somebody looks at it in time (`deferring`)."""

    heeding: bool = False
    requested: int = 0
    deferring: int = 0
    worker: bool = False


_STATE = _State()


def _on_signal(number: int, frame: FrameType | None) -> None:
    first = not _STATE.requested
    _STATE.requested = _STATE.requested or number
    # A terminal sends Ctrl-C to workers too, whose parent sends it on: they end when they have written what they must.
    again = not first and number == signal.SIGINT and not _STATE.worker
    if again or (first and not _STATE.deferring):
        raise Stopped(number)


@contextmanager
def heeding() -> Iterator[None]:
    """Turn the signals into `Stopped` in the main thread; afterwards everything is as it was before."""
    if _STATE.heeding or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    _STATE.heeding, _STATE.requested = True, 0
    _arrive_apart()
    try:
        for number in SIGNALS:
            if before[number] is not signal.SIG_IGN:  # as a shell's background jobs and nohup have it
                signal.signal(number, _on_signal)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        _STATE.heeding, _STATE.requested = False, 0


def _arrive_apart() -> None:
    """Let signals arrive on a stack of their own, which Python's handlers take where there is one.

    Fast kernels keep values below the end of the stack, beyond what the system spares, and a signal that arrives there
    overwrites them: a backward pass through an LSTM of PyTorch 2.11 then corrupts the heap, and the process is gone
    before its checkpoint. `faulthandler` makes that stack; it also says where a process stood that crashes.
    """
    if faulthandler.is_enabled() or sys.__stderr__ is None:
        return
    with suppress(OSError, RuntimeError, ValueError):  # a stream that is no file
        faulthandler.enable(sys.__stderr__)


def heed_again() -> None:
    """Take back the signals that a library has taken for itself, where they are heeded."""
    if _STATE.heeding and threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _on_signal)


def heed_in_worker() -> None:
    """Heed the signals in a worker process: between jobs they are remembered, in a job (`working`) they stop it."""
    _STATE.worker, _STATE.deferring = True, 1
    _arrive_apart()
    for number in SIGNALS:
        signal.signal(number, _on_signal)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


@contextmanager
def working() -> Iterator[None]:
    """Do a worker's job: a signal that came before stops it here, one that comes meanwhile where it stands.

    Raises:
        Stopped: a signal came.
    """
    check()
    _STATE.deferring -= 1
    try:
        yield
    finally:
        _STATE.deferring += 1


@contextmanager
def deferring() -> Iterator[None]:
    """Keep a signal for whoever asks `requested` often; one that nobody asked for stops the process at the end.

    Raises:
        Stopped: a signal came and nothing else was raised.
    """
    _STATE.deferring += 1
    try:
        yield
    finally:
        _STATE.deferring -= 1
    check()


@contextmanager
def holding_back() -> Iterator[None]:
    """Let no signal arrive; processes that are started here get none before they call `heed_in_worker`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def requested() -> int:
    """Return the number of the signal that asked to stop; 0 where none did."""
    return _STATE.requested


def check() -> None:
    """Stop where a signal asked for it.

    Raises:
        Stopped: one did.
    """
    if _STATE.requested:
        raise Stopped(_STATE.requested)


def end_quietly() -> None:
    """Let a Ctrl-C that nobody catches, as while a program is loaded, end it with a line instead of a traceback."""
    others = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            print("stopped by SIGINT", file=sys.stderr)  # Python itself ends the process by the signal then
        else:
            others(kind, error, trace)

    sys.excepthook = hook


def report_stop(stop: KeyboardInterrupt, program: str, resumable: bool) -> int:
    """Print, once for all processes that train together, that a command was stopped, and return its exit status."""
    if int(os.environ.get("RANK", "0")) == 0:
        how = f" by {stop.name}" if isinstance(stop, Stopped) else ""
        more = "; --resume goes on where it was" if resumable else ""
        print(f"{program}: stopped{how}{more}", file=sys.stderr)
    return stop.status if isinstance(stop, Stopped) else 128 + signal.SIGINT
