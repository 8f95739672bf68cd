"""Runs an experiment on unseen words: corpora, models, lexica of rising size, and figures."""

# Annotations are not postponed here: jsonargparse resolves postponed ones of a recipe's first base class alone.

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr_transfer.data.features import build_store
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.decoding.settings import SearchConfig
from asr_transfer.errors import ConfigError
from asr_transfer.experiments.core.jobs import run_jobs
from asr_transfer.experiments.core.tables import Table
from asr_transfer.experiments.words.corpora import MADE_UP, CorporaConfig, find_corpora, read_spoken
from asr_transfer.experiments.words.error_rates import (
    Extras,
    Figure,
    control_figures,
    extras,
    phone_figures,
    sentence_figures,
    spelt_words,
    word_figures,
)
from asr_transfer.experiments.words.listeners import load_listener, note_training
from asr_transfer.experiments.words.models import (
    CONTROL,
    ModelsConfig,
    find_aligner,
    precise_learning,
    trainings,
)
from asr_transfer.experiments.words.segments import with_cuts
from asr_transfer.experiments.words.tables import figures_table, words_table
from asr_transfer.experiments.words.unseen import (
    UNSEEN,
    Row,
    Trial,
    Words,
    WordsConfig,
    groups,
    headline,
    refuse_leaks,
    summarise,
    try_model,
    write_trials,
)
from asr_transfer.experiments.words.word_corpus import MaterialConfig, assemble, note_lexica, note_words, save_words
from asr_transfer.runs.record import RunRecord
from asr_transfer.runs.workers import Backend
from data_prep.made_up import MadeUpConfig

QUICK = 60
"""Utterances of each manifest that a quick experiment trains on."""


