"""Prepares the corpora of experiments with several languages: those that are on this machine, each once.

The registry says which are sources (prompts, phrases, words and dialogues in fifteen European languages) and which are
targets (Mandarin words, sentences and syllables). What lies in Debian packages is looked for where `asr-transfer fetch`
puts it; the rest lies below one folder of corpora, each in its own layout, as its module documents.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from asr_transfer.data.manifest import read_manifest
from asr_transfer.errors import ConfigError, DataError, nearest_hint
from asr_transfer.remarks import collected, lines
from asr_transfer.runs.workers import run_all
from data_prep import registry
from data_prep.prepare import CORPORA, prepare, prepared, require_apart
from data_prep.registry import Named

Say = Callable[[str], None]


SOURCES: Mapping[str, Named] = registry.used_as("source")
"""The corpora to learn from, in the languages that are known to be there."""

TARGETS: Mapping[str, Named] = registry.used_as("target")
"""The corpora to transfer to."""

SOURCE_SPLITS: Mapping[str, tuple[tuple[str, ...], str]] = {
    name: place.use.splits[place.language]
    for name, place in SOURCES.items()
    if place.language is not None and place.language in place.use.splits
}
"""What of a source corpus is trained on and what is kept from training, where that is not train and dev, and test."""

TEST_SETS = {name: place.use.test_set for name, place in TARGETS.items() if place.use.test_set}
"""What the test sets of target corpora are called."""

OPTIONAL = tuple(name for name, place in TARGETS.items() if place.use.optional)
"""Corpora that do not suffice as the only target, and of which nothing is said where they are absent."""


@dataclass(frozen=True)
class Corpora:
    """The folders of manifests of what was found, by corpus name; `languages` says what is spoken in each."""

    sources: Mapping[str, Path]
    targets: Mapping[str, Path]

    @property
    def languages(self) -> dict[str, str]:
        """Return the ISO 639 code of every corpus; of one's own corpora, as the first training utterance has it."""
        folders = {**self.sources, **self.targets}
        return {
            name: (CORPORA[name].language if name in CORPORA else None) or _spoken(folder)
            for name, folder in folders.items()
        }

    def manifest(self, name: str, split: str) -> Path:
        """Return the path of one manifest of a corpus."""
        return {**self.sources, **self.targets}[name] / f"{split}.jsonl"


@dataclass(frozen=True)
class _Step:
    """What comes of a corpus that is wanted: a line for a person to read, and where it is prepared from, if it is."""

    name: str
    line: str
    root: Path | None = None
    cost: int = 1


def prepare_languages(
    speech: Path | None,
    out: Path,
    say: Say = print,
    sources: Sequence[str] | None = (),
    targets: Sequence[str] | None = (),
    workers: int = 1,
) -> Corpora:
    """Prepare every corpus of the multilingual recipe that is there, into `out/NAME`, unless its manifests are.

    Manifests that are there count also where the corpus itself is not: they are used as they are.

    Args:
        speech: the folder of corpora that cannot be fetched; None where there is none.
        out: folder for the folders of manifests.
        say: function that takes lines for a person to read, one for each corpus that is absent.
        sources, targets: corpora that are wanted: known ones by name, one's own by the folder that holds their
            manifests `train`, `dev` and `test`. None named stands for all that are known, None itself for none at all.
        workers: parallel processes; what they write and say is the same with any number.

    Raises:
        ConfigError: there is no such corpus and no such folder, or a package that a corpus needs (PyAV, pypinyin) is
            not installed.
        DataError: `speech` is no folder, a corpus is not as documented, or no source or no target is there.
    """
    check_wanted(speech, sources, targets, out)
    found: dict[str, dict[str, Path]] = {"source": {}, "target": {}}
    steps: list[_Step] = []
    missing = ""
    for kind, places, wanted in (("source", SOURCES, sources), ("target", TARGETS, targets)):
        if wanted is None or missing:
            continue
        for name in wanted or places:
            own = (Path(name) / "train.jsonl").is_file()
            if not own and (place := _known(name, kind, speech, out)) is not None:
                there, step = _plan(name, place, speech, out)
                steps += [step] if step else []
                if there:
                    found[kind][name] = out / name
            else:
                found[kind][Path(name).name] = _own(name, kind, places)
        if not set(found[kind]) - set(OPTIONAL):
            ways = [place.how_to_get(speech) for name, place in places.items() if name not in OPTIONAL]
            missing = f"no {kind} corpus is there; {ways[0]}, or take another of the {len(ways)} named above."
    if missing:
        for step in steps:
            if step.root is None:
                say(step.line)
        raise DataError(missing)
    _carry_out(steps, out, say, workers)
    require_apart({**found["source"], **found["target"]})
    return Corpora(found["source"], found["target"])


