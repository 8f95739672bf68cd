"""Finds the device to compute on: a GPU where there is one, the processor elsewhere."""

from __future__ import annotations

import re

from asr_transfer.errors import ConfigError

AUTO = "auto"


def find_device(asked: str) -> str:
    """Return the device that a setting asks for: `cpu`, `cuda` or `cuda:N`.

    Args:
        asked: `auto`, which takes a GPU where there is one, or the device.

    Raises:
        ConfigError: there is no such device, or no such name of one.
    """
    import torch  # here, for the command line declares its options without it

    if asked == AUTO:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", asked):
        raise ConfigError(f"the device '{asked}' is unknown; take auto, cpu, cuda, or cuda:N for one of several GPUs.")
    if asked == "cpu":
        return asked
    if not torch.cuda.is_available():
        raise ConfigError(f"the device '{asked}' is asked for but no GPU can be used here; take 'auto' or 'cpu'.")
    number, there = int(asked.partition(":")[2] or 0), torch.cuda.device_count()
    if number >= there:
        last = f"cuda:0 to cuda:{there - 1}" if there > 1 else "cuda:0 alone"
        raise ConfigError(
            f"the device '{asked}' is asked for but the GPUs here are {last}; take one of them or 'auto'."
        )
    return asked
