"""Opens the model that `asr-transfer learn` begins with, and refuses one that cannot learn in the ways asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from asr_transfer.config import TopConfig
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError, class_of
from asr_transfer.languages.config import Mode
from asr_transfer.languages.learning import load_any_head
from asr_transfer.languages.ways import WAYS
from asr_transfer.models.kinds import with_top


def load_source(model: Path, top: TopConfig = TopConfig()) -> Recogniser:
    """Return the model of a model or run folder, listening with any of its heads.

    Args:
        model: the folder.
        top: sizes of the layers on a published encoder that has none of ours yet.

    Raises:
        ModelError: the folder is no model, is damaged, or is a speaker's profile.
        ConfigError: sizes of layers are given, but the model has its layers.
    """
    source = load_any_head(model)
    if top != TopConfig():
        if not source.model.untrained():
            raise ConfigError(
                f"`top` are the layers put on a published encoder that has none of ours yet, but {model} is complete; "
                "leave it out."
            )
        source.model = with_top(source.model, top, {}, str(model)).eval()
    return source


def require_ways(source: Recogniser, ways: Sequence[Mode], replayable: bool, own_source: bool) -> None:
    """Refuse ways that a model or the speech beside it does not allow, and speech that no way would read.

    Args:
        source: the model.
        ways: ways to be tried.
        replayable: whether there is speech of the model's other languages to mix in.
        own_source: whether the user gave it.

    Raises:
        ConfigError: a way cannot work, or source speech would be ignored.
    """
    if "joint" in ways and not replayable:
        raise ConfigError("`joint` mixes speech of the model's other languages in; give some with --source.")
    if not source.model.on_published() and any(WAYS[way].on_published for way in ways):
        raise ConfigError(
            "`top` trains the layers on a published encoder, such as Whisper's, which this model has not; take --way "
            "head or all."
        )
    if own_source and not any(WAYS[way].uses_source for way in ways):
        raise ConfigError(f"`{ways[0]}` reads no speech of other languages; leave --source out or take --way joint.")
    if not source.model.takes_heads and any(WAYS[way].start == "layers" for way in ways):
        raise ConfigError(
            f"the model is {class_of(source.model)}, to which no head can be added; put a network beside it "
            "with --way progressive, or take another model."
        )
