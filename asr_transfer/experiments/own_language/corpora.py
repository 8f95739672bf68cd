"""Finds the speech of the experiment: corpora that are here, or made-up voices, divided by the part that they take."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from asr_transfer.config import Units
from asr_transfer.data.features import FeatureStore, build_store
from asr_transfer.data.inputs import Wanted
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.subsets import nested_subsets
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.experiments.languages.points import read_corpora, spellable, stored_speeds
from asr_transfer.experiments.own_language.config import Language, OwnLanguageConfig
from data_prep.made_up_languages import SPLITS, prepare_made_up_languages
from data_prep.multilingual import SOURCE_SPLITS, SOURCES, TARGETS, prepare_languages
from data_prep.registry import lookup

POOL = 3
"""Times as many sentences of the new speaker are set aside as a model is adapted to: each seed draws others of them."""


@dataclass(frozen=True)
class Target:
    """A language that is learnt, with its recordings by plain paths.

    Attributes:
        language: settings of the language.
        train, dev, heard, new: manifests, by their names in the settings.
        sentences: sentences of the new speaker that a model is adapted to.
        tested: greatest number of recordings of each kind that are scored.
    """

    language: Language
    train: Mapping[str, str]
    dev: Mapping[str, str]
    heard: Mapping[str, str]
    new: Mapping[str, str]
    sentences: int
    tested: int

    @property
    def name(self) -> str:
        """Return the code of the language."""
        return self.language.language

    @property
    def units(self) -> Units:
        """Return the kind of text that a token of the head is."""
        return self.language.units

    def taught(self, minutes: float, seed: int) -> list[Utterance]:
        """Return the recordings that are trained on: those of a smaller amount are part of a larger one's."""
        return nested_subsets(read_corpora(self.train), self.language.amounts, seed)[minutes]

    def choosing(self, minutes: float, seed: int) -> list[Utterance]:
        """Return the recordings that choose weights and ways, as far as the training speech can spell them."""
        return spellable(read_corpora(self.dev), self.taught(minutes, seed), self.units)

    def tests(self) -> dict[str, list[Utterance]]:
        """Return the recordings that are scored: of `heard` voices, and of the `new` speaker."""
        every = {"heard": self._drawn(self.heard), "new": self._drawn(self.new)[self._aside :]}
        return {name: own[: self.tested] for name, own in every.items() if own}

    def own(self, seed: int) -> list[Utterance]:
        """Return the sentences of the new speaker that a model is adapted to; none of them is scored."""
        pool = self._drawn(self.new)[: self._aside]
        if len(pool) < self.sentences:
            raise DataError(
                f"{', '.join(self.new)}: has {len(self._drawn(self.new))} recordings, too few to adapt to "
                f"{self.sentences} of them and to score others; lower `sentences`."
            )
        return random.Random(f"{seed}/own {self.name}").sample(pool, self.sentences)

    def store(self, inputs: Wanted, speeds: Sequence[float]) -> FeatureStore:
        """Return the features of all of these recordings."""
        return _store(self, inputs, tuple(speeds))

    def everything(self) -> list[Utterance]:
        """Return all recordings that have a part in the experiment."""
        scored = [u for own in self.tests().values() for u in own]
        aside = self._drawn(self.new)[: self._aside]
        return [*read_corpora({**self.train, **self.dev}), *scored, *aside]

    @property
    def _aside(self) -> int:
        return min(POOL * self.sentences, len(read_corpora(self.new)) // 3)

    def _drawn(self, manifests: Mapping[str, str]) -> list[Utterance]:
        """Return recordings in a random order that is the same each time."""
        order = sorted(read_corpora(manifests), key=lambda u: u.id)
        random.Random(f"own/{self.name}").shuffle(order)
        return order

    def __hash__(self) -> int:
        return hash((self.language, *self.train.values(), *self.new.values(), self.sentences, self.tested))


@dataclass(frozen=True)
class Speech:
    """The speech of an experiment.

    Attributes:
        sources: manifests that the source model is trained on, by name.
        targets: languages that are learnt.
    """

    sources: Mapping[str, str]
    targets: Sequence[Target]


def find_speech(
    config: OwnLanguageConfig,
    folder: Path,
    say: Callable[[str], None],
    speech: Path | None = None,
    sources: Sequence[str] | None = (),
    targets: Sequence[str] = (),
    workers: int = 1,
) -> Speech:
    """Prepare what is there; languages whose corpora are absent are said and left out.

    Args:
        config: the experiment.
        folder: folder for the manifests.
        say: function that takes lines for a person to read.
        speech: folder of the corpora as they were distributed; fetched ones are found without it.
        sources: corpora to learn from; all that are known and there, where none is named, and no corpora for None.
        targets: corpora of the languages that are learnt; a language with others is left out. All where none is named.
        workers: parallel processes.

    Raises:
        DataError: no source or no language to learn is there.
        ConfigError: a corpus is not known, or espeak-ng is not installed.
    """
    learnt = {one.language for one in config.languages}
    if targets:
        chosen = [one for one in config.languages if set(corpora_of(one)) <= set(targets)]
        if not chosen:
            raise ConfigError("no language has all of its corpora among `targets`; name those that its settings do.")
        config = replace(config, languages=tuple(chosen))
    if config.made_up is not None:
        folders = prepare_made_up_languages(config.made_up, folder, workers)
        manifests = {f"{name}/{split}": str(at / f"{split}.jsonl") for name, at in folders.items() for split in SPLITS}
        taught = {name: path for name, path in manifests.items() if name.endswith("/train")}
        return Speech({n: p for n, p in taught.items() if n.split("/")[0] not in learnt}, _targets(config, manifests))
    named = dict.fromkeys(name for one in config.languages for name in corpora_of(one))
    offered = () if sources is None else sources or SOURCES
    wanted = [name for name in offered if name not in named and _language(name) not in learnt]
    further = [name for name in named if name not in TARGETS]
    found = prepare_languages(
        speech, folder, say, [*wanted, *further] or None, [name for name in named if name in TARGETS] or None, workers
    )
    every = {**found.sources, **found.targets}
    parts = {name: SOURCE_SPLITS.get(name, (("train", "dev"), "test"))[0] for name in found.sources}
    taught = {
        f"{name}/{split}": str(at / f"{split}.jsonl")
        for name, at in found.sources.items()
        if name in wanted and found.languages[name] not in learnt
        for split in parts[name]
    }
    manifests = {f"{name}/{file.stem}": str(file) for name, at in every.items() for file in at.glob("*.jsonl")}
    for one in config.languages:
        if absent := [place for place in _places(one) if place not in manifests]:
            say(f"{one.language}: is left out, for {absent[0]} is absent")
    return Speech(taught, _targets(config, manifests))


def corpora_of(one: Language) -> list[str]:
    """Return the corpora that a language's manifests are of."""
    return list(dict.fromkeys(place.rpartition("/")[0] for place in _places(one)))


def _places(one: Language) -> tuple[str, ...]:
    return (*one.train, *one.dev, *one.heard, *one.new)


def _language(name: str) -> str | None:
    place = lookup(name)
    return place.language if place else None


def _targets(config: OwnLanguageConfig, manifests: Mapping[str, str]) -> list[Target]:
    def paths(places: Sequence[str]) -> dict[str, str]:
        return {place: manifests[place] for place in places}

    found = [
        Target(one, paths(one.train), paths(one.dev), paths(one.heard), paths(one.new), config.sentences, config.tested)
        for one in config.languages
        if all(place in manifests for place in _places(one))
    ]
    if not found:
        raise DataError("no language that is to be learnt has its corpora here; get one of those named above.")
    return found


@cache
def _store(target: Target, inputs: Wanted, speeds: tuple[float, ...]) -> FeatureStore:
    return build_store(target.everything(), inputs, stored_speeds(speeds))


def source_utterances(manifests: Mapping[str, str]) -> list[Utterance]:
    """Return what the source model is trained on."""
    return read_corpora(manifests)
