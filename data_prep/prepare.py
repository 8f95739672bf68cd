"""Prepares a corpus by name, once: what recipes call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from asr_transfer.data.manifest import read_manifest
from asr_transfer.errors import ConfigError, DataError
from data_prep import registry
from data_prep.by_text import iso
from data_prep.registry import Named

CORPORA: Mapping[str, Named] = registry.names()
"""Corpora by name, in the languages that are known to be there; those in several are named CORPUS-LANGUAGE."""


def prepare(corpus: str, root: Path | None, out: Path) -> dict[str, Path]:
    """Write a corpus's manifests into `out` unless they are there, and return them by split.

    Args:
        corpus: a key of `CORPORA`, CORPUS-LANGUAGE of another language that is in `root`, or a folder of manifests,
            which are returned as they are.
        root: the folder that the corpus lies in, as its module documents; one that was fetched is found without.
        out: folder for the manifests.

    Raises:
        ConfigError: there is no such corpus, or it needs a `root` and none is given, or has no use for it.
        DataError: the corpus is not as documented.
    """
    found = registry.lookup(corpus)
    if own := _own(corpus, found):
        require_root(corpus, root)
        return own
    if found is not None and (manifests := prepared(found, out)):
        return manifests
    require_root(corpus, root)
    found = registry.find(corpus, root := root or (found.find(None) if found else None))
    found.prepare(root or out, out)
    return prepared(found, out) or {split: out / f"{split}.jsonl" for split in found.splits}


def find_named(
    names: Sequence[str],
    out: Path,
    speech: Path | None,
    say: Callable[[str], None],
    root: Path | None = None,
    made: Mapping[str, Path] | None = None,
) -> dict[str, Path]:
    """Return the folder of manifests of every corpus that is named and there, prepared where it has to be.

    Args:
        names: corpora by name or by the folder that holds their manifests; the first must be there, and which of the
            others are not is said.
        out: folder for the folders of manifests.
        speech: the folder of corpora as they were distributed; fetched ones are found without it.
        say: function that takes lines for a person to read.
        root: the folder of the first corpus, as it was distributed or as `prepare` wrote its manifests.
        made: folders of manifests that were made up by the caller, by the names of corpora.

    Raises:
        ConfigError: a corpus is neither known nor a folder of manifests.
        DataError: the first corpus is not there, or one is not as documented.
    """
    found = dict(made or {})
    for name in names:
        first, place, target = name == names[0], registry.lookup(name), out / name
        place_root = root if first and root is not None else place.find(speech) if place else None
        if name in (made or {}):
            continue
        if first and root is not None and (root / "test.jsonl").is_file():
            found[name] = root
        elif _own(name, place):
            found[name] = Path(name)
        elif place is not None and place.declared and place_root is None and not prepared(place, target):
            if first:
                raise DataError(f"{name}: is absent; {place.how_to_get(speech)}.")
            say(f"{name}: is absent and left out; {place.how_to_get(speech)}")
        else:
            prepare(name, place_root, target)
            found[name] = target
    there = {name: found[name] for name in names if name in found}
    require_apart(there)
    return there


def require_apart(folders: Mapping[str, Path]) -> None:
    """Refuse two varieties of a language of one corpus whose manifests name the same language.

    The manifests of one may have been written before the other was there.

    Args:
        folders: Folders of manifests by the name of the corpus.

    Raises:
        DataError: There are such manifests.
    """
    varieties: dict[tuple[str, str], list[str]] = {}
    for name in folders:
        place = registry.lookup(name)
        if place is not None and place.corpus.on_disk is not None and place.language is not None:
            varieties.setdefault((place.corpus.name, iso(place.language)), []).append(name)
    for names in varieties.values():
        spoken: dict[str, str] = {}
        for name in names if len(names) > 1 else ():
            manifest = folders[name] / "train.jsonl"
            language = read_manifest(manifest)[0].language if manifest.is_file() else name
            if (other := spoken.setdefault(language, name)) != name:
                old = max(name, other, key=len)
                raise DataError(
                    f"{folders[old]}: its manifests were written when {old} was there alone, and name the same "
                    f"language as those of {min(name, other, key=len)}; remove the folder, and it is written anew."
                )


def prepared(corpus: Named, out: Path) -> dict[str, Path]:
    """Return the manifests of a corpus by split where all of them are in `out`, else none."""
    manifests = {split: out / f"{split}.jsonl" for split in corpus.splits} or _manifests(out)
    return manifests if all(path.is_file() for path in manifests.values()) else {}


def require_root(corpus: str, root: Path | None) -> None:
    """Refuse a corpus that cannot be prepared, before anything is done for it; the arguments are those of `prepare`.

    Raises:
        ConfigError: there is no such corpus, or it needs a `root` and none is given, or has no use for it.
        DataError: there is no such folder, or it holds no manifests.
    """
    found = registry.lookup(corpus)
    if _own(corpus, found):
        if root is not None:
            raise ConfigError(f"{corpus}: is a folder of manifests, so that `root` would not be used; leave it out.")
        return
    if found is None and Path(corpus).is_dir():
        raise DataError(f"{corpus}: holds no manifest (.jsonl); see `asr-transfer prepare` for making some.")
    if root is None and found is not None:
        root = found.find(None)
    if not registry.find(corpus, root).corpus.from_disk:
        return
    if root is None:
        raise ConfigError(f"the corpus '{corpus}' is read from disk; say where it lies with --root DIR.")
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder; say where the corpus '{corpus}' lies with --root DIR.")


def _own(corpus: str, found: Named | None) -> dict[str, Path]:
    """Return the manifests by split of a folder that is no corpus known by name, none where there are none."""
    return {} if found is not None and found.declared else _manifests(Path(corpus))


def _manifests(folder: Path) -> dict[str, Path]:
    return {file.stem: file for file in sorted(folder.glob("*.jsonl"))}
