"""Adapts a model to many speakers at once while it is trained: each row of a batch by its own speaker's adapter.

What a speaker has is what an adapter of that kind has: scales of hidden units (`lhuc`), or a code that shifts all
layers by matrices which the speakers share (`speaker-code`). A row may also be nobody's: the model hears it as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn

from asr_transfer.models.adapters.codes import add_codes
from asr_transfer.models.adapters.kind import KINDS, PREFIX, SEED
from asr_transfer.models.contract import Block, Model


class Heard(NamedTuple):
    """A batch of speech.

    Attributes:
        inputs: (batch, time, dim) inputs.
        lengths: (batch,) lengths.
        speakers: (batch,) number of each row's speaker.
    """

    inputs: torch.Tensor
    lengths: torch.Tensor
    speakers: torch.Tensor


class ManySpeakers(nn.Module):
    """What speakers have of their own, at the start nothing that changes the model.

    Args:
        model: model that is trained.
        owners: (items,) number of the speaker of each item that is trained on.
    """

    kind: str

    def __init__(self, model: Model, owners: torch.Tensor) -> None:
        super().__init__()
        self.speakers = int(owners.max()) + 1
        self.places = KINDS[self.kind].places(model)

    def act(self, number: int, hidden: torch.Tensor, speakers: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        """Return hidden vectors with their channels on the last axis, each row adapted to its speaker.

        Args:
            number: number of the place.
            hidden: (batch, ..., channels) vectors.
            speakers: (batch,) speaker of each row.
            own: (batch,) whether the row is adapted to its speaker; it is left as it is where not.
        """
        raise NotImplementedError

    def own(self, speaker: int) -> dict[str, torch.Tensor]:
        """Return what is a speaker's, as the tensors of an adapter of this kind on the settled model."""
        raise NotImplementedError

    def settle(self, model: Model, heard: Iterable[Heard]) -> None:
        """Leave with the model what it needs for speakers to come, for which it is as if nobody had been adapted to.

        Args:
            model: model that was trained.
            heard: some speech of each speaker.
        """

    @contextmanager
    def on(self, model: Model, speakers: torch.Tensor, own: torch.Tensor, items: torch.Tensor) -> Iterator[None]:
        """Adapt each row of what the model runs meanwhile.

        Args:
            model: model that is trained.
            speakers: (batch,) speaker of each row.
            own: (batch,) whether the row is adapted to its speaker.
            items: (batch,) number of each row's item among all; −1 for one that is nobody's.
        """
        with ExitStack() as stack:
            for number, place in enumerate(self.places):
                hook = self._hook(number, place, speakers, own)
                stack.callback(model.get_submodule(place.path).register_forward_hook(hook).remove)
            yield

    def _hook(self, number: int, place: Block, speakers: torch.Tensor, own: torch.Tensor) -> Callable[..., Any]:
        def adapt(module: nn.Module, arguments: Any, output: Any) -> Any:
            hidden = output[0] if isinstance(output, tuple) else output
            if len(hidden) != len(speakers):
                raise ValueError("streams that cannot share a batch cannot be adapted to speakers together.")
            adapted = self.act(number, hidden.movedim(place.axis, -1), speakers, own).movedim(-1, place.axis)
            adapted = adapted.to(hidden.dtype)
            return (adapted, *output[1:]) if isinstance(output, tuple) else adapted

        return adapt


def _rows(values: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """Return (batch, channels) values in the shape (batch, 1, ..., channels) that fits hidden vectors."""
    return values.view(len(values), *(1,) * (hidden.dim() - 2), -1)


class ManyLhuc(ManySpeakers):
    """Scales 2σ(r) of each hidden unit for each speaker, r = 0 at the start."""

    kind = "lhuc"

    def __init__(self, model: Model, owners: torch.Tensor, size: int = 0) -> None:
        super().__init__(model, owners)
        like = next(model.parameters())
        self.r = nn.ParameterList(
            nn.Parameter(torch.zeros(self.speakers, place.dim, device=like.device, dtype=like.dtype))
            for place in self.places
        )

    def act(self, number: int, hidden: torch.Tensor, speakers: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        """See `ManySpeakers.act`."""
        scales = 2 * torch.sigmoid(self.r[number][speakers])
        return hidden * _rows(torch.where(own[:, None], scales, 1.0), hidden)

    def own(self, speaker: int) -> dict[str, torch.Tensor]:
        """See `ManySpeakers.own`."""
        named = zip(self.places, self.r, strict=True)
        return {f"{PREFIX}{self.kind}.{place.path}.r": r[speaker].detach() for place, r in named}


class ManyCodes(ManySpeakers):
    """A code of each speaker, random at the start, and a matrix for each layer, 0 at the start."""

    kind = "speaker-code"

    def __init__(self, model: Model, owners: torch.Tensor, size: int) -> None:
        super().__init__(model, owners)
        like = next(model.parameters())
        codes = torch.randn(self.speakers, size, generator=torch.Generator().manual_seed(SEED), dtype=torch.float64)
        self.codes = nn.Parameter(codes.to(like.device, like.dtype))
        # The matrices are the model's: what is kept of it, such as its best weights, has those that go with it.
        self.shared = (add_codes(model, size),)
        for matrix in self.shared[0].parameters():
            matrix.requires_grad_(True)

    def act(self, number: int, hidden: torch.Tensor, speakers: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        """See `ManySpeakers.act`."""
        codes = torch.where(own[:, None], self.codes[speakers], 0.0)
        (matrix,) = self.shared[0].of(self.places[number].path)
        shifts = (matrix * codes[:, None, :]).sum(2)
        return hidden + _rows(shifts, hidden)

    def own(self, speaker: int) -> dict[str, torch.Tensor]:
        """See `ManySpeakers.own`."""
        return {f"{PREFIX}{self.kind}.code": self.codes[speaker].detach()}

    def settle(self, model: Model, heard: Iterable[Heard]) -> None:
        """Hold the matrices as they are, of which the code 0 makes nothing."""
        for matrix in self.shared[0].parameters():
            matrix.requires_grad_(False)
