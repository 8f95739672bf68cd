"""Measures how well words are recognised from a few recordings of each, across speakers, and others refused."""

# Annotations are not postponed here: jsonargparse resolves postponed ones of a recipe's first base class alone.

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch

from asr_transfer.adaptation.adaptable_source import train_source
from asr_transfer.adaptation.keywords import Keywords, Listener
from asr_transfer.config import FeatureConfig, SourceConfig, to_record
from asr_transfer.data.features import build_store
from asr_transfer.data.manifest import Utterance, read_manifest
from asr_transfer.data.pronounce import pronounce_utterances
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import spells_phones
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.evaluation import clusters
from asr_transfer.evaluation.clusters import Estimate
from asr_transfer.evaluation.detection import area_under_curve, equal_error
from asr_transfer.experiments.core.jobs import Job, run_jobs
from asr_transfer.experiments.core.ledger import Data, read_finished
from asr_transfer.experiments.core.tables import Table
from asr_transfer.experiments.words.time_warping import warped_distances
from asr_transfer.models.kinds import network_inputs
from asr_transfer.ranges import Count, Filled, Positive, Ranged, Seed
from asr_transfer.runs.record import RunRecord
from asr_transfer.runs.workers import Backend

Way = Literal["mean", "plain", "own", "warped"]
WAYS: Mapping[Way, str] = {
    "plain": "mean, nothing taken off",
    "mean": "mean, that of other speech taken off",
    "own": "mean, each speaker's own taken off",
    "warped": "frames aligned (DTW), mean of other speech taken off",
}
LOG_MEL = "log-mel"
SOURCE = "source"


@dataclass(frozen=True, kw_only=True)
class KeywordsConfig(Ranged):
    """Words recognised from a few recordings of each by one or several speakers, and found in another one's.

    Attributes:
        corpus: Corpus of single words by several speakers.
        source_corpora: Corpora that the source model is trained on.
        without: Parts of words; the source hears no utterance with a word that has one of them.
        longest: Seconds of the longest utterance of the source's training, which bounds the time that it takes.
        per_speaker: Greatest number of the source's utterances by one speaker.
        source: Training of the source.
        published: Pretrained model of others to try beside it; none for none.
        words: Words of an episode; recordings of the others are to be refused.
        shots: Numbers of recordings of each word by each speaker who is learnt from.
        learn_from: Numbers of speakers who are learnt from.
        recordings: Recordings of each word by each speaker that are used at all.
        background: Recordings of the source's training speech that stand for other speech.
        episodes: Episodes of each test speaker and seed.
        seeds: Random seeds of the episodes.
        quick: Whether to take few steps and episodes, to see that everything runs; the figures mean nothing.
    """

    corpus: str = "fsdd"
    source_corpora: Annotated[tuple[str, ...], Filled(distinct=True)] = ("an4",)
    without: tuple[str, ...] = ()
    longest: Positive = 4.0
    per_speaker: Count = 60
    source: SourceConfig = field(default_factory=SourceConfig)
    published: Path | None = None
    words: Count = 5
    shots: Annotated[tuple[Count, ...], Filled(distinct=True)] = (1, 5)
    learn_from: Annotated[tuple[Count, ...], Filled(distinct=True)] = (1, 3)
    recordings: Count = 10
    background: Count = 200
    episodes: Count = 20
    seeds: Annotated[tuple[Seed, ...], Filled(distinct=True)] = (0, 1, 2, 3, 4)
    quick: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.words < 2:
            raise ConfigError("`words` is 1, and words are told from each other; take two or more.")
        if max(self.shots) > self.recordings:
            raise ConfigError(
                f"`shots` has {max(self.shots)}, but only {self.recordings} `recordings` of each word and speaker are "
                "used; take more of these."
            )

    def settled(self) -> "KeywordsConfig":
        """Return the settings that are run: few steps and episodes where it is to be quick."""
        if not self.quick:
            return self
        source = replace(self.source, trainer=replace(self.source.trainer, steps=5), speeds=(1.0,))
        few = replace(self, per_speaker=1, recordings=max(self.shots), background=10, episodes=1)
        return replace(few, source=source, seeds=self.seeds[:2])


