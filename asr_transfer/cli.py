"""The command line: `asr-transfer fetch | prepare | train | adapt | transcribe | evaluate | compare | …`.

Options can stand in a YAML file (`--config FILE`) and be overridden behind it; unknown ones get the nearest known one.
"""

from __future__ import annotations

import os
import shlex
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Before torch is imported: idle OpenMP threads spin, and on shared cores two can be ten times slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Every batch shape makes kernels of its own, of which oneDNN keeps a thousand; a small cache costs 2-4 % of the speed
# and saves hundreds of megabytes per process.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from asr_transfer.commands.lexicon_options import lexicon_parsers, run_lexicon
from asr_transfer.commands.lm_options import TuneCommand, lm_parsers, run_lm, run_tune
from asr_transfer.commands.options import AdaptCommand, CompareCommand, EvaluateCommand, TrainCommand, TranscribeCommand
from asr_transfer.commands.profile_options import profile_parsers, run_profile
from asr_transfer.config import to_record
from asr_transfer.errors import AsrTransferError, ConfigError, DataError, one_line
from asr_transfer.interruption import EXIT_STATUS, end_quietly, heeding, report_stop
from asr_transfer.option_files import allow_any_name, check_option_files
from asr_transfer.parsing import explain, instantiated, spell_out_flags
from asr_transfer.progress import Work, tracked
from asr_transfer.remarks import collected, lines, told
from asr_transfer.runs.lock import release_all
from asr_transfer.terminal import print_everything, refused, unspelled
from asr_transfer.textfiles import require_writable_folder

if TYPE_CHECKING:
    from asr_transfer.data.manifest import Utterance
    from asr_transfer.orthography import Case

