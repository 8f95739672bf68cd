"""Runs an adaptation experiment: source models, then every method × amount × draw on every held-out speaker.

Each trial is one line of `trials.jsonl`. Trials run in parallel processes of one thread each, and give the same figures
in any order and number of processes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from asr_transfer.adaptation.adapt import adapt, spelled_by_head
from asr_transfer.adaptation.adaptable_source import train_source
from asr_transfer.adaptation.answers import answers
from asr_transfer.adaptation.choice import AUTO, adapt_by_choice, lasting
from asr_transfer.adaptation.film_summary import FILM
from asr_transfer.adaptation.loss_of_others import rise
from asr_transfer.adaptation.methods import default_learning_rate, find_methods, reads_transcripts, starting
from asr_transfer.adaptation.own_statistics import normalised_as, statistics_of
from asr_transfer.adaptation.settings import AdaptConfig, ChoiceConfig, MethodSettings
from asr_transfer.adaptation.speaker_profiles import space_of_training
from asr_transfer.adaptation.warp import prior_of_training, unwarped, warp_of
from asr_transfer.config import KEEP_SOURCE, ModelConfig, ProfileKind, SourceConfig, to_record
from asr_transfer.data.features import FeatureStore, build_store
from asr_transfer.data.inputs import Inputs
from asr_transfer.data.judged import HeldOut
from asr_transfer.data.kept_source import judged_origin, keep, remarks, writers
from asr_transfer.data.manifest import Utterance, checksum, read_manifest
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.folder import model_folder
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.decoding.settings import WritingConfig
from asr_transfer.devices import find_device
from asr_transfer.errors import ConfigError, DataError, NothingUsable
from asr_transfer.experiments.core.jobs import Job, run_jobs, run_tasks
from asr_transfer.experiments.core.ledger import Data
from asr_transfer.experiments.speakers.protocol import Draw, Fold, ProtocolConfig, others_of, speaker_folds
from asr_transfer.experiments.speakers.trials import Counted, Trial, trials_of
from asr_transfer.models.kinds import network_inputs
from asr_transfer.models.pretrained.door import is_foreign
from asr_transfer.progress import Work
from asr_transfer.ranges import Count, Positive, Ranged, Share
from asr_transfer.remarks import remark
from asr_transfer.runs.record import RunRecord
from asr_transfer.runs.workers import Backend
from asr_transfer.training import distributed
from asr_transfer.training.hypotheses import hypotheses
from asr_transfer.training.precision import precise

WITHOUT_SOURCE = "auto-without-source"
AUTOMATIC = (AUTO, WITHOUT_SOURCE)
UNUSABLE = "nothing usable"
"""What `auto` chose where it had nothing to choose by."""
"""Methods that choose among the others on the speaker's own utterances, with and without source utterances."""


@dataclass(frozen=True)
class MethodGrid(Ranged, section="methods"):
    """A method and the learning rates it may choose from on development speakers.

    Attributes:
        name: name of the method, or several joined with `+`; `none` is the source model, which writes in another way.
        learning_rates: candidates.
        amounts: amounts of the protocol's, those that the method is run on; none stands for all.
        title: name in tables, for a method that stands there more than once; empty for the method's own.
        settings: settings of the methods, where they are others than those of `adapt`.
        strength: distance that the weights move, where it is another than that of `adapt`.
        writing: way to write, of models of sequence to sequence, where it is another than the usual one.
    """

    name: str
    learning_rates: tuple[Positive, ...] = (1e-4, 3e-4, 1e-3)
    amounts: tuple[Count, ...] = ()
    title: str = ""
    settings: MethodSettings | None = None
    strength: Share | None = None
    writing: WritingConfig | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.title and not re.fullmatch(r"[\w+.-]+", self.title):
            raise ConfigError(f"`methods`: the title '{self.title}' must be of letters, digits, and any of + . - _.")
        rewritten = self.name == "none" and not self.title and self.writing is not None
        if rewritten or self.title == "none":
            raise ConfigError(
                "`methods`: the source model is always run, as `none`; to let it write in another way, give it another "
                "`title`."
            )

    @property
    def called(self) -> str:
        """Name in tables and trials."""
        return self.title or self.name

    def adapting(self, usual: AdaptConfig) -> AdaptConfig:
        """Return the usual settings of an adaptation with the method's own in their place."""
        own = {name: getattr(self, name) for name in ("settings", "strength") if getattr(self, name) is not None}
        return replace(usual, **own)

    @property
    def rates(self) -> tuple[float, ...]:
        """The learning rates that are run: none where the method trains nothing or chooses for itself."""
        if self.name in AUTOMATIC or not default_learning_rate(self.name):
            return (0.0,)
        return self.learning_rates


