"""Compares runs: `asr-transfer compare` prints a table and sentences, and writes the report."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.table import Table

from asr_transfer.commands.options import Command, Say, settings_from, settings_of
from asr_transfer.errors import ConfigError
from asr_transfer.remarks import remark
from asr_transfer.runs import attempts
from asr_transfer.runs.console import say
from asr_transfer.textfiles import require_writable_folder

if not TYPE_CHECKING:
    pass
else:  # not of `if TYPE_CHECKING`, which the parser runs to resolve the types of the options below
    from asr_transfer.evaluation.class_comparison import ComparedClasses
    from asr_transfer.evaluation.compare import Compared

OF_SPEECH = ("language", "audio", "normalisation", "texts", "words", "vocabulary")
"""Options that say nothing of classes."""


@dataclass(frozen=True, kw_only=True)
class CompareCommand:
    """Compare runs.

    Attributes:
        out: folder to write the report to; an earlier report there is replaced.
        baseline: name of the system that the others are tested against; by default the source model, else the first.
        language: language of texts that name none, for small letters depend on it.
        intersection: whether to compare only the utterances or items that all runs have, instead of refusing runs that
            differ in them.
        audio: players in the report: `link` plays the recordings where they lie, `embed` copies those of the worst
            utterances into the page, `none` leaves players out.
        normalisation: name of the normalisation to score under, whatever the runs state; by default what they state,
            `none` for files.
        texts: way in which the lines of ref.txt and hyp.txt belong together: by `ids`, or by their order as `lines`; by
            default by ids, where they look like ids.
        words: file of words, one per line, whose recall is counted.
        vocabulary: file of known words, such as those trained on; the recall of all others is counted.
        profile: old name of `normalisation`, for one release.
    """

    out: Path = Path("comparison")
    baseline: str | None = None
    language: str | None = None
    intersection: bool = False
    audio: Literal["link", "embed", "none"] = "link"
    normalisation: str | None = None
    texts: Literal["auto", "ids", "lines"] = "auto"
    words: Path | None = None
    vocabulary: Path | None = None
    profile: str | None = None

    def __post_init__(self) -> None:
        if self.profile is None:
            return
        if self.normalisation is not None:
            raise ConfigError("`profile` is the old name of `normalisation`; give the latter alone.")
        remark("`profile` of `compare` is deprecated, for elsewhere it is a speaker's; write `normalisation` instead")
        object.__setattr__(self, "normalisation", self.profile)
        object.__setattr__(self, "profile", None)


def compare(
    runs: Sequence[str | Path],
    out: str | Path = Path("comparison"),
    *,
    baseline: str | None = None,
    language: str | None = None,
    intersection: bool = False,
    audio: Literal["link", "embed", "none"] = "link",
    normalisation: str | None = None,
    texts: Literal["auto", "ids", "lines"] = "auto",
    words: str | Path | None = None,
    vocabulary: str | Path | None = None,
) -> Compared | ComparedClasses:
    """Compare runs, as `asr-transfer compare` does: the parameters are its options, described in `--help`.

    Prints the table and what it says in sentences, and writes the report into `out`. Runs of items with classes are
    compared by their share of wrong items.

    Returns:
        The systems with their scores, intervals and tests against the baseline.

    Raises:
        AsrTransferError: runs, options or the folder are wrong; the message says how to mend it.

    Example:
        >>> import asr_transfer as at
        >>> compared = at.compare(["my_scores", "other_scores"], "report")
        >>> compared.base.name
        'my_scores'
    """
    given = {name: value for name, value in locals().items() if name != "runs"}
    return compare_run([str(run) for run in runs], settings_from(CompareCommand, given), say, attempts.command())


def compare_run(runs: Sequence[str], command: CompareCommand, say: Say, started: str) -> Compared | ComparedClasses:
    """Compare runs, print the table, and write the report.

    Args:
        runs: run folders and files, as `evaluation.runs.load_systems` takes them.
        command: options of the comparison.
        say: function that prints a line.
        started: the command line, for the report.

    Raises:
        AsrTransferError: runs, settings or the folder are wrong.
    """
    from asr_transfer.evaluation.class_runs import have_classes
    from asr_transfer.evaluation.compare import compare_systems, load
    from asr_transfer.evaluation.comparison_table import table, verdict

    require_writable_folder(command.out)
    if have_classes(runs):
        return _compare_classes(runs, command, say, started)
    systems, notes = load(runs, command.normalisation, command.intersection, command.texts, command.language)
    compared = compare_systems(systems, command.baseline, command.words, notes, command.vocabulary)
    _print(lambda wide: table(compared, wide), [*verdict(compared), *compared.notes], say)
    # Not above, for jinja2 and matplotlib take their time, and a mistake in the runs should be said at once.
    from asr_transfer.evaluation.report import write_report

    written = write_report(command.out, compared, command.audio, started)
    say(f"{written}: written, with report.md, report.csv and the plots beside it")
    return compared


def _compare_classes(runs: Sequence[str], command: CompareCommand, say: Say, started: str) -> ComparedClasses:
    """Compare runs whose items have classes instead of texts."""
    from asr_transfer.evaluation.class_comparison import compare_classes
    from asr_transfer.evaluation.class_runs import load_classes
    from asr_transfer.evaluation.class_table import table, verdict

    for name in OF_SPEECH:
        if getattr(command, name) != getattr(CompareCommand(), name):
            raise ConfigError(f"`{name}` is for speech, and the runs hold classes of items; leave it out.")
    compared = compare_classes(load_classes(runs, command.intersection), command.baseline)
    _print(lambda wide: table(compared, wide), [*verdict(compared), *compared.notes], say)
    from asr_transfer.evaluation.class_report import write_class_report  # as above

    written = write_class_report(command.out, compared, started)
    say(f"{written}: written, with report.md, report.csv and the plot beside it")
    return compared


def _print(table: Callable[[bool], Table], sentences: Sequence[str], say: Say) -> None:
    terminal = Console()
    console = terminal if terminal.is_terminal else Console(width=160)
    console.print(table(console.width >= 200))
    for sentence in sentences:
        say(sentence)


def _declare(parser: ArgumentParser) -> None:
    parser.add_argument("--config", action="config", help="YAML file with any of the options")
    parser.add_argument(
        "runs",
        nargs="+",
        type=str,
        help="run folders of any command or recipe, of speech or of items with classes, and other toolkits' results: a "
        "SpeechBrain wer_test.txt, a NeMo manifest with pred_text, or reference and hypothesis in Kaldi's or sclite's "
        "format as ref.txt,hyp.txt",
    )
    parser.add_class_arguments(CompareCommand)


def _run(arguments: Namespace) -> int:
    runs = arguments.pop("runs")
    compare_run(runs, settings_of(CompareCommand, arguments), say, shlex.join(["asr-transfer", *sys.argv[1:]]))
    return 0


COMMAND = Command("compare runs, with significance, and write a report", _run, _declare)
