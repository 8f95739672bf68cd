"""Joins the source corpora that are on this machine into one manifest of many languages, to train a source model on.

Which corpora are sources, and what of each is trained on, the registry says. `about.md` lists what went in, with hours,
speakers and licences; `asr-transfer train --about` puts it on the model's card.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from asr_transfer.data.manifest import Utterance, read_manifest
from asr_transfer.errors import ConfigError, DataError, nearest_hint
from asr_transfer.ranges import Count
from asr_transfer.textfiles import write_text
from data_prep import registry
from data_prep.common import write_splits

DEFAULT_SPLITS = (("train", "dev"), "test")
"""What of a source corpus is trained on and what is kept from training, where its module declares nothing else."""


def prepare(
    out: Path,
    speech: Path | None = None,
    sources: tuple[str, ...] = (),
    leave_out: tuple[str, ...] = (),
    workers: Count = 2,
) -> None:
    """Write `train.jsonl` and `test.jsonl` of all source corpora that are here, and `about.md` on what went in.

    Args:
        out: folder for the manifests; those of each corpus lie below it in `corpora`.
        speech: folder of corpora that cannot be fetched, each as it was distributed.
        sources: names of the corpora to take, such as [queen,fillets-cs]; all that are known and here, where none is
            named.
        leave_out: languages to leave out, by their ISO 639 codes, such as [el] or [el,ro].
        workers: parallel processes.

    Raises:
        ConfigError: there is no such corpus, or none in a language that is to be left out.
        DataError: no corpus is here, or one is not as documented.
    """
    from data_prep.multilingual import prepare_languages  # loads PyTorch, which `--help` shall not wait for

    spoken = {name: _language(name) for name in sources or registry.used_as("source")}
    for language in leave_out:
        if language not in spoken.values():
            raise ConfigError(
                f"`leave_out` names '{language}', in which there is no source corpus."
                f"{nearest_hint(language, filter(None, spoken.values()))}"
            )
    wanted = [name for name, language in spoken.items() if language not in leave_out]
    if not wanted:
        raise ConfigError("`leave_out` names the languages of all source corpora; keep one.")
    found = prepare_languages(speech, out / "corpora", print, wanted, None, workers)
    languages = found.languages
    taken = {name: folder for name, folder in found.sources.items() if languages[name] not in leave_out}
    parts = {name: _parts(name, folder) for name, folder in taken.items()}
    _refuse_shared_ids(parts)
    joined = {split: [u for own in parts.values() for u in own[split]] for split in ("train", "test")}
    write_splits(joined, out)
    write_text(out / "about.md", about({name: own["train"] for name, own in parts.items()}))
    minutes = sum(u.duration for u in joined["train"]) / 60
    print(
        f"{out}: {len(parts)} corpora of {len({u.language for u in joined['train']})} languages, "
        f"{len(joined['train'])} utterances of {minutes:.0f} minutes to train on"
    )


def about(corpora: Mapping[str, Sequence[Utterance]]) -> str:
    """Return a Markdown table of corpora with language, minutes, speakers and licence.

    Args:
        corpora: training utterances of each, by name.
    """
    lines = ["| corpus | language | minutes | speakers | licence |", "|---|---|---:|---:|---|"]
    for name, own in corpora.items():
        place = registry.lookup(name)
        minutes = sum(u.duration for u in own) / 60
        languages = ", ".join(sorted({u.language for u in own}))
        terms = (place.licence if place else "") or "not known: a corpus of your own"
        lines.append(f"| {name} | {languages} | {minutes:.0f} | {len({u.speaker for u in own})} | {terms} |")
    return "\n".join(lines) + "\n"


def _language(corpus: str) -> str | None:
    """Return the language of a corpus of a name or in a folder, None where that is not known yet."""
    manifest = Path(corpus) / "train.jsonl"
    if manifest.is_file():
        return read_manifest(manifest)[0].language
    place = registry.lookup(corpus)
    return place.language if place else None


def _refuse_shared_ids(corpora: Mapping[str, Mapping[str, Sequence[Utterance]]]) -> None:
    owner: dict[str, str] = {}
    for name, parts in corpora.items():
        for utterance in (u for own in parts.values() for u in own):
            if owner.setdefault(utterance.id, name) != name:
                raise DataError(
                    f"the corpora '{owner[utterance.id]}' and '{name}' both claim the id '{utterance.id}'; name the "
                    "corpora to take with --sources and leave one out."
                )


def _parts(name: str, folder: Path) -> dict[str, list[Utterance]]:
    from data_prep.multilingual import SOURCE_SPLITS

    trained, kept = SOURCE_SPLITS.get(name, DEFAULT_SPLITS)
    read = {split: read_manifest(folder / f"{split}.jsonl") for split in (*trained, kept)}
    return {"train": [u for split in trained for u in read[split]], "test": read[kept]}
