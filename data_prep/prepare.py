"""Preparing a corpus by name, once: what recipes call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from asr_transfer.errors import ConfigError, DataError, nearest_hint
from data_prep import (
    aishell,
    an4,
    artikulate,
    asterisk,
    audio_cmn,
    commonvoice,
    festvox_ru,
    fillets,
    fleurs,
    fsdd,
    gcin_voice,
    gcompris,
    mls,
    queen,
    synthetic,
    thchs30,
    tuxpaint,
    voxpopuli,
)

_ALL = ("train", "dev", "test")


@dataclass(frozen=True)
class Corpus:
    """A corpus that can be prepared by name.

    Attributes:
        prepare: writes its manifests, given the folder that it lies in (ignored by what is synthesised) and `out`.
        splits: the manifests that recipes read; it may write more.
        language: ISO 639 code, where there is only one.
        from_disk: it is read from a folder.
    """

    prepare: Callable[[Path, Path], None]
    splits: tuple[str, ...] = _ALL
    language: str | None = None
    from_disk: bool = True


def _in_languages(name: str, function: Callable[..., None], languages: Mapping[str, object] | str) -> dict[str, Corpus]:
    """Return a corpus for each language, named NAME-LANGUAGE."""
    codes = languages.split() if isinstance(languages, str) else languages
    return {f"{name}-{code}": Corpus(partial(function, language=code), language=code) for code in codes}


CORPORA: dict[str, Corpus] = {
    "synthetic": Corpus(lambda root, out: synthetic.prepare(out), language="en", from_disk=False),
    "an4": Corpus(an4.prepare, ("train", "test"), "en"),
    "fsdd": Corpus(fsdd.prepare, ("all",), "en"),
    "queen": Corpus(queen.prepare, language="en"),
    "fillets": Corpus(fillets.prepare, language="cs"),
    **_in_languages("fillets", fillets.prepare, "cs nl"),
    **_in_languages("asterisk", asterisk.prepare, asterisk.SPEAKERS),
    **_in_languages("artikulate", artikulate.prepare, artikulate.FOLDERS),
    **_in_languages("gcompris", gcompris.prepare, "de es ro"),
    **_in_languages("tuxpaint", tuxpaint.prepare, " ".join(tuxpaint.LANGUAGES)),
    "festvox-ru": Corpus(festvox_ru.prepare, language="ru"),
    "hsk": Corpus(audio_cmn.prepare, (*_ALL, "syllables"), "cmn"),
    "gcin": Corpus(gcin_voice.prepare, ("train", "test"), "cmn"),
    "aishell": Corpus(aishell.prepare, language="cmn"),
    "thchs30": Corpus(thchs30.prepare, language="cmn"),
    "commonvoice": Corpus(commonvoice.prepare),
    "mls": Corpus(mls.prepare),
    "fleurs": Corpus(fleurs.prepare),
    "voxpopuli": Corpus(voxpopuli.prepare),
}
"""Corpora by name; those in several languages are named CORPUS-LANGUAGE."""


def prepare(corpus: str, root: Path | None, out: Path) -> dict[str, Path]:
    """Write a corpus's manifests into `out` unless they are there, and return them by split.

    Args:
        corpus: a key of `CORPORA`.
        root: the folder that the corpus lies in, as its module documents.
        out: folder for the manifests.

    Raises:
        ConfigError: there is no such corpus, or it needs a `root` and none is given.
        DataError: the corpus is not as documented.
    """
    found = _find(corpus)
    manifests = {split: out / f"{split}.jsonl" for split in found.splits}
    if all(path.is_file() for path in manifests.values()):
        return manifests
    require_root(corpus, root)
    found.prepare(root or out, out)
    return manifests


def require_root(corpus: str, root: Path | None) -> None:
    """Refuse a corpus that cannot be prepared, before anything is done for it.

    Raises:
        ConfigError: there is no such corpus, or it needs a `root` and none is given.
        DataError: there is no such folder.
    """
    if not _find(corpus).from_disk:
        return
    if root is None:
        raise ConfigError(f"the corpus '{corpus}' is read from disk; say where it lies with --root DIR.")
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder; say where the corpus '{corpus}' lies with --root DIR.")


def _find(corpus: str) -> Corpus:
    if corpus not in CORPORA:
        raise ConfigError(f"there is no corpus '{corpus}'.{nearest_hint(corpus, CORPORA)}")
    return CORPORA[corpus]