@dataclass(frozen=True)
class TrainSource(Job):
    """Trains the model that never heard the words.

    Attributes:
        config: Experiment.
        utterances: Speech that it is trained on.
    """

    config: KeywordsConfig
    utterances: tuple[Utterance, ...]

    @property
    def name(self) -> str:
        """See `Job.name`."""
        return SOURCE

    def settings(self) -> dict[str, Any]:
        """See `Job.settings`."""
        return to_record(self.config.source)

    def data(self) -> Data:
        """See `Job.data`."""
        return {"train": (",".join(self.config.source_corpora), self.utterances)}

    def run(self, record: RunRecord, data: Data) -> None:
        """Train, and write the model."""
        config = self.config.source
        spoken = Spoken(self.utterances, build_store(self.utterances, network_inputs(config.model), config.speeds))
        none = Spoken([], spoken.store)
        recogniser, result, _ = train_source(spoken, none, config, record.folder, record.log)
        recogniser.save(record.folder / "model", "# A model that never heard some words\n", {})
        training = {"cpu_seconds": round(result.cpu_seconds, 1), "steps": result.steps}
        record.finish(history=list(result.history), training=training)


@dataclass(frozen=True)
class FindWords(Job):
    """Tries all ways on the vectors of one model.

    Attributes:
        model: `source`, `log-mel` for no model, or the name of the published one.
        config: Experiment.
        spoken: Recordings of the words.
        others: Other speech.
    """

    model: str
    config: KeywordsConfig
    spoken: tuple[Utterance, ...]
    others: tuple[Utterance, ...]

    @property
    def name(self) -> str:
        """See `Job.name`."""
        return f"points/{self.model}"

    @property
    def needs(self) -> tuple[str, ...]:
        """See `Job.needs`."""
        return (SOURCE,) if self.model == SOURCE else ()

    def settings(self) -> dict[str, Any]:
        """See `Job.settings`."""
        settings = to_record(self.config)
        settings.pop("quick")
        return {"of": self.model, **settings}

    def data(self) -> Data:
        """See `Job.data`."""
        return {"words": (self.config.corpus, self.spoken), "background": ("background", self.others)}

    def run(self, record: RunRecord, data: Data) -> None:
        """Listen to everything once, and run the episodes of each way."""
        config = self.config
        folder = record.folder.parent.parent
        frames, other = (self._frames(folder, utterances) for utterances in (self.spoken, self.others))
        background = torch.stack([own.mean(0) for own in other])
        vectors = torch.stack([own.mean(0) for own in frames])
        distances = warped_distances([own - background.mean(0) for own in frames])
        rows = []
        for way in WAYS:
            judge = Judge(way, vectors, background, distances, self.spoken)
            for shots, speakers in itertools.product(config.shots, config.learn_from):
                rows.append({"way": way, "shots": shots, "speakers": speakers, **judge.run(config, shots, speakers)})
        record.finish(scores={"rows": rows})

    def _frames(self, folder: Path, utterances: Sequence[Utterance]) -> list[torch.Tensor]:
        if self.model == LOG_MEL:
            store = build_store(list(utterances), FeatureConfig())
            return [store.load(store.view(u.id)) for u in utterances]
        published = self.model != SOURCE
        assert self.config.published is not None or not published
        listener = Listener.load(self.config.published or "" if published else folder / SOURCE / "model")
        return listener.frames(Spoken(list(utterances), build_store(list(utterances), listener.model.inputs)))


