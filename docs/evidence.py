"""Compares every figure, command and record of the pages with each other, and names what disagrees.

    python -m docs.evidence                    all of it; the cheapest table is run again by its printed command
    python -m docs.evidence --without-rerun    without that

Prints a line per check and ends with 1 where anything disagrees. Older runs, which the pages call so, are listed and
excused from all but having the words beside them.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from asr_transfer.errors import AsrTransferError
from asr_transfer.runs.attempts import attempts_of, is_clean
from docs import history, inline_numbers, prose, records, rerun
from docs.commands import differences as differing
from docs.commands import makes_runs, on_page, option, printed, settings_of
from docs.origin import OLDER, changed, older, unread, unshipped
from docs.tables import table
from docs.update_tables import BLOCK


@dataclass
class Check:
    """What a check found.

    Attributes:
        title: name of the check.
        count: number of things that were checked.
        wrong: disagreements, a line each.
        notes: records that were not held to it, and why.
        excused: records of older runs, which were not held to it.
    """

    title: str
    count: int = 0
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    excused: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Yield the lines that are printed."""
        yield f"{'WRONG' if self.wrong else 'ok':5}  {self.title}: {self.count}"
        yield from (f"       {line}" for line in self.wrong)
        yield from (f"       ({note})" for note in self.notes)
        if self.excused:
            yield f"       (excused, {OLDER}: {', '.join(dict.fromkeys(self.excused))})"


def check_tables() -> Check:
    """Hold every table against what its records make of it today."""
    check = Check("tables equal to their records")
    for page, name, body in _blocks():
        where = f"{records.page_name(page)}, table `{name}`"
        check.count += 1
        try:
            check.wrong += [f"{where}: {line}" for line in _unlike(body, table(name))]
        except AsrTransferError as error:
            check.wrong.append(f"{where}: {error}")
        shown = [own for own in records_of(name) if older(records.record(own))]
        if shown and OLDER not in body.lower():
            check.wrong.append(f"{where}: shows the older runs {', '.join(shown)} without saying so.")
    return check


def check_figures() -> Check:
    """Hold every figure inside a sentence against its record, and name those that come from none."""
    check = Check("figures in sentences equal to their records")
    pages = _pages()
    for page, text in pages.items():
        for match in inline_numbers.FIGURE.finditer(text):
            check.count += 1
            where = f"{records.page_name(page)}, line {text.count(chr(10), 0, match.start()) + 1}"
            try:
                now = inline_numbers.figure(match["name"], match["path"], match["form"] or ".1%")
            except AsrTransferError as error:
                check.wrong.append(f"{where}: {error}")
                continue
            if now != match["body"]:
                check.wrong.append(f"{where}, figure {match['name']} {match['path']}: {match['body']}, now {now}.")
        left = text.count("<!-- figure ") - sum(1 for _ in inline_numbers.FIGURE.finditer(text))
        if left:
            check.wrong.append(
                f"{records.page_name(page)}: {left} figures are not written as docs/inline_numbers.py has it."
            )
    for claim in prose.claims(pages):
        check.wrong.append(
            f"{records.page_name(claim.page)}, line {claim.line}: {claim.number} is of no record: … {claim.around} …"
        )
    check.wrong += [f"docs/prose.py: the fact '{fact}' stands on no page." for fact in prose.unused_facts(pages)]
    return check


def check_settings() -> Check:
    """Hold the settings of each table's printed command today against those of its record."""
    check = Check("printed commands with the settings of their records")
    for name in records.names():
        values = records.record(name)
        held = [found["path"] for found in values.get("data", {}).values() if str(found.get("path")).startswith("/")]
        check.wrong += [f"{name}: {path} is a place of one machine." for path in held[:1]]
        if older(values):
            check.excused.append(name)
            continue
        check.count += 1
        command = printed(values)
        check.wrong += [f"{name}, `{command}`: `{key}` is {told}." for key, told in changed(values).items()]
        if re.search(r"(?<![\w.~*/])/\w", command):
            check.wrong.append(f"{name}, `{command}`: names a place of one machine.")
    return check


