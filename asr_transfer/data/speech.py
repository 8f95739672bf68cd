"""Holds speech as one value: utterances with their inputs and, where tokens spell them, their targets."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cached_property

import numpy as np
import torch

from asr_transfer.config import SpecAugmentConfig
from asr_transfer.data.batching import Batch
from asr_transfer.data.features import FeatureStore
from asr_transfer.data.manifest import Report, Utterance
from asr_transfer.data.tokens import Tokens, frames_needed
from asr_transfer.errors import DataError


class Spoken:
    """Utterances (and their speed copies) with inputs and targets, as items of a stream.

    Args:
        utterances: Speech, each of it in `store` at every speed of `speeds`; there may be none.
        store: Inputs of the utterances.
        tokens: Tokens that spell the targets; None leaves the targets empty, for listening only.
        speeds: Speed copies that are items; item n is utterance n // len(speeds).
        spec_augment: Masks for augmented batches; None for none.

    Raises:
        DataError: a transcript cannot be spelled.
        ConfigError: the masks are not such as the inputs allow.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        store: FeatureStore,
        tokens: Tokens | None = None,
        speeds: Sequence[float] = (1.0,),
        spec_augment: SpecAugmentConfig | None = None,
    ) -> None:
        self.utterances = list(utterances)
        self.store, self.tokens, self.speeds = store, tokens, tuple(speeds)
        self.spec_augment = spec_augment
        if spec_augment is not None:
            store.inputs.require_augmentation(spec_augment)
        self._targets = [torch.tensor(spell(u, tokens) if tokens else [], dtype=torch.long) for u in self.utterances]

    def __len__(self) -> int:
        """Return the number of utterances, whatever their speed copies."""
        return len(self.utterances)

    @cached_property
    def _views(self) -> np.ndarray:
        """Rows of the items in the store, (items,)."""
        views = [self.store.view(u.id, speed) for u in self.utterances for speed in self.speeds]
        return np.asarray(views, dtype=np.int64)

    @cached_property
    def _costs(self) -> np.ndarray:
        return np.asarray([self.store.inputs.cost(self.store.length(view)) for view in self._views])

    def costs(self) -> np.ndarray:
        """Return (items,) what each item costs: its frames, or hundredths of a second of a waveform."""
        return self._costs

    def utterance(self, item: int) -> Utterance:
        """Return the utterance that `item` is a view of."""
        return self.utterances[item // len(self.speeds)]

    def speakers(self) -> list[str]:
        """Return the speaker of each item; at another speed it is somebody else's voice, as in Kaldi's recipes."""
        return [
            utterance.speaker if speed == 1 else f"sp{speed:g}-{utterance.speaker}"
            for utterance in self.utterances
            for speed in self.speeds
        ]

    def target(self, number: int) -> list[int]:
        """Return the labels of the utterance of this number."""
        labels: list[int] = self._targets[number].tolist()
        return labels

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

    def spelled(
        self, tokens: Tokens, speeds: Sequence[float] = (1.0,), spec_augment: SpecAugmentConfig | None = None
    ) -> Spoken:
        """Return the same speech with targets; see the class for the arguments.

        Raises:
            DataError: A transcript cannot be spelled.
        """
        return Spoken(self.utterances, self.store, tokens, speeds, spec_augment)

    def fed(self, store: FeatureStore) -> Spoken:
        """Return the same speech with inputs of another store, such as a model's activations."""
        return self._changed(store=store)

    def masked(self, spec_augment: SpecAugmentConfig | None) -> Spoken:
        """Return the same speech with other masks for augmented batches."""
        return self._changed(spec_augment=spec_augment)

    def subset(self, numbers: Iterable[int]) -> Spoken:
        """Return the utterances of these numbers, in this order."""
        chosen = list(numbers)
        return self._changed(
            utterances=[self.utterances[n] for n in chosen], _targets=[self._targets[n] for n in chosen]
        )

    def where(self, language: str | None = None, speaker: str | None = None) -> Spoken:
        """Return the utterances in a language, of a speaker, or both; None stands for any."""
        return self.subset(
            number
            for number, utterance in enumerate(self.utterances)
            if language in (None, utterance.language) and speaker in (None, utterance.speaker)
        )

    def languages(self) -> list[str]:
        """Return the languages of the utterances, sorted."""
        return sorted({utterance.language for utterance in self.utterances})

    def held(self, speeds: Sequence[float]) -> tuple[float, ...]:
        """Return those of the speeds at which the store holds all utterances, such as 1 alone of kept source speech.

        Raises:
            DataError: There are none.
        """
        found = tuple(speed for speed in speeds if all(self.store.holds(u.id, speed) for u in self.utterances))
        if not found:
            listed = ", ".join(f"{speed:g}" for speed in speeds)
            raise DataError(
                f"the inputs of the speech were computed at none of the speeds {listed}; name one of theirs."
            )
        return found

    def feasible(self, frames: Callable[[int], int]) -> tuple[Spoken, Report]:
        """Return what CTC can spell in the frames left after subsampling, at every speed; the rest is remarked upon.

        Args:
            frames: Output frames that the model makes of an input of so many rows.
        """
        report, kept = Report(), []
        views = self._views.reshape(len(self.utterances), len(self.speeds)).tolist()
        for number, (utterance, target) in enumerate(zip(self.utterances, self._targets, strict=True)):
            needed = frames_needed(target.tolist())
            left = min(frames(self.store.length(view)) for view in views[number])
            if needed > left:
                report.drop(
                    utterance.id,
                    f"CTC needs {needed} frames for '{utterance.text}' but {utterance.duration:.2f} s leave {left} "
                    "after subsampling: the recording is cut off, or the transcript is not what was said (in a "
                    "training from the start, smaller `model.strides` or coarser `model.units` help too)",
                )
            else:
                kept.append(number)
        report.kept = len(kept)
        report.remark()
        return self.subset(kept), report

    def _changed(self, **values: object) -> Spoken:
        """Return a copy with other attributes; what was computed from them is computed anew."""
        changed = copy.copy(self)
        for name in ("_views", "_costs"):
            vars(changed).pop(name, None)
        vars(changed).update(values)
        return changed


def spell(utterance: Utterance, tokens: Tokens) -> list[int]:
    """Return an utterance's transcript or pronunciation, whichever `tokens` spell, in token indices.

    Raises:
        DataError: it cannot be spelled; the message names the utterance.
    """
    return tokens.targets(utterance.spelled(tokens.units), utterance.language, f"utterance '{utterance.id}'")


def first_of_each(parts: Iterable[Sequence[Hashable]], most: int) -> list[list[int]]:
    """Return the numbers of the first items of each speaker, so many at most over all parts together.

    Args:
        parts: speaker of each item, for several sets of speech.
        most: number of items of a speaker.

    >>> first_of_each([["ann", "bob", "ann", "ann"], ["bob", "bob"]], 2)
    [[0, 1, 2], [0]]
    """
    counts = Counter[Hashable]()
    chosen: list[list[int]] = []
    for speakers in parts:
        chosen.append([])
        for number, speaker in enumerate(speakers):
            counts[speaker] += 1
            if counts[speaker] <= most:
                chosen[-1].append(number)
    return chosen
