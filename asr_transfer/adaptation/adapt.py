"""Adapts a recogniser to a speaker's utterances."""

from __future__ import annotations

import copy
import functools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Concatenate, ParamSpec

import torch

from asr_transfer.adaptation.built_method import build
from asr_transfer.adaptation.film_summary import FILM, Summarised, summarise
from asr_transfer.adaptation.frozen_layers import Shared
from asr_transfer.adaptation.ingredients import STREAM
from asr_transfer.adaptation.methods import (
    METHODS,
    default_learning_rate,
    find_methods,
    reads_transcripts,
    require_fitting,
    starting,
)
from asr_transfer.adaptation.own_statistics import (
    ADABN,
    OwnStatistics,
    keep_beside,
    normalised_as,
    statistics_of,
    with_own_statistics,
)
from asr_transfer.adaptation.settings import AdaptConfig
from asr_transfer.adaptation.speaker_weights import (
    MEAN,
    Described,
    describe_speaker,
    recognised,
    require_speech,
)
from asr_transfer.adaptation.unsupervised import labeller, pseudo_label
from asr_transfer.adaptation.warp import Warped, WarpedStore, find_warp, set_warp, unwarped, warp_of, with_warp
from asr_transfer.config import TrainerConfig
from asr_transfer.data.features import FeatureStore
from asr_transfer.data.manifest import Report
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import DataError, NothingUsable
from asr_transfer.models.adapters import PREFIX, add_adapter
from asr_transfer.models.contract import Criterion, SequenceModel, SpeechModel
from asr_transfer.models.domains import settle
from asr_transfer.remarks import remark
from asr_transfer.training import distributed
from asr_transfer.training.activations import above
from asr_transfer.training.learnable import learnable
from asr_transfer.training.objective import Objective
from asr_transfer.training.precision import precise
from asr_transfer.training.session import speech_task
from asr_transfer.training.streams import Mixture, Task
from asr_transfer.training.trainer import Result, Trainer
from asr_transfer.transfer.distillation import Distillation
from asr_transfer.transfer.ewc import EWC, fisher_information
from asr_transfer.transfer.plan import Applied, Done

BESIDE, BESIDE_PUBLISHED = 500, 1500
"""Frames of source utterances per batch, unless they are set: in general, and on a published encoder."""
OTHERS = "others"
"""Domain of source utterances that are mixed in where the speaker's own statistics are taken."""
TOGETHER = 8
"""Windows that a batch of a model of sequence to sequence holds at least, where there are so many."""


@dataclass(frozen=True)
class Adapted:
    """An adapted recogniser and how it came about.

    Attributes:
        recogniser: adapted recogniser, at the strength that was asked for.
        result: outcome of the training.
        plan: plan by which it copied, added and froze.
        report: utterances left out.
        start, end: trained tensors by name, before and after.
        depth: number of first layers that give what the source's give; 0 where it was trained on features.
        warp: warp that was chosen; None where none was looked for.
        warp_before: factor of the source's own warp; 1 for none.
        described: weights of the training speakers' directions, or summary, that it starts from; None for none.
        normalised: statistics of the recordings that it normalises by; None where none were taken.
        statistics_before: those that it normalised by before, by name; empty where they are as they were.
    """

    recogniser: Recogniser
    result: Result
    plan: Applied
    report: Report
    start: Mapping[str, torch.Tensor]
    end: Mapping[str, torch.Tensor]
    depth: int = 0
    warp: Warped | None = None
    warp_before: float = 1.0
    described: Described | Summarised | None = None
    normalised: OwnStatistics | None = None
    statistics_before: Mapping[str, torch.Tensor] = field(default_factory=dict)

    def at_strength(self, strength: float) -> Recogniser:
        """Move the trained weights to `strength` between their start (0) and end (1); return the same recogniser.

        A warp, and what is normalised by, move with them where they are all that was done; what was trained on top of
        them went on from all of it.

        Interpolating fine-tuned with original weights keeps more of what the model knew (Wortsman et al. 2022).
        """
        with torch.no_grad():
            model = self.recogniser.model
            for name, tensor in (*model.named_parameters(), *statistics_of(model)):
                if name in self.end:
                    value = torch.lerp(self.start[name], self.end[name], strength) if strength < 1 else self.end[name]
                    tensor.copy_(value)
        if self.warp is not None and not self.end:
            end = self.warp.factor
            factor = self.warp_before + strength * (end - self.warp_before) if strength < 1 else end
            set_warp(self.recogniser.model, factor)
        return self.recogniser

    @property
    def is_warped(self) -> bool:
        """Whether the speaker was given a warp."""
        return self.warp is not None and self.warp.factor != self.warp_before

    @contextmanager
    def for_others(self) -> Iterator[Recogniser]:
        """Return the recogniser as others are to be heard by it, for so long.

        That is without this speaker's own warp, and by the statistics that it had before him.
        """
        with (
            unwarped(self.recogniser, self.warp_before) as recogniser,
            normalised_as(recogniser.model, self.statistics_before),
        ):
            yield recogniser


