"""Every folder of code is a package that wheels, linters and git see: a room named like run folders was hidden."""

from __future__ import annotations

import subprocess

import pytest

from tests.real_runs import ROOT

CODE = [path for room in ("asr_transfer", "data_prep", "tests") for path in sorted((ROOT / room).rglob("*.py"))]


def test_every_folder_of_code_is_a_package() -> None:
    folders = {path.parent for path in CODE}
    assert len(folders) > 10
    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_no_pattern_hides_code_from_git_and_linters() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("there is no git repository around the code")
    names = "\n".join(str(path.relative_to(ROOT)) for path in CODE)
    ignored = ["git", "check-ignore", "--no-index", "--stdin"]
    found = subprocess.run(ignored, cwd=ROOT, input=names, capture_output=True, text=True)
    # 1 is git's status where nothing is ignored.
    assert (found.returncode, found.stdout) == (1, ""), found.stderr
