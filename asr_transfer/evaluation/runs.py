"""Reads results to be compared: run folders of every command and recipe, and other toolkits' files.

A *system* is one set of hypotheses: what `evaluate` wrote, one method at one amount of a recipe, or a foreign file.
Texts stay as they were recognised; the system's normalisation profile says how they are to be scored.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

from asr_transfer.data.manifest import Utterance, checksum, read_manifest, spans
from asr_transfer.errors import DataError
from asr_transfer.evaluation.characters import fitting_profile, put_together
from asr_transfer.evaluation.finished_run import profile_of, read_finished
from asr_transfer.evaluation.foreign import (
    Results,
    listed,
    read_hypotheses,
    read_nemo,
    read_speechbrain,
)
from asr_transfer.evaluation.in_common import in_common
from asr_transfer.evaluation.normalisation import DEFAULT, find_profile, normalise
from asr_transfer.evaluation.scoring import Hypothesis
from asr_transfer.evaluation.text_pairs import Texts, read_pair
from asr_transfer.textfiles import read_lines


@dataclass(frozen=True)
class System:
    """One set of hypotheses and what is known of how they came about.

    Attributes:
        name: name in tables; the run folder's or file's name.
        folder: the run folder; None for foreign files.
        record: the run record (`run.json`); empty for foreign files.
        profile: name of the normalisation profile that its scores use (see `evaluation.normalisation`).
        utterances: utterances with unique ids; a missing hypothesis is an empty one. Ids of recipes are `ID#DRAW`.
        audio: path of the recording by utterance id, where it is known and exists; may be empty.
        spans: first and last second of an utterance in its recording, where that holds more.
        missing: ids of references without hypothesis, scored as deletions.
        notes: sentences that a report must show, such as that hypotheses were missing.
    """

    name: str
    folder: Path | None
    record: dict[str, Any]
    profile: str
    utterances: list[Hypothesis]
    audio: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    spans: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def ids(self) -> list[str]:
        """Utterance ids, in order."""
        return [u.id for u in self.utterances]


def is_pair(path: Path | str) -> bool:
    """Return whether a name stands for two texts, `reference,hypothesis`."""
    parts = [part.strip() for part in str(path).split(",")]
    return len(parts) == 2 and all(parts) and not Path(path).exists()


def load_systems(path: Path | str, *, profile: str | None = None, texts: Texts = "auto") -> list[System]:
    """Read the systems of one result.

    Args:
        path: a run folder of `train`, `evaluate` or `adapt`; a recipe's run folder, which holds `systems/NAME/`; a
            SpeechBrain `wer_test.txt`; a NeMo manifest with `text` and `pred_text`; reference and hypothesis as
            `ref.txt,hyp.txt`, in Kaldi's format (`id words…`) or sclite's (`trn`, `stm`, `ctm`).
        profile: normalisation to score under, whatever a run states; None: what it states, `none` for foreign results.
        texts: way in which the lines of reference and hypothesis belong together (`text_pairs`).

    Returns:
        At least one system. Those of a recipe are ordered by the amount that ends their name, then by name.

    Raises:
        ConfigError: `profile` is not known.
        DataError: whatever is missing or damaged, with file, line or field, and how to mend it.
    """
    if profile is not None:
        find_profile(profile)
    place = Path(path)
    if place.is_dir():
        return _read_folder(place, profile)
    if is_pair(path):
        reference, hypothesis = (Path(part.strip()) for part in str(path).split(","))
        return [_foreign(hypothesis.stem, read_pair(reference, hypothesis, texts), profile)]
    if not place.exists():
        raise DataError(
            f"{place}: there is no such run folder or file; give a run folder, a SpeechBrain or NeMo result, or "
            "`ref.txt,hyp.txt`."
        )
    first = next((line for line in read_lines(place) if line.strip()), "")
    if first.startswith(("%WER", "%CER", "%PER", "=" * 10)):
        results = put_together(read_speechbrain(place), split=True)
    elif first.lstrip().startswith("{"):
        own = '"hypothesis"' in first and '"reference"' in first
        results = read_hypotheses(place) if own else read_nemo(place)
    else:
        raise DataError(
            f"{place}: is neither a SpeechBrain `wer_test.txt` nor a NeMo manifest; give reference and hypothesis in "
            "Kaldi's or sclite's format as `ref.txt,hyp.txt`."
        )
    return [_foreign(place.stem, results, profile)]


def unique_names(systems: Sequence[System]) -> list[System]:
    """Return the systems with names that differ (`different_names`)."""
    names = different_names([(system.name, system.folder) for system in systems])
    return [replace(system, name=name) for system, name in zip(systems, names, strict=True)]


def different_names(systems: Sequence[tuple[str, Path | None]]) -> list[str]:
    """Return names that differ: equal ones get the folder above in front, then a number.

    Args:
        systems: name and run folder of each system; None for a file's.
    """
    counts = Counter(name for name, _ in systems)
    taken: dict[str, None] = {}  # in their order
    for name, folder in systems:
        longer = _longer(name, folder) if counts[name] > 1 else name
        taken[next(n for n in _numbered(longer) if n not in taken)] = None
    return list(taken)


def amount_last(folder: Path) -> tuple[int, str]:
    """Return what a recipe's systems are ordered by: the amount that ends their name, then the name."""
    end = re.search(r"(\d+)$", folder.name)
    return (int(end[1]) if end else 0, folder.name)


