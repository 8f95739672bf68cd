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
from asr_transfer.config import Outputs, TrainerConfig, Units, to_record
from asr_transfer.data.features import build_store
from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.manifest import Utterance, checksum, read_manifest
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import spells_phones
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.decoding.settings import SearchConfig
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.experiments.languages.points import read_corpora, spellable
from asr_transfer.experiments.words.error_rates import (
    control_figures,
    extras,
    phone_figures,
    sentence_figures,
    spelt_words,
    word_figures,
)
from asr_transfer.experiments.words.listeners import load_listener, note_training
from asr_transfer.experiments.words.segments import with_cuts
from asr_transfer.experiments.words.tables import figures_markdown, figures_table, words_markdown, words_table
from asr_transfer.experiments.words.unseen import (
    UNSEEN,
    Words,
    WordsConfig,
    groups,
    headline,
    refuse_leaks,
    summarise,
    try_model,
    write_trials,
)
from asr_transfer.experiments.words.word_corpus import (
    MaterialConfig,
    SpokenWords,
    assemble,
    load_words,
    note_lexica,
    note_words,
    save_words,
)
from asr_transfer.languages.config import LanguageConfig
from asr_transfer.languages.transfer import learn_language
from asr_transfer.models.folder import read_config
from asr_transfer.runs.record import RunRecord
from asr_transfer.runs.workers import run_all
from asr_transfer.training.precision import precise
from asr_transfer.training.session import by_language, train_recogniser
from data_prep.made_up import MadeUpConfig, prepare_made_up
from data_prep.prepare import find_named

Say = Callable[[str], None]
CONTROL = "control"
QUICK = 60
"""Utterances of each manifest that a quick run trains on."""


def _learning() -> LanguageConfig:
    return LanguageConfig(mode="scratch", units="toneless-phones", monitor="cer")


