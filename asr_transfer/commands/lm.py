"""What `asr-transfer lm make | show | words` and `asr-transfer tune` do."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from asr_transfer.commands.options import TuneCommand
from asr_transfer.data.features import build_store
from asr_transfer.data.lexicon import Lexicon, read_for, spelled_lexicon
from asr_transfer.data.manifest import Utterance, read_manifest
from asr_transfer.data.speech import SpeechData
from asr_transfer.data.tokens import spells_phones
from asr_transfer.decoding.hot_words import HotWords
from asr_transfer.decoding.ngram import NgramModel
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.decoding.tuning import (
    DEFAULT_GRID,
    HOT_GRID,
    Tuned,
    log_posteriors,
    tune,
    tune_hot_words,
    unknown_scores,
)
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.evaluation.scoring import Hypothesis
from asr_transfer.evaluation.unwritable import find_unwritable
from asr_transfer.orthography import visible
from asr_transfer.runs.console import require_free, show
from asr_transfer.search_config import SearchConfig
from asr_transfer.textfiles import read_lines, write_text
from asr_transfer.whitespace import words_of


def read_texts(paths: Sequence[Path]) -> list[str]:
    """Return the sentences of files: the lines of texts, and the `text` of manifests (.jsonl).

    Raises:
        DataError: a file is missing, not UTF-8 text, or holds no sentences.
    """
    return [text for path in paths for text in _sentences(path)]


def make_model(
    texts: Sequence[Path],
    out: Path,
    *,
    order: int = 3,
    lexicon: Path | None = None,
    limit: int | None = None,
    overwrite: bool = False,
    console: Console | None = None,
) -> int:
    """Estimate a language model (interpolated Kneser-Ney) and write it as ARPA text.

    Args:
        texts: files with a sentence per line, or manifests.
        out: file to write.
        order: the longest n-gram.
        lexicon: file whose words the model shall list too.
        limit: list so many of the texts' commonest words only; the others count as `<unk>`, unless the lexicon holds
            them. Of equally common words the first ones stay.
        overwrite: replace the file `out`.
        console: to print to.

    Raises:
        DataError: a file is missing or damaged, the texts hold no words, or `out` exists.
        ConfigError: the order or the limit is not at least 1.
    """
    if limit is not None and limit < 1:
        raise ConfigError(f"--limit must be at least 1 word, got {limit}.")
    require_free(out, overwrite)
    sentences = read_texts(texts)
    more = [] if lexicon is None else Lexicon.read(lexicon).words
    counts = Counter(word for sentence in sentences for word in words_of(sentence))
    unlisted = set() if limit is None else {word for word, _ in counts.most_common()[limit:]}
    model = NgramModel.from_texts(sentences, order, more, unlisted)
    model.write(out)
    show(
        Text(f"{out}: written, {_grams(model)} of {len(sentences):,} sentences, {sum(counts.values()):,} words"),
        console,
    )
    return 0


def show_model(lm: Path, texts: Sequence[Path] = (), *, console: Console | None = None) -> int:
    """Print what a language model holds, and of each file of sentences its perplexity and the share of unlisted words.

    Raises:
        DataError: a file is missing or damaged, or holds no sentences.
    """
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
        fit = model.fit(_sentences(path))
        full = f"{fit.full_perplexity:,.1f}" if math.isfinite(fit.full_perplexity) else "–"
        numbers = (f"{fit.sentences:,}", f"{fit.words:,}", f"{fit.unlisted:,}", f"{100 * fit.oov:.1f}")
        table.add_row(Text(str(path)), *numbers, f"{fit.perplexity:,.1f}", full)
    show(table, console)
    return 0


def write_words(
    texts: Sequence[Path], out: Path, *, at_least: int = 1, overwrite: bool = False, console: Console | None = None
) -> int:
    """Write the words of sentences as a lexicon that spells them in letters, sorted.

    Args:
        texts: files with a sentence per line, or manifests.
        out: file to write.
        at_least: words that occur so often only.
        overwrite: replace the file `out`.
        console: to print to.

    Raises:
        DataError: a file is missing or damaged, there are no such words, or `out` exists.
        ConfigError: `at_least` is not at least 1.
    """
    if at_least < 1:
        raise ConfigError(f"--at_least must be at least 1, got {at_least}.")
    require_free(out, overwrite)
    counts = Counter(word for sentence in read_texts(texts) for word in words_of(sentence))
    if not (kept := sorted(word for word, count in counts.items() if count >= at_least)):
        raise DataError(f"no word of the texts occurs {at_least} times; give more texts or a smaller --at_least.")
    made = spelled_lexicon(kept, source=str(out))
    made.save(out)
    show(Text(f"{out}: written, {len(made):,} words in letters"), console)
    return 0


def tune_search(
    command: TuneCommand, recogniser: Recogniser, utterances: Sequence[Utterance], console: Console | None = None
) -> int:
    """Choose the weights of a search on development speech, and write a file for `--config` of other commands.

    With a lexicon: `word_score`, `lm_weight` (where there is a language model), `unknown_score` (where that lists not
    all words and none is given) and `hot_weight` (where there are hot words) of the search for sentences. Without one:
    `hot_weight` of the search for hot words.

    Args:
        command: what to search with.
        recogniser: the model, with its profile.
        utterances: development speech with transcripts.
        console: to print to.

    Raises:
        DataError: a file is missing or damaged, holds what the model does not know, or `out` exists.
        ConfigError: hot words without a lexicon for a model of phones.
    """
    require_free(command.out, command.overwrite)
    lexicon = None if command.lexicon is None else read_for(command.lexicon, recogniser.tokens)
    hot = None if command.hotwords is None else HotWords.read(command.hotwords)
    model = None if command.lm is None else NgramModel.read(command.lm)
    if lexicon is None and spells_phones(recogniser.tokens.units):
        raise ConfigError(
            f"{command.hotwords}: the model hears phones, so hot words need pronunciations; give a --lexicon that "
            "holds them."
        )
    store = build_store(utterances, recogniser.model.config.features)
    posteriors = log_posteriors(recogniser, SpeechData(utterances, store, recogniser.tokens, with_targets=False))
    references = [utterance.text for utterance in utterances]
    written, writes = recogniser.written(), recogniser.writes
    if lexicon is not None:
        written, writes = {"": [*lexicon.words, " "]}, "words"
    rows = [Hypothesis(u.id, u.speaker, u.language, u.text, "") for u in utterances]
    if lacking := find_unwritable(rows, written, writes):
        show(Text(f"{lacking.told}; no weight mends them, so write the transcripts as the model does first"), console)
    if lexicon is not None:
        grid = {**DEFAULT_GRID, **(HOT_GRID if hot is not None else {})}
        if model is not None and command.search.unknown_score is None and (tried := unknown_scores(model, lexicon)):
            grid["unknown_score"] = tried
        tuned = tune(posteriors, references, lexicon, recogniser.tokens, model, command.search, grid, hot_words=hot)
    else:
        assert hot is not None  # the command needs one of the two
        tuned = tune_hot_words(posteriors, references, recogniser.tokens, hot, None, command.search)
    write_tuned(command, tuned)
    show(_trials(tuned), console)
    best = min(tuned.trials, key=lambda trial: trial.errors)
    weights = ", ".join(f"{name} {value:g}" for name, value in best.weights.items())
    show(
        Text(
            f"{command.out}: written; {weights} make {best.errors:,} errors in {best.reference:,} words of "
            f"{len(utterances):,} utterances ({100 * best.rate:.1f} %)"
        ),
        console,
    )
    return 0


def write_tuned(command: TuneCommand, tuned: Tuned) -> None:
    """Write the tuned settings, and what they belong to with whole paths, as YAML that `--config` reads."""
    plain = dataclasses.asdict(tuned.config)
    values: dict[str, object] = {"model": str(command.model.absolute())}
    for name in ("profile", "lexicon", "lm", "hotwords"):
        if (path := getattr(command, name)) is not None:
            values[name] = str(path.absolute())
    if command.language is not None:
        values["language"] = command.language
    if command.lexicon is not None:
        values["sentences"] = True
    defaults = dataclasses.asdict(SearchConfig())
    chosen = tuned.trials[0].weights.keys()
    values["search"] = {name: value for name, value in plain.items() if name in chosen or value != defaults[name]}
    head = f"# Weights chosen on {command.data} by `asr-transfer tune`; give this file to --config of other commands.\n"
    write_text(command.out, head + yaml.safe_dump(values, allow_unicode=True, sort_keys=False))


def _sentences(path: Path) -> list[str]:
    """Return the sentences of a file."""
    if path.suffix == ".jsonl":
        return [visible(utterance.text) for utterance in read_manifest(path)]
    lines = read_lines(path, "give a file with a sentence per line")
    if not (found := [visible(line) for line in lines if line.strip()]):
        raise DataError(f"{path}: holds no sentences; write one per line.")
    return found


def _grams(model: NgramModel) -> str:
    return ", ".join(f"{count:,} {n}-grams" for n, count in enumerate(model.counts, start=1))


def _trials(tuned: Tuned) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    names = list(tuned.trials[0].weights)
    for heading in (*names, "errors", "%"):
        table.add_column(heading, justify="right")
    fewest = min(trial.errors for trial in tuned.trials)
    for trial in tuned.trials:
        cells = [*(f"{trial.weights[name]:g}" for name in names), f"{trial.errors:,}", f"{100 * trial.rate:.1f}"]
        table.add_row(*cells, style="bold" if trial.errors == fewest else None)
    return table