end_quietly()  # for recipes, which load more after this


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status; see `interruption.EXIT_STATUS`."""

    def run(parsed: Namespace) -> int:
        return _COMMANDS[parsed.subcommand](parsed[parsed.subcommand])

    try:
        with heeding():
            parser, parts = build_parser()
    except KeyboardInterrupt as stop:
        return report_stop(stop, "asr-transfer", False)
    return _guarded(parser, parts, run, arguments)


def script(settings: type[Any], function: Callable[[Any], None], arguments: Sequence[str] | None = None) -> int:
    """Run a recipe: read `settings` from `--config FILE` and options behind it, and call `function` with them.

    Errors are reported as `main` reports them.
    """
    parser = _parser(Path(sys.argv[0]).name, (settings.__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--config", action="config", help="YAML file with any of the options")
    parser.add_class_arguments(settings)

    def run(parsed: Namespace) -> int:
        function(_settings(settings, parsed))
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
            parsed = parser.parse_args(spell_out_flags(arguments, parts))
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


def build_parser() -> tuple[ArgumentParser, dict[str, ArgumentParser]]:
    """Return the parser, and the parsers of its commands by name (`prepare an4` for nested ones)."""
    parser = _parser("asr-transfer", "Adapt a speech recogniser to a new speaker, and show what it gained and cost.")
    commands = parser.add_subcommands()
    parts: dict[str, ArgumentParser] = {}
    for name, settings, summary in (
        ("train", TrainCommand, "train a speaker-independent model"),
        ("adapt", AdaptCommand, "adapt a model to a speaker"),
        ("evaluate", EvaluateCommand, "score a model on recordings with transcripts"),
        ("transcribe", TranscribeCommand, "print the text of recordings"),
        ("tune", TuneCommand, "choose the weights of a search on development speech"),
    ):
        part = _parser(name, f"{summary[0].upper()}{summary[1:]}.")
        part.add_argument("--config", action="config", help="YAML file with any of the options")
        part.add_class_arguments(settings)
        if name == "transcribe":
            part.add_argument(
                "files", nargs="+", type=str, help="recordings, and manifests (.jsonl) whose utterances need no text"
            )
        commands.add_subcommand(name, part, help=summary)
        parts[name] = part
    part = _parser("compare", "Compare runs, with significance, and write a report.")
    part.add_argument("--config", action="config", help="YAML file with any of the options")
    part.add_argument(
        "runs",
        nargs="+",
        type=str,
        help="run folders of any command or recipe, and other toolkits' results: a SpeechBrain wer_test.txt, a NeMo "
        "manifest with pred_text, or reference and hypothesis in Kaldi's or sclite's format as ref.txt,hyp.txt",
    )
    part.add_class_arguments(CompareCommand)
    commands.add_subcommand("compare", part, help="compare runs, with significance, and write a report")
    parts["compare"] = part
    part = _parser("show", "Print one run at a glance.")
    part.add_argument("run", type=Path, help="run folder of any command or recipe")
    part.add_argument(
        "--tensorboard", type=Path, default=None, help="folder to write the learning curve to as TensorBoard events"
    )
    commands.add_subcommand("show", part, help="print one run at a glance")
    parts["show"] = part
    from data_prep.fetch import SOURCES

    part = _parser("fetch", "Download a corpus that lies in Debian packages, without root.")
    part.add_argument("name", type=str, help="corpus: " + ", ".join(SOURCES))
    part.add_argument("--deb", nargs="+", type=Path, default=None, help="its packages, where they are here as files")
    commands.add_subcommand("fetch", part, help="download a corpus that lies in Debian packages")
    parts["fetch"] = part
    prepare = _parser("prepare", "Make manifests of a corpus.")
    commands.add_subcommand("prepare", prepare, help="make manifests of a corpus")
    corpora = prepare.add_subcommands()
    for name, function in _corpora().items():
        part = _parser(name, (function.__doc__ or "").strip().splitlines()[0])
        part.add_argument("--config", action="config", help="YAML file with any of the options")
        part.add_function_arguments(function, as_positional=False)
        corpora.add_subcommand(name, part)
        parts[f"prepare {name}"] = part
    parts["prepare"] = prepare
    parts["recipes"] = _parser("recipes", "List the recipes, their settings and what they need.")
    parts["recipes"].add_argument("--folder", type=Path, default=Path("recipes"), help="folder of the recipes")
    parts["recipes"].add_argument("--speech", type=Path, default=None, help="folder of corpora as distributed")
    commands.add_subcommand("recipes", parts["recipes"], help="list the recipes and what they need")
    for group, summary, own in (
        ("profile", "list, show, merge or remove the profiles of speakers", profile_parsers(_parser)),
        ("lexicon", "check, extend, make or show a pronunciation lexicon", lexicon_parsers(_parser)),
        ("lm", "make or show a language model of sentences", lm_parsers(_parser)),
    ):
        parts[group] = _parser(group, f"{summary[0].upper()}{summary[1:]}.")
        commands.add_subcommand(group, parts[group], help=summary)
        below = parts[group].add_subcommands()
        for name, part in own.items():
            below.add_subcommand(name, part, help=part.description)
            parts[f"{group} {name}"] = part
    return parser, parts


def _parser(program: str, description: str) -> ArgumentParser:
    allow_any_name()
    return ArgumentParser(prog=program, description=description, epilog=EXIT_STATUS, exit_on_error=False)


def _corpora() -> dict[str, Callable[..., None]]:
    from data_prep import registry

    return registry.commands()


def _say(line: str) -> None:
    if int(os.environ.get("RANK", "0")) == 0:
        print(line, flush=True)


def _prepare(arguments: Namespace) -> int:
    values = {name: value for name, value in vars(arguments[arguments.subcommand]).items() if name != "config"}
    for name, value in values.items():
        if isinstance(value, str) and not value.strip():
            raise ConfigError(f"`--{name}` is empty; give a value, or leave it out.")
    require_writable_folder(values["out"])
    with collected() as unusual:
        _corpora()[arguments.subcommand](**values)
    for line in lines(unusual):
        print(line)
    return 0


def _fetch(arguments: Namespace) -> int:
    from data_prep.fetch import fetch

    fetch(arguments.name, arguments.deb)
    return 0


def _recipes(arguments: Namespace) -> int:
    from asr_transfer.experiments.recipes import listing

    print(listing(arguments.folder, arguments.speech))
    return 0


def _train(arguments: Namespace) -> int:
    from asr_transfer.commands.train import train_run

    train_run(_settings(TrainCommand, arguments), _say)
    return 0


def _adapt(arguments: Namespace) -> int:
    from asr_transfer.commands.adapt import Speech, adapt_run, reads_transcripts, take
    from asr_transfer.commands.profile import load_with_profile
    from asr_transfer.decoding.recogniser import Recogniser

    command = _settings(AdaptCommand, arguments)
    require_writable_folder(command.out)
    base = Recogniser.load(command.model)
    source = load_with_profile(command.model, command.profile) if command.profile else base

    def read(path: Path | None) -> list[Utterance]:
        return _utterances(path, base.head, base.case()) if path else []

    data = _utterances(command.data, base.head, base.case(), reads_transcripts(command.method))
    own = take(data, command.speaker, command.utterances, command.seed)
    test = read(command.test)
    if test and command.speaker is not None:
        test = take(test, command.speaker, None, command.seed)
    more = read(command.source)
    more = take(more, None, min(command.source_utterances, len(more)), command.seed) if more else []
    adapt_run(command, base, source, Speech(own, test, read(command.others), more), _say)
    return 0


def _evaluate(arguments: Namespace) -> int:
    from asr_transfer.commands.adapt import take
    from asr_transfer.commands.listen import evaluate_run, open_recogniser
    from asr_transfer.data.features import build_store
    from asr_transfer.runs.record import RunRecord

    command = _settings(EvaluateCommand, arguments)
    require_writable_folder(command.out)
    recogniser = open_recogniser(command)
    # Where the language is to be found out, a folder of recordings does not say which it is.
    language = "" if command.language == "auto" else recogniser.head
    utterances = take(_utterances(command.data, language, recogniser.case(not language)), command.speaker, None, 0)
    # A recording that cannot be read is refused before a run folder is made or replaced.
    build_store(utterances, recogniser.model.config.features)
    record = RunRecord(command.out, to_record(command), overwrite=command.overwrite)
    _say(str(evaluate_run(recogniser, utterances, command, record, _say)))
    return 0


def _transcribe(arguments: Namespace) -> int:
    from asr_transfer.commands.listen import explained, listen, open_recogniser, recordings, told_way

    files = arguments.pop("files")
    command = _settings(TranscribeCommand, arguments)
    recogniser = open_recogniser(command)
    if command.language == "auto":
        print(f"asr-transfer: {told_way(recogniser)}", file=sys.stderr)
    failed = 0
    for file in tracked(files, "recordings", len(files), bar=False):
        try:
            manifest = Path(file).suffix == ".jsonl"
            head = recogniser.head
            utterances = _utterances(Path(file), head, "kept", labelled=False) if manifest else recordings([file], head)
            for utterance, language, text in listen(recogniser, utterances, command.language):
                told = f"{language}\t" if command.language == "auto" else ""
                print(f"{one_line(utterance.id)}\t{told}{text}", flush=True)
                if command.explain is not None:
                    print(explained(recogniser, utterance, command.explain), flush=True)
        except DataError as error:
            # The other recordings are still worth having.
            print(f"asr-transfer: {error}", file=sys.stderr)
            failed += 1
    return 1 if failed else 0


def _compare(arguments: Namespace) -> int:
    from asr_transfer.commands.compare import compare_run

    runs = arguments.pop("runs")
    compare_run(runs, _settings(CompareCommand, arguments), _say, shlex.join(["asr-transfer", *sys.argv[1:]]))
    return 0


def _show(arguments: Namespace) -> int:
    from asr_transfer.commands.show import export_run, show_run

    if arguments.tensorboard is not None:
        require_writable_folder(arguments.tensorboard, "--tensorboard")
    show_run(arguments.run)
    if (target := arguments.tensorboard) is not None:
        written = export_run(arguments.run, target)
        _say(f"{target}: {written} figures written; show them with: tensorboard --logdir {target}")
    return 0


def _utterances(path: Path, language: str, case: Case, labelled: bool = True) -> list[Utterance]:
    """Read a manifest, or a folder of recordings and its transcripts in a case; unless `labelled` they need none."""
    from asr_transfer.data.manifest import read_manifest
    from data_prep.folder import read_folder
    from data_prep.unlabelled import read_unlabelled

    if path.is_dir():
        return read_folder(path, language=language, case=case) if labelled else read_unlabelled(path, language=language)
    if not path.exists():
        raise DataError(f"{path}: there is neither a manifest nor a folder of that name.")
    return read_manifest(path, labelled)


def _settings(kind: type[Any], arguments: Namespace) -> Any:
    values = {name: value for name, value in vars(arguments).items() if name != "config"}
    try:
        return kind(**values)
    except TypeError as error:
        raise ConfigError(str(error)) from None


_COMMANDS: dict[str, Callable[[Namespace], int]] = {
    "fetch": _fetch,
    "prepare": _prepare,
    "recipes": _recipes,
    "train": _train,
    "adapt": _adapt,
    "evaluate": _evaluate,
    "transcribe": _transcribe,
    "compare": _compare,
    "show": _show,
    "profile": run_profile,
    "lexicon": run_lexicon,
    "lm": run_lm,
    "tune": lambda arguments: run_tune(_settings(TuneCommand, arguments), _utterances),
}

if __name__ == "__main__":
    sys.exit(main())
