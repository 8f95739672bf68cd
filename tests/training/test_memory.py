"""What a step frees is there for the next one: pages are not given back and faulted in again."""

from __future__ import annotations

import platform
import resource

import pytest
import torch

from asr_transfer.training.memory import keep_freed_memory

BLOCK, BLOCKS = 3_000_000, 4
"""Numbers in a block, of 12 megabytes, and blocks at once."""


def _faults() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [torch.ones(BLOCK) for _ in range(BLOCKS)]
    del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps memory as it likes")
def test_memory_that_was_freed_is_taken_again_without_a_fault() -> None:
    assert keep_freed_memory() and keep_freed_memory()
    _faults()
    pages = BLOCKS * BLOCK * 4 // resource.getpagesize()
    assert min(_faults() for _ in range(3)) < pages / 10
