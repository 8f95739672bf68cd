"""The tests themselves: a file is named after what it tests, and a test shows one behaviour."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.real_runs import ROOT

TESTS = ROOT / "tests"
OF_THE_WHOLE = {"door", "layout", "mutants", "promises", "repository", "wheel", "without_voices"}
"""Tests of no single module: the package's own functions, the tests, and what holds everywhere."""
OF_THE_PAGES = {"docstrings", "page"}
"""Tests of no single module: what pages and docstrings hold."""
ASSERTS = 10


def files() -> list[Path]:
    """Return the files that hold tests."""
    found = sorted(TESTS.rglob("test_*.py"))
    assert len(found) > 100
    return found


def modules(room: Path) -> set[str]:
    """Return the modules of the room that a folder of tests mirrors; of a recipe's the folder is one."""
    if room == Path("recipes"):
        return {path.name for path in (ROOT / "recipes").iterdir() if (path / "README.md").is_file()}
    homes = (ROOT / "asr_transfer" / room, ROOT / room)
    own = {path.stem for home in homes for path in (*home.glob("*.py"), *home.glob("*/__init__.py"))}
    packages = {path.parent.name for home in homes for path in home.glob("*/__init__.py")}
    return own | packages | {Path("."): OF_THE_WHOLE, Path("docs"): OF_THE_PAGES}.get(room, set())


def test_each_file_is_named_after_the_module_that_it_tests() -> None:
    """`tests/ROOM/test_MODULE.py`, or `test_MODULE_MORE.py` where one file would hold several ideas."""
    lost = []
    for path in files():
        room, name = path.parent.relative_to(TESTS), path.stem.removeprefix("test_")
        if room == Path("regressions"):  # named after faults
            continue
        if not any(name == module or name.startswith(f"{module}_") for module in modules(room)):
            lost.append(str(path.relative_to(ROOT)))
    assert not lost, "no module has the names of these files; name them after the modules that they test"


def asserts(test: ast.FunctionDef) -> int:
    """Count the asserts of a test, those of functions in it included."""
    return sum(isinstance(node, ast.Assert) for node in ast.walk(test))


def test_no_test_shows_ten_things_at_once() -> None:
    long = [
        f"{path.relative_to(ROOT)}::{node.name}"
        for path in files()
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and asserts(node) >= ASSERTS
    ]
    assert not long, f"these hold {ASSERTS} asserts or more; divide them by behaviour, each under a name that says it"
