"""Recognise words that a model was never trained on, by their phones and a lexicon, and print how often that works.

    python recipes/zero_shot_words/run.py --config recipes/zero_shot_words/hparams/synthetic.yaml --out runs/words

Trains a model of phones for each seed, from scratch or from a source model, or takes models that are trained, and looks
for the test words in lexica of rising size. A stopped run goes on with --resume. Raises nothing: mistakes are printed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from rich.console import Console

from asr_transfer.cli import script
from asr_transfer.config import TrainerConfig, to_plain, to_record
from asr_transfer.data.features import build_store
from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.manifest import checksum, read_manifest
from asr_transfer.data.tokens import spells_phones
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.evaluation.record import RunRecord
from asr_transfer.languages.config import LanguageConfig
from asr_transfer.languages.points import spellable
from asr_transfer.languages.transfer import learn_language
from asr_transfer.models.folder import read_config
from asr_transfer.training.workers import run_all
from asr_transfer.words.experiment import Words, WordsConfig, groups, refuse_leaks, summarise, try_model, write_trials
from asr_transfer.words.made_up import MadeUpConfig, prepare_made_up
from asr_transfer.words.tables import words_markdown, words_table
from data_prep.prepare import prepare

SPLITS = ("train", "dev", "test")


def _learning() -> LanguageConfig:
    return LanguageConfig(mode="scratch", units="toneless-phones", monitor="cer")


@dataclass(frozen=True, kw_only=True)
class Recipe(WordsConfig):
    """Recognise words that a model was never trained on.

    Attributes:
        corpus: `synthetic` makes words up; `hsk` are Mandarin words.
        out: run folder to write.
        root: folder of the corpus as it was distributed, or of the manifests and lexicon that `prepare` wrote.
        also: manifests of further training speech of the same language, such as sentences.
        models: run or model folders that are scored instead of training any.
        head: of these models or of the source; none for the corpus's language.
        source: model to begin with; without one, `learn.mode` is scratch.
        learn: training of the models; `learn.trainer.seed` counts up with the seeds.
        seeds: of the models.
        made_up: the words of `synthetic`.
        quick: a small experiment of the same kind, to see it work.
        workers: parallel processes, of one thread each.
        resume: go on with a run that was stopped.
        overwrite: replace the run that `out` holds.
    """

    corpus: Literal["synthetic", "hsk"]
    out: Path
    root: Path | None = None
    also: tuple[Path, ...] = ()
    models: tuple[Path, ...] = ()
    head: str | None = None
    source: Path | None = None
    learn: LanguageConfig = field(default_factory=_learning)
    seeds: tuple[int, ...] = (0,)
    made_up: MadeUpConfig = field(default_factory=MadeUpConfig)
    quick: bool = False
    workers: int = 2
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not spells_phones(self.learn.units):
            raise ConfigError(
                f"`learn.units` is {self.learn.units}, which cannot spell words that were never heard; take phones or "
                "toneless-phones."
            )
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ConfigError("`seeds` must not be empty, and no seed may stand twice.")
        if self.models and self.source is not None:
            raise ConfigError("`models` are scored as they are, so that `source` would not be used; leave one out.")
        if not self.models and (self.source is None) != (self.learn.mode == "scratch"):
            raise ConfigError(f"`learn.mode` is {self.learn.mode}: scratch is for no `source`, the others need one.")
        if self.learn.mode not in ("scratch", "all", "head", "gradual"):
            raise ConfigError(f"`learn.mode` is {self.learn.mode}; take scratch, all, head or gradual.")
        if self.corpus != "synthetic" and self.made_up != MadeUpConfig():
            raise ConfigError(f"`made_up` is of the corpus synthetic, not of {self.corpus}; leave it out.")
        if self.corpus == "synthetic" and self.root is not None:
            raise ConfigError("the corpus synthetic is made up, so that `root` would not be used; leave it out.")

    def shortened(self) -> Recipe:
        """Return a small experiment of the same kind: one seed, a tenth of the steps, fewer words and voices."""
        trainer = self.learn.trainer
        steps = max(1, trainer.steps // 10)
        short: TrainerConfig = replace(trainer, steps=steps, validate_every=min(trainer.validate_every, steps))
        words = self.made_up
        if self.corpus == "synthetic":
            words = MadeUpConfig(400, 60, 12, 24, 6, 4, 2, 20, words.seed)
        return replace(
            self, seeds=self.seeds[:1], draws=1, learn=replace(self.learn, trainer=short), made_up=words, quick=False
        )


def run(recipe: Recipe) -> None:
    """Run the experiment and write `table.md`, `hypotheses.jsonl`, `models` (a folder each) and `run.json`."""
    recipe = recipe.shortened() if recipe.quick else recipe
    record = RunRecord(recipe.out, to_record(recipe), resume=recipe.resume, overwrite=recipe.overwrite)
    folder = find_corpus(recipe)
    words = read_words(recipe, folder)
    for name in SPLITS:
        record.data(name, folder / f"{name}.jsonl", getattr(words, name))
    refuse_leaks(words, record.say)
    if recipe.models:
        places = {f"{n}-{path.name}": path for n, path in enumerate(recipe.models)}
        for path in recipe.models:
            note_training(path, words, record.say)
    else:
        jobs = [(recipe, str(folder), seed) for seed in recipe.seeds]
        for name in run_all(train_seed, jobs, recipe.workers, "models"):
            record.say(f"model '{name}' ready")
        places = {f"seed-{seed}": recipe.out / "models" / f"seed-{seed}" for seed in recipe.seeds}
    language = recipe.head or words.test[0].language
    trials, members, units = [], {}, set()
    for name, path in places.items():
        recogniser = Recogniser.load(path, language)
        store = build_store([*words.dev, *words.test], recogniser.model.config.features)
        trials.append(try_model(name, recogniser, words, store, recipe))
        members = groups(words, recogniser)
        units.add(recogniser.tokens.units)
        if len(units) > 1:
            raise ConfigError(
                f"the models spell {' and '.join(sorted(units))}; score those of the same units together."
            )
        record.say(f"model '{name}' scored with {trials[-1].sizes[-1]:,} words")
    rows = summarise(trials, words.test, members, recipe.top)
    (recipe.out / "table.md").write_text(words_markdown(rows, recipe.top), encoding="utf-8")
    scores = write_trials(recipe.out, trials)
    record.finish(scores={"test": scores[trials[0].name], "rows": [row.to_plain() for row in rows], "models": scores})
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(words_table(rows, f"Words of {recipe.corpus} never trained on, {len(trials)} model(s)", recipe.top))


def find_corpus(recipe: Recipe) -> Path:
    """Return a folder with the corpus's manifests and lexicon, which is prepared where it has to be."""
    out = recipe.out / "corpus"
    if recipe.corpus == "synthetic":
        prepare_made_up(recipe.made_up, out, recipe.workers)
        return out
    if recipe.root is not None and (recipe.root / "train.jsonl").is_file():
        return recipe.root
    prepare(recipe.corpus, recipe.root, out)
    return out


