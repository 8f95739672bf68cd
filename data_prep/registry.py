"""Collects the corpora: every module of one declares its name, its languages and where to get it; all else asks here.

A corpus is a module with a function `prepare` and a `CORPUS` that declares it, and its name in `MODULES`. `prepare`,
`fetch`, the recipes and `--help` then know it.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from asr_transfer.errors import ConfigError, DataError, nearest_hint
from asr_transfer.fetched import data_folder

MODULES = (
    *("asterisk", "artikulate", "gcompris", "fillets", "tuxpaint", "festvox_ru", "queen", "an4"),
    *("audio_cmn", "aishell", "gcin_voice"),
    *("synthetic", "fsdd", "l2arctic", "torgo", "commonvoice", "thchs30", "mls", "librispeech", "fleurs", "voxpopuli"),
)
"""Modules that declare a corpus. Experiments take corpora in this order, which their results depend on: new ones go to
the end."""

BESIDE = ("folder", "languages", "noisy", "telephone")
"""Modules whose `prepare` the command line offers as well, without there being a corpus."""

_CODE = re.compile(r"[a-z]{2,3}(?:[_@-][A-Za-z0-9]+)*")


@dataclass(frozen=True)
class Packages:
    """Packages that hold a corpus or one language of it, as `asr-transfer fetch` downloads them.

    Attributes:
        names: Names of the packages, in the order of unpacking.
        licence: Terms under which they are given, in one line.
        checksums: SHA-256 by NAME_VERSION, of the versions that the module was written with; by
            NAME_VERSION_ARCHITECTURE, where Debian has a file for each architecture.
        registry: Place where the packages are kept.
        options: Further words for the registry's client, where a package is another file on every system.
    """

    names: tuple[str, ...]
    licence: str
    checksums: Mapping[str, str] = field(default_factory=dict)
    registry: Literal["Debian", "npm", "PyPI"] = "Debian"
    options: tuple[str, ...] = ()

    def wanted(self) -> list[str]:
        """Return the packages as the client of npm or PyPI asks for them: in the version whose checksum is known."""
        versions = dict(entry.rsplit("_", 1) for entry in self.checksums)
        between = "@" if self.registry == "npm" else "=="
        return [f"{name}{between}{versions[name]}" if name in versions else name for name in self.names]


@dataclass(frozen=True)
class Use:
    """The part that a corpus takes in experiments with several languages.

    Attributes:
        role: Languages to learn from (`source`), or to transfer to (`target`).
        splits: Splits, by language, that are trained on and the one that is kept from training, where these are not
            `train` and `dev`, and `test`.
        cost: Rough duration of its preparation, in multiples of what most others take.
        test_set: Name of its test set in tables of targets.
        optional: Whether the corpus cannot be the only target, so that nothing is said where it is absent.
    """

    role: Literal["source", "target"]
    splits: Mapping[str, tuple[tuple[str, ...], str]] = field(default_factory=dict)
    cost: int = 1
    test_set: str = ""
    optional: bool = False


@dataclass(frozen=True)
class Corpus:
    """The declaration of a corpus.

    Attributes:
        name: Name in recipes; in one of several languages it is called NAME-LANGUAGE.
        prepare: Function that writes the manifests, given `root` and `out`, and `language` where there are several.
        languages: ISO 639 codes of the languages that are known to be there; none where every copy holds another.
        on_disk: Function from the corpus's folder to the languages in it; given where `prepare` takes a `language`.
        splits: Manifests that recipes read, though it may write more; none where they depend on the copy.
        from_disk: Whether it is read from a folder, not made.
        packages: Packages that hold it, by the name that `asr-transfer fetch` knows them by.
        page: Name and address of the page that says how to get the corpus.
        licence: Terms under which it is given, in one line, where it lies in no packages.
        folder: Its folder below a folder of corpora, where that has another name than the corpus.
        holds: A file or folder that must be in its folder so that the corpus counts as there.
        use: Its part in experiments with several languages, where it has one.
    """

    name: str
    prepare: Callable[..., None]
    languages: tuple[str, ...] = ()
    on_disk: Callable[[Path], set[str]] | None = None
    splits: tuple[str, ...] = ("train", "dev", "test")
    from_disk: bool = True
    packages: Mapping[str, Packages] = field(default_factory=dict)
    page: str = ""
    licence: str = ""
    folder: str = ""
    holds: str = ""
    use: Use | None = None

    @property
    def command(self) -> str:
        """Return what the corpus is called behind `asr-transfer prepare`."""
        return self.prepare.__module__.rpartition(".")[2]

    def named(self, language: str = "") -> Named:
        """Return the corpus in a language, or in its default one."""
        only = self.default if self.on_disk else self.languages[0] if self.languages else None
        return Named(f"{self.name}-{language}" if language else self.name, self, language or only)

    @property
    def description(self) -> str:
        """Return in a line what the corpus is, its languages, and where to get it."""
        languages = ", ".join(self.languages) + " and any other in your copy" * (self.on_disk is not None)
        first, *more = [*self.packages, ""]
        others = f" (or {', '.join(more[:-1])})" if more[:-1] else ""
        get = f"it with `asr-transfer fetch {first}`{others}" if first else self.page
        lines = (languages and f"Languages: {languages}.", get and f"Get {get}.")
        return " ".join(filter(None, (_first_line(self.prepare), *lines)))

    @property
    def default(self) -> str:
        """Return the language that `prepare` takes where it is given none."""
        return str(inspect.signature(self.prepare).parameters["language"].default)

    def spoken_in(self, folder: Path) -> set[str]:
        """Return the codes of the languages in a folder, none where it does not hold the corpus."""
        with contextlib.suppress(DataError):
            return self.on_disk(folder) if self.on_disk is not None else set()
        return set()

    def all_named(self) -> list[Named]:
        """Return the corpus in each of the languages that are known to be there."""
        return [self.named(code) for code in self.languages] if self.on_disk else [self.named()]


@dataclass(frozen=True)
class Named:
    """A corpus as it is asked for by name: `hsk`, `asterisk-en`.

    Attributes:
        name: Name that it was asked for by.
        corpus: Declaration of the corpus.
        language: ISO 639 code; None where every copy holds another.
    """

    name: str
    corpus: Corpus
    language: str | None

    @property
    def splits(self) -> tuple[str, ...]:
        """Return the manifests that recipes read."""
        return self.corpus.splits

    @property
    def below(self) -> str:
        """Return its folder below a folder of corpora."""
        return self.corpus.folder or self.fetched or self.corpus.name

    @property
    def fetched(self) -> str:
        """Return its name for `asr-transfer fetch`, empty where it cannot be fetched."""
        known = self.corpus.packages
        own = f"{self.corpus.name}-{self.language}"
        return own if own in known else next(iter(known)) if len(known) == 1 else ""

    @property
    def licence(self) -> str:
        """Return the terms under which the corpus is given, empty where its module does not know them."""
        return self.corpus.packages[self.fetched].licence if self.fetched else self.corpus.licence

    @property
    def use(self) -> Use:
        """Return its part in experiments with several languages: a source, where nothing else is declared."""
        return self.corpus.use or Use("source")

    @property
    def declared(self) -> bool:
        """Return whether the language is known to be there."""
        return self.corpus.on_disk is None or self.language in self.corpus.languages

    def prepare(self, root: Path, out: Path) -> None:
        """Write the manifests, as the module of the corpus documents."""
        if not self.corpus.from_disk:
            self.corpus.prepare(out)
        elif self.corpus.on_disk is not None:
            self.corpus.prepare(root, out, language=self.language)
        else:
            self.corpus.prepare(root, out)

    def find(self, speech: Path | None) -> Path | None:
        """Return the corpus's folder where it is there: fetched, or below the folder of corpora `speech`."""
        with contextlib.suppress(ConfigError):  # no home folder, so that nothing was fetched
            if self.fetched and (folder := data_folder() / self.fetched).is_dir():
                return folder if self.declared or self.language in self.corpus.spoken_in(folder) else None
        if speech is None or not (speech / self.below / self.corpus.holds).exists():
            return None
        folder = speech / self.below
        # Packages hold what they are named for; what was copied by hand may be another part of the corpus.
        ask = self.corpus.on_disk is not None and not (self.fetched and self.declared)
        return folder if not ask or self.language in self.corpus.spoken_in(folder) else None

    def how_to_get(self, speech: Path | None) -> str:
        """Return what to do so that the corpus is there."""
        if self.fetched:
            return f"get it with `asr-transfer fetch {self.fetched}`"
        where = f"{speech / self.below}" if speech is not None else f"`{self.below}` below the folder of corpora"
        return f"put {self.corpus.page} into {where}"


