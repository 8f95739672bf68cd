"""Trains the models of an experiment on unseen words: listeners of phones, their control, and the aligner."""

# Annotations are not postponed here: jsonargparse resolves postponed ones of a recipe's first base class alone.

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from asr_transfer.adaptation.adaptable_source import train_source
from asr_transfer.config import ModelConfig, Outputs, to_record
from asr_transfer.data.features import build_store
from asr_transfer.data.inputs import Wanted
from asr_transfer.data.manifest import by_language, checksum
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import spells_phones
from asr_transfer.decoding.folder import model_folder
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError
from asr_transfer.experiments.core.jobs import Job, run_job
from asr_transfer.experiments.core.ledger import Data
from asr_transfer.experiments.languages.points import spellable
from asr_transfer.experiments.words.listeners import load_listener
from asr_transfer.experiments.words.unseen import Words
from asr_transfer.experiments.words.word_corpus import (
    MaterialConfig,
    Say,
    SpokenWords,
    assemble,
    load_words,
)
from asr_transfer.languages.config import LanguageConfig
from asr_transfer.languages.transfer import learn_language
from asr_transfer.models.configuration import read_config
from asr_transfer.models.pretrained.door import is_foreign
from asr_transfer.ranges import Ranged, Seeds
from asr_transfer.runs.record import RunRecord
from asr_transfer.training.precision import precise

CONTROL = "control"
"""Name of the control's model."""


def _learning() -> LanguageConfig:
    return LanguageConfig(mode="scratch", units="toneless-phones", monitor="cer")


@dataclass(frozen=True, kw_only=True)
class ModelsConfig(Ranged):
    """Models of an experiment on unseen words.

    Attributes:
        models: Run or model folders that are scored instead of training any.
        head: Head of these models or of the source; none for the corpus's language.
        source: Model to begin with, or a published encoder; without one, `learn.mode` is scratch.
        learn: Training of the models; `learn.trainer.seed` counts up with the seeds.
        outputs: Output layers of a model of several languages: `heads` gives each language one of its own; `phones` all
            of them one layer, through which a language unseen in training listens as well; `attributes` the same out of
            articulatory features.
        seeds: Random seeds of the models.
        control: Units of a further model, trained in the same way to see what it spells; none trains no such model.
        aligner: Model of phones that cuts words and pieces out of sentences; none trains one on all of the corpus.
    """

    models: tuple[Path, ...] = ()
    head: str | None = None
    source: Path | None = None
    learn: LanguageConfig = field(default_factory=_learning)
    outputs: Outputs = "heads"
    seeds: Seeds = (0,)
    control: Literal["words", "characters"] | None = None
    aligner: Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not spells_phones(self.learn.units):
            raise ConfigError(
                f"`learn.units` is {self.learn.units}, which cannot spell words that were never heard; take phones or "
                "toneless-phones."
            )
        if self.models and self.source is not None:
            raise ConfigError("`models` are scored as they are, so that `source` would not be used; leave one out.")
        if not self.models and (self.source is None) != (self.learn.mode == "scratch"):
            raise ConfigError(f"`learn.mode` is {self.learn.mode}: scratch is for no `source`, the others need one.")
        if self.learn.mode not in ("scratch", "all", "head", "top", "gradual"):
            raise ConfigError(f"`learn.mode` is {self.learn.mode}; take scratch, all, head, top or gradual.")
        if self.outputs != "heads" and (self.learn.mode != "scratch" or self.learn.units != "phones"):
            raise ConfigError(
                f"`outputs` {self.outputs} are of models of phones trained from scratch; use `learn.mode` scratch and "
                "`learn.units` phones, or leave it out."
            )

    def require_folders(self) -> None:
        """Refuse folders that hold no model.

        Raises:
            ModelError: a model, the source or the aligner is missing or damaged.
        """
        for path in (self.source, self.aligner, *self.models):
            if path is not None and not (path == self.source and is_foreign(model_folder(path))):
                read_config(_model_folder(path))

    def network(self) -> ModelConfig | None:
        """Return the network that is trained, the source's where no other is given; None without either."""
        return self.learn.model or (source.model.network if (source := load_source(self)) else None)


