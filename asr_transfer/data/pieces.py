"""Cuts long recordings into pieces where it is quiet, so that recognising takes the same memory whatever their
length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch

from asr_transfer.data.batching import Batch
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken

WHOLE = 60.0
"""Seconds up to which a recording is a single piece."""

SHORTEST, LONGEST = 20.0, 40.0
"""Seconds that a piece of a longer one lasts; it ends at the quietest place between the two.

Word errors in AN4's test utterances, one behind the other in a single recording, by how long the pauses between are:

| | none | 0.3 to 1.5 s | 1 to 4 s |
|---|---:|---:|---:|
| at once | 13.3 % | 12.3 % | 24.6 % |
| 15 to 30 s | 11.9 % | 11.9 % | 23.2 % |
| these | 12.2 % | 11.6 % | 24.2 % |
| 40 to 80 s | 12.6 % | 12.4 % | 25.0 % |
| every 30 s, in words too | 15.1 % | 13.3 % | 25.0 % |
| these, each normalised by its own statistics | 11.8 % | 13.1 % | 25.4 % |

The model had learnt from single utterances, of which it got 7.1 % wrong. Its own statistics also change more words of
a piece against what is heard at once: 88, 70 and 110 of 773, where those of the whole change 66, 44 and 59.
"""

_PAUSE = 0.3
"""Seconds over which loudness is averaged, so that a cut falls into a pause and not into the closure of a plosive."""

T = TypeVar("T")


class Pieces:
    """What is to be recognised, as items of a stream: each utterance, or the pieces of one that is long.

    A piece has the features of its part of the utterance, normalised by the statistics of the whole one.

    Args:
        spoken: Utterances, each once; their targets are not read.
        window: Seconds that a model hears at once, if it hears no more; pieces then last from half of it to all of it.
    """

    def __init__(self, spoken: Spoken, window: float | None = None) -> None:
        self._spoken = spoken
        self._items: list[int] = []
        self._parts: list[tuple[int, int]] = []
        inputs = spoken.store.inputs
        per_second = 1 / inputs.seconds(1)
        bounds = (WHOLE, SHORTEST, LONGEST) if window is None else (window, window / 2, window)
        for item, cost in enumerate(spoken.costs().tolist()):
            view = spoken.view(item)
            parts = [(0, spoken.store.length(view))]
            if cost > bounds[0] * per_second:
                cuts = cut_at_pauses(spoken.store.loudness(view), per_second, bounds)
                parts = [(first * inputs.step, min(last * inputs.step, parts[0][1])) for first, last in cuts]
            self._parts += parts
            self._items += [item] * len(parts)

    def __len__(self) -> int:
        return len(self._parts)

    def costs(self) -> np.ndarray:
        """Return (pieces,) what each piece costs; see `Spoken.costs`."""
        return np.asarray([self._spoken.store.inputs.cost(last - first) for first, last in self._parts])

    def utterance(self, piece: int) -> Utterance:
        """Return the utterance that a piece belongs to."""
        return self._spoken.utterance(self._items[piece])

    def begin(self, piece: int) -> float:
        """Return the second of its utterance that a piece begins at."""
        inputs = self._spoken.store.inputs
        return inputs.seconds(self._parts[piece][0] // inputs.step)

    def seconds(self, piece: int) -> float:
        """Return how long a piece lasts, of a whole utterance without silence that its inputs have behind it."""
        first, last = self._parts[piece]
        spoken, item = self._spoken, self._items[piece]
        if last - first == spoken.store.length(spoken.view(item)):
            return spoken.utterance(item).duration
        inputs = spoken.store.inputs
        return inputs.seconds(inputs.cost(last - first))

    def collate(self, items: Sequence[int], augment: torch.Generator | None = None) -> Batch:
        """Return (batch, time, dim) inputs of pieces; there are no targets and no augmentation."""
        spoken = self._spoken
        blocks = [spoken.store.load_part(spoken.view(self._items[item]), *self._parts[item]) for item in items]
        return Batch(
            items=torch.as_tensor(items),
            inputs=torch.nn.utils.rnn.pad_sequence(blocks, batch_first=True),
            targets=torch.zeros(len(items), 0, dtype=torch.long),
            lengths=torch.tensor([len(block) for block in blocks]),
            target_lengths=torch.zeros(len(items), dtype=torch.long),
        )

    def of_utterances(self, found: Sequence[T]) -> list[list[T]]:
        """Return what was found in every piece, by utterance and in the order of its pieces."""
        gathered: list[list[T]] = [[] for _ in range(len(self._spoken))]
        for item, own in zip(self._items, found, strict=True):
            gathered[item].append(own)
        return gathered


def cut_at_pauses(
    loudness: torch.Tensor, per_second: float, bounds: tuple[float, float, float] = (WHOLE, SHORTEST, LONGEST)
) -> list[tuple[int, int]]:
    """Cut a recording longer than `WHOLE` at its quietest places.

    Args:
        loudness: (frames,) energy of each frame, as a logarithm.
        per_second: number of frames per second.
        bounds: seconds up to which a recording is a single piece, and least and most of a piece of a longer one.

    Returns:
        First frame and end of each piece; together they are the recording, each once. In speech without any pause the
        cut falls into the quietest moment of it.
    """
    whole, shortest, longest = (round(seconds * per_second) for seconds in bounds)
    parts, first, end = [], 0, len(loudness)
    if end > whole:
        half = round(_PAUSE * per_second / 2)
        smooth = torch.nn.functional.avg_pool1d(
            loudness[None], 2 * half + 1, stride=1, padding=half, count_include_pad=False
        )[0]
        while end - first > longest:
            begin = first + shortest
            cut = begin + int(smooth[begin : min(first + longest, end - shortest) + 1].argmin())
            parts.append((first, cut))
            first = cut
    return [*parts, (first, end)]
