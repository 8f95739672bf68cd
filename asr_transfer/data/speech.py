"""Speech as training data: utterances with features and token targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from asr_transfer.config import SpecAugmentConfig
from asr_transfer.data.batching import Batch
from asr_transfer.data.features import FeatureStore
from asr_transfer.data.manifest import Report, Utterance
from asr_transfer.data.mels import warp_bands
from asr_transfer.data.tokens import Tokens, frames_needed
from asr_transfer.errors import DataError


class SpeechData:
    """Utterances (and their speed copies) as items of a stream.

    Args:
        utterances: each must be in `store` at every speed of `speeds`.
        store: their features.
        tokens: spell the targets.
        speeds: speed copies that are items; item n is utterance n // len(speeds).
        spec_augment: masks for augmented batches; None for none.
        with_targets: False leaves the targets empty, for recognising only.

    Raises:
        DataError: a transcript cannot be spelled, or there are no utterances.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        store: FeatureStore,
        tokens: Tokens,
        speeds: Sequence[float] = (1.0,),
        spec_augment: SpecAugmentConfig | None = None,
        with_targets: bool = True,
    ) -> None:
        if not utterances:
            raise DataError("there are no utterances to read; check the manifest and the speakers asked for.")
        self.utterances = list(utterances)
        self.store, self.tokens, self.speeds = store, tokens, tuple(speeds)
        self.spec_augment = spec_augment
        self._views = np.asarray([store.view(u.id, s) for u in utterances for s in self.speeds])
        self._costs = np.asarray([store.length(view) for view in self._views])
        self._targets = [torch.tensor(spell(u, tokens) if with_targets else [], dtype=torch.long) for u in utterances]

    def __len__(self) -> int:
        return len(self._views)

    def costs(self) -> np.ndarray:
        """Return (items,) frames of each item."""
        return self._costs

    def utterance(self, item: int) -> Utterance:
        """Return the utterance that `item` is a view of."""
        return self.utterances[item // len(self.speeds)]

    def view(self, item: int) -> int:
        """Return the row of `item` in the store."""
        return int(self._views[item])

    def collate(self, items: Sequence[int], augment: torch.Generator | None = None) -> Batch:
        """Return (batch, time, mels) inputs and (batch, labels) targets of `items`."""
        blocks = [self.store.load(self.view(item)) for item in items]
        targets = [self._targets[item // len(self.speeds)] for item in items]
        lengths = torch.tensor([len(block) for block in blocks])
        inputs = torch.nn.utils.rnn.pad_sequence(blocks, batch_first=True)
        if augment is not None and self.spec_augment is not None:
            inputs = mask_spectrum(inputs, lengths, self.spec_augment, augment)
        return Batch(
            items=torch.as_tensor(items),
            inputs=inputs,
            targets=torch.nn.utils.rnn.pad_sequence(targets, batch_first=True),
            lengths=lengths,
            target_lengths=torch.tensor([len(target) for target in targets]),
        )


def spell(utterance: Utterance, tokens: Tokens) -> list[int]:
    """Return an utterance's transcript or pronunciation, whichever `tokens` spell, in token indices.

    Raises:
        DataError: it cannot be spelled; the message names the utterance.
    """
    return tokens.encode(utterance.spelled(tokens.units), f"utterance '{utterance.id}'")


def feasible(
    utterances: Sequence[Utterance],
    store: FeatureStore,
    tokens: Tokens,
    frames: Callable[[int], int],
    speeds: Sequence[float] = (1.0,),
) -> tuple[list[Utterance], Report]:
    """Keep the utterances that CTC can spell in the frames left after subsampling, at every speed.

    Args:
        utterances: Candidates.
        store: Their features.
        tokens: Tokens that spell their transcripts.
        frames: Output frames that the model makes of so many input frames.
        speeds: Speed copies that are trained on.

    Raises:
        DataError: a transcript cannot be spelled with `tokens`.
    """
    report, kept = Report(), []
    for utterance in utterances:
        needed = frames_needed(spell(utterance, tokens))
        left = min(frames(store.length(store.view(utterance.id, speed))) for speed in speeds)
        if needed > left:
            report.drop(
                utterance.id,
                f"CTC needs {needed} frames for '{utterance.text}' but {utterance.duration:.2f} s leave {left} "
                "after subsampling (use smaller `model.strides` or coarser `model.units`)",
            )
        else:
            kept.append(utterance)
    report.kept = len(kept)
    return kept, report


def mask_spectrum(
    inputs: torch.Tensor, lengths: torch.Tensor, config: SpecAugmentConfig, generator: torch.Generator
) -> torch.Tensor:
    """Change each utterance's vocal tract, silence and channel, and set random bands and stretches to zero.

    Args:
        inputs: (batch, time, mels) normalised features.
        lengths: (batch,) valid frames.
        config: numbers and widths of masks.
        generator: source of randomness.

    The masks are those of Park et al. (2019).
    """
    batch, time, mels = inputs.shape
    if config.warp:
        inputs = warp_bands(inputs, 1 + config.warp * (2 * torch.rand(batch, generator=generator) - 1))
    if config.silence:
        shares = config.silence * (2 * torch.rand(batch, generator=generator) - 1)
        inputs = inputs - shares[:, None, None] * _quietest(inputs, lengths)
    if config.channel:
        inputs = inputs + config.channel * _random_response(batch, mels, generator)
    keep_bands = _kept(
        torch.full((batch,), mels), mels, config.frequency_masks, torch.tensor(config.frequency_width), generator
    )
    widest = (lengths * config.time_fraction).clamp(max=config.time_width).long()
    keep_times = _kept(lengths, time, config.time_masks, widest, generator)
    return inputs * (keep_times[:, :, None] & keep_bands[:, None, :])


def _random_response(batch: int, mels: int, generator: torch.Generator) -> torch.Tensor:
    """Return (batch, 1, mels) smooth curves: unit normal values at six bands, straight lines between them."""
    corners = torch.randn(batch, 1, 6, generator=generator)
    return torch.nn.functional.interpolate(corners, size=mels, mode="linear", align_corners=True)


def _quietest(inputs: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Return (batch, 1, mels) the lowest value of each band inside the utterance."""
    padding = torch.arange(inputs.shape[1]) >= lengths[:, None]
    return inputs.masked_fill(padding[:, :, None], torch.inf).amin(1, keepdim=True)


def _kept(
    lengths: torch.Tensor, size: int, masks: int, widest: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Return (batch, size) booleans, False inside each of `masks` random stretches below `lengths`."""
    batch = len(lengths)
    if masks == 0:
        return torch.ones(batch, size, dtype=torch.bool)
    draws = torch.rand(2, batch, masks, generator=generator)
    widths = (draws[0] * (widest.reshape(-1, 1) + 1)).floor()
    starts = (draws[1] * (lengths[:, None] - widths + 1).clamp(min=0)).floor()
    position = torch.arange(size)
    inside = (position >= starts[..., None]) & (position < (starts + widths)[..., None])
    return ~inside.any(1)
