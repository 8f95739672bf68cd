"""The commands below `asr-transfer lexicon`: their options, and what they call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from jsonargparse import ArgumentParser, Namespace

SUMMARIES: Mapping[str, str] = {
    "check": "Say whether a model can spell every word of a lexicon.",
    "add": "Add words to a lexicon, their pronunciations given, looked up or guessed.",
    "g2p": "Write a lexicon of a list of words.",
    "pronounce": "Write a manifest with pronunciations, for models of phones.",
    "show": "Print what a lexicon holds, or the pronunciations of some words.",
}


def lexicon_parsers(make: Callable[[str, str], ArgumentParser]) -> dict[str, ArgumentParser]:
    """Return the parsers of the commands by name; `make` makes an empty one from name and summary."""
    parsers = {name: make(name, summary) for name, summary in SUMMARIES.items()}
    for name in ("check", "add", "show"):
        parsers[name].add_argument("lexicon", type=Path, help="lexicon file: word, tab, phones")
    part = parsers["check"]
    part.add_argument("--model", type=Path, required=True, help="model folder, or the run folder of `train` or `adapt`")
    part.add_argument("--language", type=str, default=None, help="which head, where the model has several")
    part.add_argument("--map", type=bool, default=False, help="take the nearest phone for each that the model lacks")
    part.add_argument("--out", type=Path, default=None, help="file to write the mapped lexicon to")
    part.add_argument("--overwrite", type=bool, default=False, help="replace the file --out")
    parsers["add"].add_argument("words", nargs="+", type=str, help="words to add")
    parsers["add"].add_argument("--phones", type=str, default=None, help="pronunciation of the one word")
    part = parsers["g2p"]
    part.add_argument("wordlist", type=Path, help="file with a word per line")
    part.add_argument("--out", type=Path, required=True, help="lexicon to write")
    part.add_argument("--lexicon", type=Path, default=None, help="pronunciations that go before all others")
    part.add_argument("--overwrite", type=bool, default=False, help="replace the file --out")
    part = parsers["pronounce"]
    part.add_argument("manifest", type=Path, help="manifest whose utterances are to be pronounced")
    part.add_argument("--language", type=str, default=None, help="ISO 639 code; by default each utterance's own")
    part.add_argument("--out", type=Path, required=True, help="manifest to write")
    part.add_argument("--lexicon", type=Path, default=None, help="pronunciations that go before all others")
    part.add_argument("--overwrite", type=bool, default=False, help="replace the file --out")
    for name in ("add", "g2p"):
        parsers[name].add_argument("--language", type=str, required=True, help="ISO 639 code of the words' language")
    for part in (parsers["add"], parsers["g2p"], parsers["pronounce"]):
        part.add_argument(
            "--source", type=Literal["auto", "dictionary", "espeak"], default="auto", help="where they are looked up"
        )
        part.add_argument(
            "--scheme",
            type=Literal["ipa", "arpabet", "pinyin"] | None,
            default=None,
            help="notation; by default the lexicon's own, else IPA",
        )
    parsers["show"].add_argument("words", nargs="*", type=str, help="words to show; the whole lexicon by default")
    return parsers


def run_lexicon(arguments: Namespace) -> int:
    """Run one of the commands."""
    from asr_transfer.commands import lexicon as commands
    from asr_transfer.commands import pronounce as pronounce_command

    name = arguments.subcommand
    given = arguments[name]
    if name == "check":
        return commands.check_lexicon(
            given.lexicon, given.model, head=given.language, nearest=given.map, out=given.out, overwrite=given.overwrite
        )
    if name == "show":
        return commands.show_lexicon(given.lexicon, given.words)
    reader = _reader(given.language)
    if name == "add":
        return commands.add_words(
            given.lexicon,
            given.words,
            given.language,
            phones=given.phones,
            source=given.source,
            scheme=given.scheme,
            reader=reader,
        )
    manifest = name == "pronounce"
    write = pronounce_command.pronounce_manifest if manifest else commands.write_pronunciations
    return write(
        given.manifest if manifest else given.wordlist,
        given.out,
        given.language,
        source=given.source,
        scheme=given.scheme or "ipa",
        lexicon=given.lexicon,
        reader=reader,
        overwrite=given.overwrite,
    )


def _reader(language: str | None) -> Callable[[str], tuple[str, Literal["ipa", "arpabet", "pinyin"]]] | None:
    """Return what reads words of a language better than a general G2P, if anything does."""
    if language != "cmn":
        return None
    from data_prep.pinyin import pronunciation

    return lambda word: (pronunciation(word), "pinyin")
