"""Teaches a model a language by the best of several ways: tries them, takes one, and writes the new model's folder.

It is what `asr-transfer learn` does between reading recordings and printing scores, and what experiments call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from asr_transfer.config import Units
from asr_transfer.data.features import FeatureStore
from asr_transfer.data.kept_source import FOLDER, JUDGED, Summary, judged_by_head, load_summaries, remarks, writers
from asr_transfer.data.manifest import checksum
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import spells_phones
from asr_transfer.decoding.identify import calibrated
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.evaluation.language_rates import LanguageRate, language_rates, markdown
from asr_transfer.evaluation.percentages import percent
from asr_transfer.evaluation.scoring import align
from asr_transfer.languages.choice import HOPELESS, Chosen, Taken, Tried, choose_way, mean_rise, plan_ways
from asr_transfer.languages.config import Mode
from asr_transfer.languages.heads import fresh
from asr_transfer.languages.held_out import Parts
from asr_transfer.languages.learning_settings import LearningSettings
from asr_transfer.languages.transfer import Learnt, learn_language
from asr_transfer.languages.ways import WAYS
from asr_transfer.models.configuration import LAST_LANGUAGE, read_config
from asr_transfer.training import distributed
from asr_transfer.training.activations import Stored
from asr_transfer.training.hypotheses import hypotheses
from asr_transfer.training.precision import Taken as Settled
from asr_transfer.training.precision import settle

Say = Callable[[str], None]

LEARNT = "learnt_from"
"""Where a model's `origin` keeps the checksum of what each language was learnt from, beside what the source says."""


@dataclass(frozen=True)
class Beside:
    """Speech of the model's other languages.

    Attributes:
        replay: utterances to mix in, with their inputs.
        judged: utterances that the model was not trained on, on which is seen what these languages lose.
        kept: summaries that the model's folder keeps, by folder.
    """

    replay: Spoken
    judged: Spoken
    kept: Mapping[str, Summary]


@dataclass(frozen=True)
class Planned:
    """What is tried.

    Attributes:
        language: language that is learnt.
        units: kind of text that a token of its head is.
        known: whether the model has such a head, which grows.
        ways: names of the ways, in the order of trying.
        reason: one sentence that says why these; empty where the user named the way.
        steps: number of optimiser steps of each way, where none gains no more before.
    """

    language: str
    units: Units
    known: bool
    ways: tuple[Mode, ...]
    reason: str
    steps: int


@dataclass(frozen=True)
class Outcome:
    """A language that was learnt.

    Attributes:
        recogniser: model that was taken, listening in the language, with offsets that tell its languages apart.
        chosen: way that was taken, and all that were tried.
        learnt: outcome of each training, by its way.
        before: error rate of each other language with the source model; empty where there is nothing to judge on.
    """

    recogniser: Recogniser
    chosen: Chosen
    learnt: Mapping[Taken, Learnt]
    before: Mapping[str, LanguageRate]

    @property
    def cpu_seconds(self) -> float:
        """Return the processor time of all trainings."""
        return sum(one.cpu_seconds for one in self.chosen.ladder)


def load_any_head(model: Path) -> Recogniser:
    """Return a model, listening with any of its heads; a published encoder without one too.

    Args:
        model: model folder, a run folder with one, or a pretrained model.
    """
    folder = model / "model" if (model / "model").is_dir() and not (model / "config.yaml").is_file() else model
    heads = read_config(folder)["heads"] if (folder / "config.yaml").is_file() else {}
    return Recogniser.load(model, next(iter(heads), None), "ctc")


def kept_beside(
    model: Path, source: Recogniser, language: str, store: FeatureStore, use_summary: bool = True
) -> Beside:
    """Return what a model's folder keeps of its languages but one.

    Args:
        model: model folder, or a run folder with one.
        source: its model.
        language: language that is learnt.
        store: inputs of its recordings, which stand in where nothing is kept.
        use_summary: whether to use what is kept; otherwise there is nothing.
    """
    kept = load_summaries(model, source.model.inputs) if use_summary else {}
    others = set(source.tokens_by_head) - {language}

    def of_others(summary: Summary | None) -> Spoken:
        if summary is None:
            return Spoken([], store)
        return Spoken([u for u in summary.utterances if u.language in others], summary.store)

    return Beside(of_others(kept.get(FOLDER)), of_others(kept.get(JUDGED)), kept)