@contextmanager
def _given_back(model: SpeechModel) -> Iterator[None]:
    """Leave a model afterwards as it is now: what is trained of it, its parts' modes and its device."""
    device = next(model.parameters()).device
    trainable = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        model.to(device)
        for parameter, flag in trainable:
            parameter.requires_grad_(flag)
        for module, mode in modes:
            module.training = mode


P = ParamSpec("P")


def _leaving_the_source(
    function: Callable[Concatenate[Recogniser, P], Adapted],
) -> Callable[Concatenate[Recogniser, P], Adapted]:
    """Let a function borrow the recogniser that it is given first."""

    @functools.wraps(function)
    def borrowing(source: Recogniser, /, *arguments: P.args, **named: P.kwargs) -> Adapted:
        with _given_back(source.model):
            return function(source, *arguments, **named)

    return borrowing


@_leaving_the_source
def adapt(
    source: Recogniser,
    spoken: Spoken,
    method: str,
    config: AdaptConfig,
    folder: Path | None = None,
    log: Callable[[str], None] | None = None,
    source_speech: Spoken | None = None,
    shared: Shared | None = None,
) -> Adapted:
    """Adapt a copy of `source` to speech; `source` is left as it is, what is trained of it and its mode included.

    Layers below all that is trained run once over each utterance instead of at every step, with their dropout off;
    see `activations.Activations`.

    Args:
        source: the speaker-independent recogniser.
        spoken: Speech of the new speaker, with transcripts, and inputs at every speed of the configuration.
        method: a name from `methods.METHODS`, or several joined with `+`.
        config: budget and settings.
        folder: folder of checkpoints, for resuming.
        log: function that is called with a line when training ends.
        source_speech: speech of the source domain, with inputs in the same store; what `replay` mixes in, each language
            through its own head, and on which, in the language that is adapted, `ewc` takes its Fisher information.
        shared: activations that several adaptations of `source` on one store compute once; the result is the same bits
            without.

    Raises:
        DataError: a transcript cannot be spelled, no utterance is long enough for CTC, or the method needs source
            utterances and there are none.
        ModelError: the method goes by profiles of training speakers, which the model lacks.
        ConfigError: the method is unknown, its settings do not fit the model, or it needs CTC, which the model lacks.
    """
    begin = time.process_time()
    names = [found.name for found in find_methods(method)]
    require_fitting(method, source.model)
    warp, before, home = None, warp_of(source.model), next(source.model.parameters()).device
    if any(found.role == "inputs" for found in find_methods(method)):
        warp = chosen_warp(source, spoken, config, "warp" in names and reads_transcripts(method), shared)
        # All else goes on from the warped model, as if it had been adapted by the warp before.
        source, shared = with_warp(source, warp.factor), None
        if log:
            log(warp.describe())
    normalised, usual = None, dict[str, torch.Tensor]()
    if ADABN in names:
        require_speech(spoken, ADABN, "")
        usual = _copied(statistics_of(source.model))
        source, normalised = with_own_statistics(source, spoken, distributed.join(config.device))
        usual = usual if normalised.share > 0 else {}
        shared = None
        if log:
            log(normalised.describe())
    report = Report()
    if "pseudo-label" in names:
        teacher = labeller(source, config.settings, config.suta)
        spoken, report = pseudo_label(teacher, spoken, config.settings.confidence)
    described, no_op, profile = None, dict[str, torch.Tensor](), dict[str, torch.Tensor]()
    if (start_method := starting(method)) is not None:
        described = _described(source, spoken, start_method, config)
        source, no_op, profile = _started(source, described)
        shared = None
        if log:
            log(described.describe())
    chosen = time.process_time() - begin if warp or described or normalised else 0.0
    recipe = build(method, source.model, config.settings, source.head)
    model = copy.deepcopy(source.model)
    if not default_learning_rate(method):
        applied = recipe.plan.apply(model)
        _trainable_as(model, source.model)
        test_time = config.suta if "suta" in names else source.test_time
        if usual:
            no_op, profile = {**no_op, **usual}, {**profile, **_copied(statistics_of(model))}
        offsets = {} if profile else source.offsets
        adapted = replace(source, model=model, test_time=test_time, offsets=offsets)
        nothing = Result([], None, 0, 0, chosen, 0.0, 0)
        outcome = Adapted(
            adapted, nothing, applied, report, no_op, profile, 0, warp, before, described, normalised, usual
        )
        outcome.at_strength(config.strength)
        return outcome
    factor = warp_of(source.model)
    if factor != 1:
        # The speaker alone is heard through the warp while it trains: mixed in, others would teach what nobody says.
        spoken = spoken.fed(WarpedStore(spoken.store, {utterance.id: factor for utterance in spoken.utterances}))
        source, shared = with_warp(source, 1.0), None
    kept, infeasible = learnable(spoken.spelled(source.tokens, config.speeds, config.augment), source.model)
    report = Report(infeasible.kept, report.dropped + infeasible.dropped)
    if not kept:
        raise NothingUsable(f"no utterance can be learnt from, so there is nothing to adapt to. {report}")
    shared = _fitting(shared, source, spoken.store)
    applied = recipe.plan.apply(model)
    if factor != 1:
        set_warp(model, 1.0)
    mixed_in = bool(recipe.source_weight) and bool(usual)  # what frozen layers give of others is then another thing
    taps = any(objective.taps for _, objective in recipe.objectives)
    depth = 0 if mixed_in else shared.depth(model, config.augment is not None, taps)
    for _, objective in recipe.objectives:
        if isinstance(objective, Distillation):
            objective.teacher, objective.cache = above(source.model, depth), shared.posteriors()
    inputs = shared.inputs(depth)
    beside: dict[str, Spoken] = {}
    if source_speech and (recipe.source_weight or any(isinstance(held, EWC) for _, held in recipe.objectives)):
        parts = spelled_by_head(source, source_speech)
        beside = {head: part.fed(inputs) for head, part in parts.items()}
    own = beside.get(source.head, kept.subset(()))
    objectives = [
        (weight, _consolidated(objective, source.head, own, above(model, depth)))
        for weight, objective in recipe.objectives
    ]
    criterion = source.model.criterion
    streams: list[Task | Mixture] = [speech_task(STREAM, kept.fed(inputs), source.head, recipe.task_weight, criterion)]
    budget, source_budget = (
        _roomy(each, source.model, kept) for each in (config.batch_budget, source_budget_of(config, source.model))
    )
    if recipe.source_weight:
        if not beside:
            raise DataError(f"`{method}` mixes source utterances in, but there are none; give some with --source.")
        domain = None
        if mixed_in:
            domain = OTHERS
            keep_beside(model, domain, usual)
        streams.append(_replayed(beside, source.head, recipe.source_weight, source_budget, criterion, domain))
    settings = TrainerConfig(
        steps=config.steps,
        batch_budget=budget,
        learning_rate=config.learning_rate or default_learning_rate(method, source.model),
        weight_decay=0.0,
        precision=config.precision,
        validate_every=0,
        seed=config.seed,
        device=config.device,
    )
    trainer = Trainer(
        above(model, depth),
        streams,
        objectives,
        Done(applied),
        precise(settings, folder, source.model, log),
        folder=folder,
        log=log,
    )
    start = _trained(model)
    result = trainer.train()
    result = replace(result, cpu_seconds=result.cpu_seconds + chosen)
    if mixed_in:
        settle(model, None)
    end = _trained(model)
    _trainable_as(model, source.model)
    if factor != 1:
        set_warp(model, factor)
    recogniser = replace(source, model=model.to(home).eval(), offsets={})
    start, end = {**start, **no_op}, {**profile, **end}
    if described is not None or normalised is not None or factor != before:
        depth = 0  # the first layers give what those of the model that was given do not
    outcome = Adapted(
        recogniser, result, applied, report, start, end, depth, warp, before, described, normalised, usual
    )
    outcome.at_strength(config.strength)
    return outcome


