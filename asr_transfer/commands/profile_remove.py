"""Removes profile folders, all that are named or none."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from asr_transfer.commands.options import Say
from asr_transfer.commands.profile_folders import profile_folder, told_by_sentence
from asr_transfer.errors import ModelError


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
        with told_by_sentence():
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
    with told_by_sentence():
        names = {path.name for path in folder.iterdir()}
    if missing := [name for name in (FACTS, TENSORS) if name not in names]:
        raise ModelError(f"{folder}: is not a whole profile (it holds no {missing[0]}), so it is not removed.")
    others = sorted(name for name in names if name not in (TENSORS, FACTS) or not (folder / name).is_file())
    if others:
        raise ModelError(f"{folder}: holds more than a profile ({others[0]}); move that elsewhere first.")
