"""Trains the peer of `benchmarks/training.py`: the same CTC model in a plain SpeechBrain recipe.

Written the way SpeechBrain's own recipes are: a `DynamicItemDataset` whose audio pipeline decodes the recording,
log-mel features and their normalisation computed on the fly in `compute_forward`, `DynamicBatchSampler`, `PaddedBatch`,
`sb.Brain` with its own step (autocast over forward pass and loss, gradient clipping), `sb.nnet.losses.ctc_loss`, AdamW.
The network is ours, so that both sides train the same parameters, or one of the same sizes out of SpeechBrain's own
layers (`speechbrain_networks.py`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import soundfile
import speechbrain as sb
import torch
from speechbrain.augment.freq_domain import SpectrogramDrop
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.dataloader import LoopedLoader, SaveableDataLoader
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.dataio.sampler import DynamicBatchSampler
from speechbrain.lobes.features import Fbank
from speechbrain.processing.features import InputNormalization

from asr_transfer.config import Precision, SpecAugmentConfig
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.greedy import greedy
from asr_transfer.evaluation.scoring import score
from asr_transfer.models.acoustic import AcousticModel

BUCKETS = 30
"""Of 10, 20, 30, 40, 60 and 100 the number that fills AN4's batches best: 24.7 s of audio each, 3 % padding."""


@dataclass(frozen=True)
class PeerSettings:
    """What a user of the recipe would set.

    Attributes:
        precision: SpeechBrain's `--precision`.
        learning_rate: peak of the schedule.
        steps: length of the schedule: a tenth of linear warm-up, then a cosine to zero, stepped per batch.
        augment: masks of the same numbers and greatest widths as ours.
    """

    precision: Precision = "bf16"
    learning_rate: float = 3e-3
    steps: int = 2000
    augment: SpecAugmentConfig = field(default_factory=SpecAugmentConfig)


def dataset(utterances: Sequence[Utterance], tokens: Tokens) -> DynamicItemDataset:
    """Make the recipe's dataset: audio is decoded whenever an item is read."""

    @sb.utils.data_pipeline.takes("wav")  # type: ignore[untyped-decorator]
    @sb.utils.data_pipeline.provides("sig")  # type: ignore[untyped-decorator]
    def audio_pipeline(wav: str) -> torch.Tensor:
        return torch.from_numpy(soundfile.read(wav, dtype="float32")[0])

    @sb.utils.data_pipeline.takes("text")  # type: ignore[untyped-decorator]
    @sb.utils.data_pipeline.provides("tokens")  # type: ignore[untyped-decorator]
    def text_pipeline(text: str) -> torch.Tensor:
        return torch.LongTensor(tokens.encode(text))

    entries = {u.id: {"wav": u.audio, "text": u.text, "duration": u.duration} for u in utterances}
    return DynamicItemDataset(
        entries, dynamic_items=[audio_pipeline, text_pipeline], output_keys=["id", "sig", "tokens", "text", "duration"]
    )


def batch_sampler(data: DynamicItemDataset, seconds: float, seed: int = 0) -> DynamicBatchSampler:
    """Bucket the dataset into batches of up to `seconds` of padded audio."""
    return DynamicBatchSampler(
        data, seconds, num_buckets=BUCKETS, length_func=lambda entry: entry["duration"], seed=seed
    )


