"""Lists, shows, merges and removes speakers' profiles: `asr-transfer profile`; puts one on a recogniser."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.table import Table
from rich.text import Text

from asr_transfer.commands.options import Command, NewParser, Say
from asr_transfer.commands.profile_speakers import keep_speakers
from asr_transfer.commands.show import flat
from asr_transfer.config import ProfileKind
from asr_transfer.errors import ModelError
from asr_transfer.plain import to_plain
from asr_transfer.remarks import remark
from asr_transfer.runs.console import legible, say, show
from asr_transfer.textfiles import require_writable_folder, unreadable

if TYPE_CHECKING:
    import torch

    from asr_transfer.adaptation.profile import Profile
    from asr_transfer.decoding.recogniser import Recogniser

DIGITS = 12
"""So many hex digits of a checksum are shown."""

_MODEL_FILES = re.compile(
    r"(model|speakers)\.safetensors|config\.yaml|README\.md|(tokens|lexicon)(\.[\w-]+)?\.txt|tokens(\.[\w-]+)?\.(model|json)"
)


def load_with_profile(model: Path, profile: Path | None, head: str | None = None) -> Recogniser:
    """Load a recogniser and, where one is given, put a speaker's profile on it; the folders stay as they are.

    Args:
        model: model folder of the base, or the run folder of `train`.
        profile: profile folder, or the run folder of `adapt`; None for the model as it is.
        head: head to listen with, where the model has several; None takes the profile's.

    Raises:
        ModelError: a folder is missing or damaged, or the profile belongs to another model or another head of it.
    """
    from asr_transfer.decoding.folder import heads_in
    from asr_transfer.decoding.recogniser import Recogniser

    if profile is None:
        return Recogniser.load(model, head)
    heads, loaded = heads_in(model), open_profile(profile)
    if head is None and loaded.facts.head in heads:
        head = loaded.facts.head
    recogniser = Recogniser.load(model, head)
    put_on(recogniser, loaded)
    require_head(loaded, recogniser.head)
    return recogniser


def put_on(recogniser: Recogniser, profile: Profile) -> None:
    """Put a profile on a recogniser, whichever head it listens through.

    Raises:
        ModelError: the profile belongs to another model.
    """
    profile.apply(recogniser.model)
    recogniser.test_time = profile.facts.test_time or recogniser.test_time
    recogniser.offsets = offsets_with(recogniser, profile)


def offsets_with(recogniser: Recogniser, profile: Profile) -> Mapping[str, float]:
    """Return the offsets that tell languages apart when a profile is on: the base's where it changes no weight."""
    if not profile.tensors:
        return recogniser.offsets
    offsets = profile.facts.offsets
    return offsets if set(offsets) == set(recogniser.model.head_names()) else {}


def require_head(profile: Profile, head: str) -> None:
    """Refuse a profile that was made with another head than the one that is listened through.

    Raises:
        ModelError: it was.
    """
    own = profile.facts.head
    if own is not None and own != head:
        raise ModelError(
            f"{profile.folder}: is a profile of the head '{own}', not of '{head}'; leave --language out, or adapt the "
            f"model with --language {head} for a profile of that."
        )


def open_profile(path: Path) -> Profile:
    """Read a profile folder, or that of a run folder of `adapt`.

    Raises:
        ModelError: it is missing, damaged or cannot be read.
    """
    from asr_transfer.adaptation.profile import Profile

    folder = profile_folder(path)
    with _sentences():
        return Profile.load(folder)


def profile_folder(path: Path) -> Path:
    """Return `path`, or its `profile` folder where it is the run folder of `adapt`.

    Raises:
        ModelError: there is no such folder.
    """
    if not path.is_dir():
        raise ModelError(f"{path}: there is no such profile folder; `asr-transfer profile list` names those there are.")
    return path if _holds_profile(path) or not _holds_profile(path / "profile") else path / "profile"


def find_profiles(folder: Path) -> Iterator[Path]:
    """Yield all profile folders below `folder` and itself, sorted; links and hidden folders are passed over.

    Raises:
        ModelError: `folder` is no folder.
    """
    if not folder.is_dir():
        raise ModelError(f"{folder}: there is no such folder; name the one to look for profiles in.")

    def refused(error: OSError) -> None:
        reason = unreadable(error.filename, error, "give another folder")
        if error.filename == str(folder):
            raise ModelError(reason) from None
        remark(reason.split(";")[0], str(error.filename))

    for current, below, _ in os.walk(folder, onerror=refused, followlinks=False):
        below[:] = sorted(name for name in below if not name.startswith("."))
        if _holds_profile(Path(current)):
            yield Path(current)


