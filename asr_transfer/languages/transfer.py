"""Learning a further language from a trained recogniser: a new head on shared layers (Huang et al. 2013)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from torch import nn

from asr_transfer.config import ModelConfig
from asr_transfer.data.features import FeatureStore
from asr_transfer.data.manifest import Report, Utterance
from asr_transfer.data.mixture import temperature_shares
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.languages.config import COLUMNS, SOURCELESS, LanguageConfig
from asr_transfer.languages.phases import joined, make_phases, own_parts
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.models.attributes import PhoneModel
from asr_transfer.models.contract import SpeechModel
from asr_transfer.models.kinds import build, describe
from asr_transfer.models.progressive import ProgressiveModel
from asr_transfer.training.objective import Objective, Weight
from asr_transfer.training.phone_models import add_language
from asr_transfer.training.precision import precise
from asr_transfer.training.session import by_language, speech_task
from asr_transfer.training.streams import Mixture, Task
from asr_transfer.training.trainer import Result, Trainer
from asr_transfer.transfer.adversarial import DomainAdversarial
from asr_transfer.transfer.plan import Action, Applied, Copy, TransferPlan

RANK = 32
"""Of the connections from a frozen column, where it is not given."""

NEW_ROWS = 0.01
"""Deviation of new symbols' weights relative to that of the known ones: hardly ever emitted before training."""


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
    train: Sequence[Utterance],
    dev: Sequence[Utterance],
    store: FeatureStore,
    config: LanguageConfig,
    folder: Path | None = None,
    log: Callable[[str], None] | None = None,
    source_utterances: Sequence[Utterance] = (),
) -> Learnt:
    """Train a head for the language of `train`, and what the mode says beside it; `source` is left as it is.

    Args:
        source: the trained recogniser; None from scratch, with `config.model`.
        train: training speech of the new language.
        dev: development speech of the new language, for the best weights and early stopping; may be empty, then the
            last weights are kept.
        store: features of all utterances, of those trained on at every speed.
        config: mode and training.
        folder: where checkpoints go; training resumes from what it finds there.
        log: called with a line at each validation.
        source_utterances: speech of the source's languages, for `joint` alone.

    Raises:
        DataError: nothing is left to train on, several languages, or a transcript cannot be spelled.
        ConfigError: the source is missing or of another network or features than asked for, or options conflict.
    """
    language = _only_language(train, dev)
    if config.normalisation is not None:
        source, config = _renormalised(source, config)
    network, frames = _network(source, config, store)
    base = None if config.mode in SOURCELESS else source
    known: dict[str, Tokens] = {} if base is None else {**base.others, base.head: base.tokens}
    tokens = Tokens.from_texts((u.spelled(config.units) for u in train), config.units, config.pieces)
    shared = base is not None and isinstance(base.model, PhoneModel) and config.mode not in COLUMNS
    keep = base is not None and config.keep_head and language in known and config.mode not in COLUMNS
    if base is not None and shared:
        if keep:
            tokens = Tokens(list(dict.fromkeys(known[language].symbols[1:] + tokens.symbols[1:])), config.units)
        base, keep = add_language(base, language, tokens), True
    elif base is not None and keep:
        base = extend_head(base, language, tokens).for_head(language)
        tokens = base.tokens
    kept, report = Spoken(train, store, tokens, config.speeds, config.augment).feasible(frames)
    if not kept:
        raise DataError(f"no utterance is long enough for CTC. {report}")
    task = speech_task(language, kept, language)
    streams: list[Task | Mixture] = [task]
    objectives: list[tuple[Weight, Objective]] = []
    if config.by_speaker:
        speakers = _speaker_tasks(task, kept.utterances, store, config)
        streams = [Mixture("train", speakers, alpha=config.speaker_alpha)]
        if config.speaker_adversarial:
            tap = "encoder" if source is None else source.model.blocks()[-1].path
            adversary = DomainAdversarial(tap, [own.name for own in speakers], seed=config.trainer.seed)
            objectives.append((config.speaker_adversarial, adversary))
    fed = {language}
    if config.mode == "joint" and base is not None:
        beside, left = _source_tasks(known, source_utterances, store, config, frames, language)
        report = Report(report.kept + left.kept, report.dropped + left.dropped)
        streams, fed = [_mixture(task, beside, config)], fed | {other.head for other in beside}
    elif source_utterances:
        raise ConfigError(
            f"`{config.mode}` trains on the new language alone; leave source utterances out or use joint."
        )
    validation = [speech_task("dev", Spoken(dev, store, tokens), language)] if dev else []

    known[language] = tokens
    model = _model(
        None if base is None else base.model, network, {name: len(own) for name, own in known.items()}, task, config
    )
    # One precision for all phases: each would else note its own.
    config = replace(config, trainer=precise(config.trainer, folder, network, log))
    phases = make_phases(config, model, language, [name for name in known if name not in fed])
    runs: list[tuple[nn.Module, Result]] = []
    plans: list[Applied] = []
    for number, phase in enumerate(phases):
        actions: list[Action] = list(phase.actions)
        if base is not None and number == 0 and config.mode not in COLUMNS:
            actions.insert(0, Copy("**" if keep else "**" + own_parts(model, language), base.model))
        elif number:
            before, model = model, fresh(model)
            actions.insert(0, Copy("**", before))
        trainer = Trainer(
            model,
            streams,
            objectives,
            plan=TransferPlan(*actions) if actions else None,
            config=replace(config.trainer, steps=phase.steps, seed=config.trainer.seed + 1000 * number),
            validation=validation,
            monitor=config.monitor if validation else "loss",
            folder=folder / f"phase-{number + 1}" if folder and len(phases) > 1 else folder,
            log=log,
        )
        runs.append((model, trainer.train()))
        if isinstance(trainer.applied, Applied):
            plans.append(trainer.applied)
    best, result = joined(runs, config.monitor)
    # A copy, for frozen statistics stay frozen in the model that was trained.
    final = fresh(best)
    final.load_state_dict(best.state_dict())
    others = {name: own for name, own in known.items() if name != language}
    recogniser = Recogniser(final.cpu().eval(), tokens, language, {}, others=others)
    return Learnt(recogniser, result, tuple(plans), report)