def check_blocks() -> Check:
    """Hold the commands in shell blocks that write where a table's run did against its record."""
    check = Check("commands in shell blocks with the settings of the tables that they make")
    made = _by_place()
    for page, text in _pages().items():
        for command in filter(makes_runs, on_page(text)):
            for name in made.get((command.split()[1], option(command, "out")), []):
                values = records.record(name)
                if older(values):
                    check.excused.append(name)
                    continue
                check.count += 1
                where = f"{records.page_name(page)}, `{command}` makes {name}"
                try:
                    unlike = differing(settings_of(command), values)
                    unlike = {key: told for key, told in unlike.items() if key not in unread(values)}
                except AsrTransferError as error:
                    unlike = {"command": f"refused today: {error}"}
                check.wrong += [f"{where}: `{key}` is {told}." for key, told in unlike.items()]
    return check


def check_history() -> Check:
    """Look for the commits of all records in the history, without changes of their own."""
    check = Check("records of clean commits that are in the history")
    known = history.commits()
    if known is None:
        check.notes.append("the whole history is not here, so that no commit was looked for")
    for name in records.names():
        values = records.record(name)
        check.count += 1
        if older(values):
            check.excused.append(name)
        elif "attempts" in values and not is_clean(values):
            check.wrong.append(f"{name}: was made by code that is in no commit; run it again.")
        for commit in sorted({str(one["commit"]) for one in attempts_of(values)}):
            if known is not None and not any(whole.startswith(commit) for whole in known):
                check.wrong.append(f"{name}: its commit {commit} is not in the history.")
    return check


def check_places() -> Check:
    """Make sure that no two tables' commands write into one run folder."""
    check = Check("tables with a run folder of their own")
    places: dict[str, list[str]] = {}
    for (_, out), own in _by_place().items():
        places.setdefault(str(out), []).extend(own)
    for out, own in places.items():
        check.count += 1
        if len(own) > 1:
            told = f"{' and '.join(own)} print the same `--out {out}`"
            # Those that are repeated get a folder of their own, so that one at the most may be of today.
            repeated = sum(older(records.record(name)) for name in own) >= len(own) - 1
            (check.notes if repeated else check.wrong).append(f"{told}, {OLDER}" if repeated else f"{told}.")
    return check


def check_inputs() -> Check:
    """Make sure that the models and manifests that tables begin with are made by commands on the pages."""
    check = Check("models and manifests of tables that a command on a page makes")
    commands = [command for text in _pages().values() for command in on_page(text)]
    shown = [printed(records.record(name)) for name in _shown()]
    made = {option(command, name) for command in (*commands, *shown) for name in ("out", "corpora")} - {None}
    for name in records.names():
        values = records.record(name)
        if older(values):
            continue
        command = printed(values)
        own = {option(command, "out"), option(command, "corpora")}
        for path in sorted(set(re.findall(r"(?<![\w./])(?:runs|data)/[\w./-]+", command)) - own):
            check.count += 1
            if not any(path == place or path.startswith(f"{place}/") for place in made):
                check.wrong.append(f"{name}: begins with {path}, which no command on a page makes.")
    return check


def check_shipped() -> Check:
    """Make sure that the front page's `auto` is the one that `adapt` has."""
    check = Check("`auto` on the front page as it is shipped")
    for name in records_of("headline"):
        values = records.record(name)
        if any(row["method"] == "auto" for row in values["scores"]["rows"]):
            check.count += 1
            if other := unshipped(values):
                told = f"{name}: its `auto` has other {other} than `adapt`"
                (check.notes if older(values) or name in records.TO_REPEAT else check.wrong).append(told)
            elif name in records.TO_REPEAT:
                check.wrong.append(f"{name}: is to be repeated no more; take it out of `TO_REPEAT`.")
    return check


