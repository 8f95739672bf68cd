"""Trains the steps of a user's path, each in a run folder of its own; a later step loads the model of the earlier one.

`source`, then for each language, amount and seed `scratch`, `learn` and the ways that it does not try itself, then
`adapt`, then `words`. Every folder keeps what it heard below `heard`, by row of the table and by recordings.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from asr_transfer.adaptation.adaptable_source import train_source
from asr_transfer.adaptation.choice import AUTO, adapt_by_choice
from asr_transfer.adaptation.kept import in_its_languages, kept_speech
from asr_transfer.adaptation.settings import AdaptConfig, ChoiceConfig
from asr_transfer.adaptation.usable_recordings import vet
from asr_transfer.config import ModelConfig, SourceConfig, to_record
from asr_transfer.data.features import FeatureStore, build_store
from asr_transfer.data.judged import hold_out, symbols_of
from asr_transfer.data.kept_source import FOLDER, JUDGED, Summary, judged_origin, keep, remarks, writers
from asr_transfer.data.lexicon import read_for
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens, pieces_of, spells_phones
from asr_transfer.decoding.identify import calibrated
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.evaluation.scoring import Hypothesis, write_scores
from asr_transfer.experiments.core.jobs import Job
from asr_transfer.experiments.core.ledger import Data
from asr_transfer.experiments.languages.points import read_corpora, stored_speeds
from asr_transfer.experiments.own_language.corpora import Target, source_utterances
from asr_transfer.languages.choice import plan_ways
from asr_transfer.languages.config import Mode
from asr_transfer.languages.held_out import Parts
from asr_transfer.languages.learning import (
    Beside,
    kept_beside,
    learn_by_ways,
    load_any_head,
    plan_learning,
    save_learnt,
)
from asr_transfer.languages.learning_settings import LearningSettings
from asr_transfer.languages.transfer import learn_language
from asr_transfer.models.kinds import network_inputs
from asr_transfer.runs.record import RunRecord
from asr_transfer.textfiles import read_text, write_text
from asr_transfer.training.hypotheses import hypotheses

SOURCE = "source"
"""Run folder of the source model."""

WAYS: tuple[Mode, ...] = ("head", "all", "joint")
"""Ways that are rows of the table, whether `learn` tries them or not."""

REPLAYED = 300
"""Utterances that the model's folder keeps which are mixed in, as by `asr-transfer adapt`."""

LEXICON = "lexicon.txt"


@dataclass(frozen=True)
class TrainSource(Job):
    """Trains the source model, which keeps speech of its languages as `asr-transfer train` does.

    Attributes:
        manifests: manifests to train on, by name.
        config: network and training.
        keep_source: training utterances to keep.
        keep_judged: utterances of each language to hold out and to keep.
    """

    manifests: Mapping[str, str]
    config: SourceConfig
    keep_source: int
    keep_judged: int

    @property
    def name(self) -> str:
        """Its run folder."""
        return SOURCE

    def settings(self) -> dict[str, Any]:
        """Return the training's settings."""
        return {**to_record(self.config), "keep_source": self.keep_source, "keep_judged": self.keep_judged}

    def data(self) -> Data:
        """Return the speech that it is trained on."""
        return {"train": ("sources", source_utterances(self.manifests))}

    def run(self, record: RunRecord, data: Data) -> None:
        """Train it."""
        config, every = self.config, list(data["train"][1])
        held = hold_out(every, [], self.keep_judged, config.trainer.seed, symbols_of(config))
        store = build_store(every, network_inputs(config.model), stored_speeds(config.speeds))
        recogniser, result, report = train_source(
            Spoken(held.train, store), Spoken([], store), config, record.folder, record.log
        )
        if held.judged:
            recogniser = calibrated(recogniser, Spoken(held.judged, store), record.log)
        kept = keep(held, report, store, self.keep_source, config.trainer.seed)
        languages = ", ".join(sorted({u.language for u in every}))
        card = f"# Source model ({languages})\n\nTrained on {len(held.train)} utterances.\n" + remarks(kept)
        origin = {"trained_on": record.values["data"]["train"]["checksum"], **judged_origin(held)}
        recogniser.save(record.folder / "model", card, origin, writers(kept))
        record.finish(
            history=result.history,
            training={
                "cpu_seconds": round(result.cpu_seconds, 2),
                "steps": result.steps,
                "left_out": len(report.dropped),
            },
        )


