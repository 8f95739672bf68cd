"""Prepares a corpus by name, once: what recipes call."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from asr_transfer.errors import ConfigError, DataError
from data_prep import registry
from data_prep.registry import Named

CORPORA: Mapping[str, Named] = registry.names()
"""Corpora by name, in the languages that are known to be there; those in several are named CORPUS-LANGUAGE."""


def prepare(corpus: str, root: Path | None, out: Path) -> dict[str, Path]:
    """Write a corpus's manifests into `out` unless they are there, and return them by split.

    Args:
        corpus: a key of `CORPORA`, or CORPUS-LANGUAGE of another language that is in `root`.
        root: the folder that the corpus lies in, as its module documents.
        out: folder for the manifests.

    Raises:
        ConfigError: there is no such corpus, or it needs a `root` and none is given.
        DataError: the corpus is not as documented.
    """
    found = registry.lookup(corpus)
    if found is not None and (manifests := prepared(found, out)):
        return manifests
    require_root(corpus, root)
    found = registry.find(corpus, root)
    found.prepare(root or out, out)
    return prepared(found, out) or {split: out / f"{split}.jsonl" for split in found.splits}


def prepared(corpus: Named, out: Path) -> dict[str, Path]:
    """Return the manifests of a corpus by split where all of them are in `out`, else none."""
    splits = corpus.splits or sorted(file.stem for file in out.glob("*.jsonl"))
    manifests = {split: out / f"{split}.jsonl" for split in splits}
    return manifests if all(path.is_file() for path in manifests.values()) else {}


def require_root(corpus: str, root: Path | None) -> None:
    """Refuse a corpus that cannot be prepared, before anything is done for it.

    Raises:
        ConfigError: there is no such corpus, or it needs a `root` and none is given.
        DataError: there is no such folder.
    """
    found = registry.find(corpus, root)
    if not found.corpus.from_disk:
        return
    if root is None:
        raise ConfigError(f"the corpus '{corpus}' is read from disk; say where it lies with --root DIR.")
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder; say where the corpus '{corpus}' lies with --root DIR.")