def common_profile(systems: Sequence[System]) -> str:
    """Return the normalisation profile that all systems share.

    Raises:
        DataError: they differ; the message says which system uses which.
    """
    profiles = {s.name: s.profile for s in systems}
    if len({s.profile for s in systems}) > 1:
        shown = ", ".join(f"{name}: '{profile}'" for name, profile in profiles.items())
        raise DataError(
            f"error rates under different normalisations are different quantities ({shown}); score all under one "
            "with --normalisation."
        )
    return systems[0].profile if systems else DEFAULT


def same_utterances(systems: Sequence[System], intersect: bool = False) -> list[System]:
    """Return the systems over one utterance set, all in the order of the first.

    A speaker or language that one system does not know is taken from another that does.

    Args:
        systems: systems to be compared.
        intersect: whether to keep what all of them have, instead of refusing sets that differ.

    Raises:
        DataError: the profiles differ. The sets differ and `intersect` is false, or have nothing in common; the message
            lists ids. A reference, after normalisation, a speaker or a language differs between systems.
    """
    if not systems:
        return []
    profile = common_profile(systems)
    tables = [{u.id: u for u in s.utterances} for s in systems]
    common = in_common([system.name for system in systems], tables, intersect, "utterance", "were scored on")
    known = {
        name: _agreed(name, [(s, t[name]) for s, t in zip(systems, tables, strict=True)], profile) for name in common
    }
    kept = set(common)
    result = []
    for system, table in zip(systems, tables, strict=True):
        missing = [name for name in system.missing if name in kept]
        notes = [note for note in system.notes if note != _missing_note(system.missing)]
        result.append(
            replace(
                system,
                utterances=[_told(table[name], *known[name]) for name in common],
                audio={name: path for name, path in system.audio.items() if name in kept},
                missing=missing,
                notes=notes + ([_missing_note(missing)] if missing else []),
            )
        )  # fmt: skip
    return result


def _read_folder(folder: Path, profile: str | None) -> list[System]:
    record = read_finished(folder)
    if (folder / "hypotheses.jsonl").is_file():
        return [_system(folder, record, profile, part_of_recipe=folder.parent.name == "systems")]
    parts = [p for p in (folder / "systems").iterdir() if p.is_dir()] if (folder / "systems").is_dir() else []
    if not parts:
        raise DataError(
            f"{folder}: holds neither hypotheses.jsonl nor systems; it scored nothing, give it a --test set or use "
            "`asr-transfer evaluate`."
        )
    for part in parts:
        if not (part / "hypotheses.jsonl").is_file():
            raise DataError(f"{part}: holds no hypotheses.jsonl; run the recipe again.")
    return [_system(p, read_finished(p), profile, part_of_recipe=True) for p in sorted(parts, key=amount_last)]


def _system(folder: Path, record: dict[str, Any], profile: str | None, part_of_recipe: bool) -> System:
    results = read_hypotheses(folder / "hypotheses.jsonl")
    stated = profile_of(record, folder / "run.json")
    home = folder.parent.parent if part_of_recipe else folder
    test = record["scores"].get("test")
    scored = test.get("utterances") if part_of_recipe and isinstance(test, dict) else None
    if isinstance(scored, int) and scored > len(results.utterances):
        raise DataError(
            f"{folder / 'hypotheses.jsonl'}: holds {len(results.utterances)} utterances, but `scores.test.utterances` "
            f"in run.json is {scored}; run the recipe again."
        )
    if not part_of_recipe:
        _add_missing(folder, record, results, _manifest(record, home, "test"))
    manifest = _manifest(record, home)
    places, parts = {u.id: u for u in manifest}, spans(manifest)
    # A recipe's `ID#DRAW` is the recording of ID.
    heard = ((u.id, places.get(u.id) or places.get(u.id.rpartition("#")[0])) for u in results.utterances)
    found = {name: place for name, place in heard if place and os.path.isfile(place.audio)}
    within = {name: parts[place.id] for name, place in found.items() if place.id in parts}
    missing = [_missing_note(results.missing)] if results.missing else []
    other = f"scored under the normalisation '{profile}', while the run itself used '{stated}'"
    notes = [*results.notes, *([] if profile in (None, stated) else [other]), *missing]
    audio, name = {name: place.audio for name, place in found.items()}, folder.resolve().name
    used = profile or stated
    return System(name, folder, record, used, results.utterances, audio, results.missing, notes, within)


