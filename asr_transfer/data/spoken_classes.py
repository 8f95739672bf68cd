"""Gives recordings a class each, such as the word that is said, so that a classifier can be trained on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from asr_transfer.data.batching import Batch
from asr_transfer.data.speech import Spoken
from asr_transfer.errors import DataError


class SpokenClasses:
    """Speech whose targets are classes.

    Args:
        spoken: Speech, of which inputs and speed copies are taken.
        classes: Texts that are classes, in the order of their numbers.

    Raises:
        DataError: An utterance's text is no class.
    """

    def __init__(self, spoken: Spoken, classes: Sequence[str]) -> None:
        numbers = {text: number for number, text in enumerate(classes)}
        for utterance in spoken.utterances:
            if utterance.text not in numbers:
                listed = ", ".join(f"'{text}'" for text in classes)
                raise DataError(f"utterance '{utterance.id}': '{utterance.text}' is none of the classes {listed}.")
        self.spoken, self.classes = spoken, tuple(classes)
        per_utterance = [numbers[utterance.text] for utterance in spoken.utterances]
        self.targets = torch.tensor(per_utterance).repeat_interleave(len(spoken.speeds))

    def costs(self) -> np.ndarray:
        """Return what each item costs: its frames."""
        return self.spoken.costs()

    def collate(self, items: Sequence[int], augment: torch.Generator | None = None) -> Batch:
        """Return the batch of `items`, with a class for each."""
        batch = self.spoken.collate(items, augment)
        return replace(batch, targets=self.targets[torch.as_tensor(items)], target_lengths=None)