def plan_learning(
    source: Recogniser, language: str, units: Units, minutes: float, beside: Beside, settings: LearningSettings
) -> Planned:
    """Return what is tried on so much speech.

    Raises:
        ConfigError: the way that was named mixes speech in that is not there.
    """
    known = language in source.tokens_by_head
    model = source.model
    plan = plan_ways(minutes, known, bool(beside.replay), bool(model.on_published()), bool(model.untrained()))
    ways: tuple[Mode, ...] = plan.ways if settings.way == "auto" else (settings.way,)
    if "joint" in ways and not beside.replay:
        raise ConfigError("`joint` mixes speech of the model's other languages in; give some with --source.")
    steps = settings.steps_for(60 * minutes, bool(model.on_published()))
    return Planned(language, units, known, ways, plan.reason if settings.way == "auto" else "", steps)


def learn_by_ways(
    source: Recogniser,
    planned: Planned,
    train: Spoken,
    dev: Spoken,
    beside: Beside,
    settings: LearningSettings,
    folder: Path,
    say: Say,
    log: Say,
    shown: Callable[[Chosen], None] = lambda chosen: None,
    hopeless: bool = False,
) -> Outcome:
    """Train by each planned way and take the model of the best; trainings go on from what they left in the folder.

    Args:
        source: trained model; where it knows the language, listening in it.
        planned: ways that are tried, and the language.
        train: recordings to train on, with inputs at every speed of the settings.
        dev: recordings that choose weights and way.
        beside: speech of the model's other languages.
        settings: settings of the trainings.
        folder: run folder; checkpoints lie in `ways` below it.
        say: function that takes lines for a person to read.
        log: function that takes lines of a training.
        shown: function that takes the ladder before the way that is taken is said.
        hopeless: whether to return a model also where nothing was learnt, as a table of experiments shows it.

    Raises:
        DataError: nothing was learnt, and that is not asked for.
    """
    before = rates_of_others(source, beside.judged)
    _precision(source, planned, settings, folder, say)
    stored = Stored(source.model)
    tried, learnt = list[Tried](), dict[Taken, Learnt]()
    if planned.known:
        tried.append(_tried("none", source, dev, 0.0 if before else None))
    for way in planned.ways:
        made = train_way(source, planned, way, train, dev, beside, settings, folder, way, log, stored)
        after = rates_of_others(made.recogniser, beside.judged) if WAYS[way].needs_source else {}
        rise = mean_rise(bare(before), bare(after)) if after else None
        learnt[way] = made
        tried.append(_tried(way, made.recogniser, dev, rise, made.result.steps, made.result.cpu_seconds))
        say(f"{way}: {percent(tried[-1].error)} % errors on the held-out recordings")
    chosen = choose_way(tried)
    shown(chosen)
    say(f"chosen: {chosen.way}: {chosen.reason}")
    best = chosen.ladder[0]
    if best.error > HOPELESS and not hopeless:
        raise DataError(
            f"{percent(best.error)} % of the held-out recordings are still wrong after {best.steps} steps, so nothing "
            "was learnt and no model is written; record more, or take more --steps."
        )
    final = source if chosen.way == "none" else learnt[chosen.way].recogniser
    return Outcome(_calibrated(final, beside.judged, dev, say), chosen, learnt, before)


def train_way(
    source: Recogniser,
    planned: Planned,
    way: Mode,
    train: Spoken,
    dev: Spoken,
    beside: Beside,
    settings: LearningSettings,
    folder: Path,
    name: str,
    log: Say,
    stored: Stored | None = None,
) -> Learnt:
    """Train by one way; see `learn_by_ways` for the arguments.

    Args:
        way: its name.
        name: folder of its checkpoints, below `ways` in the run folder.
        stored: states of the model's frozen blocks that earlier ways left; None for none.
    """
    precision = _precision(source, planned, settings, folder)
    published = bool(source.model.on_published())
    config = settings.configured(way, planned.units, planned.known, precision, planned.steps, published)
    replay = beside.replay if WAYS[way].uses_source else None
    return learn_language(source, train, dev, config, folder / "ways" / name, log, replay, stored)


def _precision(
    source: Recogniser, planned: Planned, settings: LearningSettings, folder: Path, say: Say | None = None
) -> Settled:
    device = distributed.join(settings.device)
    # A bare encoder has no head whose speed could be measured.
    probed = source.model if source.tokens_by_head else fresh(source.model, {planned.language: 40})
    return settle(folder, "auto", probed, device, settings.batch_budget, say=say)


