"""Trains the points of a language experiment: one model each, with a run folder of its own that `compare` reads.

A point is named by its folder. A finished point is never run again, so an experiment that was killed goes on where it
stopped; a point that was under way goes on from its last checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from asr_transfer.config import Units, to_record
from asr_transfer.data.features import FeatureStore, JoinedStore, build_store
from asr_transfer.data.inputs import Wanted
from asr_transfer.data.lexicon import Lexicon, read_for
from asr_transfer.data.manifest import Utterance, checksum, read_manifest
from asr_transfer.data.speech import Spoken
from asr_transfer.data.subsets import nested_subsets
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import DataError
from asr_transfer.evaluation.foreign import read_hypotheses
from asr_transfer.evaluation.normalisation import Unit
from asr_transfer.evaluation.scoring import Alignments, Hypothesis, align, write_scores
from asr_transfer.experiments.core.jobs import Job
from asr_transfer.experiments.core.ledger import Data
from asr_transfer.languages.config import LanguageConfig
from asr_transfer.languages.transfer import learn_language
from asr_transfer.models.configuration import read_config
from asr_transfer.plain import to_plain
from asr_transfer.runs.record import RunRecord
from asr_transfer.textfiles import read_text
from asr_transfer.training.hypotheses import hypotheses

SourceSplits = tuple[tuple[str, ...], str]
"""The manifests of a source corpus that are trained on, and the one that is not."""

PARTS = ("train", "dev", "beside")
"""Names of a point's speech but the test sets': trained on, chosen on, and of the sources in joint training."""

SOURCE_SPLITS: SourceSplits = (("train", "dev"), "test")


@dataclass(frozen=True)
class Corpora:
    """Manifests of an experiment, by plain paths.

    Attributes:
        sources: training manifests of the source languages, by the name of the corpus.
        train, dev: manifests of the target language, by the name of the corpus.
        tests: manifests of the target language, by the name of the test set.
        lexica: lexicon files of test sets whose utterances are single words, by the name of the test set; what is heard
            is then also taken for one of these words, and scored in characters of their spelling.
        source_tests: manifests of the source languages that no model is trained on, by the name of the corpus; source
            models tell languages apart on them.
    """

    sources: Mapping[str, str] = field(default_factory=dict)
    train: Mapping[str, str] = field(default_factory=dict)
    dev: Mapping[str, str] = field(default_factory=dict)
    tests: Mapping[str, str] = field(default_factory=dict)
    lexica: Mapping[str, str] = field(default_factory=dict)
    source_tests: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_folders(
        cls,
        sources: Mapping[str, Path],
        targets: Mapping[str, Path],
        names: Mapping[str, str] | None = None,
        splits: Mapping[str, SourceSplits] | None = None,
    ) -> Corpora:
        """Return the corpora in folders of manifests `train`, `dev` and `test`, as `prepare` writes them.

        Of the sources, `train` and `dev` are trained on: source models are not chosen on anything.

        Args:
            sources, targets: folders by the name of the corpus.
            names: names of the targets' test sets, by the name of the corpus, where they are others.
            splits: manifests of sources, by the name of the corpus: the manifests that are trained on and the one that
                is not, where they are others.

        Raises:
            DataError: a manifest is missing.
        """
        found: dict[str, dict[str, str]] = {"train": {}, "dev": {}, "test": {}}
        lexica = {}
        for name, folder in targets.items():
            test = (names or {}).get(name, name)
            for split, own in found.items():
                own[test if split == "test" else name] = _manifest(folder, split)
            for lexicon in sorted(folder.glob("*lexicon.txt"))[:1]:
                lexica[test] = str(lexicon)
        parts = {name: (splits or {}).get(name, SOURCE_SPLITS) for name in sources}
        return cls(
            {f"{n} {split}": _manifest(folder, split) for n, folder in sources.items() for split in parts[n][0]},
            found["train"],
            found["dev"],
            found["test"],
            lexica,
            {name: _manifest(folder, parts[name][1]) for name, folder in sources.items()},
        )

    def source_utterances(self) -> list[Utterance]:
        """Return all source utterances."""
        return read_corpora(self.sources)

    def source_test_utterances(self) -> list[Utterance]:
        """Return the utterances of the source languages that no model is trained on."""
        return read_corpora(self.source_tests)

    def target_utterances(self) -> list[Utterance]:
        """Return all utterances of the target language, those of every test set included."""
        return read_corpora({**_named(self.train, "train"), **_named(self.dev, "dev"), **_named(self.tests, "test")})


def note_corpora(record: RunRecord, corpora: Corpora) -> None:
    """Note all manifests and lexica of an experiment in its record.

    Raises:
        ConfigError: the experiment began with others.
    """
    for kind, manifests in (
        ("", corpora.sources),
        ("source test", corpora.source_tests),
        ("target train", corpora.train),
        ("target dev", corpora.dev),
        ("target test", corpora.tests),
    ):
        for name, path in manifests.items():
            record.data(f"{kind} {name}".strip(), path, read_manifest(path))
    for name, path in corpora.lexica.items():
        record.texts(f"lexicon {name}", path, read_text(path).splitlines())


@dataclass(frozen=True)
class Point:
    """A model of the target language to train and test.

    Attributes:
        system: name that it is compared under.
        minutes: amount of the target language's speech.
        seed: random seed of subset, weights and batches.
        source: name of the source model; none from scratch.
        config: settings of learning the language.
        pretrained: published encoder to begin with in place of a source model, its folder or name on the hub.
    """

    system: str
    minutes: float
    seed: int
    source: str | None
    config: LanguageConfig
    pretrained: Path | None = None

    @property
    def name(self) -> str:
        """The name of its run folder."""
        return f"{self.system}-{self.minutes:g}-{self.seed}"

    def inputs(self, source: Wanted) -> Wanted:
        """Return what its model is fed, after that of its source model where it has one."""
        if self.pretrained is not None:
            return load_pretrained(self.pretrained).model.inputs
        if self.source is None and self.config.model is not None:
            source = self.config.model.features
        return self.config.features(source)


def read_corpora(manifests: Mapping[str, str]) -> list[Utterance]:
    """Read several manifests into one list.

    Raises:
        DataError: two of them claim one id; both are named.
    """
    owner: dict[str, str] = {}
    result: list[Utterance] = []
    for name, path in manifests.items():
        for utterance in read_manifest(path):
            first = owner.setdefault(utterance.id, name)
            if first != name:
                raise DataError(
                    f"{path}: the corpora '{first}' and '{name}' both claim the id '{utterance.id}'; leave one out or "
                    "give its utterances other ids."
                )
            result.append(utterance)
    return result


@dataclass(frozen=True)
class TrainPoint(Job):
    """Trains and tests a point.

    Its folder holds `run.json` with the scores of all test sets together and of each, and the hypotheses of all; a
    folder below it has those of each test set.

    Attributes:
        corpora: Manifests of the experiment.
        point: The point.
        amounts: All amounts of which its own is one: each one's speech is part of the next one's.
    """

    corpora: Corpora
    point: Point
    amounts: tuple[float, ...]

    @property
    def name(self) -> str:
        """Its run folder."""
        return f"points/{self.point.name}"

    @property
    def needs(self) -> tuple[str, ...]:
        """Its source model."""
        return () if self.point.source is None else (f"sources/{self.point.source}",)

    def settings(self) -> dict[str, Any]:
        """Return the point's settings."""
        left = {"config"} if self.point.pretrained is not None else {"config", "pretrained"}
        own = {name: value for name, value in to_plain(self.point).items() if name not in left}
        return {**own, "amount": self.point.minutes, **to_record(self.point.config)}

    def data(self) -> Data:
        """Return its training, development and test speech, and in joint training that of the sources."""
        corpora, point = self.corpora, self.point
        every = read_corpora(corpora.dev)
        subset = nested_subsets(read_corpora(corpora.train), self.amounts, point.seed)[point.minutes]
        more = corpora.source_utterances() if point.config.mode == "joint" else []
        parts = zip(PARTS, ("subset", "dev", "sources"), (subset, every, more), strict=True)
        tests = {name: (path, read_manifest(path)) for name, path in corpora.tests.items()}
        if taken := sorted(tests.keys() & set(PARTS)):
            raise DataError(f"a test set is called '{taken[0]}', as other speech of a point is; give another name.")
        return {**{name: (path, part) for name, path, part in parts if part}, **tests}

    def run(self, record: RunRecord, data: Data) -> None:
        """Train and test it."""
        corpora, point, path = self.corpora, self.point, record.folder
        subset, every, more = (list(data[name][1]) if name in data else [] for name in PARTS)
        tests = {name: data[name][1] for name in corpora.tests}
        source = None if point.source is None else load_source(path.parents[1] / "sources" / point.source)
        if point.pretrained is not None:
            source = load_pretrained(point.pretrained)
        network = point.config.model
        assert source is not None or network is not None  # planned so: without a source there is a network
        features = point.inputs(source.model.inputs if source is not None else network.features)  # type: ignore[union-attr]
        store = target_store(corpora, features, point.config.speeds)
        if more:
            store = _joined_store(corpora, features, point.config.speeds)
        dev = spellable(every, subset, point.config.units)
        if len(dev) < len(every):
            record.log(
                f"{len(every) - len(dev)} development utterances hold symbols that the training speech lacks; left out"
            )
        train, beside = Spoken(subset, store), Spoken(more, store)
        learnt = learn_language(source, train, Spoken(dev, store), point.config, path, record.log, beside)
        found, scores = [], {}
        for name, test in tests.items():
            own = hypotheses(learnt.recogniser, Spoken(test, store))
            found += own
            scores[name] = write_scores(path / name, own).to_plain()
            if name in corpora.lexica:
                words = hypotheses(with_lexicon(learnt.recogniser, corpora.lexica[name]), Spoken(test, store))
                scores[f"{name}-lexicon"] = write_scores(path / f"{name}-lexicon", words).to_plain()
        card = f"# {point.system}, {point.minutes:g} minutes\n\nA point of an experiment; see `../run.json`.\n"
        learnt.recogniser.save(path / "model", card, {"trained_on": checksum(subset)})
        total = write_scores(path, found)
        record.finish(
            history=learnt.result.history,
            best=learnt.result.best,
            training={"cpu_seconds": round(learnt.result.cpu_seconds, 2), "steps": learnt.result.steps},
            scores={"test": total.to_plain(), **scores},
        )