def extend_head(recogniser: Recogniser, head: str, new_tokens: Tokens) -> Recogniser:
    """Return a copy of `recogniser` whose head also emits the symbols of `new_tokens` that it does not know yet.

    The rows of known symbols keep their places and their values bit for bit; new symbols follow, with small random
    weights and no bias. Subwords stay the pieces that they are, which must spell the new texts.

    Raises:
        ModelError: there is no such head.
        ConfigError: the units differ, or the head's subwords lack a character of the new ones.
    """
    recogniser.model.head(head)
    every = {**recogniser.others, recogniser.head: recogniser.tokens}
    old = every[head]
    if old.units != new_tokens.units:
        raise ConfigError(
            f"the head '{head}' emits {old.units} but {new_tokens.units} are asked for; take the same units or a new "
            "head."
        )
    if old.model is not None and new_tokens.model is not None:
        if lacking := sorted(new_tokens.model.characters - old.model.characters):
            raise ConfigError(
                f"the head '{head}' emits subwords, to which no character can be added, and lacks {lacking[0]!r}; take "
                "a new head (`language.keep_head` false)."
            )
        return recogniser
    more = [symbol for symbol in new_tokens.symbols[1:] if symbol not in set(old.symbols)]
    every[head] = Tokens([*old.symbols[1:], *more], old.units)
    model = fresh(recogniser.model, {name: len(every[name]) for name in recogniser.model.heads})
    state = recogniser.model.state_dict()
    generator = torch.Generator().manual_seed(0)
    for kind in ("weight", "bias"):
        rows = state[f"heads.{head}.{kind}"]
        added = torch.zeros(len(more), *rows.shape[1:], dtype=rows.dtype)
        if kind == "weight":
            spread = NEW_ROWS * float(rows.std())
            added = spread * torch.randn(added.shape, generator=generator, dtype=rows.dtype)
        state[f"heads.{head}.{kind}"] = torch.cat([rows, added.to(rows.device)])
    model.load_state_dict(state)
    others = {name: tokens for name, tokens in every.items() if name != recogniser.head}
    return replace(recogniser, model=model.eval(), tokens=every[recogniser.head], others=others, offsets={})


def fresh(model: SpeechModel, heads: Mapping[str, int] | None = None) -> SpeechModel:
    """Return a new model of the same network and adapters with random weights; `heads` None takes the same heads."""
    plain = describe(model)
    if heads is not None:
        plain["heads"] = dict(heads)
    like = next(model.parameters())
    return build(plain, "the model").to(like.device, like.dtype)


def _model(
    base: SpeechModel | None,
    network: ModelConfig | None,
    heads: Mapping[str, int],
    task: Task,
    config: LanguageConfig,
) -> SpeechModel:
    """Return the model that is trained, before anything is copied into it."""
    torch.manual_seed(config.trainer.seed)
    if network is None:
        assert base is not None and config.mode not in COLUMNS
        return fresh(base, heads)
    if config.mode in COLUMNS:
        # The control's base has weights that nothing trained, from the same random numbers each time.
        earlier = AcousticModel(network, {}) if base is None else base
        return ProgressiveModel(earlier, network, {task.head: heads[task.head]}, config.rank or RANK)
    return AcousticModel(network, heads) if base is None else fresh(base, heads)


def _only_language(train: Sequence[Utterance], dev: Sequence[Utterance]) -> str:
    if not train:
        raise DataError("there are no utterances of the new language; check the manifest.")
    languages = list(by_language(train))
    if len(languages) > 1:
        raise DataError(
            f"a language is learnt at a time, but the training utterances are in {', '.join(languages)}; give those of "
            "one language, or train them together with `train`."
        )
    foreign = [u for u in dev if u.language != languages[0]]
    if foreign:
        raise DataError(
            f"development utterance '{foreign[0].id}' is in '{foreign[0].language}' but '{languages[0]}' is learnt; "
            "leave it out."
        )
    return languages[0]