@dataclass(frozen=True)
class ExperimentConfig(Ranged):
    """An adaptation experiment.

    Attributes:
        protocol: settings of who is held out, of amounts and draws.
        source: settings of the source models.
        model: a source model's folder to use instead of making one, where the protocol has one fold: one that was
            trained on the training split, or a published one.
        adapt: budget of one adaptation, the same for every method.
        choice: settings of the choice by `auto`, which is given source utterances, `auto-without-source` is not.
        methods: methods with their learning rates.
        speaker_profiles: kind of the profiles, `lhuc`, `lin` or `lora`, that are made of each source model's training
            speakers, for methods that go by them. None makes none.
    """

    protocol: ProtocolConfig = field(default_factory=ProtocolConfig)
    source: SourceConfig = field(default_factory=SourceConfig)
    model: Path | None = None
    adapt: AdaptConfig = field(default_factory=AdaptConfig)
    choice: ChoiceConfig = field(default_factory=ChoiceConfig)
    methods: tuple[MethodGrid, ...] = (MethodGrid("full"),)
    speaker_profiles: ProfileKind | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model is not None and self.protocol.hold_out != "splits":
            raise ConfigError("`model` is one source model, but this protocol needs one per fold; leave it out.")
        for grid in self.methods:
            unknown = [amount for amount in grid.amounts if amount not in self.protocol.amounts]
            if unknown:
                raise ConfigError(
                    f"`methods`: {grid.called} asks for {unknown[0]} utterances, which `protocol.amounts` does not "
                    "list."
                )
        several = [grid.called for grid in self.methods if len(grid.rates) > 1]
        if self.protocol.others == "dev" and several:
            raise ConfigError(
                f"`{several[0]}` has several learning rates, but with `protocol.others: dev` there are no development "
                "speakers to choose on; give one rate."
            )
        titles = [grid.called for grid in self.methods]
        if not titles or len(set(titles)) != len(titles):
            raise ConfigError("`methods` must name at least one method, and each once, or by different `title`s.")
        for name in (grid.name for grid in self.methods):
            if name not in AUTOMATIC:
                find_methods(name)
                start, made = starting(name), self.source.speaker_adaptive
                if start == FILM and self.model is None and (made is None or made.kind != FILM):
                    raise ConfigError(
                        f"`methods`: {name} goes by a summary that no source model here is trained with; give "
                        "`source.speaker_adaptive.kind` film."
                    )
                if start not in (None, FILM) and self.speaker_profiles is None and self.model is None:
                    raise ConfigError(
                        f"`methods`: {name} goes by the profiles of the training speakers, which no source model here "
                        "has; give `speaker_profiles`, such as lhuc."
                    )
            if self.protocol.transductive and name != "none" and (name in AUTOMATIC or reads_transcripts(name)):
                raise ConfigError(
                    f"`methods`: {name} reads transcripts, and `protocol.transductive` tests on the utterances that it "
                    "would read them of; leave one of them out."
                )


Key = tuple[str, Draw, int, str, float]
"""Fold, draw, amount, name of the method in tables, learning rate."""


@dataclass(frozen=True)
class Workshop:
    """What a worker process needs to run trials: plain values and paths, nothing heavy."""

    manifests: Mapping[str, str]
    folder: str
    config: ExperimentConfig

    def utterances(self) -> dict[str, Utterance]:
        """Return all utterances by id."""
        return _utterances(tuple(sorted(self.manifests.items())))

    def store(self) -> FeatureStore:
        """Return the features of all utterances at every speed that any stage uses."""
        config = self.config
        trained = config.source.speeds if config.model is None else ()
        speeds = tuple(sorted({1.0, *trained, *config.adapt.speeds, *config.choice.refit_speeds}))
        inputs = _inputs(config.source.model) if config.model is None else _load(str(config.model)).model.inputs
        return _store(tuple(sorted(self.manifests.items())), inputs, speeds)

    def source(self, fold: str) -> Recogniser:
        """Return a fold's source model, on the device that it is adapted on."""
        recogniser = _load(str(self.config.model or Path(self.folder) / "models" / fold))
        recogniser.model.to(find_device(self.config.adapt.device))
        return recogniser