def spellable(utterances: Sequence[Utterance], train: Sequence[Utterance], units: Units) -> list[Utterance]:
    """Return the utterances that symbols of `train` can spell: a few minutes of speech lack rare letters.

    For testing nothing is left out: what a model cannot write is its error.
    """
    tokens = Tokens.from_texts((u.spelled(units) for u in train), units)
    kept = []
    for utterance in utterances:
        text = utterance.spelled(units)
        with suppress(DataError):
            tokens.encode(text)
            kept.append(utterance)
    return kept


def with_lexicon(recogniser: Recogniser, path: str | Path) -> Recogniser:
    """Return a recogniser that takes each utterance for a word of a lexicon, spelled in what it hears.

    Words with a phone that a few minutes of training speech lack are left out: they are its errors.
    """
    lexicon = read_for(path, recogniser.tokens)
    known = set(recogniser.tokens.symbols[1:])
    heard = [entry for entry in lexicon if known.issuperset(entry.phones)]
    # None that can be spelled is a lexicon of other units, which is refused by name when it is searched.
    return replace(recogniser, lexicon=Lexicon(heard, lexicon.source) if heard else lexicon)


def error_unit(units: Units) -> Unit:
    """Return what errors are counted in: characters where tokens spell words in parts, else words, or single phones."""
    return "character" if units in ("characters", "subwords") else "word"


