"""The command ends with the status it reports, and with no line of Python's own, wherever its output goes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = (sys.executable, "-m", "asr_transfer")
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
"""Output is buffered, as it is for users, and fails when it is written out at the end."""


def _ended(*arguments: object, **options: object) -> tuple[int, str]:
    """Run the command and return its status and what it said of errors."""
    words = [*COMMAND, *map(str, arguments)]
    ended = subprocess.run(words, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, **options)  # type: ignore[call-overload]
    return ended.returncode, ended.stderr.strip()


@pytest.mark.parametrize(("arguments", "status"), [(["--help"], 0), (["recipes"], 0), (["show", "/nowhere"], 1),
                                                   (["show", "--nothing"], 2)])  # fmt: skip
def test_the_status_is_that_of_the_command(arguments: list[str], status: int) -> None:
    found, said = _ended(*arguments, stdout=subprocess.DEVNULL)
    assert found == status and bool(said) == bool(status) and "Exception" not in said


@pytest.mark.parametrize("arguments", [["--help"], ["recipes"]])
def test_a_reader_that_went_away_is_no_news(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as nobody:
        assert _ended(*arguments, stdout=nobody) == (1, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("arguments", [["--help"], ["recipes"]])
def test_a_full_disk_is_told_in_one_sentence(arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        status, said = _ended(*arguments, stdout=full)
    assert status == 1 and "the output cannot be written" in said and "\n" not in said


def test_names_from_a_closed_input_are_none(tmp_path: Path) -> None:
    words = " ".join([*COMMAND, "transcribe", "--model", str(tmp_path), "-", "<&-"])
    ended = subprocess.run(words, shell=True, capture_output=True, text=True, env=ENVIRONMENT)
    assert ended.returncode == 1 and "the standard input, which is closed" in ended.stderr
    assert "\n" not in ended.stderr.strip()
