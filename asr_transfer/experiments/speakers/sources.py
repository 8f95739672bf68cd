"""Trains the source models of an adaptation experiment, one for each fold of held-out speakers."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asr_transfer.adaptation.adaptable_source import train_source
from asr_transfer.adaptation.named_speakers import require_enough_speakers
from asr_transfer.adaptation.speaker_profiles import space_of_training
from asr_transfer.adaptation.warp import prior_of_training
from asr_transfer.config import KEEP_SOURCE, to_record
from asr_transfer.data.judged import HeldOut
from asr_transfer.data.kept_source import judged_origin, keep, remarks, writers
from asr_transfer.data.manifest import checksum, read_manifest
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.folder import model_folder
from asr_transfer.errors import DataError
from asr_transfer.experiments.core.jobs import Job, run_jobs
from asr_transfer.experiments.core.ledger import Data
from asr_transfer.experiments.speakers.config import ExperimentConfig
from asr_transfer.experiments.speakers.protocol import Fold, speaker_folds
from asr_transfer.experiments.speakers.workshop import Workshop, loaded
from asr_transfer.models.pretrained.door import is_foreign
from asr_transfer.runs.record import RunRecord
from asr_transfer.runs.workers import Backend
from asr_transfer.training import distributed
from asr_transfer.training.precision import precise


def train_sources(
    manifests: Mapping[str, Path],
    config: ExperimentConfig,
    folder: Path,
    workers: int,
    log: Callable[[str], None],
    backend: Backend = "processes",
    speakers: Collection[str] = (),
) -> tuple[Workshop, list[Fold]]:
    """Make the folds and their source models; see `run_experiment` for the other arguments.

    Args:
        speakers: test speakers of whom one at least must be in a fold, for it to be made; none stands for all.

    Raises:
        DataError: a source model is given that may have been trained on what is judged on.
    """
    splits = {name: read_manifest(path) for name, path in manifests.items()}
    folds = speaker_folds(splits, config.protocol)
    folds = [fold for fold in folds if not speakers or any(draw.speaker in speakers for draw in fold.test)]
    for fold in folds:
        for speaker, draw in {d.speaker: d for d in fold.test}.items():
            missing = [n for n in config.protocol.amounts if n > len(draw.pool)]
            if missing:
                log(f"{speaker} has too few utterances to adapt on {', '.join(map(str, missing))}; left out there")
    if config.protocol.judged_utterances and not all(fold.judged for fold in folds):
        log("there is too little speech to hold some out from training, so `auto` does not judge what others lose")
    if config.speaker_profiles is not None and config.model is None:
        given = {utterance.id: utterance for utterances in splits.values() for utterance in utterances}
        for fold in folds:
            require_enough_speakers(
                [given[name] for name in fold.train], f"fold '{fold.name}'", "leave `speaker_profiles` out"
            )
    shop = Workshop({name: str(path) for name, path in manifests.items()}, str(folder), config)
    shop = replace(shop, config=_precise(config, folder, log))
    begin = time.process_time()
    shop.store()
    log(f"features ready ({time.process_time() - begin:.1f} CPU-seconds)")
    to_train = [] if config.model is not None else [TrainFold(shop, fold) for fold in folds]
    # Of a published model nobody knows what it heard, and it is told apart from one of this protocol's.
    if config.model is not None and folds[0].judged and not is_foreign(model_folder(config.model)):
        known = shop.utterances()
        trained_on = checksum([known[name] for name in folds[0].train])
        if shop.source(folds[0].name).origin.get("trained_on") != trained_on:
            raise DataError(
                f"{config.model}: was not trained on this protocol's training utterances, so perhaps on those that are "
                "held out to judge on; leave `model` out, or set `protocol.judged_utterances` to 0."
            )
    for name in run_jobs(folder, to_train, workers, "source models", backend):
        log(f"source model '{name.rpartition('/')[2]}' ready")
    return shop, folds


def _precise(config: ExperimentConfig, folder: Path, log: Callable[[str], None]) -> ExperimentConfig:
    """Return the experiment with a precision instead of `auto`: one for all trainings that are compared."""
    network = config.source.model if config.model is None else loaded(str(config.model)).model
    trainer = precise(config.source.trainer, folder, network, log)
    source = replace(config.source, trainer=trainer)
    adapt = config.adapt if config.adapt.precision != "auto" else replace(config.adapt, precision=trainer.precision)
    return replace(config, source=source, adapt=adapt)


@dataclass(frozen=True)
class TrainFold(Job):
    """Trains a fold's source model.

    Attributes:
        shop: Place of the experiment's utterances and features.
        fold: The fold.
    """

    shop: Workshop
    fold: Fold

    @property
    def name(self) -> str:
        """Its run folder."""
        return f"models/{self.fold.name}"

    def settings(self) -> dict[str, Any]:
        """Return the settings of the source model."""
        kind = self.shop.config.speaker_profiles
        return {**to_record(self.shop.config.source), **({"speaker_profiles": kind} if kind else {})}

    def data(self) -> Data:
        """Return what it is trained on, and what is held out to judge on."""
        known, path = self.shop.utterances(), str(Path(self.shop.folder) / self.name)
        parts = {"train": self.fold.train, "judged": self.fold.judged}
        return {name: (path, [known[one] for one in ids]) for name, ids in parts.items() if ids}

    def run(self, record: RunRecord, data: Data) -> None:
        """Train it, and keep with it what was held out."""
        config, store = self.shop.config.source, self.shop.store()
        train, judged = (list(data[name][1]) if name in data else [] for name in ("train", "judged"))
        recogniser, result, report = train_source(
            Spoken(train, store), Spoken([], store), config, record.folder, record.log
        )
        card = f"# Speaker-independent model\n\nTrained on {len(train)} utterances, fold '{self.fold.name}'.\n"
        held = HeldOut(train, judged, "")
        kept = keep(held, report, store, KEEP_SOURCE, config.trainer.seed)
        origin = {
            "trained_on": record.values["data"]["train"]["checksum"],
            **judged_origin(held),
            **prior_of_training(recogniser, train, report, store, config.trainer.seed),
        }
        if self.shop.config.speaker_profiles is not None:
            left_out = {name for name, _ in report.dropped}
            recogniser.model.speakers = space_of_training(
                recogniser, [u for u in train if u.id not in left_out], store, self.shop.config.speaker_profiles,
                config.trainer.seed, record.log, Spoken(judged, store), distributed.join(config.trainer.device),
            )  # fmt: skip
        recogniser.save(record.folder / "model", card + remarks(kept), origin, writers(kept))
        training = {"cpu_seconds": round(result.cpu_seconds, 2), "steps": result.steps, "left_out": len(report.dropped)}
        record.finish(history=result.history, training=training)
