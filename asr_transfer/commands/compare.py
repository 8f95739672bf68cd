"""Runs `asr-transfer compare`: a table and sentences for the terminal, and the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console

from asr_transfer.commands.options import CompareCommand
from asr_transfer.evaluation.compare import Compared, compare_systems, load
from asr_transfer.evaluation.summary import table, verdict
from asr_transfer.textfiles import require_writable_folder


def compare_run(runs: Sequence[str], command: CompareCommand, say: Callable[[str], None], started: str) -> Compared:
    """Compare runs, print the table, and write the report.

    Args:
        runs: as `runs.load_systems` takes them.
        command: what was asked for.
        say: prints a line.
        started: the command line, for the report.

    Raises:
        AsrTransferError: whatever is wrong with runs, settings or the folder.
    """
    require_writable_folder(command.out)
    # Late, for jinja2 and matplotlib take their time, and a mistake in the runs should be said at once.
    systems, notes = load(runs, command.normalisation, command.intersection, command.texts, command.language)
    compared = compare_systems(systems, command.baseline, command.words, notes, command.vocabulary)
    terminal = Console()
    console = terminal if terminal.is_terminal else Console(width=160)
    console.print(table(compared, wide=console.width >= 200))
    for sentence in (*verdict(compared), *compared.notes):
        say(sentence)
    from asr_transfer.evaluation.report import write_report

    written = write_report(command.out, compared, command.audio, started)
    say(f"{written}: written, with report.md, report.csv and the plots beside it")
    return compared