def by_role(names: Sequence[str], languages: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """Return which corpora are sources and which targets, for experiments in which a language can be both.

    Args:
        names: Corpora by name or by folder, which count as sources; none stands for all that are known.
        languages: ISO 639 codes of the known corpora that are taken; none stands for all.
    """
    known = {**SOURCES, **TARGETS}
    wanted = names or [name for name, place in known.items() if not languages or place.language in languages]
    return [name for name in wanted if name not in TARGETS], [name for name in wanted if name in TARGETS]


def check_wanted(
    speech: Path | None, sources: Sequence[str] | None, targets: Sequence[str] | None, out: Path | None = None
) -> None:
    """Refuse what `prepare_languages` refuses before it prepares any corpus; its arguments are the same.

    Raises:
        DataError: `speech` is no folder.
        ConfigError: a corpus is neither known nor a folder of manifests.
    """
    if speech is not None and not speech.is_dir():
        raise DataError(f"{speech}: there is no such folder; give the folder of corpora, or none.")
    for kind, places, wanted in (("source", SOURCES, sources), ("target", TARGETS, targets)):
        for name in wanted or ():
            if _known(name, kind, speech, out) is None:
                _own(name, kind, places)


def _known(name: str, kind: str, speech: Path | None, out: Path | None) -> Named | None:
    """Return the corpus of a name: a language that is not known to be there counts where it is there, or prepared."""
    place = registry.lookup(name)
    if place is None or (place.corpus.use is None) or place.use.role != kind:
        return None
    there = place.declared or place.find(speech) is not None or (out is not None and prepared(place, out / name))
    return place if there else None


def _plan(name: str, place: Named, speech: Path | None, out: Path) -> tuple[bool, _Step | None]:
    """Return whether a corpus is there, and what is to be done or said about it."""
    if prepared(place, out / name):
        return True, None
    root = place.find(speech)
    if root is not None:
        return True, _Step(name, f"{name}: preparing {root}", root, place.use.cost)
    if name in OPTIONAL:
        return False, None
    return False, _Step(name, f"{name}: is absent and left out; {place.how_to_get(speech)}")


def _carry_out(steps: Sequence[_Step], out: Path, say: Say, workers: int) -> None:
    """Prepare what is to be prepared, the longest first where there are several workers, and tell all in order."""
    jobs = [(step.name, step.root, out / step.name) for step in steps if step.root is not None]
    if workers > 1:
        cost = {step.name: step.cost for step in steps}
        jobs.sort(key=lambda job: -cost[job[0]])
    results = run_all(_prepare, jobs, workers, "corpora")
    told: dict[str, str] = {}
    for step in steps:
        say(step.line)
        while step.root is not None and step.name not in told:
            name, told[name] = next(results)
        print(told.get(step.name, ""), end="", flush=True)
    for _ in results:  # so that the processes end
        pass


def _prepare(job: tuple[str, Path, Path]) -> tuple[str, str]:
    """Prepare one corpus and return its name and what was printed."""
    name, root, out = job
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), collected() as unusual:
        prepare(name, root, out)
    return name, printed.getvalue() + "".join(f"{line}\n" for line in lines(unusual))


def _own(folder: str, kind: str, known: Mapping[str, Named]) -> Path:
    """Return the folder of a corpus that is not among the known ones."""
    if not (Path(folder) / "train.jsonl").is_file():
        raise ConfigError(
            f"the {kind} corpus '{folder}' is neither known nor a folder with a manifest train.jsonl; see "
            f"`asr-transfer prepare` for making one.{nearest_hint(folder, known)}"
        )
    return Path(folder)


def _spoken(folder: Path) -> str:
    return read_manifest(folder / "train.jsonl")[0].language