def list_profiles(folder: Path, console: Console | None = None) -> int:
    """Print a table of all profiles below `folder`, each damaged one with what is wrong with it.

    Returns:
        1 when one is damaged, else 0.

    Raises:
        ModelError: `folder` is no folder.
    """
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("path", "method", "utterances", "seconds", "kB", "created", "base", "parent"):
        number = heading in ("utterances", "seconds", "kB")
        whole = number or heading in ("base", "parent")
        table.add_column(heading, justify="right" if number else "left", overflow="fold", no_wrap=whole)
    damaged: list[Text] = []
    for path in find_profiles(folder):
        try:
            profile = open_profile(path)
        except ModelError as error:
            table.add_row(legible(path), Text("damaged", style="red"))
            damaged.append(legible(error))
            continue
        facts = profile.facts
        table.add_row(
            legible(path),
            legible(facts.method),
            str(facts.utterances),
            f"{facts.seconds:.1f}",
            f"{profile.size_bytes / 1000:.1f}",
            legible(facts.created[:16].replace("T", " ")),
            profile.base[:DIGITS],
            (facts.parent or "–")[:DIGITS],
        )
    if not table.row_count:
        show(
            legible(f"{folder}: there is no profile in this folder or below it; `asr-transfer adapt` makes them."),
            console,
        )
    else:
        show(table, console)
    for line in damaged:
        show(line, console)
    return 1 if damaged else 0


def show_profile(path: Path, model: Path | None = None, console: Console | None = None) -> int:
    """Print everything about a profile and, where `model` is given, whether it can be put on that model.

    Returns:
        1 when it cannot, else 0.

    Raises:
        ModelError: a folder is missing or damaged.
    """
    from asr_transfer.models.adapters import PREFIX

    profile = open_profile(path)
    facts = profile.facts
    rows: list[tuple[str, object]] = [
        ("path", profile.folder),
        ("method", facts.method),
        *([("head", facts.head)] if facts.head is not None else []),
        ("utterances", facts.utterances),
        ("seconds", f"{facts.seconds:.1f}"),
        ("created", facts.created),
        ("checksum", profile.checksum),
        ("base", profile.base),
        ("parent", facts.parent or "–"),
        ("size", f"{profile.size_bytes / 1000:.1f} kB"),
    ]
    for spec in profile.specs:
        start = f"{PREFIX}{spec.kind}."
        rows.append(("adapter", f"{spec}: {_amount(t for n, t in profile.tensors.items() if n.startswith(start))}"))
    changed = {name: tensor for name, tensor in profile.tensors.items() if not name.startswith(PREFIX)}
    rows.append(("changed", f"of the base: {_amount(changed.values())}" if changed else "nothing of the base"))
    rows += [("", f"{place}: {counted}") for place, counted in _places(changed).items()]
    if facts.test_time is not None:
        rows += [(f"test-time {name}", value) for name, value in to_plain(facts.test_time).items()]
    rows += [(f"origin {name}".rstrip(), value) for name, value in flat(facts.origin) if name]
    reason = _mismatch(profile, model) if model is not None else None
    if model is not None:
        rows.append(("model", f"{model}: {reason or 'the profile belongs to this model'}"))
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(legible(name), legible(value))
    show(table, console)
    return 1 if reason else 0


