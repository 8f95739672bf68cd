"""What several tests of commands share: a call of the command line, and what it printed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from asr_transfer.cli import main

Lines = Callable[..., tuple[int, list[str], str]]
"""Calls a command and returns its exit status, the lines of its output, and what it wrote to the standard error."""


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    """Return what calls a command of the command line."""

    def call(*arguments: object) -> tuple[int, list[str], str]:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        told = capsys.readouterr()
        return status, told.out.splitlines(), told.err

    return call