def chosen_warp(
    source: Recogniser, spoken: Spoken, config: AdaptConfig, read: bool, shared: Shared | None = None
) -> Warped:
    """Choose a warp on what can be heard: transcripts that CTC cannot spell tell nothing.

    Raises:
        DataError: there is too little speech.
        ConfigError: the model cannot be warped.
    """
    usable = learnable(spoken.spelled(source.tokens), source.model)[0] if read else spoken
    if not usable:
        raise NothingUsable(
            "no recording is long enough for its transcript, so there is nothing to choose a warp by; record more, or "
            "take `warp-untranscribed`, which reads none."
        )
    known = None if shared is None else _fitting(shared, source, spoken.store).weighed()
    return find_warp(source, usable, config.settings.warps, config.settings.warp_width, read, known)


def _described(source: Recogniser, spoken: Spoken, method: str, config: AdaptConfig) -> Described | Summarised:
    """Describe a speaker by what can be heard: texts that CTC cannot spell tell nothing."""
    device = distributed.join(config.device)
    if method == MEAN:
        return describe_speaker(source, spoken, method, config.settings, device)
    require_speech(spoken, method)
    if method == FILM:
        return summarise(source, spoken, device)
    read = spoken if METHODS[method].reads else recognised(source, spoken)
    usable = learnable(read.spelled(source.tokens), source.model)[0]
    if not usable:
        raise NothingUsable(
            f"no recording is long enough for its transcript, so there is nothing that `{method}` could go by; "
            f"record more, or take `{MEAN}`, which reads none."
        )
    return describe_speaker(source, usable, method, config.settings, device)