@dataclass(frozen=True)
class Point:
    """A language, an amount and a seed.

    Attributes:
        target: language with its recordings.
        minutes: amount of its speech.
        seed: random seed.
        learn: settings of learning it.
        source: run folder of a source model that was trained before; empty for the experiment's own.
    """

    target: Target
    minutes: float
    seed: int
    learn: LearningSettings
    source: str = ""

    @property
    def name(self) -> str:
        """Return how its folders are called."""
        return f"{self.target.name}-{self.minutes:g}-{self.seed}"

    def folder(self, experiment: Path, step: str) -> Path:
        """Return the run folder of one of its steps."""
        return experiment / "points" / f"{step}-{self.name}"

    def source_folder(self, experiment: Path) -> Path:
        """Return the run folder of its source model."""
        return Path(self.source) if self.source else experiment / SOURCE

    def settings(self) -> dict[str, Any]:
        """Return what the records of its steps keep."""
        learn = to_record(replace(self.learn, seed=self.seed))
        return {"language": self.target.name, "units": self.target.units, "minutes": self.minutes, **learn}

    def speech(self) -> dict[str, tuple[str, Sequence[Utterance]]]:
        """Return what it is trained, chosen and scored on."""
        target = self.target
        parts = {"train": target.taught(self.minutes, self.seed), "dev": target.choosing(self.minutes, self.seed)}
        return {name: (target.name, part) for name, part in {**parts, **target.tests()}.items() if part}


@dataclass(frozen=True)
class _Step(Job):
    """A step of a point."""

    point: Point

    def data(self) -> Data:
        """Return its speech."""
        return self.point.speech()

    def beside(self, experiment: Path, recogniser: Recogniser) -> Beside:
        """Return what the source model keeps of its languages, for every step the same."""
        target = self.point.target
        store = target.store(recogniser.model.inputs, self.point.learn.speeds)
        return kept_beside(self.point.source_folder(experiment), recogniser, target.name, store)

    def hear(self, record: RunRecord, row: str, recogniser: Recogniser, others: Spoken | None) -> None:
        """Write what a model hears in the recordings that are scored, and in those of the other languages."""
        store = self.point.target.store(recogniser.model.inputs, self.point.learn.speeds)
        for name, test in self.point.target.tests().items():
            write_scores(record.folder / "heard" / row / name, hypotheses(recogniser, Spoken(test, store)))
        self.hear_others(record, row, recogniser, others)

    def hear_others(self, record: RunRecord, row: str, recogniser: Recogniser, others: Spoken | None) -> None:
        """Write what a model hears in recordings of the other languages, where there are some."""
        if others:
            write_scores(record.folder / "heard" / row / "others", hypotheses(recogniser, others, by_head=True))


@dataclass(frozen=True)
class Scratch(_Step):
    """Trains a new network on the language alone.

    Attributes:
        network: network, as the source model's.
        steps: number of optimiser steps.
    """

    network: ModelConfig
    steps: int

    @property
    def name(self) -> str:
        """Its run folder."""
        return f"points/scratch-{self.point.name}"

    def settings(self) -> dict[str, Any]:
        """Return the settings of the point, and the budget."""
        return {**self.point.settings(), "network": to_record(self.network), "steps": self.steps}

    def run(self, record: RunRecord, data: Data) -> None:
        """Train and score it."""
        target, learn = self.point.target, replace(self.point.learn, seed=self.point.seed)
        config = replace(learn.configured("scratch", target.units, False, "auto", self.steps), model=self.network)
        store = target.store(self.network.features, learn.speeds)
        train, dev = (Spoken(data[name][1] if name in data else [], store) for name in ("train", "dev"))
        learnt = learn_language(None, train, dev, config, record.folder, record.log)
        self.hear(record, "scratch", learnt.recogniser, None)
        training = {"cpu_seconds": round(learnt.result.cpu_seconds, 2), "steps": learnt.result.steps}
        record.finish(history=learnt.result.history, training=training)