@dataclass(frozen=True, kw_only=True)
class UnseenConfig(WordsConfig, CorporaConfig, ModelsConfig):
    """Experiment on words that no model was trained on.

    Attributes:
        material: Pronunciations, the lexicon, and which words are kept from training.
        search: Settings of the search for sentences of the lexicon's words.
        quick: Whether the experiment is a small one of the same kind, to see it work.
    """

    material: MaterialConfig = field(default_factory=MaterialConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    quick: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.aligner is not None and not (self.material.cut or self.material.pieces):
            raise ConfigError("`aligner` cuts words or pieces; ask for them with `material.cut` or `material.pieces`.")

    def shortened(self) -> "UnseenConfig":
        """Return a small experiment of the same kind: one seed, a tenth of the steps, less speech, fewer words."""
        trainer = self.learn.trainer
        steps = max(1, trainer.steps // 10)
        short = replace(trainer, steps=steps, validate_every=min(trainer.validate_every, steps))
        words = self.made_up
        if self.corpus == MADE_UP:
            words = MadeUpConfig(400, 60, 12, 24, 6, 4, 2, 20, words.seed)
        return replace(self, seeds=self.seeds[:1], draws=1, learn=replace(self.learn, trainer=short), made_up=words)


@dataclass(frozen=True)
class Outcome:
    """Results of an experiment.

    Attributes:
        rows: Shares of each group of words that are found in lexica of each size.
        figures: The experiment at a glance.
        models: Scores and thresholds by the name of the model.
    """

    rows: Sequence[Row]
    figures: Sequence[Figure]
    models: Mapping[str, Mapping[str, Any]]

    def scores(self) -> dict[str, Any]:
        """Return everything for the record, with the first model's scores as those of the test."""
        first = next(iter(self.models.values()))
        return {"test": first, "figures": self.figures, "rows": self.rows, "models": self.models}

    def tables(self, top: int) -> dict[str, list[Table]]:
        """Return the experiment at a glance, and all rows.

        Args:
            top: Number of best words among which a word counts as found, besides the best alone.
        """
        return {"figures": [figures_table(self.figures)], "words": [words_table(self.rows, top)]}


def run_unseen(config: UnseenConfig, record: RunRecord, workers: int = 1, backend: Backend = "processes") -> Outcome:
    """Train the models that are not finished, look for the test words with each, and sum up what they found.

    Args:
        config: Corpora, models and lexica.
        record: Record of the run, whose folder gets `data`, `corpora`, `models` and `hypotheses.jsonl`.
        workers: Parallel processes, of one thread each.
        backend: Place of the processes: this machine, or a Ray cluster.

    Raises:
        AsrTransferError: corpora, models and settings do not go together, or the run began with others.
    """
    out = record.folder
    config = replace(config, learn=precise_learning(config, out, record.say))
    words = prepare_words(config, record, workers)
    refuse_leaks(words, record.say)
    for path in config.models:
        note_training(path, words, record.say)
    jobs = trainings(config, out / "data")
    for name in run_jobs(out, jobs, workers, "models", backend):
        record.say(f"model '{Path(name).name}' ready")
    places = {f"{n}-{path.name}": path for n, path in enumerate(config.models)}
    places.update({Path(job.name).name: out / job.name for job in jobs if not job.alone})
    tried = _try_models(config, words, places, record)
    both = headline(tried.members)
    ruled = {name: where for name, where in both.items() if name == UNSEEN}
    by_rule = summarise(tried.by_rule, words.test, ruled, config.top) if tried.by_rule else []
    figures = word_figures(summarise(tried.trials, words.test, both, config.top), by_rule)
    figures += phone_figures(tried.heard, both) + sentence_figures(tried.heard, words)
    if config.control is not None:
        control = Recogniser.load(out / "models" / CONTROL, words.test[0].language)
        spelt = spelt_words(control, words.test, build_store(words.test, control.model.inputs))
        figures += control_figures(spelt, config.control, both)
    rows = summarise(tried.trials, words.test, tried.members, config.top)
    return Outcome(rows, figures, write_trials(out, tried.trials))


def prepare_words(config: UnseenConfig, record: RunRecord, workers: int = 1) -> Words:
    """Prepare the corpora, make the experiment's utterances and lexicon, and write them into `OUT/data`.

    Raises:
        AsrTransferError: corpora and settings do not go together, or the run began with others.
    """
    say, out, material = record.say, record.folder, config.material
    spoken = read_spoken(config, find_corpora(config, out / "corpora", say, workers), QUICK if config.quick else None)
    words = assemble(spoken, material, say)
    # The test words may be cut by a model that is yet to be trained; what it is trained on is held to at once.
    note_words(record, words, ("train", "judging", "dev", "sentences"))
    record.data("spoken test", config.corpus, spoken.test)
    record.data("spoken own", config.corpus, spoken.own)
    if material.cut or material.pieces:
        aligner = find_aligner(config, material, words, spoken, out, say)
        words = with_cuts(words, spoken, material, aligner, say)
    note_words(record, words, ("test", "pieces"))
    note_lexica(record, words)
    save_words(words, out / "data")
    return words


@dataclass(frozen=True)
class _Tried:
    """Results of all models: with the lexicon, with the one by rule, beside the words, and the groups of words."""

    trials: list[Trial]
    by_rule: list[Trial]
    heard: list[Extras]
    members: Mapping[str, NDArray[np.bool_]]


def _try_models(config: UnseenConfig, words: Words, places: Mapping[str, Path], record: RunRecord) -> _Tried:
    """Look for the test words with each model, by name and folder.

    Raises:
        ConfigError: the models differ in units.
    """
    found, units = _Tried([], [], [], {}), set()
    for name, path in places.items():
        recogniser = load_listener(path, config.head or words.test[0].language, words)
        units.add(recogniser.tokens.units)
        if len(units) > 1:
            raise ConfigError(
                f"the models spell {' and '.join(sorted(units))}; score those of the same units together."
            )
        store = build_store([*words.dev, *words.test, *words.sentences], recogniser.model.inputs)
        found.trials.append(try_model(name, recogniser, words, store, config))
        if words.by_rule is not None:
            ruled = replace(words, dev=(), lexicon=words.by_rule)
            # Rules may write phones that no dictionary of the training speech has.
            found.by_rule.append(try_model(name, recogniser, ruled, store, replace(config, map_phones=True)))
        found.heard.append(extras(recogniser, words, store, config.search, config.map_phones))
        found = replace(found, members=groups(words, recogniser))
        record.say(f"model '{name}' scored with {found.trials[-1].sizes[-1]:,} words")
    return found
