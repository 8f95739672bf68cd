"""Goes on training a source model so that it is adapted well: each batch is judged after an adaptation to its speaker.

The adaptation is a method of `adapt` with its optimiser, rate and steps. Speed copies of a speaker count as speakers of
their own, for a model that knows its training speakers well gains little by an adaptation to them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from asr_transfer.adaptation.built_method import build
from asr_transfer.adaptation.methods import default_learning_rate
from asr_transfer.adaptation.settings import MethodSettings
from asr_transfer.config import MetaConfig, SourceConfig, TrainerConfig
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError
from asr_transfer.models.adapters import adapter_specs, add_adapter, base_state
from asr_transfer.models.contract import SpeechModel
from asr_transfer.training.learnable import learnable
from asr_transfer.training.session import speech_task
from asr_transfer.training.streams import Task
from asr_transfer.training.trainer import Result, Trainer
from asr_transfer.transfer.meta import Meta
from asr_transfer.transfer.plan import Freeze, FreezeStatistics, TransferPlan

RATES = "learning_rates"
"""Entry of a model's origin: factors on the learning rate that were learnt, by block."""


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
        ConfigError: see `require_one_to_adapt`.
        DataError: a transcript cannot be spelled, or nobody has enough recordings.
    """
    require_one_to_adapt(train, config)
    model = copy.deepcopy(recogniser.model)
    moved = added_and_moved(model, config.method)
    spoken, _ = learnable(train.spelled(recogniser.tokens, source.speeds), model)
    objective = Meta(
        config.way,
        moved,
        config.inner_steps,
        config.inner_rate or default_learning_rate(config.method, recogniser.model),
        TrainerConfig(),
        config.recordings,
        config.learn_rates,
        config.rates_pace,
        config.share,
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
        [by_speaker(spoken, recogniser.head, 2 * config.recordings)],
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


def require_one_to_adapt(train: Spoken, config: MetaConfig) -> None:
    """Refuse what `train_to_be_adapted` cannot do, before a model is trained for it.

    Raises:
        ConfigError: there are several languages, or the method is unknown or trains nothing.
    """
    if len(train.languages()) > 1:
        raise ConfigError("`meta` trains models of one language; leave it out for several.")
    if not default_learning_rate(config.method):
        raise ConfigError(f"`meta.method` is '{config.method}', which trains nothing; name a method that does.")


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


def by_speaker(spoken: Spoken, head: str, least: int) -> Task:
    """Return the task of speech whose batches hold one speaker at one speed; who has too little is left out.

    Args:
        spoken: speech with targets.
        head: name of the model's head.
        least: number of utterances that a speaker must have.

    Raises:
        DataError: nobody has that many.
    """
    names = [utterance.speaker for utterance in spoken.utterances]
    kept = spoken.subset(number for number, name in enumerate(names) if names.count(name) >= least)
    return replace(speech_task("train", kept, head), together=kept.speakers())
