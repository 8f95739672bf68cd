"""The list of mutants fits the code, and what tries them tells killed ones from survivors."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.mutants.__main__ import ROOT, main
from tests.mutants.lists import MUTANTS
from tests.mutants.mutant import Mutant, faults
from tests.mutants.runner import Bench

CAUGHT = Mutant("adds-less", "kit/sums.py", "a + b", "a - b", "sums are differences", ("tests/test_sums.py",))
MISSED = Mutant("minus-more", "kit/sums.py", "a * b", "a + b", "products are sums", ("tests/test_sums.py",))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout of two functions, of which one is tested."""
    for name, text in (
        ("kit/sums.py", "def add(a, b):\n    return a + b\n\n\ndef times(a, b):\n    return a * b\n"),
        ("tests/test_sums.py", "from kit.sums import add\n\n\ndef test_add():\n    assert add(2, 1) == 3\n"),
    ):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text, encoding="utf-8")
    for words in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    return tmp_path


def test_all_mutants_can_be_tried_on_the_code_as_it_is() -> None:
    assert len(MUTANTS) >= 60
    assert faults(MUTANTS, ROOT) == []


def test_what_keeps_mutants_from_being_tried_is_named(checkout: Path) -> None:
    assert faults([CAUGHT, MISSED], checkout) == []
    for wrong, told in (
        (replace(CAUGHT, name="minus-more"), "'minus-more' stands 2 times"),
        (replace(CAUGHT, before="(a, b)"), "adds-less: its text stands 2 times in kit/sums.py"),
        (replace(CAUGHT, file="kit/gone.py"), "adds-less: its text stands 0 times in kit/gone.py"),
        (replace(CAUGHT, after="a +"), "adds-less: its text is no Python any more"),
        (replace(CAUGHT, after="(a + b)  # alike"), "adds-less: it changes nothing but the form"),
        (replace(CAUGHT, tests=("tests/test_gone.py::test_x",)), "adds-less: there is no test file tests/test_gone.py"),
        (replace(CAUGHT, tests=()), "adds-less: names no test file"),
    ):
        (found,) = faults([wrong, MISSED], checkout)
        assert told in found


def test_survivors_are_named_and_nothing_is_changed(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (checkout / "kit/sums.py").read_text(encoding="utf-8")
    assert main(["--workers", "2"], [CAUGHT, MISSED], checkout) == 1, "half of them is not enough"
    printed = capsys.readouterr().out
    assert "adds-less" in printed and "killed by tests/test_sums.py::test_add" in printed
    assert "SURVIVED: products are sums" in printed
    assert "kit/sums   1 / 2  minus-more" in printed and "1 of 2 mutants were killed (50.0%" in printed
    assert (checkout / "kit/sums.py").read_text(encoding="utf-8") == before
    assert main(["--only", "adds-less"], [CAUGHT, MISSED], checkout) == 0


def test_tests_that_fail_without_any_mutant_prove_nothing(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (checkout / "tests/test_sums.py").open("a") as file:
        file.write("\n\ndef test_wrong():\n    assert add(1, 1) == 3\n")
    assert main([], [CAUGHT], checkout) == 1
    assert "tests/test_sums.py::test_wrong fails on the code as it is" in capsys.readouterr().err
    (checkout / "tests/test_sums.py").write_text("import nothing_of_this_name\n")
    assert main([], [CAUGHT], checkout) == 1
    assert "tests/test_sums.py: no test was run" in capsys.readouterr().err


def test_tests_that_hang_are_killed(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    (checkout / "tests/test_sums.py").write_text("import time\n\n\ndef test_slow():\n    time.sleep(600)\n")
    bench = Bench(checkout, tmp_path_factory.mktemp("bench"), 1)
    found, seconds = bench.tests(["tests/test_sums.py"], limit=1.0)
    assert found == "the limit of 1 s" and seconds < 60


def test_mutants_are_listed_and_unknown_names_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    printed = capsys.readouterr().out
    assert all(mutant.name in printed and mutant.bug in printed for mutant in MUTANTS)
    with pytest.raises(SystemExit):
        main(["--only", "no-such-bug"])
    assert "there is no mutant 'no-such-bug'" in capsys.readouterr().err
