"""Trains a recogniser from manifests to a model: what `asr-transfer train` and the recipes call."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import torch
from torch import nn

from asr_transfer.config import ModelConfig, SourceConfig, Units
from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.manifest import Report, Utterance
from asr_transfer.data.speech import Spoken, spell
from asr_transfer.data.tokens import Tokens, language_tokens, piece_remarks
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError, DataError, nearest_hint
from asr_transfer.models.contract import Criterion, SpeechModel
from asr_transfer.models.kinds import make_network
from asr_transfer.models.pretrained.hub import local_folder
from asr_transfer.models.pretrained.provenance import base_of
from asr_transfer.training import criteria
from asr_transfer.training.activations import Stored, above, stored_depth
from asr_transfer.training.metrics import ErrorRate
from asr_transfer.training.objective import Objective, Weight
from asr_transfer.training.phone_models import make_phone_model, read_allophones
from asr_transfer.training.streams import Mixture, Task
from asr_transfer.training.trainer import Result, Trainer


def train_recogniser(
    train: Spoken,
    dev: Spoken,
    config: SourceConfig,
    folder: Path | None = None,
    log: Callable[[str], None] | None = None,
    objectives: Sequence[tuple[Weight, Objective]] = (),
    make_model: Callable[[ModelConfig, Mapping[str, int]], SpeechModel] = make_network,
) -> tuple[Recogniser, Result, Report]:
    """Train a model from scratch: of one language, or of several with shared layers and a head per language.

    `config.outputs` of phones or attributes makes it a `PhoneModel`, whose languages share the output layer too.

    Args:
        train: Training speech, with inputs at every speed; its languages name the heads.
        dev: Validation speech that early stopping and the choice of the best weights look at; may be empty, then the
            last weights are kept. Of several languages, the mean word error rate counts.
        config: network and training.
        folder: folder of checkpoints; training resumes from what it finds there.
        log: function that is called with a line at each validation.
        objectives: additions to the loss, with their weights; of several languages, each is a stream called like it.
        make_model: function that makes the model of a network and of the tokens of each head, where `config.outputs`
            are heads.

    Returns:
        The recogniser, what training did, and which utterances were left out as infeasible for CTC. Of several
        languages, the recogniser listens in the first by name; `for_head` gives the others.

    Raises:
        DataError: nothing is left to train on in a language, or a transcript of `dev` cannot be spelled.
        ConfigError: the settings name a language that is not trained.
    """
    languages = train.languages()
    _refuse_languages(languages, dev.languages(), config)
    unheard = [language for language in languages if language not in dev.languages()]
    if len(languages) > 1 and dev and unheard and log:
        log(f"no development utterances in {', '.join(unheard)}: the best weights are chosen without them")
    tasks, tokens, report = language_tasks(train, config)
    if log and (remarks := piece_remarks(tokens, config.subwords)):
        log("; ".join(remarks))
    torch.manual_seed(config.trainer.seed)
    model = untrained(config, tokens, make_model)
    streams: list[Task | Mixture] = [Mixture("train", tuple(tasks), alpha=config.alpha)]
    validation: list[Task | Mixture] = []
    if len(tasks) == 1:
        streams = [replace(tasks[0], name="train")]
        if dev:
            validation = [speech_task("dev", dev.spelled(tokens[tasks[0].head]), tasks[0].head)]
    elif dev:
        checks = [
            speech_task(language, dev.where(language).spelled(tokens[language]), language)
            for language in dev.languages()
        ]
        validation = [Mixture("dev", tuple(checks))]
    encoder = [] if config.model.pretrained is None else _encoder(model)
    if not config.model.pretrained_rate:
        for parameter in encoder:
            parameter.requires_grad_(False)
    depth = 0 if objectives else stored_depth(model, masked=True)
    stored = Stored(model)
    trainer = Trainer(
        above(model, depth),
        stored.feed_all(streams, depth, masked=True),
        objectives,
        _Rates(model, encoder, config.model.pretrained_rate),
        config=config.trainer,
        validation=stored.feed_all(validation, depth),
        monitor="wer",
        folder=folder,
        log=log,
    )
    result = trainer.train()
    for parameter in encoder:
        parameter.requires_grad_(True)
    head, *rest = tokens
    lexicon = None
    if config.isolated_words:
        symbols = tokens[head].symbols
        spelled = {(u.text, " ".join(symbols[label] for label in spell(u, tokens[head]))) for u in train.utterances}
        lexicon = Lexicon.from_pairs(sorted(spelled))
    others = {language: tokens[language] for language in rest}
    origin = {} if config.model.pretrained is None else base_of(local_folder(config.model.pretrained))
    return Recogniser(model.cpu().eval(), tokens[head], head, origin, lexicon=lexicon, others=others), result, report


def _encoder(model: SpeechModel) -> list[nn.Parameter]:
    """Return what can be trained of a pretrained encoder: all blocks, where no own layers stand on it."""
    blocks = model.published() or model.blocks()
    parameters = [parameter for block in blocks for parameter in model.get_submodule(block.path).parameters()]
    return [parameter for parameter in parameters if parameter.requires_grad]


class _Rates:
    """A plan that gives some parameters another learning rate."""

    def __init__(self, model: nn.Module, parameters: Sequence[nn.Parameter], factor: float) -> None:
        chosen = set(parameters)
        self.learning_rate_factors = {name: factor for name, own in model.named_parameters() if own in chosen}

    def apply(self, model: nn.Module) -> _Rates:
        """Do nothing: it holds for the model that it was made with."""
        return self


def require_trainable(train: Spoken, dev: Spoken, config: SourceConfig) -> Report:
    """Refuse utterances and settings as `train_recogniser` does, before a folder is made for it; arguments as there.

    Returns:
        Which utterances it would leave out.

    Raises:
        DataError, ConfigError: as there.
    """
    _refuse_languages(train.languages(), dev.languages(), config)
    tasks, tokens, report = language_tasks(train, config)
    if len(tasks) == 1:
        dev.spelled(tokens[tasks[0].head])
    else:
        for language in dev.languages():
            dev.where(language).spelled(tokens[language])
    untrained(config, tokens)
    return report


def untrained(
    config: SourceConfig,
    tokens: Mapping[str, Tokens],
    make_model: Callable[[ModelConfig, Mapping[str, int]], SpeechModel] = make_network,
) -> SpeechModel:
    """Return the model that is to be trained; see `train_recogniser` for the arguments.

    Raises:
        ConfigError: there is no such model.
    """
    if config.outputs == "heads":
        return make_model(config.model, {language: len(own) for language, own in tokens.items()})
    if make_model is make_network:
        return make_phone_model(config.model, tokens, config.outputs, read_allophones(config.allophones))
    raise ConfigError(f"`outputs` {config.outputs} has no parts of single languages; use a plain source model.")


def language_tasks(train: Spoken, config: SourceConfig) -> tuple[list[Task], dict[str, Tokens], Report]:
    """Return a training task per language, called like it, with tokens of its own.

    Args:
        train: Training speech of all languages, with inputs at every speed.
        config: units, speeds, augmentation and strides.

    Returns:
        Tasks and tokens by language, and which utterances were left out as infeasible for CTC.

    Raises:
        DataError: nothing is left of a language, or an utterance lacks what the units spell.
    """
    parts = {language: train.where(language) for language in train.languages()}
    units = {language: config.units_of.get(language, config.model.units) for language in parts}
    texts = {language: [u.spelled(units[language]) for u in part.utterances] for language, part in parts.items()}
    tokens = language_tokens(texts, units, config.subwords)
    frames = config.model.frames if config.model.pretrained is None else make_network(config.model, {}).frames
    tasks, report = [], Report()
    for language, part in parts.items():
        kept, left = part.spelled(tokens[language], config.speeds, config.augment).feasible(frames)
        if not kept:
            where = f"of the language {language} " if len(parts) > 1 else ""
            raise DataError(f"no utterance {where}is long enough for CTC. {left}")
        report += left
        tasks.append(speech_task(language, kept, language))
    return tasks, tokens, report


def _refuse_languages(train: Sequence[str], dev: Sequence[str], config: SourceConfig) -> None:
    if not train:
        raise DataError("there are no utterances to train on; check the manifest and what was held out of it.")
    for language, units in config.units_of.items():
        if units not in get_args(Units):
            raise ConfigError(f"`units_of.{language}` is '{units}'.{nearest_hint(units, get_args(Units))}")
        if language not in train:
            raise ConfigError(
                f"`units_of` names the language '{language}' but no training utterance is in it."
                f"{nearest_hint(language, train)}"
            )
    if len(train) == 1:
        return
    if config.isolated_words:
        raise ConfigError(
            f"`isolated_words` keeps a lexicon of one language, but the training utterances are in {', '.join(train)}; "
            "train them without it, or one by one."
        )
    for language in dev:
        if language not in train:
            raise DataError(
                f"the development utterances hold the language '{language}', which is not trained; leave them out or "
                f"correct their `language`.{nearest_hint(language, train)}"
            )


def speech_task(name: str, spoken: Spoken, head: str, weight: float = 1.0, criterion: Criterion = "ctc") -> Task:
    """Return the task of spelled speech, by CTC with word and character error rates at validations.

    Args:
        name: name of the stream.
        spoken: speech with targets.
        head: name of the model's head.
        weight: weight of the task's mean loss in the total.
        criterion: loss by which the model is trained.

    Raises:
        DataError: There is no speech.
    """
    if not spoken:
        raise DataError("there are no utterances to read; check the manifest and the speakers asked for.")
    tokens = spoken.tokens
    assert tokens is not None
    if criterion == "cross-entropy":
        return Task(name, spoken, criteria.next_token, weight, head=head)
    return Task(name, spoken, criteria.ctc, weight, lambda: ErrorRate(tokens), head=head)


def hold_out_speakers(
    utterances: Sequence[Utterance], speakers: int, seed: int
) -> tuple[list[Utterance], list[Utterance]]:
    """Split off all utterances of `speakers` randomly drawn speakers: (rest, held out).

    Raises:
        ConfigError: there are not more speakers than that.
    """
    names = sorted({u.speaker for u in utterances})
    if speakers >= len(names):
        raise ConfigError(f"`dev_speakers` is {speakers} but the manifest has {len(names)} speakers; hold out fewer.")
    chosen = set(random.Random(seed).sample(names, speakers))
    return [u for u in utterances if u.speaker not in chosen], [u for u in utterances if u.speaker in chosen]
