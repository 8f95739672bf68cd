"""Makes profiles of the speakers that a model was trained on, and puts what they have in common into its folder."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from asr_transfer.commands.options import Say
from asr_transfer.commands.speech import named_as, read_speech
from asr_transfer.config import ProfileKind
from asr_transfer.errors import ModelError
from asr_transfer.textfiles import require_writable_folder, write_bytes

if TYPE_CHECKING:
    from asr_transfer.models.speaker_space import SpeakerSpace


def keep_speakers(
    model: Path,
    data: Path,
    say: Say,
    *,
    kind: ProfileKind = "lhuc",
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
) -> None:
    """Make profiles of a model's training speakers and keep their mean and main directions with it.

    The model's weights stay as they are.

    Args:
        model: model folder, or the run folder of `train`.
        data: manifest, or folder of recordings, that it was trained on, with the speakers' names.
        say: function that prints a line.
        kind: kind of the profiles.
        seed: random seed by which speakers and recordings are drawn.
        device: device to compute on.
        overwrite: whether to replace what it has of that already.

    Raises:
        ModelError: the folder is no model of ours, has directions already, or cannot be written.
        DataError: there are too few speakers, or they are not named, or recordings cannot be read.
        ConfigError: the model has no CTC.
    """
    from asr_transfer.adaptation.named_speakers import require_enough_speakers
    from asr_transfer.adaptation.speaker_profiles import space_of_training
    from asr_transfer.data.features import build_store
    from asr_transfer.data.kept_source import JUDGED, load_summaries
    from asr_transfer.data.speech import Spoken
    from asr_transfer.decoding.folder import heads_in, model_folder
    from asr_transfer.decoding.recogniser import Recogniser
    from asr_transfer.models.adapters import adapter_specs
    from asr_transfer.models.pretrained.door import is_foreign
    from asr_transfer.models.speaker_space import FILE
    from asr_transfer.training import distributed

    folder = model_folder(model)
    if is_foreign(folder):
        raise ModelError(
            f"{folder}: is a published model, which stays as it was published; teach or train a model from it first."
        )
    require_writable_folder(folder)
    recogniser = Recogniser.load(folder, heads_in(folder)[0], speakers=False)
    if adapter_specs(recogniser.model):
        raise ModelError(
            f"{folder}: is adapted to a speaker already; take the model that it was adapted from, for other profiles "
            "would go on from that one."
        )
    before = _kept(folder, overwrite)
    if before is not None and not overwrite:
        raise ModelError(
            f"{folder / FILE}: holds directions of {len(before.speakers)} training speakers already, and profiles that "
            "are weights of these, as `eigen-profile` makes them, could not be used with others; take a copy of the "
            "model, or give --overwrite true to replace them and then make such profiles anew."
        )
    utterances = named_as(read_speech(data, recogniser.head, recogniser.case()), recogniser.tokens_by_head)
    require_enough_speakers(utterances, str(data), f"leave {folder} as it is")
    store = build_store(utterances, recogniser.model.inputs)
    kept = load_summaries(folder, recogniser.model.inputs).get(JUDGED)
    unseen = Spoken(kept.utterances, kept.store) if kept else None
    space = space_of_training(recogniser, utterances, store, kind, seed, say, unseen, distributed.join(device))
    size = put_beside(folder, space)
    say(f"{folder / FILE}: written, {size / 1000:.0f} kB; `adapt --method eigen-profile` goes by it")
    if before is not None and before.digest != space.digest:
        say(
            f"{folder / FILE}: profiles that are weights of the directions before can no longer be used; make them anew"
        )


def _kept(folder: Path, overwrite: bool) -> SpeakerSpace | None:
    """Return what a model has of its speakers' profiles; nothing of what is damaged, where that is to be replaced."""
    from asr_transfer.models.speaker_space import FILE, SpeakerSpace

    if not (folder / FILE).is_file():
        return None
    try:
        return SpeakerSpace.load(folder / FILE)
    except ModelError:
        if overwrite:
            return None
        raise


def put_beside(folder: Path, space: SpeakerSpace) -> int:
    """Write what profiles have in common beside a model's weights, and return its bytes.

    Raises:
        ModelError: the folder cannot be written.
    """
    from asr_transfer.models.speaker_space import FILE

    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / FILE
        space.save(made)
        content = made.read_bytes()
    write_bytes(folder / FILE, content, "--model")
    return len(content)