@dataclass(frozen=True, kw_only=True)
class Recipe(WordsConfig):
    """Recognise words that a model was never trained on.

    Attributes:
        corpus: whose test words are looked for: `synthetic` makes words up; others by name (`hsk`, `asterisk-en`) or by
            the folder that holds their manifests.
        out: run folder to write.
        learn_from: corpora to train on, named in the same way; none for the corpus itself. What is not there is left
            out, which is said.
        beside: corpora whose texts only make the lexicon larger.
        speech: folder of the corpora as they were distributed; fetched ones are found without it.
        root: folder of `corpus` as it was distributed, or of the manifests and lexicon that `prepare` wrote.
        corpora: folder for the manifests of corpora that are known by name, which several runs can share; none for
            `OUT/corpora`.
        also: manifests of further training speech, such as sentences.
        material: pronunciations, the lexicon, and which words are kept from training.
        models: run or model folders that are scored instead of training any.
        head: head of these models or of the source; none for the corpus's language.
        source: model to begin with; without one, `learn.mode` is scratch.
        learn: training of the models; `learn.trainer.seed` counts up with the seeds.
        outputs: `heads` gives each language an output layer of its own; `phones` all of them one layer, through which a
            language unseen in training listens as well; `attributes` the same out of articulatory features.
        seeds: random seeds of the models.
        control: train a model of these units as well, in the same way, and see what it spells.
        aligner: model of phones that cuts words and pieces out of sentences; none trains one on all of the corpus.
        search: settings of the search for sentences of the lexicon's words.
        made_up: the words of `synthetic`.
        quick: a small experiment of the same kind, to see it work.
        workers: parallel processes, of one thread each.
        resume: go on with a run that was stopped.
        overwrite: replace the run that `out` holds.
    """

    corpus: str
    out: Path
    learn_from: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    speech: Path | None = None
    root: Path | None = None
    corpora: Path | None = None
    also: tuple[Path, ...] = ()
    material: MaterialConfig = field(default_factory=MaterialConfig)
    models: tuple[Path, ...] = ()
    head: str | None = None
    source: Path | None = None
    learn: LanguageConfig = field(default_factory=_learning)
    outputs: Outputs = "heads"
    seeds: tuple[int, ...] = (0,)
    control: Literal["words", "characters"] | None = None
    aligner: Path | None = None
    search: SearchConfig = field(default_factory=SearchConfig)
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
        if self.outputs != "heads" and (self.learn.mode != "scratch" or self.learn.units != "phones"):
            raise ConfigError(
                f"`outputs` {self.outputs} are of models of phones trained from scratch; use `learn.mode` scratch and "
                "`learn.units` phones, or leave it out."
            )
        if self.corpus != "synthetic" and self.made_up != MadeUpConfig():
            raise ConfigError(f"`made_up` is of the corpus synthetic, not of {self.corpus}; leave it out.")
        if self.corpus == "synthetic" and self.root is not None:
            raise ConfigError("the corpus synthetic is made up, so that `root` would not be used; leave it out.")
        if self.aligner is not None and not (self.material.cut or self.material.pieces):
            raise ConfigError("`aligner` cuts words or pieces; ask for them with `material.cut` or `material.pieces`.")

    def shortened(self) -> Recipe:
        """Return a small experiment of the same kind: one seed, a tenth of the steps, less speech, fewer words."""
        trainer = self.learn.trainer
        steps = max(1, trainer.steps // 10)
        short: TrainerConfig = replace(trainer, steps=steps, validate_every=min(trainer.validate_every, steps))
        words = self.made_up
        if self.corpus == "synthetic":
            words = MadeUpConfig(400, 60, 12, 24, 6, 4, 2, 20, words.seed)
        return replace(self, seeds=self.seeds[:1], draws=1, learn=replace(self.learn, trainer=short), made_up=words)


def run(recipe: Recipe) -> None:
    """Run the experiment and write `table.md`, `hypotheses.jsonl`, `data`, `models` (a folder each) and `run.json`."""
    recipe = recipe.shortened() if recipe.quick else recipe
    for path in (recipe.source, recipe.aligner, *recipe.models):
        if path is not None:  # before a run is deleted for one that cannot begin
            read_config(path / "model" if (path / "model").is_dir() else path)
    record = RunRecord(recipe.out, to_record(recipe), resume=recipe.resume, overwrite=recipe.overwrite)
    words = prepare_words(recipe := _precise(recipe, record.say), record)
    refuse_leaks(words, record.say)
    places = {f"{n}-{path.name}": path for n, path in enumerate(recipe.models)}
    for path in recipe.models:
        note_training(path, words, record.say)
    jobs: list[Job] = [(recipe, f"seed-{seed}", seed, None) for seed in recipe.seeds if not recipe.models]
    places.update({name: recipe.out / "models" / name for _, name, *_ in jobs})
    if recipe.control is not None:
        jobs.append((recipe, CONTROL, recipe.seeds[0], recipe.control))
    for name in run_all(train_model, jobs, recipe.workers, "models"):
        record.say(f"model '{name}' ready")
    language = words.test[0].language
    trials, rules, heard, members, units = [], [], [], {}, set()
    for name, path in places.items():
        recogniser = load_listener(path, recipe.head or language, words)
        store = build_store([*words.dev, *words.test, *words.sentences], recogniser.model.inputs)
        trials.append(try_model(name, recogniser, words, store, recipe))
        if words.by_rule is not None:
            ruled = replace(words, dev=(), lexicon=words.by_rule)
            # Rules may write phones that no dictionary of the training speech has.
            rules.append(try_model(name, recogniser, ruled, store, replace(recipe, map_phones=True)))
        heard.append(extras(recogniser, words, store, recipe.search, recipe.map_phones))
        members = groups(words, recogniser)
        units.add(recogniser.tokens.units)
        if len(units) > 1:
            raise ConfigError(
                f"the models spell {' and '.join(sorted(units))}; score those of the same units together."
            )
        record.say(f"model '{name}' scored with {trials[-1].sizes[-1]:,} words")
    rows = summarise(trials, words.test, members, recipe.top)
    both = headline(members)
    ruled_rows = (
        summarise(rules, words.test, {k: v for k, v in both.items() if k == UNSEEN}, recipe.top) if rules else []
    )
    figures = word_figures(summarise(trials, words.test, both, recipe.top), ruled_rows)
    figures += phone_figures(heard, both) + sentence_figures(heard, words)
    if recipe.control is not None:
        control = Recogniser.load(recipe.out / "models" / CONTROL, language)
        store = build_store(words.test, control.model.inputs)
        figures += control_figures(spelt_words(control, words.test, store), recipe.control, both)
    text = f"{figures_markdown(figures)}\n{words_markdown(rows, recipe.top)}"
    (recipe.out / "table.md").write_text(text, encoding="utf-8")
    scores = write_trials(recipe.out, trials)
    plain = {"figures": [f.to_plain() for f in figures], "rows": [row.to_plain() for row in rows]}
    record.finish(scores={"test": scores[trials[0].name], **plain, "models": scores})
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(words_table(rows, f"Words of {recipe.corpus} never trained on, {len(trials)} model(s)", recipe.top))
    console.print(figures_table(figures, "At a glance"))


def _precise(recipe: Recipe, say: Say) -> Recipe:
    """Return the recipe with a precision instead of `auto`: one for all its models."""
    network = recipe.learn.model or (source.model.config if (source := load_source(recipe)) else None)
    trainer = precise(recipe.learn.trainer, recipe.out, network, say) if network else recipe.learn.trainer
    return replace(recipe, learn=replace(recipe.learn, trainer=trainer))


def prepare_words(recipe: Recipe, record: RunRecord) -> Words:
    """Prepare the corpora, make the experiment's utterances and lexicon, and write them into `OUT/data`.

    Raises:
        AsrTransferError: what is wrong with corpora and settings, or the run began with others.
    """
    say = record.say
    spoken = read_spoken(recipe, find_corpora(recipe, say))
    words = assemble(spoken, recipe.material, say)
    # The test words may be cut by a model that is yet to be trained; what it is trained on is held to at once.
    note_words(record, words, ("train", "judging", "dev", "sentences"))
    record.data("spoken test", recipe.corpus, spoken.test)
    record.data("spoken own", recipe.corpus, spoken.own)
    if recipe.material.cut or recipe.material.pieces:
        words = with_cuts(words, spoken, recipe.material, find_aligner(recipe, words, spoken, say), say)
    note_words(record, words, ("test", "pieces"))
    note_lexica(record, words)
    save_words(words, recipe.out / "data")
    return words


def find_corpora(recipe: Recipe, say: Say) -> dict[str, Path]:
    """Return the folder of manifests of every corpus that is named and there, prepared where it has to be.

    Raises:
        ConfigError: a corpus is neither known nor a folder of manifests.
        DataError: the test corpus, or all that is to be trained on, is not there.
    """
    wanted = dict.fromkeys((recipe.corpus, *recipe.learn_from, *recipe.beside))
    made = recipe.out / "corpora" / "synthetic"
    if made.name in wanted:
        prepare_made_up(recipe.made_up, made, recipe.workers)
    folder = recipe.corpora or recipe.out / "corpora"
    found = find_named(list(wanted), folder, recipe.speech, say, recipe.root, {made.name: made})
    if recipe.learn_from and not set(recipe.learn_from) & set(found):
        raise DataError(f"none of the corpora {', '.join(recipe.learn_from)} is there; see `--speech`.")
    return found


def read_spoken(recipe: Recipe, folders: dict[str, Path]) -> SpokenWords:
    """Read the manifests of the corpora, and the lexicon of the test corpus where it has one.

    Raises:
        DataError: something is missing, or two manifests that are trained on claim one id.
    """
    test = folders[recipe.corpus]
    learnt = [folders[name] for name in recipe.learn_from or (recipe.corpus,) if name in folders]
    manifests = {f"{folder} train": str(folder / "train.jsonl") for folder in learnt}
    manifests.update({str(path): str(path) for path in recipe.also})
    train = read_corpora(manifests)
    if recipe.quick:
        train = [utterance for path in manifests.values() for utterance in read_manifest(path)[:QUICK]]
    most = QUICK if recipe.quick else None
    judging = [u for folder in learnt for u in _optional(folder / "dev.jsonl")[:most]]
    if len(by_language(train)) > 1:  # as for every source model of several languages: its last weights are taken
        judging = []
    beside = [u for name in recipe.beside if name in folders for u in _optional(folders[name] / "train.jsonl")]
    own = _optional(test / "train.jsonl")[:most]
    lexica = sorted(test.glob("*lexicon.txt"))
    lexicon = Lexicon.read(lexica[0]) if lexica else None
    return SpokenWords(
        train, judging, _optional(test / "dev.jsonl"), read_manifest(test / "test.jsonl"), own, beside, lexicon
    )


def _optional(manifest: Path) -> list[Utterance]:
    return read_manifest(manifest) if manifest.is_file() else []


def find_aligner(recipe: Recipe, words: Words, spoken: SpokenWords, say: Say) -> Recogniser:
    """Return the model that cuts words out of sentences; none given, train one that has heard what is held out too."""
    language = spoken.test[0].language
    if recipe.aligner is not None:
        return load_listener(recipe.aligner, language, words)
    path = recipe.out / "aligner"
    if not (path / "run.json").is_file() or json.loads((path / "run.json").read_text())["status"] != "finished":
        say("training a model of phones that aligns the test sentences")
        own = replace(spoken, train=spoken.own or [u for u in spoken.train if u.language == language], judging=())
        aligned = assemble(own, replace(recipe.material, hold_out=()), say)
        _train(None, aligned, replace(recipe.learn, mode="scratch"), path, "heads")
    return load_listener(path, language, words)


Job = tuple[Recipe, str, int, Units | None]


def train_model(job: Job) -> str:
    """Train a model into `OUT/models/NAME` unless that is done, and return its name; units None are the recipe's."""
    recipe, name, seed, units = job
    learn = replace(recipe.learn, trainer=replace(recipe.learn.trainer, seed=recipe.learn.trainer.seed + seed))
    source = load_source(recipe)
    if units is not None:
        network = learn.model or (source.model.config if source is not None else None)
        learn, source = replace(learn, units=units, mode="scratch", model=network), None
    words = load_words(recipe.out / "data")
    if units is not None:
        words = replace(words, pieces=())
    _train(source, words, learn, recipe.out / "models" / name, "heads" if units is not None else recipe.outputs)
    return name


def _train(source: Recogniser | None, words: Words, learn: LanguageConfig, path: Path, outputs: Outputs) -> None:
    """Train a model into a run folder unless that is done; one that was under way goes on."""
    settings = {"source": source is not None, "outputs": outputs, **to_record(learn)}
    record = RunRecord(path, settings, resume=(path / "run.json").is_file())
    note_words(record, words, ("train", "pieces"))
    if record.finished_before:
        return
    network = source.model.config if source is not None else learn.model
    if network is None:
        raise ConfigError("without `source`, `learn.model` must say which network is trained; see hparams.")
    train = [*words.train, *words.pieces]
    dev = spellable(words.dev if words.judging is None else words.judging, train, learn.units)
    store = build_store([*train, *dev], network.features, tuple(sorted({1.0, *learn.speeds})))
    languages = by_language(train)
    if len(languages) == 1 and outputs == "heads":
        learnt = learn_language(source, Spoken(train, store), Spoken(dev, store), learn, path, record.log)
        recogniser, result = learnt.recogniser, learnt.result
    else:
        config = replace(learn.as_source(), outputs=outputs)
        recogniser, result, _ = train_recogniser(Spoken(train, store), Spoken(dev, store), config, path, record.log)
    card = f"# Phones of {', '.join(languages)}\n\nA model of the zero-shot words recipe; see `../run.json`.\n"
    recogniser.save(path / "model", card, {"trained_on": checksum(words.train)})
    record.finish(
        history=result.history,
        training={"cpu_seconds": round(result.cpu_seconds, 2), "steps": result.steps},
    )


def load_source(recipe: Recipe) -> Recogniser | None:
    """Return the source model, listening through any head, for the new language gets its own; None without one."""
    if recipe.source is None:
        return None
    path = recipe.source / "model" if (recipe.source / "model").is_dir() else recipe.source
    return Recogniser.load(path, recipe.head or next(iter(read_config(path)["heads"])))


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