def load_point(folder: Path, point: Point, test: str) -> Alignments:
    """Return a finished point's alignments on a test set."""
    return align(read_point(folder, point, test), error_unit(point.config.units))


def read_point(folder: Path, point: Point, test: str = "") -> list[Hypothesis]:
    """Return what a finished point recognised in a test set, or in all together."""
    return read_hypotheses(folder / "points" / point.name / test / "hypotheses.jsonl").utterances


def check_languages(corpora: Corpora) -> tuple[list[str], str]:
    """Return the source languages and the target language.

    Raises:
        DataError: the target's manifests are of several languages, or the target is among the sources.
    """
    sources = sorted({u.language for u in corpora.source_utterances()})
    for what, manifests in (("train", corpora.train), ("test", corpora.tests)):
        if not manifests:
            raise DataError(f"the target language has no {what} manifest; give one.")
    targets = sorted({u.language for u in corpora.target_utterances()})
    if len(targets) != 1:
        raise DataError(f"the target's manifests are in {', '.join(targets)}; give those of one language.")
    if targets[0] in sources:
        raise DataError(f"the target language '{targets[0]}' is among the sources too; leave it out there.")
    return sources, targets[0]


def stored_speeds(speeds: Sequence[float]) -> tuple[float, ...]:
    """Return the speeds that features are computed at: the recording's own is always there, for testing."""
    return tuple(sorted({1.0, *speeds}))


@cache
def _store(manifests: str, config: Wanted, speeds: tuple[float, ...]) -> FeatureStore:
    return build_store(read_corpora(json.loads(manifests)), config, stored_speeds(speeds))


def source_store(corpora: Corpora, config: Wanted, speeds: Sequence[float]) -> FeatureStore:
    """Return the features of all source utterances."""
    return _store(json.dumps(dict(corpora.sources)), config, tuple(speeds))


def target_store(corpora: Corpora, config: Wanted, speeds: Sequence[float]) -> FeatureStore:
    """Return the features of all utterances of the target language."""
    every = {**_named(corpora.train, "train"), **_named(corpora.dev, "dev"), **_named(corpora.tests, "test")}
    return _store(json.dumps(every), config, tuple(speeds))


def _joined_store(corpora: Corpora, config: Wanted, speeds: Sequence[float]) -> FeatureStore:
    names = {u.id: u.id for u in corpora.source_utterances()}
    return JoinedStore(target_store(corpora, config, speeds), source_store(corpora, config, speeds), names)


def source_test_store(corpora: Corpora, config: Wanted) -> FeatureStore:
    """Return the features of the source languages' held-out utterances."""
    return _store(json.dumps(dict(corpora.source_tests)), config, (1.0,))


@cache
def load_pretrained(folder: Path) -> Recogniser:
    """Return a published model, of an encoder without a head too; it is read once."""
    return Recogniser.load(folder, criterion="ctc")


@cache
def load_source(folder: Path) -> Recogniser:
    """Return the model in a source's run folder, listening in its first language; it is read once."""
    heads = list(read_config(folder / "model")["heads"])
    return Recogniser.load(folder, heads[0])


def _manifest(folder: Path, split: str) -> str:
    path = folder / f"{split}.jsonl"
    if not path.is_file():
        raise DataError(f"{path}: there is no such manifest; prepare the corpus again.")
    return str(path)


def _named(manifests: Mapping[str, str], split: str) -> dict[str, str]:
    return {f"{name} {split}": path for name, path in manifests.items()}
