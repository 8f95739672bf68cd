"""Reads the options of `asr-transfer profile`, which lists, shows, merges, removes and makes speakers' profiles."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from asr_transfer.commands.options import Command, NewParser
from asr_transfer.commands.profile_merge import merge_profile
from asr_transfer.commands.profile_remove import remove_profiles
from asr_transfer.commands.profile_show import list_profiles, show_profile
from asr_transfer.commands.profile_speakers import keep_speakers
from asr_transfer.config import ProfileKind
from asr_transfer.runs.console import say


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
