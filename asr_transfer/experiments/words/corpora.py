"""Finds the corpora of an experiment on unseen words, and reads what is spoken in them."""

# Annotations are not postponed here: jsonargparse resolves postponed ones of a recipe's first base class alone.

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.manifest import Utterance, by_language, read_manifest
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.experiments.languages.points import read_corpora
from asr_transfer.experiments.words.word_corpus import Say, SpokenWords
from asr_transfer.ranges import Ranged
from data_prep.made_up import MadeUpConfig, prepare_made_up
from data_prep.prepare import find_named

MADE_UP = "synthetic"
"""The corpus whose words are made up."""


@dataclass(frozen=True, kw_only=True)
class CorporaConfig(Ranged):
    """Corpora of an experiment on unseen words.

    Attributes:
        corpus: Corpus whose test words are looked for: `synthetic` makes words up; others by name (`hsk`,
            `asterisk-en`) or by the folder that holds their manifests.
        learn_from: Corpora to train on, named in the same way; none for the corpus itself. Those that are absent are
            left out, with a line that says so.
        beside: Corpora whose texts only make the lexicon larger.
        speech: Folder of the corpora as they were distributed; fetched ones are found without it.
        root: Folder of `corpus` as it was distributed, or of the manifests and lexicon that `prepare` wrote.
        corpora: Folder for the manifests of corpora that are known by name, which several runs can share; none for
            `OUT/corpora`.
        also: Manifests of further training speech, such as sentences.
        made_up: Words of `synthetic`.
    """

    corpus: str
    learn_from: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    speech: Path | None = None
    root: Path | None = None
    corpora: Path | None = None
    also: tuple[Path, ...] = ()
    made_up: MadeUpConfig = field(default_factory=MadeUpConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.corpus != MADE_UP and self.made_up != MadeUpConfig():
            raise ConfigError(f"`made_up` is of the corpus {MADE_UP}, not of {self.corpus}; leave it out.")
        if self.corpus == MADE_UP and self.root is not None:
            raise ConfigError(f"the corpus {MADE_UP} is made up, so that `root` would not be used; leave it out.")


def find_corpora(config: CorporaConfig, out: Path, say: Say, workers: int = 1) -> dict[str, Path]:
    """Return the folder of manifests of every corpus that is named and there, prepared where it has to be.

    Args:
        config: Corpora by name.
        out: Folder for the manifests of made-up words, and of the others where `config.corpora` names no folder.
        say: Function that takes lines for a person to read.
        workers: Parallel processes that make words up.

    Raises:
        ConfigError: a corpus is neither known nor a folder of manifests.
        DataError: the test corpus, or all that is to be trained on, is not there.
    """
    wanted = list(dict.fromkeys((config.corpus, *config.learn_from, *config.beside)))
    made = {MADE_UP: out / MADE_UP}
    if MADE_UP in wanted:
        prepare_made_up(config.made_up, made[MADE_UP], workers)
    found = find_named(wanted, config.corpora or out, config.speech, say, config.root, made)
    if config.learn_from and not set(config.learn_from) & set(found):
        raise DataError(f"none of the corpora {', '.join(config.learn_from)} is there; see `--speech`.")
    return found


def read_spoken(config: CorporaConfig, folders: Mapping[str, Path], most: int | None = None) -> SpokenWords:
    """Read the manifests of the corpora, and the lexicon of the test corpus where it has one.

    Args:
        config: Corpora by name.
        folders: Their folders of manifests, as `find_corpora` returns them.
        most: Utterances of each training manifest that are taken; None for all.

    Raises:
        DataError: something is missing, or two manifests that are trained on claim one id.
    """
    test = folders[config.corpus]
    learnt = [folders[name] for name in config.learn_from or (config.corpus,) if name in folders]
    manifests = {f"{folder} train": str(folder / "train.jsonl") for folder in learnt}
    manifests.update({str(path): str(path) for path in config.also})
    train = read_corpora(manifests)
    if most is not None:
        train = [utterance for path in manifests.values() for utterance in read_manifest(path)[:most]]
    judging = [u for folder in learnt for u in _optional(folder / "dev.jsonl")[:most]]
    if len(by_language(train)) > 1:  # as for every source model of several languages: its last weights are taken
        judging = []
    beside = [u for name in config.beside if name in folders for u in _optional(folders[name] / "train.jsonl")]
    own = _optional(test / "train.jsonl")[:most]
    lexica = sorted(test.glob("*lexicon.txt"))
    lexicon = Lexicon.read(lexica[0]) if lexica else None
    return SpokenWords(
        train, judging, _optional(test / "dev.jsonl"), read_manifest(test / "test.jsonl"), own, beside, lexicon
    )


def _optional(manifest: Path) -> list[Utterance]:
    return read_manifest(manifest) if manifest.is_file() else []