@cache
def corpora() -> dict[str, Corpus]:
    """Return all corpora by name, in the order of `MODULES`."""
    found = [importlib.import_module(f"data_prep.{name}").CORPUS for name in MODULES]
    return {corpus.name: corpus for corpus in found}


@cache
def names() -> dict[str, Named]:
    """Return all corpora by the names that recipes know them by, in each of the languages known to be there."""
    every = [named for corpus in corpora().values() for named in (*corpus.all_named(), corpus.named())]
    return {named.name: named for named in every}


def lookup(name: str) -> Named | None:
    """Return the corpus of a name, in any language that may be on disk, or None."""
    if name in names():
        return names()[name]
    base, _, language = name.partition("-")
    corpus = corpora().get(base)
    return corpus.named(language) if corpus and corpus.on_disk and _CODE.fullmatch(language) else None


def find(name: str, root: Path | None = None) -> Named:
    """Return the corpus of a name; a language that is not known to be there must be in the folder `root`.

    Raises:
        ConfigError: There is no such corpus.
    """
    found = lookup(name)
    if found is not None and found.declared:
        return found
    there = found.corpus.spoken_in(root) if found and root else set()
    if found is not None and found.language in there:
        return found
    if found is not None and there:
        raise ConfigError(f"there is no corpus '{name}': {root} holds it in {', '.join(sorted(there))}.")
    raise ConfigError(f"there is no corpus '{name}'.{nearest_hint(name, names())}")


def used_as(role: Literal["source", "target"]) -> dict[str, Named]:
    """Return the corpora that experiments with several languages learn from, or transfer to, by name."""
    return {n.name: n for c in corpora().values() if c.use and c.use.role == role for n in c.all_named()}


def commands() -> dict[str, Callable[..., None]]:
    """Return by name the functions that `asr-transfer prepare` offers."""
    beside = {name: importlib.import_module(f"data_prep.{name}").prepare for name in BESIDE}
    return {**{corpus.command: corpus.prepare for corpus in corpora().values()}, **beside}


def descriptions() -> dict[str, str]:
    """Return by name a line about each of `commands`."""
    known = {corpus.command: corpus.description for corpus in corpora().values()}
    return {name: known.get(name) or _first_line(function) for name, function in commands().items()}


def _first_line(function: Callable[..., None]) -> str:
    """Return the first line of the docstring of a function's module."""
    return (inspect.getdoc(inspect.getmodule(function)) or "").partition("\n")[0]