@dataclass(frozen=True)
class Judge:
    """Runs the episodes of a way.

    Attributes:
        way: Way.
        vectors: Mean of each recording's frames, (recordings, dim).
        background: The same of other speech.
        distances: Distances of all recordings by dynamic time warping, (recordings, recordings).
        spoken: Recordings.
    """

    way: Way
    vectors: torch.Tensor
    background: torch.Tensor
    distances: torch.Tensor
    spoken: Sequence[Utterance]

    def run(self, config: KeywordsConfig, shots: int, speakers: int) -> dict[str, Any]:
        """Return by test speaker, summed up over seeds and episodes: queries, errors, and figures of refusing.

        Raises:
            DataError: There are too few words or speakers.
        """
        who, texts = np.array([u.speaker for u in self.spoken]), np.array([u.text for u in self.spoken])
        names, words = sorted(set(who)), sorted(set(texts))
        if len(names) <= speakers or len(words) <= config.words:
            raise DataError(
                f"{config.corpus}: has {len(names)} speakers and {len(words)} words, too few to learn {config.words} "
                f"words from {speakers} speakers and to test another speaker and other words; lower `words` or "
                "`learn_from`."
            )
        found: dict[str, list[Any]] = {"speaker": [], "queries": [], "errors": [], "area": [], "equal": []}
        kept: dict[str, list[float]] = {"missed": [], "taken": []}
        for number, name in enumerate(names):
            queries = np.flatnonzero(who == name)
            count = errors = 0
            areas, equals = [], []
            for seed, episode in itertools.product(config.seeds, range(config.episodes)):
                random = np.random.default_rng((seed, number, episode))
                chosen = random.permutation(words)[: config.words]
                others = random.permutation([other for other in names if other != name])[:speakers]
                pools = [np.flatnonzero((who == one) & (texts == word)) for word in chosen for one in others]
                examples = np.concatenate([random.permutation(pool)[:shots] for pool in pools])
                scores, order, threshold = self._scores(examples, queries)
                best, guess = scores.max(1), np.array(order)[scores.argmax(1)]
                known = np.isin(texts[queries], chosen)
                count += int(known.sum())
                errors += int((guess != texts[queries])[known].sum())
                areas.append(area_under_curve(best[known], best[~known]))
                equals.append(equal_error(best[known], best[~known]).rate)
                if threshold is not None:
                    kept["missed"].append(float((best[known] < threshold).mean()))
                    kept["taken"].append(float((best[~known] >= threshold).mean()))
            for key, value in zip(found, (name, count, errors, np.mean(areas), np.mean(equals)), strict=True):
                found[key].append(value if isinstance(value, str | int) else float(value))
        return {**found, **{key: float(np.mean(values)) if values else None for key, values in kept.items()}}

    def _scores(self, examples: np.ndarray, queries: np.ndarray) -> tuple[np.ndarray, Sequence[str], float | None]:
        """Return (queries, words) scores, the words in their order, and the threshold that would be chosen."""
        texts = [self.spoken[number].text for number in examples]
        if self.way == "warped":
            words = sorted(set(texts))
            near = self.distances[queries][:, examples].numpy()
            own = [near[:, [n for n, text in enumerate(texts) if text == word]].mean(1) for word in words]
            return -np.stack(own, 1), words, None
        speakers = [self.spoken[number].speaker for number in examples]
        background = None if self.way == "plain" else self.background
        keywords = Keywords.of(self.vectors[examples], texts, speakers, background)
        together = self.way == "own"
        threshold = keywords.choose(together).threshold if len(texts) > len(set(texts)) else None
        return keywords.scores(self.vectors[queries], together).numpy(), keywords.words, threshold


@dataclass(frozen=True)
class Row:
    """One way on one model's vectors.

    Attributes:
        model: Name of the model.
        way: Way.
        shots: Recordings of each word by each speaker who is learnt from.
        speakers: Speakers who are learnt from.
        right: Share of the words' recordings that are found, with its interval over test speakers.
        area: Chance that a recording of a word scores higher than one of no word.
        equal: Rate where as many are missed as are taken wrongly.
        missed: Share missed at the threshold that the recordings choose; None where they cannot.
        taken: Share of recordings of no word that are then taken for one.
    """

    model: str
    way: Way
    shots: int
    speakers: int
    right: Estimate
    area: float
    equal: float
    missed: float | None
    taken: float | None