def merge_profile(
    model: Path, profile: Path, out: Path, say: Say, *, head: str | None = None, overwrite: bool = False
) -> None:
    """Write a model folder that holds the base with the profile, so that neither is needed any more.

    Args:
        model: model folder of the base, or the run folder of `train`; stays as it is.
        profile: profile folder, or the run folder of `adapt`.
        out: model folder to write.
        say: function that prints a line.
        head: head to listen with, where the model has several; None takes the profile's.
        overwrite: whether to replace the model that `out` holds.

    Raises:
        ModelError: a folder is missing or damaged, the profile belongs to another model, or `out` holds something
            that must not be replaced.
    """
    from asr_transfer.adaptation.profile import merged
    from asr_transfer.commands.language import find_head
    from asr_transfer.data.features import FRAMES
    from asr_transfer.data.kept_source import FILES, FOLDER, JUDGED, load_summaries, remarks, writers
    from asr_transfer.decoding.recogniser import Recogniser
    from asr_transfer.models.adapters import adapter_specs

    for source, what in ((model, "model"), (profile, "profile")):
        if out.resolve() == source.resolve() or source.resolve() in out.resolve().parents:
            raise ModelError(f"{out}: lies in the folder of the {what} that is merged; choose another --out.")
    require_writable_folder(out)
    with _sentences():
        names = {path.relative_to(out).as_posix() for path in out.rglob("*")} if out.is_dir() else set()
    # A folder like a model's with other files besides would lose them.
    known = {path for kept in (FOLDER, JUDGED) for path in (kept, *(f"{kept}/{name}" for name in (*FILES, *FRAMES)))}
    if foreign := sorted(name for name in names - known if not _MODEL_FILES.fullmatch(name)):
        raise ModelError(f"{out}: holds other things than a model ({foreign[0]}); choose another --out.")
    if names and not overwrite:
        raise ModelError(f"{out}: already holds a model; give --overwrite to replace it, or another --out.")
    recogniser = Recogniser.load(model, find_head(model, head, say, profile=profile))
    loaded = open_profile(profile)
    whole = merged(recogniser.model, loaded)
    require_head(loaded, recogniser.head)
    kept = adapter_specs(whole)
    folded = [str(spec) for spec in loaded.specs if spec not in kept]
    parts = [f"folded into its weights: {', '.join(folded)}"] if folded else []
    parts += [f"kept as adapters inside it: {', '.join(map(str, kept))}"] if kept else []
    facts = loaded.facts
    parts += ["it adapts to each utterance while recognising it"] if facts.test_time else []
    card = (
        f"# Speech recogniser ({recogniser.head}), merged with a speaker's profile\n\nThe model `{model}` "
        f"({loaded.base[:DIGITS]}) with the profile `{profile}` ({loaded.checksum[:DIGITS]}), which `{facts.method}` "
        f"learnt from {facts.utterances} utterances ({facts.seconds:.1f} s) at {facts.created}. It needs neither of "
        f"them. {''.join(f'{part[0].upper()}{part[1:]}. ' for part in parts)}".rstrip()
        + "\n"
    )
    came = {"method": facts.method, "base": loaded.base, "profile": loaded.checksum}
    test_time = facts.test_time or recogniser.test_time
    kept_speech = load_summaries(model, whole.inputs)
    offsets = offsets_with(recogniser, loaded)
    adapted = replace(recogniser, model=whole, test_time=test_time, offsets=offsets)
    adapted.save(out, card + remarks(kept_speech), came, writers(kept_speech))
    say(f"{out}: written, a model that needs no profile{''.join(f'; {part}' for part in parts)}")


def remove_profiles(paths: Sequence[Path], say: Say) -> None:
    """Delete profile folders; nothing is deleted when one of them must not be.

    Args:
        paths: profile folders, or run folders of `adapt`, of which the profile alone is removed.
        say: function that prints a line for each.

    Raises:
        ModelError: one is missing, is a link, is no profile, or holds other files too.
    """
    from asr_transfer.adaptation.profile import FACTS, TENSORS

    found: dict[Path, Path] = {}
    for path in paths:
        folder = profile_folder(path)
        _require_removable(folder)
        found.setdefault(folder.resolve(), folder)
    for real, folder in found.items():
        with _sentences():
            # Renamed first, so that a killed removal leaves no half of a profile.
            gone = real.rename(real.with_name(f".{real.name}.removed-{os.getpid()}"))
            for name in (TENSORS, FACTS):
                (gone / name).unlink()
            gone.rmdir()
        whole = folder.parent / "model"
        stays = f"; the whole adapted model {whole} stays" if (whole / "config.yaml").is_file() else ""
        say(f"{folder}: removed; the base model needs nothing done, a profile never changes its files{stays}")


def _require_removable(folder: Path) -> None:
    from asr_transfer.adaptation.profile import FACTS, TENSORS

    if folder.is_symlink():
        raise ModelError(f"{folder}: is a link; give the profile folder that it leads to.")
    with _sentences():
        names = {path.name for path in folder.iterdir()}
    if missing := [name for name in (FACTS, TENSORS) if name not in names]:
        raise ModelError(f"{folder}: is not a whole profile (it holds no {missing[0]}), so it is not removed.")
    others = sorted(name for name in names if name not in (TENSORS, FACTS) or not (folder / name).is_file())
    if others:
        raise ModelError(f"{folder}: holds more than a profile ({others[0]}); move that elsewhere first.")


def _mismatch(profile: Profile, model: Path) -> str | None:
    """Return why the profile cannot be put on a model, or None where it can."""
    from asr_transfer.models.folder import load_model

    path = model if (model / "config.yaml").is_file() or not (model / "model").is_dir() else model / "model"
    loaded = load_model(path)
    try:
        profile.apply(loaded)
    except ModelError as error:
        return str(error).removeprefix(f"{profile.folder}: ")
    return None