@dataclass(frozen=True)
class Learn(_Step):
    """Teaches the source model the language, by the function behind `asr-transfer learn`.

    Attributes:
        way: `auto`, or a way that `auto` does not try on so much speech.
    """

    way: Literal["auto"] | Mode = "auto"

    @property
    def name(self) -> str:
        """Its run folder."""
        return f"points/{'learn' if self.way == 'auto' else self.way}-{self.point.name}"

    @property
    def needs(self) -> tuple[str, ...]:
        """Its source model."""
        return (SOURCE,)

    def settings(self) -> dict[str, Any]:
        """Return the settings of the point, and the way."""
        return {**self.point.settings(), "way": self.way}

    def run(self, record: RunRecord, data: Data) -> None:
        """Train by all ways, take one, and score each."""
        experiment, target = record.folder.parents[1], self.point.target
        settings = replace(self.point.learn, seed=self.point.seed, way=self.way)
        place = self.point.source_folder(experiment)
        source = load_any_head(place)
        beside = self.beside(experiment, source)
        train, dev = (list(data[name][1]) if name in data else [] for name in ("train", "dev"))
        store = target.store(source.model.inputs, settings.speeds)
        # What is kept to judge on was not trained on, but is no recording that is scored here either.
        parts = Parts(train, dev, dev, "")
        planned = plan_learning(source, target.name, target.units, parts.minutes, beside, settings)
        outcome = learn_by_ways(
            source, planned, Spoken(train, store), Spoken(dev, store), beside, settings, record.folder,
            record.log, record.log, hopeless=True,
        )  # fmt: skip
        for way, learnt in outcome.learnt.items():
            if way in WAYS:
                self.hear(record, way, learnt.recogniser, beside.judged)
        training: dict[str, dict[str, float]] = {
            way: {"cpu_seconds": round(one.result.cpu_seconds, 2), "steps": one.result.steps}
            for way, one in outcome.learnt.items()
        }
        if self.way == "auto":
            self.hear(record, "learn", outcome.recogniser, beside.judged)
            if beside.judged:
                write_scores(record.folder / "heard/source/others", hypotheses(source, beside.judged, by_head=True))
            save_learnt(outcome, record.folder / "model", str(place), parts, store, beside, settings)
            training["learn"] = {
                "cpu_seconds": round(outcome.cpu_seconds, 2),
                "steps": sum(one.steps for one in outcome.chosen.ladder),
            }
        record.finish(
            history=[],
            training=training,
            learning={
                "way": outcome.chosen.way,
                "reason": outcome.chosen.reason,
                "ladder": [one.to_plain() for one in outcome.chosen.ladder],
            },
        )


@dataclass(frozen=True)
class Adapt(_Step):
    """Adapts the learnt model, as its folder holds it, to the new speaker by `auto`.

    Attributes:
        adapt: budget of an adaptation.
        choice: choice of the method.
    """

    adapt: AdaptConfig
    choice: ChoiceConfig

    @property
    def name(self) -> str:
        """Its run folder."""
        return f"points/adapt-{self.point.name}"

    @property
    def needs(self) -> tuple[str, ...]:
        """The learnt model."""
        return (f"points/learn-{self.point.name}",)

    def settings(self) -> dict[str, Any]:
        """Return the settings of the point and of the adaptation."""
        own = {"adapt": to_record(self.adapt), "choice": to_record(self.choice)}
        return {**self.point.settings(), **own, "sentences": self.point.target.sentences}

    def data(self) -> Data:
        """Return the new speaker's sentences, and what is scored."""
        tests = {name: (self.point.target.name, own) for name, own in self.point.target.tests().items()}
        return {"adapt": (self.point.target.name, self.point.target.own(self.point.seed)), **tests}

    def run(self, record: RunRecord, data: Data) -> None:
        """Adapt and score it."""
        experiment, target = record.folder.parents[1], self.point.target
        before = self.point.folder(experiment, "learn")
        source = Recogniser.load(before, target.name)
        known_symbols = set(source.tokens.symbols[1:])
        # Minutes of speech may lack a sound of the new speaker's sentences; what the head cannot spell teaches nothing.
        own = [
            u for u in data["adapt"][1] if known_symbols.issuperset(pieces_of(u.spelled(target.units), target.units))
        ]
        settings = replace(self.adapt, seed=self.point.seed)
        kept = kept_speech(before, source, own)
        store: FeatureStore = build_store(own, source.model.inputs, stored_speeds(self.adapt.speeds))
        speech = {name: in_its_languages(kept, name, before, source) for name in (FOLDER, JUDGED)}
        mixed = [u for part in speech[FOLDER].values() for u in part]
        mixed = random.Random(settings.seed).sample(mixed, min(REPLAYED, len(mixed)))
        if mixed:
            mixed, store = Summary(mixed, kept[FOLDER].store).joined(store)
        if judged := [u for part in speech[JUDGED].values() for u in part]:
            judged, store = Summary(judged, kept[JUDGED].store).joined(store)
        vetted = vet(source, Spoken(own, store), settings.speeds, False, True, record.log)
        adapted, choice = adapt_by_choice(
            source, vetted.spoken, settings, self.choice, Spoken(mixed, store), vetted.groups,
            record.folder, record.log, Spoken(judged, store),
        )  # fmt: skip
        self.hear(record, "adapt", adapted.recogniser, None)
        with adapted.for_others() as heard_by_others:
            self.hear_others(record, "adapt", heard_by_others, self.beside(experiment, source).judged)
        facts = {"adapted_to": record.values["data"]["adapt"]["checksum"], "method": choice.method}
        card = f"# Adapted to {len(vetted.spoken)} sentences by `{AUTO}`\n\n{choice.reason}\n" + remarks(kept)
        adapted.recogniser.save(record.folder / "model", card, facts, writers(kept))
        spent = choice.cpu_seconds + adapted.result.cpu_seconds
        training = {"cpu_seconds": round(spent, 2), "steps": adapted.result.steps}
        record.finish(
            history=[],
            training=training,
            adaptation={
                "method": choice.method,
                "reason": choice.reason,
                "ladder": [rung.to_plain() for rung in choice.ladder],
                "left_out": [f"{name}: {reason}" for name, reason in vetted.dropped],
            },
        )


