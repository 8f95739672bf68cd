"""Makes profiles of the speakers that a model was trained on, and puts what they have in common into its folder."""

from __future__ import annotations

import tempfile
from pathlib import Path

from asr_transfer.commands.options import Say
from asr_transfer.commands.speech import named_as, read_speech
from asr_transfer.config import ProfileKind
from asr_transfer.errors import DataError, ModelError
from asr_transfer.textfiles import require_writable_folder, write_bytes


def keep_speakers(
    model: Path, data: Path, say: Say, *, kind: ProfileKind = "lhuc", seed: int = 0, device: str = "auto"
) -> None:
    """Make profiles of a model's training speakers and keep their mean and main directions with it.

    The model's weights stay as they are. What it had of that before is replaced.

    Args:
        model: model folder, or the run folder of `train`.
        data: manifest, or folder of recordings, that it was trained on, with the speakers' names.
        say: function that prints a line.
        kind: kind of the profiles.
        seed: random seed by which speakers and recordings are drawn.
        device: device to compute on.

    Raises:
        ModelError: the folder is no model of ours, or it cannot be written.
        DataError: there are too few speakers, or recordings cannot be read.
        ConfigError: the model has no CTC.
    """
    from asr_transfer.adaptation.speaker_profiles import LEAST_SPEAKERS, space_of_training
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
    recogniser = Recogniser.load(folder, heads_in(folder)[0])
    if adapter_specs(recogniser.model):
        raise ModelError(
            f"{folder}: is adapted to a speaker already; take the model that it was adapted from, for other profiles "
            "would go on from that one."
        )
    utterances = named_as(read_speech(data, recogniser.head, recogniser.case()), recogniser.tokens_by_head)
    speakers = len({utterance.speaker for utterance in utterances})
    if speakers < LEAST_SPEAKERS:
        raise DataError(
            f"{data}: is of {speakers} speaker{'s' if speakers != 1 else ''}, and directions among speakers need at "
            f"least {LEAST_SPEAKERS}; give what the model was trained on, with each `speaker` in the manifest."
        )
    store = build_store(utterances, recogniser.model.inputs)
    kept = load_summaries(folder, recogniser.model.inputs).get(JUDGED)
    unseen = Spoken(kept.utterances, kept.store) if kept else None
    space = space_of_training(recogniser, utterances, store, kind, seed, say, unseen, distributed.join(device))
    if space is None:
        raise DataError(f"{data}: holds too few speakers with two recordings or more, so {folder} stays as it is.")
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / FILE
        space.save(made)
        content = made.read_bytes()
    write_bytes(folder / FILE, content, "--model")
    say(f"{folder / FILE}: written, {len(content) / 1000:.0f} kB; `adapt --method eigen-profile` goes by it")