def retrained(outcome: Outcome, way: Mode, made: Learnt, reason: str, beside: Beside, dev: Spoken, say: Say) -> Outcome:
    """Return an outcome whose model is that of a further training, with offsets of its own.

    Args:
        outcome: the language as it was learnt before.
        way: way of the further training.
        made: its outcome.
        reason: one sentence that says why it is taken.
        beside: speech of the other languages.
        dev: recordings that chose the way.
        say: function that takes lines for a person to read.
    """
    chosen = replace(outcome.chosen, way=way, reason=f"{outcome.chosen.reason}; {reason}")
    recogniser = _calibrated(made.recogniser, beside.judged, dev, say)
    return replace(outcome, recogniser=recogniser, chosen=chosen, learnt={**outcome.learnt, way: made})


def save_learnt(
    outcome: Outcome,
    folder: Path,
    began: str,
    parts: Parts,
    store: FeatureStore,
    beside: Beside,
    settings: LearningSettings,
    figures: Sequence[LanguageRate] = (),
) -> None:
    """Write the model's folder, with what it keeps of all its languages and a card.

    Args:
        outcome: the language that was learnt.
        folder: folder to write.
        began: name of the source model, for the card.
        parts: recordings that were trained on, chosen on, and scored.
        store: their inputs.
        beside: speech of the other languages.
        settings: settings of the trainings.
        figures: error rates, for the card.
    """
    final, way = outcome.recogniser, outcome.chosen.way
    own = {
        FOLDER: Summary.draw(parts.train, store, settings.keep_source, settings.seed),
        JUDGED: Summary.draw(parts.test, store, len(parts.test), settings.seed),
    }
    summaries = {
        name: _together(beside.kept.get(name), summary, final) for name, summary in own.items() if summary.utterances
    }
    learnt = final.origin.get(LEARNT)
    facts = {
        LEARNT: {**(learnt if isinstance(learnt, Mapping) else {}), final.head: checksum(parts.train)},
        LAST_LANGUAGE: final.head,
        JUDGED: judged_by_head(final.origin, final.model.head_names(), final.head, parts.apart),
    }
    heads = ", ".join(sorted(final.model.head_names()))
    table = f"\n\nErrors on recordings that it was not trained on:\n\n{markdown(figures)}" if figures else "\n"
    card = (
        f"# Speech recogniser ({heads})\n\n`{final.head}` was learnt by `asr-transfer learn` from {parts.minutes:.1f} "
        f"minutes in {len(parts.train)} recordings, beginning with `{began}`, by the way `{way}`: "
        f"{outcome.chosen.reason}; see `../run.json`.{table}"
    )
    final.save(folder, card + remarks(summaries), facts, writers(summaries))


def phone_heads(recogniser: Recogniser) -> list[str]:
    """Return the languages whose heads write phones."""
    return [name for name, tokens in recogniser.tokens_by_head.items() if spells_phones(tokens.units)]


def _tried(
    way: Taken, recogniser: Recogniser, dev: Spoken, rise: float | None, steps: int = 0, cpu_seconds: float = 0.0
) -> Tried:
    """Return a way with its errors in development speech of one language, in characters or phones.

    Raises:
        DataError: there is no reference.
    """
    heard = hypotheses(recogniser, dev)
    rates = language_rates(heard, phone_heads(recogniser))
    if not rates:
        raise DataError("the held-out recordings have empty transcripts; correct them.")
    errors = tuple(float(value) for value in align(heard, rates[0].unit).errors)
    return Tried(way, rates[0].estimate.value, rise, steps, cpu_seconds, errors)


def rates_of_others(recogniser: Recogniser, judged: Spoken) -> dict[str, LanguageRate]:
    """Return the error rate of each language of the held-out speech, with its own head."""
    if not judged:
        return {}
    found = language_rates(hypotheses(recogniser, judged, by_head=True), phone_heads(recogniser))
    return {one.language: one for one in found}


def bare(rates: Mapping[str, LanguageRate]) -> dict[str, float]:
    """Return error rates without their intervals."""
    return {name: one.estimate.value for name, one in rates.items()}


def _calibrated(recogniser: Recogniser, judged: Spoken, dev: Spoken, say: Say) -> Recogniser:
    """Return the model with offsets that tell its languages apart, where there is speech of all of them."""
    if not recogniser.others:
        return recogniser
    if not judged:
        return calibrated(recogniser, dev, say)
    more, store = Summary(judged.utterances, judged.store).joined(dev.store)
    return calibrated(recogniser, Spoken([*more, *dev.utterances], store), say)


def _together(old: Summary | None, new: Summary, final: Recogniser) -> Summary:
    """Return what is kept of the earlier languages and of the new one as one."""
    if old is None:
        return new
    languages = set(final.model.head_names())
    known = Summary([u for u in old.utterances if u.language in languages], old.store)
    more, store = known.joined(new.store)
    return Summary([*more, *new.utterances], store)