def read_words(recipe: Recipe, folder: Path) -> Words:
    """Read the corpus's manifests and lexicon, and further training manifests.

    Raises:
        DataError: something is missing, or an id occurs twice in what is trained on.
    """
    train, dev, test = (read_manifest(folder / f"{split}.jsonl") for split in SPLITS)
    ids = {u.id for u in train}
    for path in recipe.also:
        more = read_manifest(path)
        if twice := next((u.id for u in more if u.id in ids), None):
            raise DataError(f"{path}: the id '{twice}' is in another training manifest too; leave one out.")
        ids.update(u.id for u in more)
        train += more
    name = "hsk_lexicon.txt" if recipe.corpus == "hsk" else "lexicon.txt"
    return Words(train, dev, test, Lexicon.read(folder / name))


def train_seed(job: tuple[Recipe, str, int]) -> str:
    """Train a seed's model into `OUT/models/seed-SEED` unless that is done, and return its name."""
    recipe, folder, seed = job
    name = f"seed-{seed}"
    path = recipe.out / "models" / name
    learn = replace(recipe.learn, trainer=replace(recipe.learn.trainer, seed=recipe.learn.trainer.seed + seed))
    settings = {"source": recipe.source, **to_plain(learn)}
    record = RunRecord(path, json.loads(json.dumps(settings, default=str)), resume=(path / "run.json").is_file())
    if record.finished_before:
        return name
    words = read_words(recipe, Path(folder))
    source = load_source(recipe)
    network = source.model.config if source is not None else learn.model
    if network is None:
        raise ConfigError("without `source`, `learn.model` must say which network is trained; see hparams.")
    store = build_store([*words.train, *words.dev], network.features, tuple(sorted({1.0, *learn.speeds})))
    dev = spellable(words.dev, words.train, learn.units)
    learnt = learn_language(source, words.train, dev, store, learn, path, record.log)
    card = f"# Phones of {words.train[0].language}\n\nA model of the zero-shot words recipe; see `../run.json`.\n"
    learnt.recogniser.save(path / "model", card, {"trained_on": checksum(words.train)})
    record.data("train", folder, words.train)
    record.finish(
        history=learnt.result.history,
        training={"cpu_seconds": round(learnt.result.cpu_seconds, 2), "steps": learnt.result.steps},
    )
    return name


def load_source(recipe: Recipe) -> Recogniser | None:
    """Return the source model, listening through any head, for the new language gets its own; None without one."""
    if recipe.source is None:
        return None
    path = recipe.source / "model" if (recipe.source / "model").is_dir() else recipe.source
    return Recogniser.load(path, recipe.head or next(iter(read_config(path)["heads"])))


def note_training(path: Path, words: Words, say: Callable[[str], None]) -> None:
    """Say where a model was not trained on the manifests by which it is judged what was heard."""
    file = path / "run.json"
    if not file.is_file():
        return
    known = json.loads(file.read_text(encoding="utf-8")).get("data", {}).get("train", {})
    if known.get("checksum") not in (None, checksum(words.train)):
        say(
            f"{path.name}: was trained on other utterances ({known.get('utterances')}) than the training manifests "
            f"hold ({len(words.train)}), by which the table says what was heard"
        )


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