def check_again() -> Check:
    """Run the cheapest table again and hold its figures against the record's."""
    check = Check("figures of the cheapest table, run again")
    name = rerun.cheapest()
    if name is None:
        check.notes.append("not done: all tables are older runs, or need recordings or models that are not here")
        return check
    values = records.record(name)
    command = printed(values)
    check.notes.append(f"{name}: `{command}`")
    with tempfile.TemporaryDirectory() as folder:
        try:
            now = rerun.run_again(command, Path(folder) / "run")
        except AsrTransferError as error:
            check.wrong.append(f"{name}: {error}")
            return check
    same = rerun.same_arithmetic(values, now)
    check.count = rerun.count(values["scores"])
    for one in rerun.compare(values["scores"], now["scores"]):
        if same or one.within is False or not isinstance(one.after, int | float):
            check.wrong.append(f"{name}, {one}.")
        else:
            check.notes.append(f"{one}, of another processor or precision, or of one that is not known")
    return check


CHECKS: tuple[Callable[[], Check], ...] = (
    check_tables, check_figures, check_settings, check_blocks, check_history, check_places, check_inputs, check_shipped,
)  # fmt: skip


def records_of(name: str) -> list[str]:
    """Return the records that a table's block shows."""
    kind, *own = name.split()
    if kind in ("headline", "hindsight"):
        own = [one for one in records.CORPORA if kind == "hindsight" or one not in records.LEFT_OFF]
    return [one for one in own if records.measured(one)]


def _pages() -> dict[Path, str]:
    return {page: page.read_text(encoding="utf-8") for page in records.PAGES}


def _blocks() -> Iterator[tuple[Path, str, str]]:
    for page, text in _pages().items():
        yield from ((page, match["name"], match["body"]) for match in BLOCK.finditer(text))


def _shown() -> list[str]:
    return sorted({own for _, name, _ in _blocks() for own in records_of(name)})


def _by_place() -> dict[tuple[str, str | None], list[str]]:
    """Return the records that pages show by the script, or command, and the run folder of their commands."""
    found: dict[tuple[str, str | None], list[str]] = {}
    for name in _shown():
        command = printed(records.record(name))
        found.setdefault((command.split()[1], option(command, "out")), []).append(name)
    return found


def _unlike(body: str, now: str) -> Iterator[str]:
    """Yield what differs between a table on a page and the table of today, cell by cell where that can be said."""
    old, new = body.splitlines(), now.splitlines()
    if len(old) != len(new):
        yield f"has {len(old)} lines, and its records make {len(new)} of it."
    heading: list[str] = []
    for before, after in zip(old, new, strict=False):
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in (before, after)]
        if after.startswith("|---"):
            continue
        if not after.startswith("|"):
            heading = []
        elif not heading:
            heading = cells[1]
        if before == after:
            continue
        if not after.startswith("|") or len(cells[0]) != len(cells[1]) or len(heading) != len(cells[1]):
            yield f"'{before}', and its records make '{after}' of it."
            continue
        row = " ".join(cells[1][:2])
        pairs = zip(heading, *cells, strict=True)
        yield from (f"{row}, {title}: {one} on the page, {other} in the record." for title, one, other in pairs
                    if one != other)  # fmt: skip


def main(arguments: list[str]) -> int:
    """Make all checks, print a line for each and what disagrees, and return 1 where anything does."""
    unknown = [word for word in arguments if word != "--without-rerun"]
    if unknown:
        print(f"evidence: {unknown[0]} is not known; the one option is --without-rerun.", file=sys.stderr)
        return 2
    wrong = 0
    for own in (*CHECKS, *(() if "--without-rerun" in arguments else (check_again,))):
        check = own()
        print("\n".join(check.lines()), flush=True)
        wrong += len(check.wrong)
    print(f"{wrong} disagreements." if wrong else "Nothing disagrees.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
