"""Names what figures were measured on, in one line."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

import speechbrain
import torch


def machine() -> str:
    """Return processor, cores, load, versions and threads."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.is_file() else None
    load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return (
        f"{found[1] if found else platform.processor()}, {os.cpu_count()} cores{load}; torch {torch.__version__}, "
        f"speechbrain {speechbrain.__version__}, {torch.get_num_threads()} thread"
    )