@dataclass(frozen=True)
class TrainListener(Job):
    """Trains a model of the experiment.

    Attributes:
        place: Its run folder below the experiment's.
        models: Settings of all models of the experiment.
        learn: Training of this one, with its own seed.
        words: Utterances, or their folder as `save_words` wrote it.
        alone: Whether it begins from scratch, has a head of its own and is trained without pieces of words, as the
            control and the aligner are.
    """

    place: str
    models: ModelsConfig
    learn: LanguageConfig
    words: Words | Path
    alone: bool = False

    @property
    def name(self) -> str:
        """Its run folder."""
        return self.place

    def settings(self) -> dict[str, Any]:
        """Return how it is trained."""
        begins = self.models.source is not None and not self.alone
        return {"source": begins, "outputs": self._outputs, **to_record(self.learn)}

    def data(self) -> Data:
        """Return what it is trained on, and what chooses its weights."""
        words = load_words(self.words) if isinstance(self.words, Path) else self.words
        pieces = () if self.alone else words.pieces
        dev = words.dev if words.judging is None else words.judging
        parts = {"train": words.train, "pieces": pieces, "dev": dev}
        return {name: (f"data/{name}.jsonl", part) for name, part in parts.items() if part}

    def run(self, record: RunRecord, data: Data) -> None:
        """Train it.

        Raises:
            ConfigError: There is neither a source nor a network to train.
        """
        source, learn = None if self.alone else load_source(self.models), self.learn
        if source is None and learn.model is None:
            raise ConfigError("without `source`, `learn.model` must say which network is trained; see hparams.")
        inputs: Wanted = learn.model.features if source is None and learn.model else source.model.inputs  # type: ignore
        train, pieces, every = (list(data[name][1]) if name in data else [] for name in ("train", "pieces", "dev"))
        spoken = [*train, *pieces]
        dev = spellable(every, spoken, learn.units)
        store = build_store([*spoken, *dev], inputs, tuple(sorted({1.0, *learn.speeds})))
        languages: Sequence[str] = list(by_language(spoken))
        if len(languages) == 1 and self._outputs == "heads":
            learnt = learn_language(source, Spoken(spoken, store), Spoken(dev, store), learn, record.folder, record.log)
            recogniser, result = learnt.recogniser, learnt.result
        elif learn.model is None:
            raise ConfigError(f"models of {', '.join(languages)} are trained without `source`; give `learn.model`.")
        else:
            config = replace(learn.as_source(), outputs=self._outputs)
            recogniser, result, _ = train_source(
                Spoken(spoken, store), Spoken(dev, store), config, record.folder, record.log
            )
        card = f"# Phones of {', '.join(languages)}\n\nA model of the zero-shot words recipe; see `../run.json`.\n"
        recogniser.save(record.folder / "model", card, {"trained_on": checksum(train)})
        training = {"cpu_seconds": round(result.cpu_seconds, 2), "steps": result.steps}
        record.finish(history=result.history, training=training)

    @property
    def _outputs(self) -> Outputs:
        return "heads" if self.alone else self.models.outputs


def precise_learning(config: ModelsConfig, out: Path, say: Say) -> LanguageConfig:
    """Return the training with a precision instead of `auto`: one for all models of the run folder `out`."""
    network = config.network()
    if network is None:
        return config.learn
    return replace(config.learn, trainer=precise(config.learn.trainer, out, network, say))


def trainings(config: ModelsConfig, data: Path) -> list[TrainListener]:
    """Return the models to train on the words in a folder: one for each seed, and the control."""
    seeds = config.seeds if not config.models else ()
    jobs = [TrainListener(f"models/seed-{seed}", config, _seeded(config.learn, seed), data) for seed in seeds]
    if config.control is not None:
        learn = replace(_seeded(config.learn, config.seeds[0]), units=config.control, mode="scratch")
        learn = replace(learn, model=config.network() or ModelConfig())
        jobs.append(TrainListener(f"models/{CONTROL}", config, learn, data, alone=True))
    return jobs


def find_aligner(
    config: ModelsConfig, material: MaterialConfig, words: Words, spoken: SpokenWords, folder: Path, say: Say
) -> Recogniser:
    """Return the model that cuts words out of sentences; none given, train one that has heard what is held out too.

    Args:
        config: Settings of the models, which may name an aligner.
        material: Notation and words of the experiment.
        words: Utterances and lexicon of the experiment.
        spoken: Utterances that these were made of.
        folder: Run folder of the experiment, below which the aligner is trained.
        say: Function that takes lines for a person to read.
    """
    language = spoken.test[0].language
    if config.aligner is not None:
        return load_listener(config.aligner, language, words)
    say("test sentences are aligned by a model of phones that is trained on all of the corpus")
    own = replace(spoken, train=spoken.own or [u for u in spoken.train if u.language == language], judging=())
    aligned = assemble(own, replace(material, hold_out=()), say)
    learn = replace(config.learn, mode="scratch", model=config.network() or ModelConfig())
    run_job(folder, TrainListener("aligner", config, learn, aligned, alone=True))
    return load_listener(folder / "aligner", language, words)


def load_source(config: ModelsConfig) -> Recogniser | None:
    """Return the source model, listening through any head, for the new language gets its own; None without one."""
    if config.source is None:
        return None
    if is_foreign(found := model_folder(config.source)):
        return Recogniser.load(found, criterion="ctc")
    path = _model_folder(config.source)
    return Recogniser.load(path, config.head or next(iter(read_config(path)["heads"])))


def _model_folder(path: Path) -> Path:
    return path / "model" if (path / "model").is_dir() else path


def _seeded(learn: LanguageConfig, seed: int) -> LanguageConfig:
    return replace(learn, trainer=replace(learn.trainer, seed=learn.trainer.seed + seed))