def _foreign(name: str, results: Results, profile: str | None) -> System:
    notes = results.notes + ([_missing_note(results.missing)] if results.missing else [])
    profile = fitting_profile(name, results, profile)
    return System(name, None, {}, profile, results.utterances, results.audio, results.missing, notes, results.spans)


def _add_missing(folder: Path, record: dict[str, Any], results: Results, test: Sequence[Utterance]) -> None:
    """Add references of the test manifest that have no hypothesis, as empty hypotheses.

    Raises:
        DataError: the record says that there are more, and the manifest that would name them is gone or has changed.
    """
    noted = (record.get("data") or {}).get("test")
    if noted is None:
        return
    speaker = record["config"].get("speaker")
    chosen = [u for u in test if speaker is None or u.speaker == speaker]
    known = {h.id: h for h in results.utterances}
    if chosen and checksum(chosen) == noted.get("checksum"):
        absent = {u.id: Hypothesis(u.id, u.speaker, u.language, u.text, "") for u in chosen if u.id not in known}
        if absent:
            results.missing += absent
            order = dict.fromkeys([*(u.id for u in chosen), *known])
            results.utterances = [known.get(name) or absent[name] for name in order]
        return
    count = noted.get("utterances")
    if isinstance(count, int) and count > len(known):
        raise DataError(
            f"{folder / 'hypotheses.jsonl'}: holds {len(known)} utterances, but `data.test.utterances` in run.json is "
            f"{count}, and the manifest that would name the others is gone or has changed; evaluate again."
        )


def _manifest(record: Mapping[str, Any], home: Path, name: str | None = None) -> list[Utterance]:
    """Return the utterances of a record's manifest `name`, or of all; none of those that are gone or unreadable.

    A run folder that was moved has its corpus with it: `home/corpus` is looked at as well.
    """
    found: list[Utterance] = []
    for key, entry in (record.get("data") or {}).items():
        if name in (None, key):
            path = Path(entry["path"])
            place = next((p for p in (path, home / "corpus" / path.name) if p.is_file()), None)
            if place is not None:
                found += _utterances(place.resolve(), place.stat().st_mtime_ns)
    return found


@lru_cache(maxsize=16)
def _utterances(place: Path, changed: int) -> tuple[Utterance, ...]:
    """Read a manifest once for the many runs that share it; `changed` is the time it was written."""
    try:
        return tuple(read_manifest(place))
    except DataError:
        # The recordings are a convenience; the hypotheses are compared without them.
        return ()


def _told(utterance: Hypothesis, speaker: str, language: str) -> Hypothesis:
    """Return an utterance as of that speaker and language."""
    if utterance.speaker == speaker and utterance.language == language:
        return utterance
    return replace(utterance, speaker=speaker, language=language)


def _agreed(name: str, found: Sequence[tuple[System, Hypothesis]], profile: str) -> tuple[str, str]:
    """Return an utterance's speaker and language; raise where systems contradict each other."""
    said = {(utterance.reference, utterance.speaker, utterance.language) for _, utterance in found}
    if len(said) == 1:
        ((_, speaker, language),) = said
        return speaker, language
    result = []
    for kind in ("reference", "speaker", "language"):
        values: dict[str, System] = {}
        for system, utterance in found:
            value: str = getattr(utterance, kind)
            if value or kind == "reference":
                values.setdefault(value, system)
        if kind == "reference" and len(values) > 1:
            language = next((utterance.language for _, utterance in found if utterance.language), "")
            values = {normalise(value, profile, language): system for value, system in values.items()}
        if len(values) > 1:
            (one, first), (two, second) = list(values.items())[:2]
            raise DataError(
                f"utterance '{name}': its {kind} is '{one}' in '{first.name}' and '{two}' in '{second.name}'; compare "
                "systems on the same test set."
            )
        result.append(next(iter(values), ""))
    return result[1], result[2]


def _missing_note(missing: Sequence[str]) -> str:
    return f"{len(missing)} references without hypothesis, counted as deletions: {listed(list(missing))}"


def _longer(name: str, folder: Path | None) -> str:
    if folder is None:
        return name
    above = folder.resolve().parent
    return f"{above.parent.name if above.name == 'systems' else above.name}/{name}"


def _numbered(name: str) -> Iterator[str]:
    yield name
    for number in count(2):
        yield f"{name} ({number})"
