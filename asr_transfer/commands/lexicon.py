"""Checks, extends, makes and shows pronunciation lexica: `asr-transfer lexicon`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from jsonargparse import ArgumentParser, Namespace

from asr_transfer.commands.lexicon_add import add_words
from asr_transfer.commands.lexicon_fit import check_lexicon
from asr_transfer.commands.lexicon_pronounce import Pronouncing, pronounce_manifest, write_pronunciations
from asr_transfer.commands.lexicon_show import show_lexicon
from asr_transfer.commands.options import Command, NewParser
from asr_transfer.data.g2p import Reader

SUMMARIES: Mapping[str, str] = {
    "check": "Say whether a model can spell every word of a lexicon.",
    "add": "Add words to a lexicon, their pronunciations given, looked up or guessed.",
    "g2p": "Write a lexicon of a list of words.",
    "pronounce": "Write a manifest with pronunciations, for models of phones.",
    "show": "Print what a lexicon holds, or the pronunciations of some words.",
}


def _parsers(make: NewParser) -> dict[str, ArgumentParser]:
    """Return the parsers of the commands by name."""
    parsers = {name: make(name, summary) for name, summary in SUMMARIES.items()}
    for name in ("check", "add", "show"):
        parsers[name].add_argument("lexicon", type=Path, help="lexicon file: word, tab, phones")
    part = parsers["check"]
    part.add_argument("--model", type=Path, required=True, help="model folder, or the run folder of `train` or `adapt`")
    part.add_argument(
        "--language",
        type=str,
        default=None,
        help="head to spell for, where the model has several; by default the one that it was taught or adapted in last",
    )
    part.add_argument(
        "--map", type=bool, default=False, help="whether to take the nearest phone for each that the model lacks"
    )
    part.add_argument("--out", type=Path, default=None, help="file to write the mapped lexicon to")
    part.add_argument("--overwrite", type=bool, default=False, help="whether to replace the file --out")
    parsers["add"].add_argument("words", nargs="+", type=str, help="words to add")
    parsers["add"].add_argument("--phones", type=str, default=None, help="pronunciation of the one word")
    part = parsers["g2p"]
    part.add_argument("wordlist", type=Path, help="file with a word per line")
    part.add_argument("--out", type=Path, required=True, help="lexicon to write")
    part = parsers["pronounce"]
    part.add_argument("manifest", type=Path, help="manifest whose utterances are to be pronounced")
    part.add_argument("--language", type=str, default=None, help="ISO 639 code; by default each utterance's own")
    part.add_argument("--out", type=Path, required=True, help="manifest to write")
    for name in ("g2p", "pronounce"):
        part = parsers[name]
        part.add_argument("--lexicon", type=Path, default=None, help="pronunciations that go before all others")
        part.add_argument("--overwrite", type=bool, default=False, help="whether to replace the file --out")
        part.add_argument(
            "--voice",
            type=str,
            default=None,
            help="language by whose rules the words are read, where espeak-ng has none for theirs",
        )
        part.add_argument(
            "--model", type=Path, default=None, help="model whose head of the language must know all phones"
        )
        part.add_argument(
            "--map", type=bool, default=False, help="whether to take the nearest phone for each that the model lacks"
        )
    for name in ("add", "g2p"):
        parsers[name].add_argument("--language", type=str, required=True, help="ISO 639 code of the words' language")
    for part in (parsers["add"], parsers["g2p"], parsers["pronounce"]):
        part.add_argument(
            "--source",
            type=Literal["auto", "dictionary", "espeak"],
            default="auto",
            help="origin of the pronunciations",
        )
        part.add_argument(
            "--scheme",
            type=Literal["ipa", "arpabet", "pinyin"] | None,
            default=None,
            help="notation; by default that of the lexicon or model, else IPA",
        )
    parsers["show"].add_argument("words", nargs="*", type=str, help="words to show; the whole lexicon by default")
    return parsers


def _run(arguments: Namespace) -> int:
    name = arguments.subcommand
    given = arguments[name]
    if name == "check":
        return check_lexicon(
            given.lexicon, given.model, head=given.language, nearest=given.map, out=given.out, overwrite=given.overwrite
        )
    if name == "show":
        return show_lexicon(given.lexicon, given.words)
    reader = _reader(given.language)
    if name == "add":
        return add_words(
            given.lexicon,
            given.words,
            given.language,
            phones=given.phones,
            source=given.source,
            scheme=given.scheme,
            reader=reader,
        )
    how = Pronouncing(
        source=given.source,
        scheme=given.scheme,
        lexicon=given.lexicon,
        reader=reader,
        voice=given.voice,
        model=given.model,
        nearest=given.map,
        overwrite=given.overwrite,
    )
    if name == "pronounce":
        return pronounce_manifest(given.manifest, given.out, given.language, how)
    return write_pronunciations(given.wordlist, given.out, given.language, how)


def _reader(language: str | None) -> Reader | None:
    """Return what reads words of a language better than a general G2P, if anything does."""
    if language != "cmn":
        return None
    from data_prep.pinyin import pronunciation

    return lambda word: (pronunciation(word), "pinyin")


COMMAND = Command("check, extend, make or show a pronunciation lexicon", _run, below=_parsers)