def _started(
    source: Recogniser, described: Described | Summarised
) -> tuple[Recogniser, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return the source with a speaker's profile on it, and the profile's parameters without effect and as they are."""
    model = copy.deepcopy(source.model)
    spec = described.spec(model)
    add_adapter(model, spec)
    of_it = f"{PREFIX}{spec.kind}."
    own = {name: parameter for name, parameter in model.named_parameters() if name.startswith(of_it)}
    no_op = {name: parameter.detach().cpu().clone() for name, parameter in own.items()}
    described.put_on(model)
    profile = {name: parameter.detach().cpu().clone() for name, parameter in own.items()}
    return replace(source, model=model.eval()), no_op, profile


def spelled_by_head(source: Recogniser, spoken: Spoken) -> dict[str, Spoken]:
    """Return speech that CTC can spell by the head that listens to it: that of its language, else the source's own.

    Raises:
        DataError: a transcript cannot be spelled.
    """
    parts = {}
    for head in (source.head, *source.others):
        numbers = [
            number
            for number, utterance in enumerate(spoken.utterances)
            if (utterance.language if utterance.language in source.others else source.head) == head
        ]
        part, _ = learnable(spoken.subset(numbers).spelled(source.tokens_for(head)), source.model)
        if part:
            parts[head] = part
    return parts


def source_budget_of(config: AdaptConfig, model: SpeechModel) -> int:
    """Return the frames of source utterances in a batch: what was set, else what suits the model."""
    if config.source_budget is not None:
        return config.source_budget
    return BESIDE_PUBLISHED if model.published() else BESIDE


def _roomy(budget: int, model: SpeechModel, spoken: Spoken) -> int:
    """Return the budget of a batch, of windows of one length at least that of some side by side.

    Short recordings cost as much as long ones there, so that a budget in frames would hold one of them.
    """
    return max(budget, TOGETHER * int(spoken.costs().min())) if isinstance(model, SequenceModel) else budget


def _replayed(
    parts: Mapping[str, Spoken], head: str, weight: float, budget: int, criterion: Criterion, domain: str | None
) -> Task | Mixture:
    """Return source speech as one stream; of several languages, half is of the head's own and as much of every other.

    It is normalised by the statistics of a domain, where there is one.

    Batches are as large as those of one language, so that other languages cost no time.
    """
    if len(parts) == 1:
        ((only, part),) = parts.items()
        return replace(speech_task("source", part, only, weight, criterion), budget=budget, domain=domain)
    tasks = {
        name: replace(speech_task(f"source {name}", part, name, criterion=criterion), domain=domain)
        for name, part in parts.items()
    }
    rest = max(1, len(tasks.keys() - {head}))
    shares = {task.name: 1.0 if name == head else 1.0 / rest for name, task in tasks.items()}
    return Mixture("source", tuple(tasks.values()), shares=shares, weight=weight, budget=budget)


def _trainable_as(model: SpeechModel, source: SpeechModel) -> None:
    """Undo what a plan froze: of what the source has, that is trained again which is in the source; the rest is new."""
    flags = {name: parameter.requires_grad for name, parameter in source.named_parameters()}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(flags.get(name, True))


def _trained(model: SpeechModel) -> dict[str, torch.Tensor]:
    return _copied((name, p) for name, p in model.named_parameters() if p.requires_grad)


def _copied(named: Iterable[tuple[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in named}


def _consolidated(objective: Objective, head: str, source_speech: Spoken, model: SpeechModel) -> Objective:
    """Return an objective, EWC with Fisher information on the source utterances: what mattered before is held.

    Without any it is left to the recordings that are adapted to, which tell less; that is remarked upon.
    """
    if not isinstance(objective, EWC):
        return objective
    if not source_speech:
        remark(
            "`ewc` has no source utterances, so that the Fisher information is that of the recordings it adapts to: it "
            "holds what matters for them, not what matters for others; give source utterances with --source"
        )
        return objective
    task = speech_task("source", source_speech, head)
    fisher = fisher_information(model, task, objective.examples, objective.seed)
    return EWC(objective.weight, fisher=fisher)


def _fitting(shared: Shared | None, source: Recogniser, store: FeatureStore) -> Shared:
    if shared is None:
        return Shared(source, store)
    if shared.source is not source or shared.store is not store:
        raise ValueError("`shared` was made for another source model or other features; make one for these.")
    return shared
