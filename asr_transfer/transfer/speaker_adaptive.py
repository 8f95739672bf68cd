"""Trains a model together with what each training speaker has of his own: speaker-adaptive training.

Hidden units that are scaled for each speaker (SAT-LHUC; Swietojanski, Li and Renals 2016), a code of each speaker that
shifts the layers by shared matrices (Abdel-Hamid and Jiang 2013; Xue et al. 2014), or a summary of how he sounds, which
scales and shifts them (FiLM; Perez et al. 2018). A share of the items is heard by what is their speaker's, the rest by
the model as it is for everybody, so that it stays good without any.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate

import numpy as np
import torch
from torch import nn

from asr_transfer.data.batching import Batch, cut
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken, first_of_each
from asr_transfer.errors import ConfigError, nearest_hint
from asr_transfer.models.adapters.many_films import ManyFilms
from asr_transfer.models.adapters.many_speakers import Heard, ManyCodes, ManyLhuc, ManySpeakers
from asr_transfer.models.contract import Model
from asr_transfer.training.objective import TrainedObjective
from asr_transfer.training.streams import Output, Stream, Task

MANY: dict[str, type[ManyLhuc] | type[ManyCodes] | type[ManyFilms]] = {
    kind.kind: kind for kind in (ManyLhuc, ManyCodes, ManyFilms)
}
"""All kinds by name."""

EACH = 20
"""Items of each speaker, at most, by which it is settled how the speakers lie to each other."""

SETTLING_FRAMES = 60_000
"""Budget of a batch of these."""


class SpeakerAdaptive(TrainedObjective):
    """Adapts a share of each batch to its speakers; adds nothing to the loss.

    After the training the model is a plain one. `settle` leaves with it what speakers to come need.

    Args:
        kind: `lhuc`, `speaker-code` or `film`.
        share: share of the items that are adapted to their speaker, from 0 to 1, drawn anew in each batch; 0 is plain
            training, bit for bit.
        size: numbers in a speaker code or a summary; no matter for `lhuc`.
        pace: factor on the learning rate of what is the speakers' own.

    Attributes:
        names: speakers in order, as the rows of `many` have them.
        many: parameters that are theirs.
    """

    def __init__(self, kind: str, share: float = 0.5, size: int = 32, pace: float = 1.0) -> None:
        super().__init__()
        if kind not in MANY:
            raise ConfigError(f"The 'kind' of speaker-adaptive training is '{kind}'.{nearest_hint(kind, MANY)}")
        if not 0 <= share <= 1:
            raise ConfigError(f"The 'share' of speaker-adaptive training must be from 0 to 1, got {share}.")
        self.kind, self.share, self.size, self.pace = kind, share, size, pace
        self.names: tuple[str, ...] = ()
        self.many: ManySpeakers | None = None
        self._speakers: dict[str, torch.Tensor] = {}
        self._first: dict[str, int] = {}
        self._spoken: dict[str, Spoken] = {}

    def setup(self, model: nn.Module, streams: Mapping[str, Stream]) -> None:
        """Give every speaker of the tasks what is his own; a speaker at another speed is another one.

        Raises:
            ConfigError: there are not two speakers.
        """
        heard = {
            name: stream.data
            for name, stream in streams.items()
            if isinstance(stream, Task) and isinstance(stream.data, Spoken)
        }
        require_speakers(one for spoken in heard.values() for one in spoken.utterances)
        named = {name: spoken.speakers() for name, spoken in heard.items()}
        self.names = tuple(sorted({speaker for speakers in named.values() for speaker in speakers}))
        numbers = {speaker: number for number, speaker in enumerate(self.names)}
        self._spoken = heard
        self._speakers = {
            name: torch.tensor([numbers[speaker] for speaker in speakers]) for name, speakers in named.items()
        }
        counts = list(accumulate(map(len, named.values()), initial=0))
        self._first = dict(zip(named, counts, strict=False))
        assert isinstance(model, Model)
        self.many = MANY[self.kind](model, torch.cat(list(self._speakers.values())), self.size)

    @contextmanager
    def around(self, model: nn.Module, parts: Mapping[str, tuple[Stream, Batch]], share: float) -> Iterator[None]:
        """See `TrainedObjective.around`."""
        if not self.share:
            yield
            return
        assert isinstance(model, Model) and self.many is not None
        device = next(model.parameters()).device
        # The streams' rows stand in this order in a joint batch; a stream of nobody is heard by the model as it is.
        nobody = torch.tensor(-1)
        rows = [(name, batch.items, nobody.expand(len(batch.items))) for name, (_, batch) in parts.items()]
        speakers = torch.cat([self._speakers[name][own] if name in self._speakers else no for name, own, no in rows])
        items = torch.cat([self._first[name] + own if name in self._first else no for name, own, no in rows])
        own = (torch.rand(len(speakers)) < self.share) & (speakers >= 0)
        with self.many.on(model, speakers.clamp(min=0).to(device), own.to(device), items):
            yield

    def forward(self, model: nn.Module, outputs: Mapping[str, Output]) -> torch.Tensor:
        """Return 0: what it does is done while the model runs."""
        return torch.zeros((), device=next(model.parameters()).device)

    def settle(self, model: Model) -> None:
        """Leave with the trained model what an adaptation to further speakers begins with."""
        assert self.many is not None
        self.many.settle(model, self._heard(next(model.parameters()).device))

    def _heard(self, device: torch.device) -> Iterator[Heard]:
        """Yield some speech of each speaker, without augmentation."""
        firsts = first_of_each([self._speakers[name].tolist() for name in self._spoken], EACH)
        for (name, spoken), kept in zip(self._spoken.items(), firsts, strict=True):
            if not kept:  # all of these speakers have been heard in other streams
                continue
            costs = spoken.costs()
            shortest = np.array(kept)[np.argsort(costs[kept], kind="stable")]
            for items in cut(shortest, costs, SETTLING_FRAMES):
                batch = spoken.collate(items.tolist())
                assert batch.lengths is not None
                speakers = self._speakers[name][batch.items]
                yield Heard(*(part.to(device) for part in (batch.inputs, batch.lengths, speakers)))


def require_speakers(utterances: Iterable[Utterance]) -> None:
    """Refuse speech of fewer than two speakers.

    Raises:
        ConfigError: there are not two.
    """
    if len(people := {utterance.speaker for utterance in utterances}) < 2:
        raise ConfigError(
            f"speaker-adaptive training needs several speakers, but there is {'one' if people else 'none'} to train "
            "on; name the speakers in the manifest, or train plainly."
        )
