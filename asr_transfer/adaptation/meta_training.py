"""Goes on training a source model so that it is adapted well: each batch is judged after an adaptation to its speaker.

The adaptation is a method of `adapt` with its optimiser, rate and steps. Speed copies of a speaker count as speakers of
their own, for a model that knows its training speakers well gains little by an adaptation to them.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from asr_transfer.adaptation.built_method import build
from asr_transfer.adaptation.methods import Role, default_learning_rate, find_methods
from asr_transfer.adaptation.named_speakers import named, require_named
from asr_transfer.adaptation.settings import MethodSettings
from asr_transfer.config import MetaConfig, ModelConfig, SourceConfig, TrainerConfig
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.models.adapters import adapter_specs, add_adapter, base_state
from asr_transfer.models.contract import SpeechModel
from asr_transfer.models.kinds import make_network
from asr_transfer.training.learnable import learnable
from asr_transfer.training.session import language_tasks, speech_task, untrained
from asr_transfer.training.streams import Task
from asr_transfer.training.trainer import Result, Trainer
from asr_transfer.transfer.meta import Meta
from asr_transfer.transfer.plan import Freeze, FreezeStatistics, TransferPlan

RATES = "learning_rates"
"""Entry of a model's origin: factors on the learning rate that were learnt, by block."""

TAKEN: tuple[Role, ...] = ("layers", "added")
"""Roles of the methods of which all that they do is done here: they say which parameters are trained."""


def train_to_be_adapted(
    recogniser: Recogniser,
    train: Spoken,
    config: MetaConfig,
    source: SourceConfig,
    folder: Path | None = None,
    log: Callable[[str], None] | None = None,
) -> tuple[Recogniser, Result]:
    """Go on training a recogniser's model, in place, on the speech that it was trained on.

    Args:
        recogniser: recogniser of one language.
        train: speech with inputs at every speed of `source`.
        config: way, and the adaptation that the model is made for.
        source: settings of its training so far.
        folder: folder of checkpoints; the training resumes from what it finds there.
        log: function that is called with a line at each validation.

    Returns:
        The recogniser, whose origin names what learning rates were learnt, and what the training did.

    Raises:
        ConfigError, DataError: see `require_one_to_adapt`, which says so before the training so far.
    """
    model = copy.deepcopy(recogniser.model)
    objective = _objective(model, config)
    spoken, _ = learnable(train.spelled(recogniser.tokens, source.speeds), model)
    task = by_speaker(spoken, recogniser.head, config.recordings)
    everybody, kept = len(set(spoken.speakers())), len(set(task.together or ()))
    if log and kept < everybody:
        log(
            f"meta-learning: {kept} of {everybody} speakers, copies at other speeds counted, have "
            f"{2 * config.recordings} recordings and a name; the others are left out"
        )
    settings = replace(
        source.trainer,
        steps=config.steps,
        learning_rate=config.learning_rate,
        batch_budget=config.batch_budget,
        accumulate=config.speakers,
        validate_every=0,
        patience=0,
    )
    frozen = [Freeze("adapters")] if adapter_specs(model) else []
    trainer = Trainer(
        model,
        [task],
        [(1.0, objective)],
        TransferPlan(FreezeStatistics(), *frozen),
        settings,
        folder=folder,
        log=log,
    )
    result = trainer.train()
    recogniser.model.load_state_dict(base_state(model.cpu()))
    factors = {place: round(factor, 4) for place, factor in objective.factors().items()}
    if config.learn_rates:
        if log:
            log(f"learning rates: {', '.join(f'{place} × {factor:g}' for place, factor in factors.items())}")
        recogniser = replace(recogniser, origin={**recogniser.origin, RATES: factors})
    return recogniser, result


def require_one_to_adapt(
    train: Spoken,
    source: SourceConfig,
    make_model: Callable[[ModelConfig, Mapping[str, int]], SpeechModel] = make_network,
) -> None:
    """Refuse what `train_to_be_adapted` cannot do, before a model is trained for it.

    Args:
        train: speech with inputs at every speed of `source`.
        source: settings of the training, with `meta`.
        make_model: function that makes the model; see `train_recogniser`.

    Raises:
        ConfigError: there are several languages, or the method is unknown, trains nothing, does not fit the model or
            does more than say what is trained.
        DataError: a transcript cannot be spelled, or nobody who is named has enough recordings.
    """
    config = source.meta
    if config is None:
        return
    if len(train.languages()) > 1:
        raise ConfigError("`meta` trains models of one language; leave it out for several.")
    if not default_learning_rate(config.method):
        raise ConfigError(f"`meta.method` is '{config.method}', which trains nothing; name a method that does.")
    methods = find_methods(config.method)
    if unused := [method.name for method in methods if method.role not in TAKEN]:
        rest = "+".join(method.name for method in methods if method.role in TAKEN)
        raise ConfigError(
            f"`meta.method` is '{config.method}', but meta-learning takes of a method only what it trains, which "
            f"`{unused[0]}` does not say; give {f'`{rest}` alone' if rest else '`full` or `lhuc` instead'}."
        )
    require_named(train.utterances, "`meta`", "leave `meta` out")
    tasks, tokens, _ = language_tasks(train, source)
    for task in tasks:
        assert isinstance(task.data, Spoken)
        by_speaker(task.data, task.head, config.recordings)
        _objective(untrained(source, tokens, make_model), config)


def _objective(model: SpeechModel, config: MetaConfig) -> Meta:
    """Return what trains a model for the adaptation, for which the model gets what that adds.

    Raises:
        ConfigError: the adaptation does not fit the model.
    """
    rate = config.inner_rate or default_learning_rate(config.method, model)
    return Meta(
        config.way,
        added_and_moved(model, config.method),
        config.inner_steps,
        rate,
        TrainerConfig(),
        config.recordings,
        config.learn_rates,
        config.rates_pace,
        config.share,
    )


def added_and_moved(model: SpeechModel, method: str) -> list[str]:
    """Add to a model what a method adds, and return the names of the parameters that the method trains.

    Raises:
        ConfigError: the method is unknown or does not fit the model.
    """
    adapted = copy.deepcopy(model)
    build(method, model, MethodSettings()).plan.apply(adapted)
    for spec in adapter_specs(adapted):
        if spec not in adapter_specs(model):
            add_adapter(model, spec)
    return [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]


def by_speaker(spoken: Spoken, head: str, recordings: int) -> Task:
    """Return the task of speech whose batches hold one speaker at one speed, and leave enough of his others.

    Who has less than twice as many as are adapted to, or is not named, is left out.

    Args:
        spoken: speech with targets.
        head: name of the model's head.
        recordings: number of recordings that are adapted to.

    Raises:
        DataError: nobody has enough.
    """
    people = {utterance.id for utterance in named(spoken.utterances)}
    counts = Counter(utterance.speaker for utterance in spoken.utterances if utterance.id in people)
    most = max(counts.values(), default=0)
    if most < 2 * recordings:
        lower = f"give `meta.recordings` {most // 2}" if most > 1 else "give more recordings of each speaker"
        raise DataError(
            f"`meta.recordings` is {recordings}, for which a speaker needs {2 * recordings} recordings that can be "
            f"learnt from, as many to judge on as to adapt to, but nobody who is named has more than {most}; {lower}, "
            "or leave `meta` out."
        )
    kept = spoken.subset(
        number
        for number, utterance in enumerate(spoken.utterances)
        if utterance.id in people and counts[utterance.speaker] >= 2 * recordings
    )
    return replace(speech_task("train", kept, head), together=kept.speakers(), spare=recordings)
