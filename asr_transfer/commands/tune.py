"""Chooses the weights of a search on development speech: `asr-transfer tune`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import yaml
from jsonargparse import Namespace
from rich.console import Console
from rich.table import Table
from rich.text import Text

from asr_transfer.commands.options import Command, SearchOptions, add_settings, settings_of
from asr_transfer.commands.speech import read_speech
from asr_transfer.commands.word_files import ENDINGS, file_of
from asr_transfer.data.lexicon import read_for
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.tokens import spells_phones
from asr_transfer.decoding.settings import SearchConfig
from asr_transfer.errors import ConfigError
from asr_transfer.evaluation.scoring import Hypothesis
from asr_transfer.evaluation.unwritable import find_unwritable
from asr_transfer.orthography import case_of
from asr_transfer.plain import to_plain
from asr_transfer.runs.console import require_free, say, show
from asr_transfer.textfiles import write_text

if not TYPE_CHECKING:
    pass
else:  # not of `if TYPE_CHECKING`, which the parser runs to resolve the types of the options below
    from asr_transfer.decoding.recogniser import Recogniser
    from asr_transfer.decoding.tuning import Tuned


@dataclass(frozen=True, kw_only=True)
class TuneCommand(SearchOptions):
    """Choose the weights of the search for sentences or hot words by its errors on development speech.

    `search` holds the other settings, and the weights to begin with; some of the hot words should occur in `data`.

    Attributes:
        data: manifest, or folder of recordings with transcripts; never those that are tested on.
        out: YAML file to write, for `--config` of `transcribe` and `evaluate`.
        language: head to listen with, where the model has several; by default that of the profile or of the manifest,
            else the one that the model was taught or adapted in last.
            `auto` takes the language that most recordings of a folder seem to be in.
        unit: errors that are counted. A model of letters with the fewest word errors may make many more in characters.
        overwrite: whether to replace the file `out`.
    """

    data: Path
    out: Path
    language: str | None = None
    unit: Literal["words", "characters"] = "words"
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.lexicon is None and self.hotwords is None and self.lm is None:
            raise ConfigError("there is nothing to tune; give a --lexicon for sentences, an --lm or --hotwords.")
        if self.unit == "characters" and self.lexicon is None and self.lm is None:
            raise ConfigError("the weight of hot words alone is chosen by word errors; leave --unit out.")
        if self.language == "auto":
            raise ConfigError("weights are chosen for one language; name it with --language instead of auto.")


def tune_search(
    command: TuneCommand, recogniser: Recogniser, utterances: Sequence[Utterance], console: Console | None = None
) -> int:
    """Choose the weights of a search on development speech, and write a file for `--config` of other commands.

    With a lexicon: `word_score`, `lm_weight` (where there is a language model), `unknown_score` (where that lists not
    all words and none is given) and `hot_weight` (where there are hot words) of the search for sentences. Without one:
    `lm_weight` and `word_score` of a language model of letters, and `hot_weight` of hot words, as far as there are any.

    Args:
        command: options of the search, and where to write.
        recogniser: the model, with its profile.
        utterances: development speech with transcripts.
        console: terminal to print to; None for the standard output.

    Raises:
        DataError: a file is missing or damaged, holds what the model does not know, or `out` exists.
        ConfigError: hot words without a lexicon for a model of phones.
    """
    from asr_transfer.data.features import build_store
    from asr_transfer.data.speech import Spoken
    from asr_transfer.decoding.hot_words import HotWords
    from asr_transfer.decoding.ngram import NgramModel
    from asr_transfer.decoding.tuning import (
        DEFAULT_GRID,
        HOT_GRID,
        tune,
        tune_hot_words,
        tune_spelling,
        unknown_scores,
    )

    require_free(command.out, command.overwrite)
    files = {name: file_of(name, getattr(command, name), recogniser.head) for name in ENDINGS}
    lexicon = None if files["lexicon"] is None else read_for(files["lexicon"], recogniser.tokens)
    hot = None if files["hotwords"] is None else HotWords.read(files["hotwords"])
    model = None if files["lm"] is None else NgramModel.read(files["lm"])
    if lexicon is None and hot is not None and spells_phones(recogniser.tokens.units):
        raise ConfigError(
            f"{command.hotwords}: the tokens of the model are phones, so hot words need pronunciations; "
            "give a --lexicon that holds them."
        )
    store = build_store(utterances, recogniser.model.inputs)
    posteriors = recogniser.posteriors(Spoken(utterances, store))
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
        tuned = tune(
            posteriors, references, lexicon, recogniser.tokens, model, command.search, grid, False, hot, command.unit
        )
    elif model is not None:
        tuned = tune_spelling(posteriors, references, recogniser.tokens, model, hot, command.search, None, command.unit)
    else:
        assert hot is not None  # the command needs one of the three
        tuned = tune_hot_words(posteriors, references, recogniser.tokens, hot, None, command.search)
    write_tuned(command, recogniser.head, tuned)
    show(_trials(tuned), console)
    best = min(tuned.trials, key=lambda trial: trial.errors)
    weights = ", ".join(f"{name} {value:g}" for name, value in best.weights.items())
    show(
        Text(
            f"{command.out}: written; {weights} make {best.errors:,} errors in {best.reference:,} {command.unit} of "
            f"{len(utterances):,} utterances ({100 * best.rate:.1f} %)"
        ),
        console,
    )
    return 0


def write_tuned(command: TuneCommand, head: str, tuned: Tuned) -> None:
    """Write the tuned settings, and what they belong to with whole paths, as YAML that `--config` reads.

    Args:
        command: options that they were tuned with.
        head: head that they were tuned for, which is named where the model has several.
        tuned: settings that were chosen.
    """
    from asr_transfer.decoding.folder import heads_in
    from asr_transfer.models.pretrained.hub import local_folder

    plain = to_plain(tuned.config)
    values: dict[str, object] = {"model": str(local_folder(command.model).absolute())}
    for name in ("profile", "lexicon", "lm", "hotwords"):
        if (path := getattr(command, name)) is not None:
            values[name] = str(path.absolute())
    if command.language is not None or len(heads_in(command.model)) > 1:
        values["language"] = head
    if command.lexicon is not None:
        values["sentences"] = True
    defaults = to_plain(SearchConfig())
    chosen = tuned.trials[0].weights.keys()
    values["search"] = {name: value for name, value in plain.items() if name in chosen or value != defaults[name]}
    head = f"# Weights chosen on {command.data} by `asr-transfer tune`; give this file to --config of other commands.\n"
    write_text(command.out, head + yaml.safe_dump(values, allow_unicode=True, sort_keys=False))


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


def _run(arguments: Namespace) -> int:
    from asr_transfer.commands.language import find_head, in_language
    from asr_transfer.commands.profile_on_model import load_with_profile
    from asr_transfer.decoding.folder import speaks_many

    command = settings_of(TuneCommand, arguments)
    require_free(command.out, command.overwrite)
    if speaks_many(command.model):
        raise ConfigError(
            f"weights are chosen for models with CTC, but {command.model} writes its texts token after token; score "
            "some values of --search.hot_weight by `asr-transfer evaluate --hotwords`, which tells the errors at the "
            "hot words and at all others."
        )
    head = find_head(command.model, command.language, say, profile=command.profile, data=command.data)
    recogniser = load_with_profile(command.model, command.profile, head)
    case = recogniser.case()
    lexicon = file_of("lexicon", command.lexicon, recogniser.head)
    if recogniser.writes == "phones" and lexicon is not None:
        # The texts are made of its words.
        case = case_of(read_for(lexicon, recogniser.tokens).words)
    utterances = read_speech(command.data, head, case)
    if recogniser.others:
        utterances = in_language(utterances, head, recogniser.model.head_names(), command.data, say)
    return tune_search(command, recogniser, utterances)


COMMAND = Command("choose the weights of a search on development speech", _run, partial(add_settings, kind=TuneCommand))
