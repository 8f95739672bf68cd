"""Puts a speaker's profile on a recogniser."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from asr_transfer.commands.profile_folders import open_profile
from asr_transfer.errors import ModelError

if TYPE_CHECKING:
    from asr_transfer.adaptation.profile import Profile
    from asr_transfer.decoding.recogniser import Recogniser


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
