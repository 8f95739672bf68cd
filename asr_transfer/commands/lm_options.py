"""The commands below `asr-transfer lm`, and `asr-transfer tune`: their options, and what they call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from asr_transfer.commands.options import TuneCommand
from asr_transfer.runs.console import require_free

if TYPE_CHECKING:
    from asr_transfer.data.manifest import Utterance
    from asr_transfer.orthography import Case

__all__ = ["TuneCommand", "lm_parsers", "run_lm", "run_tune"]

SUMMARIES: Mapping[str, str] = {
    "make": "Estimate a language model from sentences, and write it as ARPA text.",
    "show": "Print what a language model holds, and how well it expects sentences.",
    "words": "Write the words of sentences as a lexicon in letters, for models of characters.",
}


def lm_parsers(make: Callable[[str, str], ArgumentParser]) -> dict[str, ArgumentParser]:
    """Return the parsers of the commands by name; `make` makes an empty one from name and summary."""
    parsers = {name: make(name, summary) for name, summary in SUMMARIES.items()}
    parsers["show"].add_argument("lm", type=Path, help="language model, ARPA text")
    for name, part in parsers.items():
        part.add_argument(
            "--texts",
            nargs="+",
            type=Path,
            required=name != "show",
            default=None,
            help="files with a sentence per line, or manifests (.jsonl)",
        )
    part = parsers["make"]
    part.add_argument("--out", type=Path, required=True, help="ARPA file to write")
    part.add_argument("--order", type=int, default=3, help="the longest n-gram")
    part.add_argument("--lexicon", type=Path, default=None, help="list the words of this lexicon too")
    part.add_argument(
        "--limit", type=int | None, default=None, help="list so many of the commonest words of the texts only"
    )
    part = parsers["words"]
    part.add_argument("--out", type=Path, required=True, help="lexicon to write")
    part.add_argument("--at_least", type=int, default=1, help="words that occur so often only")
    for name in ("make", "words"):
        parsers[name].add_argument("--overwrite", type=bool, default=False, help="replace the file --out")
    return parsers


def run_lm(arguments: Namespace) -> int:
    """Run one of the commands."""
    from asr_transfer.commands import lm as commands

    name = arguments.subcommand
    given = arguments[name]
    if name == "show":
        return commands.show_model(given.lm, given.texts or ())
    if name == "words":
        return commands.write_words(given.texts, given.out, at_least=given.at_least, overwrite=given.overwrite)
    return commands.make_model(
        given.texts, given.out, order=given.order, lexicon=given.lexicon, limit=given.limit, overwrite=given.overwrite
    )


def run_tune(command: TuneCommand, read: Callable[[Path, str, Case], list[Utterance]]) -> int:
    """Choose the weights of a search; `read` reads a manifest, or a folder of a language with texts in a case."""
    from asr_transfer.commands.lm import tune_search
    from asr_transfer.commands.profile import load_with_profile
    from asr_transfer.data.lexicon import read_for
    from asr_transfer.orthography import case_of

    require_free(command.out, command.overwrite)
    recogniser = load_with_profile(command.model, command.profile, command.language)
    case = recogniser.case()
    if recogniser.writes == "phones" and command.lexicon is not None:
        # The texts are made of its words.
        case = case_of(read_for(command.lexicon, recogniser.tokens).words)
    return tune_search(command, recogniser, read(command.data, recogniser.head, case))