def _network(
    source: Recogniser | None, config: LanguageConfig, store: FeatureStore
) -> tuple[ModelConfig | None, Callable[[int], int]]:
    """Return the network that is trained, None for a kind of its own, and the output frames that it makes of others.

    Checks that source, settings and features fit each other.
    """
    own: ModelConfig | None
    if source is None:
        if config.mode not in SOURCELESS:
            raise ConfigError(
                f"`language.mode` {config.mode} needs a source model; give one, or use {' or '.join(SOURCELESS)}."
            )
        if config.model is None:
            raise ConfigError("without a source model, `language.model` must say which network is trained.")
        own, inputs, frames = config.model, config.model.features, config.model.frames
    else:
        if not source.model.takes_heads and config.mode not in COLUMNS:
            raise ConfigError(
                f"the source is a {type(source.model).__name__}, to which no head can be added; put a new column "
                "beside it with `language.mode` progressive, or take another source."
            )
        own, inputs, frames = source.model.network, source.model.inputs, source.model.frames
        if own is None and (config.mode in (*COLUMNS, *SOURCELESS) or config.model is not None):
            raise ConfigError(
                f"the source is a {type(source.model).__name__}, whose network `language.model` cannot describe: leave "
                "that out, and give `language.mode` head, all, gradual or joint."
            )
        if own is not None and config.model is not None:
            _refuse_differences(own, config.model, "source model", "`language.model`")
    if store.config != inputs:
        _refuse_differences(inputs, store.config, "model", "the features that are given")
    if own is not None and (source is None or config.mode in SOURCELESS):
        own = replace(own, units=config.units)
    return own, frames


def _refuse_differences(own: object, asked: object, one: str, other: str) -> None:
    names = [f.name for f in fields(own) if f.name != "units"]  # type: ignore[arg-type]
    different = [name for name in names if getattr(own, name) != getattr(asked, name)]
    if different:
        listed = "; ".join(f"`{n}` is {getattr(own, n)} there and {getattr(asked, n)} here" for n in different)
        raise ConfigError(f"the {one} and {other} differ ({listed}); make them the same.")


def _renormalised(source: Recogniser | None, config: LanguageConfig) -> tuple[Recogniser | None, LanguageConfig]:
    """Return source and settings for features of another normalisation; the source's tensors are shared."""
    if config.model is not None:
        config = replace(config, model=replace(config.model, features=config.features(config.model.features)))
    if source is not None:
        model = copy(source.model)
        if not isinstance(model, AcousticModel):
            raise ConfigError(
                f"`language.normalisation` changes the features of models made by `train`, not of a "
                f"{type(model).__name__}; leave it out."
            )
        model.config = replace(model.config, features=config.features(model.config.features))
        source = replace(source, model=model)
    return source, config


def _speaker_tasks(
    task: Task, utterances: Sequence[Utterance], store: FeatureStore, config: LanguageConfig
) -> tuple[Task, ...]:
    """Return the task of each speaker, called like him, all with the same head.

    Raises:
        DataError: there is only one.
    """
    names = sorted({u.speaker for u in utterances})
    if len(names) < 2:
        raise DataError(
            f"all training utterances are of the speaker '{names[0]}'; give speech of another one, or leave "
            "`language.speaker_alpha` and `language.speaker_adversarial` out."
        )
    tokens = task.data.tokens  # type: ignore[attr-defined]
    parts = {name: [u for u in utterances if u.speaker == name] for name in names}
    return tuple(
        speech_task(f"speaker {name}", Spoken(part, store, tokens, config.speeds, config.augment), task.head)
        for name, part in parts.items()
    )


def _source_tasks(
    known: Mapping[str, Tokens],
    utterances: Sequence[Utterance],
    store: FeatureStore,
    config: LanguageConfig,
    frames: Callable[[int], int],
    language: str,
) -> tuple[list[Task], Report]:
    if not utterances:
        raise ConfigError("`joint` trains on the source's languages as well, but there are no source utterances.")
    tasks, report = [], Report()
    for name, part in by_language(utterances).items():
        if name not in known or name == language:
            reason = "is the one that is learnt" if name == language else "has no head in the source model"
            raise DataError(f"source utterance '{part[0].id}': its language '{name}' {reason}; leave it out.")
        kept, left = Spoken(part, store, known[name], config.speeds, config.augment).feasible(frames)
        report = Report(report.kept + left.kept, report.dropped + left.dropped)
        if not kept:
            raise DataError(f"no source utterance in '{name}' is long enough for CTC. {left}")
        tasks.append(speech_task(name, kept, name))
    return tasks, report


def _mixture(task: Task, beside: Sequence[Task], config: LanguageConfig) -> Mixture:
    parts = temperature_shares([float(other.data.costs().sum()) for other in beside], config.alpha)
    shares = {other.name: config.source_share * part for other, part in zip(beside, parts, strict=True)}
    return Mixture("train", (task, *beside), shares={task.name: 1 - config.source_share, **shares})