def run_experiment(
    manifests: Mapping[str, Path],
    config: ExperimentConfig,
    folder: Path,
    workers: int,
    log: Callable[[str], None],
    backend: Backend = "processes",
) -> tuple[list[Fold], list[Trial]]:
    """Train the source models and run all trials.

    Args:
        manifests: manifests by split.
        config: the experiment.
        folder: the run folder; `models/FOLD` below it are the source models' run folders.
        workers: parallel processes.
        log: function that is called with a line at each stage.
        backend: Place of the processes: this machine, or a Ray cluster.

    Returns:
        The folds, and all trials: of several learning rates every one on development speakers, the chosen one on test
        speakers. Where one speaker after the other is left out, each is the others' development speaker, and all rates
        were run.
    """
    shop, folds = train_sources(manifests, config, folder, workers, log, backend)
    trials, by_fold = trials_of(folder), {fold.name: fold for fold in folds}

    def complete(keys: Iterable[Key], label: str) -> None:
        tasks = {_plain(key): (shop, by_fold[key[0]], key) for key in keys}
        for _ in run_tasks(trials, tasks, run_trial, workers, label, backend):
            pass

    every = config.protocol.hold_out != "splits"
    first = [key for fold in folds for draw in (fold.test if every else fold.dev) for key in _keys(fold, draw, config)]
    if not every:  # where there is one rate, there is nothing to choose on development speakers
        first = [key for key in first if not only_rate(config, key[3])]
    complete(first, "every learning rate" if every else "development speakers")
    if not every:
        rates = choose_rates(trials, {d.speaker for f in folds for d in f.dev})
        chosen = [
            key
            for fold in folds
            for draw in fold.test
            for key in _keys(fold, draw, config)
            if key[4] in only_rate(config, key[3]) or key[4] == rates.get((key[3], key[2]))
        ]
        complete(chosen, "test speakers")
    return folds, list(trials)


def _precise(config: ExperimentConfig, folder: Path, log: Callable[[str], None]) -> ExperimentConfig:
    """Return the experiment with a precision instead of `auto`: one for all trainings that are compared."""
    network = config.source.model if config.model is None else _load(str(config.model)).model
    trainer = precise(config.source.trainer, folder, network, log)
    source = replace(config.source, trainer=trainer)
    adapt = config.adapt if config.adapt.precision != "auto" else replace(config.adapt, precision=trainer.precision)
    return replace(config, source=source, adapt=adapt)


def train_sources(
    manifests: Mapping[str, Path],
    config: ExperimentConfig,
    folder: Path,
    workers: int,
    log: Callable[[str], None],
    backend: Backend = "processes",
    speakers: Collection[str] = (),
) -> tuple[Workshop, list[Fold]]:
    """Make the folds and their source models; see `run_experiment` for the other arguments.

    Args:
        speakers: test speakers of whom one at least must be in a fold, for it to be made; none stands for all.

    Raises:
        DataError: a source model is given that may have been trained on what is judged on.
    """
    splits = {name: read_manifest(path) for name, path in manifests.items()}
    folds = speaker_folds(splits, config.protocol)
    folds = [fold for fold in folds if not speakers or any(draw.speaker in speakers for draw in fold.test)]
    for fold in folds:
        for speaker, draw in {d.speaker: d for d in fold.test}.items():
            missing = [n for n in config.protocol.amounts if n > len(draw.pool)]
            if missing:
                log(f"{speaker} has too few utterances to adapt on {', '.join(map(str, missing))}; left out there")
    if config.protocol.judged_utterances and not all(fold.judged for fold in folds):
        log("there is too little speech to hold some out from training, so `auto` does not judge what others lose")
    shop = Workshop({name: str(path) for name, path in manifests.items()}, str(folder), config)
    shop = replace(shop, config=_precise(config, folder, log))
    begin = time.process_time()
    shop.store()
    log(f"features ready ({time.process_time() - begin:.1f} CPU-seconds)")
    to_train = [] if config.model is not None else [TrainFold(shop, fold) for fold in folds]
    # Of a published model nobody knows what it heard, and it is told apart from one of this protocol's.
    if config.model is not None and folds[0].judged and not is_foreign(model_folder(config.model)):
        known = shop.utterances()
        trained_on = checksum([known[name] for name in folds[0].train])
        if shop.source(folds[0].name).origin.get("trained_on") != trained_on:
            raise DataError(
                f"{config.model}: was not trained on this protocol's training utterances, so perhaps on those that are "
                "held out to judge on; leave `model` out, or set `protocol.judged_utterances` to 0."
            )
    for name in run_jobs(folder, to_train, workers, "source models", backend):
        log(f"source model '{name.rpartition('/')[2]}' ready")
    return shop, folds


