"""Speech as training data: utterances with features and token targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from asr_transfer.config import SpecAugmentConfig
from asr_transfer.data.batching import Batch
from asr_transfer.data.features import FeatureStore
from asr_transfer.data.manifest import Report, Utterance
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
        ConfigError: the masks are not such as the inputs allow.
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
        if spec_augment is not None:
            store.inputs.require_augmentation(spec_augment)
        self._views = np.asarray([store.view(u.id, s) for u in utterances for s in self.speeds])
        self._costs = np.asarray([store.inputs.cost(store.length(view)) for view in self._views])
        self._targets = [torch.tensor(spell(u, tokens) if with_targets else [], dtype=torch.long) for u in utterances]

    def __len__(self) -> int:
        return len(self._views)

    def costs(self) -> np.ndarray:
        """Return (items,) what each item costs: its frames, or hundredths of a second of a waveform."""
        return self._costs

    def utterance(self, item: int) -> Utterance:
        """Return the utterance that `item` is a view of."""
        return self.utterances[item // len(self.speeds)]

    def view(self, item: int) -> int:
        """Return the row of `item` in the store."""
        return int(self._views[item])

    def collate(self, items: Sequence[int], augment: torch.Generator | None = None) -> Batch:
        """Return (batch, time, dim) inputs and (batch, labels) targets of `items`."""
        blocks = [self.store.load(self.view(item)) for item in items]
        targets = [self._targets[item // len(self.speeds)] for item in items]
        lengths = torch.tensor([len(block) for block in blocks])
        inputs = torch.nn.utils.rnn.pad_sequence(blocks, batch_first=True)
        if augment is not None and self.spec_augment is not None:
            inputs = self.store.inputs.augment(inputs, lengths, self.spec_augment, augment)
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