def _places(tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """Return how much of each layer is there: `encoder.layers.0` and its amount, layers counted upwards."""
    places: dict[tuple[str, ...], list[torch.Tensor]] = {}
    for name, tensor in tensors.items():
        parts = name.split(".")
        number = next((n for n, part in enumerate(parts) if part.isdigit()), len(parts) - 2)
        places.setdefault(tuple(parts[: number + 1]), []).append(tensor)
    ordered = sorted(
        places, key=lambda place: [(part.isdigit(), int(part) if part.isdigit() else part) for part in place]
    )
    return {".".join(place): _amount(places[place]) for place in ordered}


def _amount(tensors: Iterable[torch.Tensor]) -> str:
    sizes = [tensor.numel() for tensor in tensors]
    return f"{len(sizes)} tensor{'s' if len(sizes) != 1 else ''}, {sum(sizes):,} values"


def _holds_profile(folder: Path) -> bool:
    from asr_transfer.adaptation.profile import FACTS

    try:
        return (folder / FACTS).is_file()
    except OSError:
        return False


@contextmanager
def _sentences() -> Iterator[None]:
    """Turn what the file system refuses into an error of ours."""
    try:
        yield
    except OSError as error:
        raise ModelError(f"{error.filename}: {error.strerror}; check its rights and those of its folder.") from None


def _parsers(make: NewParser) -> dict[str, ArgumentParser]:
    """Return the parsers of the commands by name."""
    parsers = {
        name: make(name, summary)
        for name, summary in (
            ("list", "Print a table of the profiles below a folder."),
            ("show", "Print everything about one profile."),
            ("merge", "Write a model folder that holds base and profile and needs neither."),
            ("remove", "Delete profile folders; the base model stays as it is."),
            ("speakers", "Make profiles of a model's training speakers and keep what they have in common with it."),
        )
    }
    parsers["list"].add_argument(
        "folder", nargs="?", type=Path, default=Path(), help="folder to look in; here by default"
    )
    parsers["show"].add_argument("profile", type=Path, help="profile folder, or the run folder of `adapt`")
    parsers["show"].add_argument("--model", type=Path, default=None, help="model that the profile may belong to")
    part = parsers["merge"]
    part.add_argument(
        "--model", type=Path, required=True, help="model folder of the base, or the run folder of `train`"
    )
    part.add_argument("--profile", type=Path, required=True, help="profile folder, or the run folder of `adapt`")
    part.add_argument("--out", type=Path, required=True, help="model folder to write")
    part.add_argument(
        "--language",
        type=str,
        default=None,
        help="head to listen with, where the model has several; by default that of the profile",
    )
    part.add_argument("--overwrite", type=bool, default=False, help="whether to replace the model that --out holds")
    parsers["remove"].add_argument("profiles", nargs="+", type=Path, help="profile folders, or run folders of `adapt`")
    part = parsers["speakers"]
    part.add_argument("--model", type=Path, required=True, help="model folder, or the run folder of `train`")
    part.add_argument(
        "--data", type=Path, required=True, help="manifest that it was trained on, with the speakers' names"
    )
    part.add_argument("--kind", type=ProfileKind, default="lhuc", help="kind of the profiles")
    part.add_argument("--seed", type=int, default=0, help="random seed by which speakers and recordings are drawn")
    part.add_argument(
        "--device", type=str, default="auto", help="device to compute on; `auto` takes a GPU if there is one"
    )
    part.add_argument(
        "--overwrite",
        type=bool,
        default=False,
        help="whether to replace what the model has of that already, after which profiles made by that cannot be used",
    )
    return parsers


def _run(arguments: Namespace) -> int:
    name = arguments.subcommand
    given = arguments[name]
    if name == "list":
        return list_profiles(given.folder)
    if name == "show":
        return show_profile(given.profile, given.model)
    if name == "merge":
        merge_profile(given.model, given.profile, given.out, say, head=given.language, overwrite=given.overwrite)
    elif name == "speakers":
        keep_speakers(
            given.model,
            given.data,
            say,
            kind=given.kind,
            seed=given.seed,
            device=given.device,
            overwrite=given.overwrite,
        )
    else:
        remove_profiles(given.profiles, say)
    return 0


COMMAND = Command(
    "list, show, merge or remove the profiles of speakers, or make those of training speakers", _run, below=_parsers
)