def choose_rates(trials: Iterable[Trial], speakers: set[str]) -> dict[tuple[str, int], float]:
    """Return the learning rate of fewest errors on `speakers` for each (method, amount); ties take the smaller rate.

    Of models that can run away, the errors of each utterance are capped. Where only one rate was run, there is nothing
    to choose.
    """
    errors: dict[tuple[str, int], dict[float, int]] = {}
    run: dict[tuple[str, int], set[float]] = {}
    for trial in trials:
        if trial.method != "none":
            key = (trial.method, trial.amount)
            run.setdefault(key, set()).add(trial.learning_rate)
            if trial.speaker in speakers:
                rates = errors.setdefault(key, {})
                rates[trial.learning_rate] = rates.get(trial.learning_rate, 0) + trial.bounded
    chosen = {key: min(rates, key=lambda rate: (rates[rate], rate)) for key, rates in errors.items()}
    return {**{key: next(iter(rates)) for key, rates in run.items() if len(rates) == 1}, **chosen}


def only_rate(config: ExperimentConfig, method: str) -> tuple[float, ...]:
    """Return a method's learning rate where there is only one to choose from, else nothing."""
    rates = next((grid.rates for grid in config.methods if grid.called == method), (0.0,))
    return rates if len(rates) == 1 else ()


def _keys(fold: Fold, draw: Draw, config: ExperimentConfig) -> list[Key]:
    keys: list[Key] = [(fold.name, draw, 0, "none", 0.0)]
    keys += [(fold.name, draw, 0, grid.called, 0.0) for grid in config.methods if grid.name == "none"]
    for amount in config.protocol.amounts:
        if amount <= len(draw.pool):
            trained = [grid for grid in config.methods if grid.name != "none"]
            wanted = [grid for grid in trained if not grid.amounts or amount in grid.amounts]
            keys += [(fold.name, draw, amount, grid.called, rate) for grid in wanted for rate in grid.rates]
    return keys


def _plain(key: Key) -> tuple[Any, ...]:
    """Return a key as a trial has it."""
    fold, draw, amount, method, rate = key
    return (fold, draw.speaker, draw.number, amount, method, rate)


@dataclass(frozen=True)
class TrainFold(Job):
    """Trains a fold's source model.

    Attributes:
        shop: Place of the experiment's utterances and features.
        fold: The fold.
    """

    shop: Workshop
    fold: Fold

    @property
    def name(self) -> str:
        """Its run folder."""
        return f"models/{self.fold.name}"

    def settings(self) -> dict[str, Any]:
        """Return the settings of the source model."""
        kind = self.shop.config.speaker_profiles
        return {**to_record(self.shop.config.source), **({"speaker_profiles": kind} if kind else {})}

    def data(self) -> Data:
        """Return what it is trained on, and what is held out to judge on."""
        known, path = self.shop.utterances(), str(Path(self.shop.folder) / self.name)
        parts = {"train": self.fold.train, "judged": self.fold.judged}
        return {name: (path, [known[one] for one in ids]) for name, ids in parts.items() if ids}

    def run(self, record: RunRecord, data: Data) -> None:
        """Train it, and keep with it what was held out."""
        config, store = self.shop.config.source, self.shop.store()
        train, judged = (list(data[name][1]) if name in data else [] for name in ("train", "judged"))
        recogniser, result, report = train_source(
            Spoken(train, store), Spoken([], store), config, record.folder, record.log
        )
        card = f"# Speaker-independent model\n\nTrained on {len(train)} utterances, fold '{self.fold.name}'.\n"
        held = HeldOut(train, judged, "")
        kept = keep(held, report, store, KEEP_SOURCE, config.trainer.seed)
        origin = {
            "trained_on": record.values["data"]["train"]["checksum"],
            **judged_origin(held),
            **prior_of_training(recogniser, train, report, store, config.trainer.seed),
        }
        if self.shop.config.speaker_profiles is not None:
            left_out = {name for name, _ in report.dropped}
            recogniser.model.speakers = space_of_training(
                recogniser, [u for u in train if u.id not in left_out], store, self.shop.config.speaker_profiles,
                config.trainer.seed, record.log, Spoken(judged, store), distributed.join(config.trainer.device),
            )  # fmt: skip
        recogniser.save(record.folder / "model", card + remarks(kept), origin, writers(kept))
        training = {"cpu_seconds": round(result.cpu_seconds, 2), "steps": result.steps, "left_out": len(report.dropped)}
        record.finish(history=result.history, training=training)


