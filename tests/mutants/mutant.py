"""What a mutant is, and what makes a list of them unusable."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Mutant:
    """A bug that somebody could write.

    Attributes:
        name: short and unlike all others.
        file: path of the code, from the top of the repository.
        before: text that stands exactly once in the file.
        after: text in its place.
        bug: one sentence that says what goes wrong.
        tests: test files, or `file::test` of slow ones, at least one of which must fail.
    """

    name: str
    file: str
    before: str
    after: str
    bug: str
    tests: tuple[str, ...]

    @property
    def room(self) -> str:
        """The part of the package that the code belongs to."""
        return Path(*Path(self.file).parts[:2]).with_suffix("").as_posix()

    def applied(self, text: str) -> str:
        """Return the file's text with the bug in it."""
        return text.replace(self.before, self.after)


def faults(mutants: Sequence[Mutant], root: Path) -> list[str]:
    """Return a sentence for each thing that keeps mutants from being tried on the code below `root`."""
    found = [f"the name {name!r} stands {times} times; give each mutant its own" for name, times in _twice(mutants)]
    for mutant in mutants:
        file = root / mutant.file
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        if (times := text.count(mutant.before)) != 1:
            found.append(
                f"{mutant.name}: its text stands {times} times in {mutant.file}, not once; bring it up to date"
            )
        elif (wrong := _unlike(text, mutant.applied(text))) is not None:
            found.append(f"{mutant.name}: {wrong}")
        lacking = [test for test in mutant.tests if not (root / test.split("::")[0]).is_file()]
        found += [f"{mutant.name}: there is no test file {test}; name another" for test in lacking]
        if not mutant.tests:
            found.append(f"{mutant.name}: names no test file that should catch it")
    return found


def _twice(mutants: Iterable[Mutant]) -> list[tuple[str, int]]:
    return [(name, times) for name, times in Counter(mutant.name for mutant in mutants).items() if times > 1]


def _unlike(before: str, after: str) -> str | None:
    """Return why a text is no other program than before; None where it is."""
    try:
        changed = _program(before) != _program(after)
    except SyntaxError as error:
        return f"its text is no Python any more ({error.msg}); correct it"
    return None if changed else "it changes nothing but the form of the code; make it a bug"


@cache
def _program(text: str) -> str:
    return ast.dump(ast.parse(text))
