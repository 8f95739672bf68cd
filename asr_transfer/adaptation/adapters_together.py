"""Says how likely the speech of several speakers is, each under an adapter of his own, in shared passes of the model.

A few short recordings leave most of a layer's time to its start, so that the speech of many speakers costs little more
than that of one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from asr_transfer.adaptation.adapter_likelihood import AdapterLikelihood, require_finite
from asr_transfer.data.batching import Batch, cut
from asr_transfer.decoding.recogniser import BATCH_FRAMES, Recogniser
from asr_transfer.models.adapters import AdapterSpec
from asr_transfer.models.adapters.many_speakers import ManyLhuc
from asr_transfer.models.speaker_space import flat, names_of, parts_of


@dataclass(frozen=True)
class Own:
    """Speech of one speaker.

    Attributes:
        source: the model, listening through the head of the speaker's language.
        recordings: batches of one recording each, with targets that CTC can spell.
    """

    source: Recogniser
    recordings: Sequence[Batch]


class Likelihoods(Protocol):
    """Losses of speakers' speech, each under his own adapter, the negative log-likelihood in nats of all he says.

    The model is frozen and in evaluation mode.

    Attributes:
        shapes: shapes of the adapter's parameters by their names within it, in the order of the vector.
        start: (values,) parameters without effect, in float64.
        frames: output frames of each speaker's speech.
    """

    shapes: dict[str, tuple[int, ...]]
    start: torch.Tensor
    frames: list[int]

    def losses(self, tried: Mapping[int, torch.Tensor]) -> dict[int, float]:
        """Return the losses of some speakers under the (values,) parameters that each has here."""
        ...

    def slopes(self, tried: Mapping[int, torch.Tensor]) -> dict[int, tuple[float, torch.Tensor]]:
        """Return the losses as `losses` does, each with its (values,) derivatives, in float64.

        Raises:
            TrainingError: a loss is not finite.
        """
        ...


def likelihoods(owns: Sequence[Own], spec: AdapterSpec, device: torch.device | str = "cpu") -> Likelihoods:
    """Return the losses of speakers' speech under adapters.

    Scales of hidden units (`lhuc`) are computed with all speakers in shared batches; adapters of other kinds change
    matrices, which rows of a batch share, and are computed speaker by speaker.

    Args:
        owns: speech of each speaker, by one model.
        spec: the adapter.
        device: device to compute on.
    """
    return SharedBatches(owns, spec, device) if spec.kind == ManyLhuc.kind else OneByOne(owns, spec, device)


class OneByOne:
    """Losses that are computed speaker by speaker; see `Likelihoods`, and `likelihoods` for the arguments."""

    def __init__(self, owns: Sequence[Own], spec: AdapterSpec, device: torch.device | str = "cpu") -> None:
        batches = [[joined([own.recordings[n] for n in part]) for part in _parts(own.recordings)] for own in owns]
        first = AdapterLikelihood(owns[0].source, spec, batches[0], device)
        others = zip(owns[1:], batches[1:], strict=True)
        self._speakers = [first, *(first.hearing(own.source.head, heard, device) for own, heard in others)]
        self.shapes, self.start = first.shapes, first.start
        self.frames = [one.frames for one in self._speakers]

    def losses(self, tried: Mapping[int, torch.Tensor]) -> dict[int, float]:
        """See `Likelihoods.losses`."""
        return {number: self._speakers[number].loss(vector) for number, vector in tried.items()}

    def slopes(self, tried: Mapping[int, torch.Tensor]) -> dict[int, tuple[float, torch.Tensor]]:
        """See `Likelihoods.slopes`."""
        return {number: self._speakers[number].slope(vector) for number, vector in tried.items()}


class SharedBatches:
    """Losses of all speakers in batches that they share; see `Likelihoods`, and `likelihoods` for the arguments."""

    def __init__(self, owns: Sequence[Own], spec: AdapterSpec, device: torch.device | str = "cpu") -> None:
        self._owns, self._device = owns, device
        self._model = copy.deepcopy(owns[0].source.model).to(device).eval().requires_grad_(False)
        self._many = ManyLhuc(self._model, torch.tensor([len(owns) - 1])).requires_grad_(False)
        named = names_of(spec, self._many.own(0))
        self.shapes = {name: tuple(value.shape) for name, value in named.items()}
        self.start = flat(list(named.values())).cpu()
        # The places' own order is the model's, that of the vector the alphabet's.
        places = [f"{place.path}.r" for place in self._many.places]
        self._order = [places.index(name) for name in self.shapes]
        self.frames = [sum(self._model.frames(_length(row)) for row in own.recordings) for own in owns]

    def losses(self, tried: Mapping[int, torch.Tensor]) -> dict[int, float]:
        """See `Likelihoods.losses`."""
        self._set(tried)
        found = dict.fromkeys(tried, 0.0)
        with torch.no_grad():
            for numbers, losses in self._passes(tried):
                for number, loss in zip(numbers, losses.tolist(), strict=True):
                    found[number] += loss
        return found

    def slopes(self, tried: Mapping[int, torch.Tensor]) -> dict[int, tuple[float, torch.Tensor]]:
        """See `Likelihoods.slopes`."""
        self._set(tried)
        found = dict.fromkeys(tried, 0.0)
        parameters = list(self._many.r)
        sums = [torch.zeros_like(parameter, dtype=torch.float64) for parameter in parameters]
        self._many.requires_grad_(True)
        # cuDNN's recurrent layers cannot go backward in evaluation mode; torch's own can.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            for numbers, losses in self._passes(tried):
                for held, part in zip(sums, torch.autograd.grad(losses.sum(), parameters), strict=True):
                    held += part
                for number, loss in zip(numbers, losses.tolist(), strict=True):
                    found[number] += loss
        self._many.requires_grad_(False)
        require_finite(list(found.values()))
        return {
            number: (loss, torch.cat([sums[place][number] for place in self._order]).cpu())
            for number, loss in found.items()
        }

    @torch.no_grad()
    def _set(self, tried: Mapping[int, torch.Tensor]) -> None:
        for number, vector in tried.items():
            parts = parts_of(vector, list(self.shapes.values()))
            for place, part in zip(self._order, parts, strict=True):
                self._many.r[place][number] = part

    def _passes(self, tried: Mapping[int, torch.Tensor]) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Yield the speakers of the rows of shared batches, and the (rows,) losses of these."""
        rows = [(number, row) for number in tried for row in self._owns[number].recordings]
        for part in _parts([row for _, row in rows]):
            numbers = [rows[n][0] for n in part]
            yield numbers, self._losses(numbers, joined([rows[n][1] for n in part]).to(self._device))

    def _losses(self, numbers: Sequence[int], batch: Batch) -> torch.Tensor:
        """Return the (rows,) losses of recordings of these speakers."""
        assert batch.lengths is not None and batch.target_lengths is not None
        speakers = torch.tensor(numbers, device=self._device)
        everyone = torch.ones_like(speakers, dtype=torch.bool)
        with self._many.on(self._model, speakers, everyone, batch.items):
            hidden, lengths = self._model(batch.inputs, batch.lengths)
        losses: torch.Tensor = hidden.new_zeros(len(numbers))
        heads = [self._owns[number].source.head for number in numbers]
        for head in dict.fromkeys(heads):
            own = torch.tensor([row for row, other in enumerate(heads) if other == head], device=self._device)
            chances = self._model.head(head)(hidden[own]).log_softmax(-1).transpose(0, 1)
            found = functional.ctc_loss(
                chances, batch.targets[own], lengths[own], batch.target_lengths[own], reduction="none"
            )
            losses = losses.index_add(0, own, found.to(losses.dtype))
        return losses


def joined(rows: Sequence[Batch]) -> Batch:
    """Return batches of one recording each as one batch.

    Args:
        rows: batches with a time axis and targets.
    """
    return Batch(
        items=torch.arange(len(rows)),
        inputs=pad_sequence([row.inputs[0] for row in rows], batch_first=True),
        targets=pad_sequence([row.targets[0] for row in rows], batch_first=True),
        lengths=torch.tensor([_length(row) for row in rows]),
        target_lengths=torch.tensor([len(row.targets[0]) for row in rows]),
    )


def _length(row: Batch) -> int:
    return row.inputs.shape[1]


def _parts(rows: Sequence[Batch]) -> list[list[int]]:
    """Return the numbers of the rows of each batch, rows of similar length together, the longest first."""
    lengths = np.array([_length(row) for row in rows])
    return [part.tolist() for part in cut(np.argsort(-lengths, kind="stable"), lengths, BATCH_FRAMES)]