def run_trial(argument: tuple[Workshop, Fold, Key]) -> Trial:
    """Adapt and test once."""
    _, draw, amount, method, _ = argument[2]
    with Work(f"{draw.speaker}, {method} on {amount}", bar=False):
        return _run_trial(argument)


def _run_trial(argument: tuple[Workshop, Fold, Key]) -> Trial:
    shop, fold, (_, draw, amount, called, rate) = argument
    known, store, source = shop.utterances(), shop.store(), shop.source(fold.name)
    grid = next((grid for grid in shop.config.methods if grid.called == called), None)
    method = "none" if grid is None else grid.name
    seconds, recogniser, chosen, before = 0.0, source, "", warp_of(source.model)
    if grid is not None and method != "none":
        settings = replace(grid.adapting(shop.config.adapt), learning_rate=rate or None, seed=draw.number)
        speech = Spoken([known[name] for name in draw.pool[:amount]], store)
        more = Spoken([known[name] for name in fold.source] if method != WITHOUT_SOURCE else [], store)
        begin = time.process_time()
        try:
            if method in AUTOMATIC:
                judged = Spoken([known[name] for name in fold.judged] if method != WITHOUT_SOURCE else [], store)
                adapted, choice = adapt_by_choice(source, speech, settings, shop.config.choice, more, judged=judged)
                chosen = choice.summary()
            else:
                adapted = adapt(source, speech, method, settings, source_speech=more)
            recogniser = adapted.recogniser
        except NothingUsable as error:
            # Who has drawn one recording that cannot be learnt from is heard by the model as it is, and still counts.
            remark(f"{draw.speaker}, {called} on {amount}: stays with the source model, for {error}")
            chosen = UNUSABLE if method in AUTOMATIC else ""
        seconds = time.process_time() - begin
    if grid is not None and grid.writing is not None:
        recogniser = replace(recogniser, writing=grid.writing)
    others = others_of(fold, draw.speaker, shop.config.protocol)
    own = hypotheses(recogniser, Spoken([known[name] for name in draw.test], store))
    usual = {} if recogniser is source else dict(statistics_of(source.model))
    with unwarped(recogniser, before), normalised_as(recogniser.model, usual):
        rest = hypotheses(recogniser, Spoken([known[name] for name in others], store))
        risen = None if recogniser is source else _risen(shop, fold, recogniser)
    unit, profile = shop.config.protocol.unit, recogniser.normalisation
    counted, beside = (Counted.of(heard, unit, profile, recogniser.can_run_away) for heard in (own, rest))
    letters = Counted.of(rest, "characters", profile, recogniser.can_run_away)
    return Trial(
        fold.name, draw.speaker, draw.number, amount, called, rate,
        counted.errors, counted.reference, beside.errors, beside.reference,
        round(seconds, 3), {h.id: h.hypothesis for h in own}, chosen, unit, profile,
        counted.capped, beside.capped, counted.over,
        risen,
        letters.errors if letters.capped is None else letters.capped, letters.reference,
    )  # fmt: skip


def _risen(shop: Workshop, fold: Fold, recogniser: Recogniser) -> float | None:
    """Return what others are predicted to lose, as `auto` predicts it, on source speech that was held out."""
    if not fold.judged:
        return None
    known, source = shop.utterances(), shop.source(fold.name)
    # What CTC cannot write has an infinite loss, and tells nothing of what others lose.
    heard = spelled_by_head(source, Spoken([known[name] for name in fold.judged], shop.store())).get(source.head)
    if heard is None:
        return None
    judged = lasting(heard.utterances, shop.config.choice.check_seconds)
    spoken = heard.subset(range(len(judged)))
    after, before = (answers(model, spoken, range(len(spoken))) for model in (recogniser, source))
    return rise(after, before, [utterance.speaker for utterance in judged]).risen


@cache
def _utterances(manifests: tuple[tuple[str, str], ...]) -> dict[str, Utterance]:
    return {u.id: u for _, path in manifests for u in read_manifest(path)}


@cache
def _store(manifests: tuple[tuple[str, str], ...], inputs: Inputs, speeds: tuple[float, ...]) -> FeatureStore:
    return build_store(list(_utterances(manifests).values()), inputs, speeds)


@cache
def _load(folder: str) -> Recogniser:
    return Recogniser.load(folder)


@cache
def _inputs(network: ModelConfig) -> Inputs:
    return network_inputs(network)
