"""Assembles the command line: `asr-transfer fetch | prepare | train | adapt | transcribe | evaluate | compare | …`.

Options can stand in a YAML file (`--config FILE`); typed ones win, wherever they stand. Unknown ones get the nearest
known one.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

# Before torch is imported: idle OpenMP threads spin, and on shared cores two can be ten times slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Every batch shape makes kernels of its own, of which oneDNN keeps a thousand; a small cache costs 2-4 % of the speed
# and saves hundreds of megabytes per process.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from asr_transfer.commands.options import Command, add_settings, settings_of
from asr_transfer.errors import AsrTransferError
from asr_transfer.interruption import EXIT_STATUS, end_quietly, heeding, report_stop
from asr_transfer.option_files import allow_any_name, check_option_files, files_first
from asr_transfer.parsing import explain, instantiated, spell_out_flags
from asr_transfer.progress import Work
from asr_transfer.remarks import told
from asr_transfer.runs.lock import release_all
from asr_transfer.terminal import print_everything, refused, unspelled

end_quietly()  # for recipes, which load more after this

COMMANDS = (
    "train",
    "learn",
    "adapt",
    "evaluate",
    "transcribe",
    "tune",
    "compare",
    "show",
    "profile",
    "export",
    "lexicon",
    "lm",
    "keywords",
    "recipes",
    "fetch",
    "prepare",
)
"""Names of all commands, each of which is a module of `commands`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status; see `interruption.EXIT_STATUS`."""

    def run(parsed: Namespace) -> int:
        return load_command(parsed.subcommand).run(parsed[parsed.subcommand])

    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        with heeding():
            # Every command is made known only where it is not clear which one is meant: that takes a third of a second.
            parser, parts = build_parser(arguments[:1] if set(arguments[:1]) & set(COMMANDS) else COMMANDS)
    except KeyboardInterrupt as stop:
        return report_stop(stop, "asr-transfer", False)
    return _guarded(parser, parts, run, arguments)


def load_command(name: str) -> Command:
    """Return a command."""
    command: Command = import_module(f"asr_transfer.commands.{name}").COMMAND
    return command


def script(settings: type[Any], function: Callable[[Any], None], arguments: Sequence[str] | None = None) -> int:
    """Run a recipe: read `settings` from `--config FILE` and options beside it, and call `function` with them.

    Errors are reported as `main` reports them.
    """
    parser = _parser(Path(sys.argv[0]).name, (settings.__doc__ or "").strip().splitlines()[0])
    add_settings(parser, settings)

    def run(parsed: Namespace) -> int:
        function(settings_of(settings, parsed))
        return 0

    return _guarded(parser, {"": parser}, run, arguments)


def _guarded(
    parser: ArgumentParser,
    parts: dict[str, ArgumentParser],
    run: Callable[[Namespace], int],
    arguments: Sequence[str] | None,
) -> int:
    # SpeechBrain and torch announce their own future changes, which no user of ours can act on.
    warnings.filterwarnings("ignore", category=FutureWarning)
    print_everything()
    arguments = sys.argv[1:] if arguments is None else arguments
    resumable = False
    try:
        with heeding(), told(parser.prog):
            check_option_files(arguments)
            parsed = parser.parse_args(files_first(spell_out_flags(arguments, parts), parts))
            resumable = "resume" in (parsed if parsed.get("subcommand") is None else parsed[parsed.subcommand])
            with Work(parsed.get("subcommand") or _recipe_name(Path(sys.argv[0])), bar=False):
                return run(instantiated(parser, parsed))
    except ArgumentError as error:
        print(f"{parser.prog}: {explain(str(error), parts)}", file=sys.stderr)
        return 2
    except AsrTransferError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1
    except (OSError, UnicodeEncodeError) as error:
        print(f"{parser.prog}: {refused(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        return report_stop(stop, parser.prog, resumable)
    finally:
        release_all()
        if said := unspelled():
            print(f"{parser.prog}: {said}", file=sys.stderr)


def _recipe_name(file: Path) -> str:
    """Return what a recipe is called in lines of progress: its own name, or its folder's where it is just `run`."""
    return (file.resolve().parent.name if file.stem == "run" else file.stem).replace("_", " ")


def build_parser(names: Sequence[str] = COMMANDS) -> tuple[ArgumentParser, dict[str, ArgumentParser]]:
    """Return the parser, and the parsers of its commands by name (`prepare an4` for nested ones).

    Args:
        names: names of the commands that it is to know.
    """
    parser = _parser("asr-transfer", "Adapt a speech recogniser to a new speaker, and show what it gained and cost.")
    commands = parser.add_subcommands()
    parts: dict[str, ArgumentParser] = {}
    for name in names:
        command = load_command(name)
        parts[name] = _parser(name, f"{command.summary[0].upper()}{command.summary[1:]}.")
        if command.declare is not None:
            command.declare(parts[name])
        commands.add_subcommand(name, parts[name], help=command.summary)
        if command.below is not None:
            below = parts[name].add_subcommands()
            for own, part in command.below(_parser).items():
                below.add_subcommand(own, part, help=(part.description or "").replace("%", "%%"))
                parts[f"{name} {own}"] = part
    return parser, parts


def _parser(program: str, description: str) -> ArgumentParser:
    allow_any_name()
    return ArgumentParser(prog=program, description=description, epilog=EXIT_STATUS, exit_on_error=False)


def start() -> NoReturn:
    """Run the command line as a process of its own, and end it as soon as all is written.

    Python would take apart every module that PyTorch loaded, a third of the time that loading it takes.
    """
    try:
        status = main()
    except SystemExit as end:  # of --help
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as Python itself does before it ends
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except BrokenPipeError:
            status = status or 1
        except OSError as error:  # a full disk, say; what was printed is lost
            status = status or 1
            if stream is sys.stdout:
                print(f"asr-transfer: {refused(error)}", file=sys.stderr)
    os._exit(status)


if __name__ == "__main__":
    start()
