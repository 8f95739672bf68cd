"""`python -m tests.mutants`: how many of the bugs that could be written do the tests catch?"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.lists import MUTANTS
from tests.mutants.mutant import Mutant, faults
from tests.mutants.runner import ENOUGH, CannotBeTried, table, try_all

ROOT = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str] | None = None, mutants: Sequence[Mutant] = MUTANTS, root: Path = ROOT) -> int:
    """Try mutants and print a table; return 0 where enough of them were killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="mutants that are tried at a time (2)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="names of the mutants that are tried; all by default")
    parser.add_argument("--list", action="store_true", help="print the mutants and try none")
    given = parser.parse_args(arguments)
    if given.workers < 1:
        parser.error(f"--workers must be at least 1, got {given.workers}")
    known = {mutant.name: mutant for mutant in mutants}
    if unknown := [name for name in given.only or () if name not in known]:
        parser.error(f"there is no mutant '{unknown[0]}'; --list prints all names")
    chosen = [known[name] for name in given.only] if given.only else list(mutants)
    if given.list:
        for mutant in chosen:
            print(f"{mutant.name}\n    {mutant.file}: {mutant.bug}\n    {' '.join(mutant.tests)}")
        return 0
    if wrong := faults(chosen, root):
        print(*wrong, sep="\n", file=sys.stderr)
        return 1
    begin = time.monotonic()
    try:
        outcomes = try_all(chosen, root, given.workers, lambda line: print(line, flush=True))
    except CannotBeTried as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130  # as shells say of what Ctrl-C ended
    killed, minutes = sum(bool(one.killer) for one in outcomes), (time.monotonic() - begin) / 60
    share = f"{killed / len(outcomes):.1%}; {ENOUGH:.0%} are wanted"
    print(f"\n{table(outcomes)}\n\n{killed} of {len(outcomes)} mutants were killed ({share}) in {minutes:.0f} minutes")
    return 0 if killed >= ENOUGH * len(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