def source_speech(utterances: Sequence[Utterance], config: KeywordsConfig) -> list[Utterance]:
    """Return what the source is trained on: no word that has one of `without`, and pronunciations where it needs them.

    Raises:
        DataError: Nothing is left.
    """
    barred = re.compile("|".join(map(re.escape, config.without))) if config.without else None
    kept: list[Utterance] = []
    counts: dict[str, int] = {}
    for one in utterances:
        heard = barred is not None and any(barred.search(word) for word in one.text.lower().split())
        if heard or one.duration > config.longest or counts.get(one.speaker, 0) >= config.per_speaker:
            continue
        counts[one.speaker] = counts.get(one.speaker, 0) + 1
        kept.append(one)
    if spells_phones(config.source.model.units):
        kept, _ = pronounce_utterances(kept, scheme="arpabet")
    if not kept:
        raise DataError("nothing of `source_corpora` is left without the words of `without`; name other corpora.")
    return kept


def run_keywords(
    config: KeywordsConfig, folders: Mapping[str, Path], folder: Path, workers: int, backend: Backend = "processes"
) -> list[Row]:
    """Train the source, try all ways on its vectors, on log-mels and on a published model's, and return a row each.

    Args:
        config: Experiment, settled.
        folders: Folders of manifests by corpus.
        folder: Run folder of the experiment.
        workers: Parallel processes.
        backend: Place of the processes: this machine, or a Ray cluster.

    Raises:
        DataError, ConfigError: There is too little of something.
    """

    def every(name: str) -> list[Utterance]:
        return [u for path in sorted(folders[name].glob("*.jsonl")) for u in read_manifest(path)]

    source = source_speech([u for name in config.source_corpora for u in every(name)], config)
    counts: dict[tuple[str, str], int] = {}
    spoken = []
    for one in every(config.corpus):
        counts[one.text, one.speaker] = number = counts.get((one.text, one.speaker), 0) + 1
        if number <= config.recordings:
            spoken.append(one)
    order = np.random.default_rng(0).permutation(len(source))[: config.background]
    others = tuple(source[number] for number in order)
    models = [LOG_MEL, SOURCE, *([] if config.published is None else [config.published.name])]
    jobs: list[Job] = [TrainSource(config, tuple(source))]
    jobs += [FindWords(model, config, tuple(spoken), others) for model in models]
    for _ in run_jobs(folder, jobs, workers, "models", backend):
        pass
    rows = []
    for model in models:
        for row in read_finished(folder / "points" / model)["scores"]["rows"]:
            wrong = clusters.rate(row["errors"], row["queries"])
            low, high = (None if end is None else 1 - end for end in (wrong.high, wrong.low))
            right = replace(wrong, value=1 - wrong.value, low=low, high=high)
            area, equal = (float(np.mean(row[name])) for name in ("area", "equal"))
            names = row["way"], row["shots"], row["speakers"]
            rows.append(Row(model, *names, right, area, equal, row["missed"], row["taken"]))
    return rows


def keyword_table(rows: Sequence[Row], config: KeywordsConfig) -> Table:
    """Return the table of all ways."""
    columns: list[tuple[str, Callable[[Row], str]]] = [
        ("vectors of", lambda row: row.model),
        ("way", lambda row: WAYS[row.way]),
        ("recordings of a word", lambda row: f"{row.shots}" if row.speakers == 1 else f"{row.speakers} × {row.shots}"),
        ("found %", lambda row: _percent(row.right)),
        ("area under the curve", lambda row: f"{row.area:.2f}"),
        ("equal error %", lambda row: f"{100 * row.equal:.0f}"),
        ("missed / taken wrongly at the threshold %", _at_threshold),
    ]
    title = (
        f"{config.words} words of {config.corpus} by another speaker, in brackets 95 % intervals over the speakers; "
        f"{len(config.seeds)} seeds of {config.episodes} episodes each:"
    )
    return Table.of(rows, columns, title)


def _at_threshold(row: Row) -> str:
    if row.missed is None or row.taken is None:
        return "–"
    return f"{100 * row.missed:.0f} / {100 * row.taken:.0f}"


def _percent(found: Estimate) -> str:
    ends = "" if found.low is None or found.high is None else f" ({100 * found.low:.0f} … {100 * found.high:.0f})"
    return f"{100 * found.value:.1f}{ends}"
