"""The commands below `asr-transfer profile`: their options, and what they call."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace


def profile_parsers(make: Callable[[str, str], ArgumentParser]) -> dict[str, ArgumentParser]:
    """Return the parsers of the commands by name; `make` makes an empty one from name and summary."""
    parsers = {
        name: make(name, summary)
        for name, summary in (
            ("list", "Print a table of the profiles below a folder."),
            ("show", "Print everything about one profile."),
            ("merge", "Write a model folder that holds base and profile and needs neither."),
            ("remove", "Delete profile folders; the base model stays as it is."),
        )
    }
    parsers["list"].add_argument("folder", nargs="?", type=Path, default=Path(), help="where to look; here by default")
    parsers["show"].add_argument("profile", type=Path, help="profile folder, or the run folder of `adapt`")
    parsers["show"].add_argument("--model", type=Path, default=None, help="say whether it belongs to this model")
    part = parsers["merge"]
    part.add_argument(
        "--model", type=Path, required=True, help="model folder of the base, or the run folder of `train`"
    )
    part.add_argument("--profile", type=Path, required=True, help="profile folder, or the run folder of `adapt`")
    part.add_argument("--out", type=Path, required=True, help="model folder to write")
    part.add_argument("--language", type=str, default=None, help="which head, where the model has several")
    part.add_argument("--overwrite", type=bool, default=False, help="replace the model that --out holds")
    parsers["remove"].add_argument("profiles", nargs="+", type=Path, help="profile folders, or run folders of `adapt`")
    return parsers


def run_profile(arguments: Namespace) -> int:
    """Run one of the commands."""
    from asr_transfer.commands import profile as commands

    say = partial(print, flush=True)
    name = arguments.subcommand
    given = arguments[name]
    if name == "list":
        return commands.list_profiles(given.folder)
    if name == "show":
        return commands.show_profile(given.profile, given.model)
    if name == "merge":
        commands.merge_profile(
            given.model, given.profile, given.out, say, head=given.language, overwrite=given.overwrite
        )
    else:
        commands.remove_profiles(given.profiles, say)
    return 0
