"""Runs our command as users do, and tells its processor seconds."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path


def run_command(*arguments: str, folder: Path | None = None) -> float:
    """Run the command in a folder, and return its processor seconds, those of its children among them.

    Raises:
        SystemExit: it fails; the message is its own.
    """
    begin = _children()
    # As for who has installed it: compiled once, not in every call.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "asr_transfer", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(done.stderr.strip() or f"{arguments[0]} failed")
    return _children() - begin


ROOT = Path(__file__).resolve().parents[1]


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