class Peer(sb.Brain):  # type: ignore[misc]
    """The recipe's Brain, which also counts seconds of processor time and of audio.

    Args:
        model: ours, with a head called `en`.
        settings: of the recipe.
        tokens: token set for decoding validations.

    Attributes:
        cpu: processor seconds of training (loading included, validation not).
        data: the part of `cpu` spent on loading, features and normalisation.
        audio: seconds of audio trained on, padding not counted.
        wers: word error rate of every validation so far.
    """

    def __init__(self, model: AcousticModel, settings: PeerSettings, tokens: Tokens) -> None:
        self.settings, self.tokens = settings, tokens
        masks = settings.augment
        super().__init__(
            modules={
                "features": Fbank(n_mels=model.config.features.mels, n_fft=512),
                "normalise": InputNormalization(norm_type="sentence"),
                "mask_times": SpectrogramDrop(0, masks.time_width, masks.time_masks, masks.time_masks, dim=1),
                "mask_bands": SpectrogramDrop(
                    0, masks.frequency_width, masks.frequency_masks, masks.frequency_masks, dim=2
                ),
                "model": model,
            },
            opt_class=lambda parameters: torch.optim.AdamW(parameters, lr=settings.learning_rate),
            run_opts={"device": "cpu", "precision": settings.precision, "noprogressbar": True},
        )
        self.cpu = self.data = self.audio = 0.0
        self.wers: list[float] = []
        self._texts: tuple[list[str], list[str]] = ([], [])
        self._begun = False

    def compute_forward(self, batch: PaddedBatch, stage: sb.Stage) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute features, then log posteriors and their relative lengths."""
        begin = time.process_time()
        batch = batch.to(self.device)
        waves, relative = batch.sig
        features = self.modules.normalise(self.modules.features(waves), relative)
        if stage == sb.Stage.TRAIN:
            features = self.modules.mask_bands(self.modules.mask_times(features))
            self.data += time.process_time() - begin
        lengths = (relative * features.shape[1]).round().long()
        hidden, lengths = self.modules.model(features, lengths)
        logits = self.modules.model.head("en")(hidden)
        return logits.float().log_softmax(-1), lengths / logits.shape[1]

    def compute_objectives(
        self, predictions: tuple[torch.Tensor, torch.Tensor], batch: PaddedBatch, stage: sb.Stage
    ) -> torch.Tensor:
        """Return the CTC loss; at validation, decode too."""
        log_probs, relative = predictions
        targets, target_lengths = batch.tokens
        if stage == sb.Stage.VALID:
            frames = (relative * log_probs.shape[1]).round().long()
            self._texts[0].extend(batch.text)
            self._texts[1].extend(self.tokens.decode(found) for found in greedy(log_probs, frames))
        loss: torch.Tensor = sb.nnet.losses.ctc_loss(log_probs, targets, relative, target_lengths, blank_index=0)
        return loss

    def on_fit_start(self) -> None:
        """Make the optimiser at the first call only: the benchmark trains in many short calls of `fit`."""
        if not self._begun:
            super().on_fit_start()
            warm, total = 0.1 * self.settings.steps, self.settings.steps

            def scale(step: int) -> float:
                rest = (step - warm) / (total - warm)
                return (step + 1) / (warm + 1) if step < warm else 0.5 * (1 + math.cos(math.pi * min(1.0, rest)))

            self._schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, scale)
            self._begun = True

    def fit_batch(self, batch: PaddedBatch) -> torch.Tensor:
        """Take SpeechBrain's own step, and time it."""
        begin = time.process_time()
        loss: torch.Tensor = super().fit_batch(batch)
        self._schedule.step()
        self.cpu += time.process_time() - begin
        self.audio += float(batch.duration.sum())
        return loss

    def on_stage_end(self, stage: sb.Stage, stage_loss: float, epoch: int | None = None) -> None:
        """Score a validation."""
        if stage == sb.Stage.VALID:
            self.wers.append(score(*self._texts).wer)
            self._texts = ([], [])


class _Timed:
    """A loader that adds the time spent in it to the Brain's."""

    def __init__(self, brain: Peer, loader: Iterable[Any]) -> None:
        self._brain, self._loader = brain, loader

    def __iter__(self) -> Iterator[Any]:
        batches = iter(self._loader)
        while True:
            begin = time.process_time()
            batch = next(batches, None)
            spent = time.process_time() - begin
            self._brain.cpu += spent
            self._brain.data += spent
            if batch is None:
                return
            yield batch


def loader(data: DynamicItemDataset, batches: Iterable[Sequence[int]]) -> SaveableDataLoader:
    """Make the recipe's loader, without worker processes so that all its work is counted."""
    return SaveableDataLoader(data, batch_sampler=batches, collate_fn=PaddedBatch, num_workers=0)


def looped(brain: Peer, batches: SaveableDataLoader, steps: int) -> LoopedLoader:
    """Cut `batches`, read over and over, into epochs of `steps`, and time the reading."""
    return LoopedLoader(_Timed(brain, batches), steps)
