"""Teaches a trained recogniser a further language: a new head on shared layers (Huang et al. 2013)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from torch import nn

from asr_transfer.config import ModelConfig
from asr_transfer.data.features import FeatureStore
from asr_transfer.data.inputs import as_inputs
from asr_transfer.data.manifest import Report
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError, DataError, class_of
from asr_transfer.languages.config import LanguageConfig
from asr_transfer.languages.heads import Beginning, begin, fresh
from asr_transfer.languages.phases import Learner, Phase, joined
from asr_transfer.languages.ways import WAYS, Way
from asr_transfer.models.contract import SpeechModel, require_ctc
from asr_transfer.models.kinds import make_network
from asr_transfer.models.progressive import ProgressiveModel
from asr_transfer.training.activations import Stored, above, stored_depth
from asr_transfer.training.objective import Objective, Weight
from asr_transfer.training.precision import precise
from asr_transfer.training.session import speech_task
from asr_transfer.training.streams import Mixture, Task
from asr_transfer.training.trainer import Result, Trainer
from asr_transfer.transfer.adversarial import DomainAdversarial
from asr_transfer.transfer.plan import Action, Applied, Copy, Done, TransferPlan

RANK = 32
"""Of the connections from a frozen column, where it is not given."""


@dataclass(frozen=True)
class Learnt:
    """A recogniser of the new language and how it came about.

    Attributes:
        recogniser: listens in the new language; the source's heads are kept beside it, except from scratch.
        result: outcome of all phases: histories joined (with a figure `phase` where there are several), costs summed.
        plans: plan by which each phase copied and froze; empty from scratch and for a new column.
        report: utterances left out.
    """

    recogniser: Recogniser
    result: Result
    plans: tuple[Applied, ...]
    report: Report


def learn_language(
    source: Recogniser | None,
    train: Spoken,
    dev: Spoken,
    config: LanguageConfig,
    folder: Path | None = None,
    log: Callable[[str], None] | None = None,
    source_speech: Spoken | None = None,
    stored: Stored | None = None,
) -> Learnt:
    """Train a head for the language of `train`, and what the way says beside it; `source` is left as it is.

    Args:
        source: Trained recogniser; None from scratch, with `config.model`.
        train: Training speech of the new language, with inputs at every speed of the settings.
        dev: Development speech of the new language, for the best weights and early stopping; may be empty, then the
            last weights are kept.
        config: Way (see `ways.WAYS`) and training.
        folder: Place of the checkpoints; training resumes from what it finds there.
        log: Function called with a line at each validation.
        source_speech: Speech of the source's languages, for ways that read it; at those speeds of the settings that
            its store holds.
        stored: Activations of `source.model`, which several ways compute once.

    Raises:
        DataError: nothing is left to train on, several languages, or a transcript cannot be spelled.
        ConfigError: the source is missing or of another network or features than asked for, or options conflict.
    """
    way, language = WAYS[config.mode], _only_language(train, dev)
    if source is not None:
        require_ctc(source.model, f"`language.mode` {config.mode}")
    if config.normalisation is not None:
        source, config = _renormalised(source, config)
    network, frames = _network(way, source, config, train.store)
    start = begin(way, source, language, train, config)
    kept, report = train.spelled(start.tokens[language], config.speeds, config.augment).feasible(frames)
    if not kept:
        raise DataError(f"no utterance is long enough for CTC. {report}")
    task = speech_task(language, kept, language)
    beside, left = _source_tasks(way, start, source_speech or train.subset(()), language, config, frames)
    stream, objectives = way.stream(task, beside, config), list[tuple[Weight, Objective]]()
    if config.by_speaker:
        tap = "encoder" if source is None else source.model.blocks()[-1].path
        stream, objectives = _by_speaker(kept, language, tap, config)
    validation = [speech_task("dev", dev.spelled(start.tokens[language]), language)] if dev else []

    fed = {language, *(other.head for other in beside)}
    idle = [name for name in start.tokens if name not in fed]
    new = [] if source is None or way.start != "layers" else [block.path for block in source.model.untrained()]
    learner = Learner(_model(way, start, network, language, config), language, idle, new)
    # One precision for all phases: each would else note its own.
    config = replace(config, trainer=precise(config.trainer, folder, network or learner.model, log))
    phases = way.phases(learner, config)
    if start.source is not None and way.start == "layers":
        copied = Copy("**" if start.goes_on else learner.known, start.source.model)
        phases[0] = replace(phases[0], actions=(copied, *phases[0].actions))

    # What is frozen of the source's layers is what they were.
    stored = stored or Stored(learner.model if source is None else source.model)
    masked = config.augment is not None

    def trainer(model: SpeechModel, number: int, actions: Sequence[Action]) -> Trainer:
        applied = TransferPlan(*actions).apply(model) if actions else None
        depth = 0 if objectives or way.start != "layers" else stored_depth(model, masked)
        return Trainer(
            above(model, depth),
            stored.feed_all([stream], depth, masked),
            objectives,
            plan=Done(applied) if applied else None,
            config=replace(config.trainer, steps=phases[number].steps, seed=config.trainer.seed + 1000 * number),
            validation=stored.feed_all(validation, depth),
            monitor=config.monitor if validation else "loss",
            folder=folder / f"phase-{number + 1}" if folder and len(phases) > 1 else folder,
            log=log,
        )

    best, result, plans = _run(learner.model, phases, trainer, config.monitor)
    # A copy, for frozen statistics stay frozen in the model that was trained.
    final = fresh(best)
    final.load_state_dict(best.state_dict())
    others = {name: own for name, own in start.tokens.items() if name != language}
    known = {} if start.source is None else start.source.lexica
    # The words of the language that is learnt may be new ones, which a lexicon of the old would hide.
    lexica = {name: own for name, own in known.items() if name in others}
    origin = {} if start.source is None else start.source.origin
    recogniser = Recogniser(
        final.cpu().eval(), start.tokens[language], language, origin, others=others, other_lexica=lexica
    )
    return Learnt(recogniser, result, plans, report + left)


def _run(
    model: SpeechModel, phases: Sequence[Phase], trainer: Callable[..., Trainer], monitor: str
) -> tuple[SpeechModel, Result, tuple[Applied, ...]]:
    """Train one phase after the other, each on a copy of the model that the one before it left."""
    runs: list[tuple[nn.Module, Result]] = []
    plans: list[Applied] = []
    for number, phase in enumerate(phases):
        actions = phase.actions
        if number:
            before, model = model, fresh(model)
            actions = (Copy("**", before), *actions)
        made = trainer(model, number, actions)
        runs.append((model, made.train()))
        if isinstance(made.applied, Applied):
            plans.append(made.applied)
    return *joined(runs, monitor), tuple(plans)


def _model(
    way: Way, start: Beginning, network: ModelConfig | None, language: str, config: LanguageConfig
) -> SpeechModel:
    """Return the model that is trained, before anything is copied into it."""
    torch.manual_seed(config.trainer.seed)
    heads = {name: len(own) for name, own in start.tokens.items()}
    if way.start == "layers":
        assert start.source is not None
        return fresh(start.source.model, heads)
    if way.start == "nothing":
        assert network is not None
        return make_network(network, heads)
    own = {language: heads[language]}
    if network is None:
        assert start.source is not None
        return ProgressiveModel(start.source.model, fresh(start.source.model, own), rank=config.rank or RANK)
    # The control's base has weights that nothing trained, from the same random numbers each time.
    earlier = make_network(network, {}) if start.source is None else start.source.model
    return ProgressiveModel(earlier, network, own, config.rank or RANK)


def _only_language(train: Spoken, dev: Spoken) -> str:
    if not train:
        raise DataError("there are no utterances of the new language; check the manifest.")
    languages = train.languages()
    if len(languages) > 1:
        raise DataError(
            f"a language is learnt at a time, but the training utterances are in {', '.join(languages)}; give those of "
            "one language, or train them together with `train`."
        )
    foreign = [u for u in dev.utterances if u.language != languages[0]]
    if foreign:
        raise DataError(
            f"development utterance '{foreign[0].id}' is in '{foreign[0].language}' but '{languages[0]}' is learnt; "
            "leave it out."
        )
    return languages[0]


def _network(
    way: Way, source: Recogniser | None, config: LanguageConfig, store: FeatureStore
) -> tuple[ModelConfig | None, Callable[[int], int]]:
    """Return the network that is trained, None for a kind of its own, and the output frames that it makes of others.

    Checks that source, settings and features fit each other.
    """
    own: ModelConfig | None
    if source is None:
        if way.needs_source:
            without = _either(name for name, other in WAYS.items() if not other.needs_source)
            raise ConfigError(f"`language.mode` {way.name} needs a source model; give one, or use {without}.")
        if config.model is None:
            raise ConfigError("without a source model, `language.model` must say which network is trained.")
        own, inputs, frames = config.model, as_inputs(config.model.features), config.model.frames
    else:
        if not source.model.takes_heads and way.start != "column":
            raise ConfigError(
                f"the source is {class_of(source.model)}, to which no head can be added; put a new column "
                "beside it with `language.mode` progressive, or take another source."
            )
        if way.on_published and not source.model.on_published():
            raise ConfigError(
                f"`language.mode` {way.name} trains the layers on a published encoder, and the source is a "
                f"{type(source.model).__name__}, which has no such layers; take head or all."
            )
        own, inputs, frames = source.model.network, source.model.inputs, source.model.frames
        if own is None and (not way.needs_source or config.model is not None):
            published = bool(source.model.on_published())
            takes = _either(n for n, other in WAYS.items() if other.needs_source and other.on_published <= published)
            raise ConfigError(
                f"the source is {class_of(source.model)}, whose network `language.model` cannot describe: leave "
                f"that out, and give `language.mode` {takes}."
            )
        if own is not None and config.model is not None:
            _refuse_differences(own, config.model, "source model", "`language.model`")
    if store.inputs != inputs:
        _refuse_differences(inputs, store.inputs, "model", "the features that are given")
    if own is not None and (source is None or not way.needs_source):
        own = replace(own, units=config.units)
    return own, frames


def _either(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def _refuse_differences(own: object, asked: object, one: str, other: str) -> None:
    names = [f.name for f in fields(own) if f.name != "units"]  # type: ignore[arg-type]
    if getattr(own, "kind", None) != getattr(asked, "kind", None):
        names = ["kind"]  # of inputs, whose other settings are then others too
    different = [name for name in names if getattr(own, name) != getattr(asked, name)]
    if different:
        listed = "; ".join(f"`{n}` is {getattr(own, n)} there and {getattr(asked, n)} here" for n in different)
        raise ConfigError(f"the {one} and {other} differ ({listed}); make them the same.")


def _renormalised(source: Recogniser | None, config: LanguageConfig) -> tuple[Recogniser | None, LanguageConfig]:
    """Return source and settings for features of another normalisation; the source's tensors are shared."""
    if config.model is not None:
        config = replace(config, model=replace(config.model, features=config.features(config.model.features)))
    if source is not None:
        assert config.normalisation is not None
        source = replace(source, model=source.model.renormalised(config.normalisation))
    return source, config


