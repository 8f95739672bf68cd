"""Trains source models as their settings say, those that are made to be adapted included."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from asr_transfer.adaptation.meta_training import require_one_to_adapt, train_to_be_adapted
from asr_transfer.adaptation.named_speakers import require_named
from asr_transfer.adaptation.warp_normalised import normalise
from asr_transfer.config import ModelConfig, SourceConfig
from asr_transfer.data.manifest import Report
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.models.contract import SpeechModel
from asr_transfer.models.kinds import make_network, network_inputs
from asr_transfer.training import session
from asr_transfer.training.objective import Objective, Weight
from asr_transfer.training.session import train_recogniser
from asr_transfer.training.trainer import Result
from asr_transfer.transfer.speaker_adaptive import SpeakerAdaptive, require_speakers


def train_source(
    train: Spoken,
    dev: Spoken,
    config: SourceConfig,
    folder: Path | None = None,
    log: Callable[[str], None] | None = None,
    objectives: Sequence[tuple[Weight, Objective]] = (),
    make_model: Callable[[ModelConfig, Mapping[str, int]], SpeechModel] = make_network,
    rescue: Callable[[Recogniser], None] | None = None,
) -> tuple[Recogniser, Result, Report]:
    """Train a source model as `config` says; see `train_recogniser` for other arguments and results.

    Args:
        rescue: function that is called with the plainly trained model where what comes after its training fails.

    Raises:
        DataError, ConfigError: see there; or the speakers are not named, or are too few, where they are needed.
    """
    _require_adaptable(train, config, make_model)
    before: Result | None = None
    if config.warp_normalised:
        first_folder = None if folder is None else folder / "checkpoints" / "first_pass"
        own = copy.deepcopy(list(objectives))  # what they learn of the first model is nothing to the second
        first, before, _ = train_recogniser(train, dev, config, first_folder, log, own, make_model)
        with _rescuing(first, rescue):
            train, dev, _ = normalise(first, train, dev, config.trainer.seed, log)
    asked = config.speaker_adaptive
    adaptive = None if asked is None else SpeakerAdaptive(asked.kind, asked.share, asked.code, asked.pace)
    added: list[tuple[Weight, Objective]] = [] if adaptive is None else [(1.0, adaptive)]
    recogniser, result, report = train_recogniser(train, dev, config, folder, log, [*objectives, *added], make_model)
    if adaptive is not None:
        adaptive.settle(recogniser.model)
    if config.meta is not None:
        place = None if folder is None else folder / "checkpoints" / "meta"
        with _rescuing(recogniser, rescue):
            recogniser, more = train_to_be_adapted(recogniser, train, config.meta, config, place, log)
        result = _together(result, more)
    if before is not None:
        result = _together(before, result)
    return recogniser, result, report


@contextmanager
def _rescuing(recogniser: Recogniser, rescue: Callable[[Recogniser], None] | None) -> Iterator[None]:
    """Hand a trained model over where what is done inside fails; it is not changed there before all is done."""
    try:
        yield
    except Exception:
        if rescue is not None:
            rescue(recogniser)
        raise


def require_trainable(train: Spoken, dev: Spoken, config: SourceConfig) -> Report:
    """Refuse utterances and settings as `train_source` does, before a folder is made for it; arguments as there.

    Returns:
        Which utterances it would leave out.

    Raises:
        DataError, ConfigError: as there.
    """
    report = session.require_trainable(train, dev, config)
    _require_adaptable(train, config)
    return report


def _require_adaptable(
    train: Spoken,
    config: SourceConfig,
    make_model: Callable[[ModelConfig, Mapping[str, int]], SpeechModel] = make_network,
) -> None:
    if config.warp_normalised:
        network_inputs(config.model).require_bands("`warp_normalised`")
        require_named(train.utterances, "`warp_normalised`", "leave `warp_normalised` out")
    if config.speaker_adaptive is not None:
        require_speakers(train.utterances)
    if config.meta is not None:
        require_one_to_adapt(train, config, make_model)


def _together(first: Result, second: Result) -> Result:
    """Return what two trainings did, one after the other; the best entry is the first's where the second has none."""
    behind = [{**entry, "step": entry["step"] + first.steps} for entry in second.history]
    best = first.best if second.best is None else {**second.best, "step": second.best["step"] + first.steps}
    sums = {
        name: getattr(first, name) + getattr(second, name)
        for name in ("steps", "skipped", "cpu_seconds", "loading_seconds", "cost")
    }
    return Result(history=[*first.history, *behind], best=best, **sums)
