"""Makes and shows language models of sentences: `asr-transfer lm make | show | words`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.table import Table
from rich.text import Text

from asr_transfer import textfiles
from asr_transfer.commands.options import Command, NewParser
from asr_transfer.data.lexicon import Lexicon, spelled_lexicon
from asr_transfer.data.subwords import MARK
from asr_transfer.data.texts import read_texts, sentences_of, spelled
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.remarks import remark
from asr_transfer.runs.console import require_free, show
from asr_transfer.whitespace import words_of

if TYPE_CHECKING:
    from asr_transfer.decoding.ngram import NgramModel

SUMMARIES: Mapping[str, str] = {
    "make": "Estimate a language model from sentences, and write it as ARPA text.",
    "show": "Print what a language model holds, and how well it expects sentences.",
    "words": "Write the words of sentences as a lexicon in letters, for models of characters, or as hot words.",
}

WORDS, LETTERS = 3, 8
"""Lengths of the longest n-grams, of words and of letters, that are taken by default."""


def make_model(
    texts: Sequence[Path],
    out: Path,
    *,
    order: int | None = None,
    letters: bool = False,
    lexicon: Path | None = None,
    limit: int | None = None,
    overwrite: bool = False,
    console: Console | None = None,
) -> int:
    """Estimate a language model (interpolated Kneser-Ney) and write it as ARPA text.

    Args:
        texts: files with a sentence per line, or manifests.
        out: file to write.
        order: length of the longest n-grams; None for 3 words or 8 letters.
        letters: whether the model is one of letters, which expects texts of any words.
        lexicon: file whose words the model shall list too.
        limit: number of the texts' commonest words to list; the others count as `<unk>`, unless the lexicon holds them.
            Of equally common words the first ones stay.
        overwrite: whether to replace the file `out`.
        console: terminal to print to; None for the standard output.

    Raises:
        DataError: a file is missing or damaged, the texts hold no words, or `out` exists.
        ConfigError: the order or the limit is not at least 1, or a model of letters shall list words.
    """
    from asr_transfer.decoding.ngram import NgramModel

    if limit is not None and limit < 1:
        raise ConfigError(f"--limit must be at least 1 word, got {limit}.")
    if letters and (lexicon is not None or limit is not None):
        raise ConfigError("a model of letters lists no words; leave --lexicon and --limit out, or --letters.")
    require_free(out, overwrite)
    sentences = read_texts(texts)
    more = [] if lexicon is None else Lexicon.read(lexicon).words
    counts = Counter(word for sentence in sentences for word in words_of(sentence))
    unlisted = set() if limit is None else {word for word, _ in counts.most_common()[limit:]}
    length = order if order is not None else LETTERS if letters else WORDS
    model = NgramModel.from_texts(map(spelled, sentences) if letters else sentences, length, more, unlisted)
    model.write(out)
    show(
        Text(f"{out}: written, {_grams(model)} of {len(sentences):,} sentences, {sum(counts.values()):,} words"),
        console,
    )
    return 0


def show_model(lm: Path, texts: Sequence[Path] = (), *, console: Console | None = None) -> int:
    """Print what a language model holds, and of each file of sentences its perplexity and the share of unlisted words.

    A model of letters counts letters in place of words, and the ends of words.

    Raises:
        DataError: a file is missing or damaged, or holds no sentences.
    """
    from asr_transfer.decoding.ngram import NgramModel

    model = NgramModel.read(lm)
    unknown = "with" if model.unknown is not None else "without"
    show(Text(f"{lm}: {_grams(model)}, {unknown} a class for unlisted words"), console)
    if not texts:
        return 0
    table = Table(box=None, pad_edge=False, header_style="dim")
    for n, heading in enumerate(
        ("texts", "sentences", "words", "unlisted", "unlisted %", "perplexity", "with unlisted words")
    ):
        table.add_column(heading, justify="right" if n else "left", overflow="fold")
    for path in texts:
        sentences = sentences_of(path)
        fit = model.fit(map(spelled, sentences) if MARK in model else sentences)
        full = f"{fit.full_perplexity:,.1f}" if math.isfinite(fit.full_perplexity) else "–"
        numbers = (f"{fit.sentences:,}", f"{fit.words:,}", f"{fit.unlisted:,}", f"{100 * fit.oov:.1f}")
        table.add_row(Text(str(path)), *numbers, f"{fit.perplexity:,.1f}", full)
    show(table, console)
    return 0


def write_words(
    texts: Sequence[Path],
    out: Path,
    *,
    new_to: Sequence[Path] = (),
    plain: bool = False,
    at_least: int = 1,
    overwrite: bool = False,
    console: Console | None = None,
) -> int:
    """Write the words of sentences, sorted: as a lexicon that spells them in letters, or plainly, as hot words.

    Args:
        texts: files with a sentence per line, or manifests.
        out: file to write.
        new_to: texts that do not have the words, such as those that a model was trained on.
        plain: whether the words stand alone, one per line.
        at_least: least number of occurrences of a word that is written.
        overwrite: whether to replace the file `out`.
        console: terminal to print to; None for the standard output.

    Raises:
        DataError: a file is missing or damaged, there are no such words, or `out` exists.
        ConfigError: `at_least` is not at least 1.
    """
    if at_least < 1:
        raise ConfigError(f"--at_least must be at least 1, got {at_least}.")
    require_free(out, overwrite)
    known = {word for sentence in (read_texts(new_to) if new_to else ()) for word in words_of(sentence)}
    counts = Counter(word for sentence in read_texts(texts) for word in words_of(sentence))
    if not (kept := sorted(word for word, count in counts.items() if count >= at_least)):
        raise DataError(f"no word of the texts occurs {at_least} times; give more texts or a smaller --at_least.")
    if not (kept := [word for word in kept if word not in known]):
        raise DataError("every word of the texts is in those of --new_to; give other texts.")
    if plain:
        for word in [word for word in kept if word.startswith("#")]:
            kept.remove(word)
            remark("left out: a line that begins with # is a comment among hot words", word)
        if not kept:
            raise DataError("every word of the texts begins with #, which no hot word can; give other texts.")
        textfiles.write_text(out, "".join(f"{word}\n" for word in kept))
    else:
        spelled_lexicon(kept, source=str(out)).save(out)
    show(Text(f"{out}: written, {len(kept):,} words{'' if plain else ' in letters'}"), console)
    return 0


def _grams(model: NgramModel) -> str:
    return ", ".join(f"{count:,} {n}-grams" for n, count in enumerate(model.counts, start=1))


def _parsers(make: NewParser) -> dict[str, ArgumentParser]:
    """Return the parsers of the commands by name."""
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
    part.add_argument(
        "--order", type=int | None, default=None, help=f"length of the longest n-grams, by default {WORDS} or {LETTERS}"
    )
    part.add_argument(
        "--letters", type=bool, default=False, help="whether to make a model of letters, which expects any words"
    )
    part.add_argument("--lexicon", type=Path, default=None, help="lexicon whose words are listed too")
    part.add_argument("--limit", type=int | None, default=None, help="number of the texts' commonest words to list")
    part = parsers["words"]
    part.add_argument("--out", type=Path, required=True, help="lexicon to write")
    part.add_argument("--new_to", nargs="+", type=Path, default=None, help="texts that do not have the words")
    part.add_argument(
        "--plain", type=bool, default=False, help="whether to write one word per line, as --hotwords reads them"
    )
    part.add_argument("--at_least", type=int, default=1, help="least number of occurrences of a word")
    for name in ("make", "words"):
        parsers[name].add_argument("--overwrite", type=bool, default=False, help="whether to replace the file --out")
    return parsers


def _run(arguments: Namespace) -> int:
    name = arguments.subcommand
    given = arguments[name]
    if name == "show":
        return show_model(given.lm, given.texts or ())
    if name == "words":
        return write_words(
            given.texts,
            given.out,
            new_to=given.new_to or (),
            plain=given.plain,
            at_least=given.at_least,
            overwrite=given.overwrite,
        )
    return make_model(
        given.texts,
        given.out,
        order=given.order,
        letters=given.letters,
        lexicon=given.lexicon,
        limit=given.limit,
        overwrite=given.overwrite,
    )


COMMAND = Command("make or show a language model of sentences", _run, below=_parsers)