def _by_speaker(
    spoken: Spoken, language: str, tap: str, config: LanguageConfig
) -> tuple[Mixture, list[tuple[Weight, Objective]]]:
    """Return the mixture of a task for each speaker, all with the same head, and what hides the speakers at `tap`.

    Raises:
        DataError: There is only one speaker.
    """
    names = sorted({u.speaker for u in spoken.utterances})
    if len(names) < 2:
        raise DataError(
            f"all training utterances are of the speaker '{names[0]}'; give speech of another one, or leave "
            "`language.speaker_alpha` and `language.speaker_adversarial` out."
        )
    tasks = tuple(speech_task(f"speaker {name}", spoken.where(speaker=name), language) for name in names)
    objectives: list[tuple[Weight, Objective]] = []
    if config.speaker_adversarial:
        adversary = DomainAdversarial(tap, [own.name for own in tasks], seed=config.trainer.seed)
        objectives.append((config.speaker_adversarial, adversary))
    return Mixture("train", tasks, alpha=config.speaker_alpha), objectives


def _source_tasks(
    way: Way,
    start: Beginning,
    spoken: Spoken,
    language: str,
    config: LanguageConfig,
    frames: Callable[[int], int],
) -> tuple[list[Task], Report]:
    """Return a task for each of the source's languages, where the way reads their speech, and what is left out."""
    if not way.uses_source:
        if spoken:
            others = _either(name for name, other in WAYS.items() if other.uses_source)
            raise ConfigError(
                f"`{way.name}` trains on the new language alone; leave source utterances out or use {others}."
            )
        return [], Report()
    if not spoken:
        raise ConfigError(f"`{way.name}` trains on the source's languages as well, but there are no source utterances.")
    tasks, report = [], Report()
    for name in spoken.languages():
        part = spoken.where(name)
        if name not in start.tokens or name == language:
            reason = "is the one that is learnt" if name == language else "has no head in the source model"
            raise DataError(
                f"source utterance '{part.utterances[0].id}': its language '{name}' {reason}; leave it out."
            )
        own = part.spelled(start.tokens[name], part.held(config.speeds), config.augment)
        kept, left = own.feasible(frames)
        if not kept:
            raise DataError(f"no source utterance in '{name}' is long enough for CTC. {left}")
        report += left
        tasks.append(speech_task(name, kept, name))
    return tasks, report