@dataclass(frozen=True)
class FindWords(_Step):
    """Looks for short recordings in a lexicon, with the models that the folders of the earlier steps hold.

    Attributes:
        size: words of the lexicon.
        longest: greatest number of words of a recording that is looked for.
    """

    size: int
    longest: int

    @property
    def name(self) -> str:
        """Its run folder."""
        return f"points/words-{self.point.name}"

    @property
    def needs(self) -> tuple[str, ...]:
        """The models."""
        return tuple(f"points/{step}-{self.point.name}" for step in self.models)

    @property
    def models(self) -> tuple[Literal["learn", "adapt"], ...]:
        """Return the steps whose models are tried."""
        return ("learn", "adapt") if self.point.target.language.is_adapted(self.point.minutes) else ("learn",)

    def settings(self) -> dict[str, Any]:
        """Return the settings of the point and of the lexicon."""
        return {**self.point.settings(), "lexicon": self.size, "longest": self.longest}

    def data(self) -> Data:
        """Return the recordings that are looked for."""
        return {"words": (self.point.target.name, looked_for(self.point.target, self.longest))}

    def run(self, record: RunRecord, data: Data) -> None:
        """Look for them with each model, without the lexicon and with it."""
        experiment, target = record.folder.parents[1], self.point.target
        items = list(data["words"][1])
        file = record.folder / LEXICON
        for step in self.models:
            model = Recogniser.load(self.point.folder(experiment, step), target.name)
            write_text(file, lexicon_text(target, items, self.size, model.tokens))
            spoken = Spoken(items, target.store(model.model.inputs, self.point.learn.speeds))
            lexicon = replace(model, lexicon=read_for(file, model.tokens), decoder=None)
            for name, listening in (("free", model), ("lexicon", lexicon)):
                heard = found_words(listening, spoken, target)
                write_scores(record.folder / "heard" / step / name, heard)
        record.finish(history=[], training={"cpu_seconds": 0.0, "steps": 0}, lexicon=len(read_text(file).splitlines()))


def ways_beside(minutes: float) -> list[Mode]:
    """Return the ways of the table that `learn` does not try on so much speech."""
    return [way for way in WAYS if way not in plan_ways(minutes, known=False, replayable=True).ways]


def looked_for(target: Target, longest: int) -> list[Utterance]:
    """Return the scored recordings of few words, whose texts the lexicon holds."""
    return [u for u in target.tests()[target.language.words] if len(u.text.split()) <= longest]


def written(target: Target, utterance: Utterance) -> str:
    """Return what a model writes of an utterance, which is the lexicon's entry of it: of phones these themselves."""
    return utterance.spelled(target.units) if spells_phones(target.units) else utterance.text


def lexicon_text(target: Target, items: Sequence[Utterance], size: int, tokens: Tokens) -> str:
    """Return a lexicon of the recordings' words and others of the language, as far as tokens spell them.

    Args:
        target: the language.
        items: recordings that are looked for.
        size: words of the lexicon, or as many as there are.
        tokens: tokens of the head; what they lack cannot be found, and is the model's error.
    """
    more = [written(target, u) for u in read_corpora({**target.train, **target.dev})]
    if not spells_phones(target.units):
        more = [word for text in more for word in text.split()]
    known = set(tokens.symbols[1:])
    own = dict.fromkeys(written(target, u) for u in items)
    every = dict.fromkeys([*own, *sorted(set(more))])
    spelled = [word for word in every if known.issuperset(pieces_of(word, target.units))]
    # The recordings' own words always stay; of the others every so many is taken.
    first = [word for word in spelled if word in own]
    rest = [word for word in spelled if word not in own]
    step = max(1, len(rest) // max(1, size - len(first)))
    words = [*first, *rest[::step]][: max(size, len(first))]
    if not spells_phones(target.units):
        return "".join(f"{word}\n" for word in words)
    return "".join(f"{word}\t{word}\n" for word in words)


def found_words(model: Recogniser, spoken: Spoken, target: Target) -> list[Hypothesis]:
    """Return each recording as one word, right or wrong as a whole."""
    heard = hypotheses(model, spoken)
    whole = [written(target, u) for u in spoken.utterances]
    return [
        replace(h, reference=text.replace(" ", "_"), hypothesis=h.hypothesis.replace(" ", "_"))
        for h, text in zip(heard, whole, strict=True)
    ]
