"""Lets a model normalise by statistics of a speaker's recordings, where they differ clearly (AdaBN; Li et al. 2016).

A telephone, a room or noise moves the means and spreads of what the first layers compute; those that a model keeps from
its training then normalise wrongly. Nothing is learnt and no transcript is read. A few recordings of any speaker differ
somewhat from what was trained on, which is no reason to follow them: the more they differ beyond that, the more of
their own statistics is taken, as a positive-part James-Stein estimate would.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError
from asr_transfer.models.contract import Model
from asr_transfer.models.domains import normalisation_layers
from asr_transfer.training.recalibration import recalibrate

ADABN = "adabn"
"""Name of the method."""

USUAL_NATS, USUAL_NAT_SECONDS = 0.028, 0.03
"""Nats by which recordings of a new speaker differ without any channel between, and what fewer seconds of them add.
Taken from speakers of AN4's training part whom a model had not heard. For 24 others, two source models each, one to
three utterances through a telephone line then took 9 to 15 % of the word errors away, with noise 27 to 39 %, and
without either they left 388 of 402."""

STATISTICS = ("running_mean", "running_var")


@dataclass(frozen=True)
class OwnStatistics:
    """How far a speaker's own statistics are taken.

    Attributes:
        share: share of them in the model's statistics, from 0 to 1.
        nats: Divergence of the statistics of the speaker's recordings from the model's (Kullback and Leibler), each
            taken for those of normal distributions: the mean over the units of the layer that differs most.
        usual: nats by which so little speech of any speaker differs.
        recordings: number of recordings that they are of.
    """

    share: float
    nats: float
    usual: float
    recordings: int

    def describe(self) -> str:
        """Return one line on it."""
        far = f"{ADABN}: {self.recordings} recordings differ by {self.nats:.3f} nats from what the model normalises by"
        if not self.share:
            return f"{far}, as recordings of any speaker do ({self.usual:.3f}); its statistics stay"
        return f"{far} (any speaker's by {self.usual:.3f}); it takes {self.share:.0%} of their statistics"


@torch.no_grad()
def with_own_statistics(
    source: Recogniser, spoken: Spoken, device: torch.device | str = "cpu"
) -> tuple[Recogniser, OwnStatistics]:
    """Return a copy of a recogniser that normalises by a speaker's recordings as far as they differ, and how far.

    Args:
        source: recogniser, which is left as it is.
        spoken: speech of the speaker, whose texts are not read.
        device: device to compute on.

    Raises:
        ConfigError: the model keeps no statistics.
    """
    require_statistics(source.model)
    home = next(source.model.parameters()).device
    heard = copy.deepcopy(source.model).to(device)
    for layer in _layers(heard):
        layer.statistics_frozen = False  # type: ignore[assignment]  # as they are while something is trained
    recalibrate(heard, spoken)
    model = copy.deepcopy(source.model)
    pairs = list(zip(_layers(model), _layers(heard.to(home)), strict=True))
    nats = max(_divergence(own, new) for own, new in pairs)
    seconds = sum(utterance.duration for utterance in spoken.utterances)
    usual = USUAL_NATS + USUAL_NAT_SECONDS / seconds
    share = max(0.0, 1 - usual / nats) if nats > 0 else 0.0
    for own, new in pairs:
        for name in STATISTICS:
            getattr(own, name).lerp_(getattr(new, name), share)
    return replace(source, model=model.eval()), OwnStatistics(share, nats, usual, len(spoken))


def differ(source: Recogniser, spoken: Spoken, device: torch.device | str = "cpu") -> bool:
    """Return whether recordings differ from what a model normalises by more than those of any speaker do.

    Args:
        source: recogniser; one whose model keeps no statistics is never said to differ.
        spoken: speech of a speaker, whose texts are not read.
        device: device to compute on.
    """
    return bool(_layers(source.model)) and with_own_statistics(source, spoken, device)[1].share > 0


def statistics_of(model: Model) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the names and the tensors of the statistics by which a model normalises."""
    layers = set(_layers(model))
    for path, module in model.named_modules():
        if module in layers:
            yield from ((f"{path}.{name}", getattr(module, name)) for name in STATISTICS)


def require_statistics(model: Model) -> None:
    """Refuse a model that keeps no statistics of what it was trained on.

    Raises:
        ConfigError: it keeps none.
    """
    if not _layers(model):
        raise ConfigError(
            f"`{ADABN}` takes the statistics of BatchNorm layers anew, and {type(model).__name__} has none; name "
            "another method."
        )


def _layers(model: Model) -> list[_BatchNorm]:
    return [layer for layer in normalisation_layers(model) if layer.running_mean is not None]


def _divergence(own: _BatchNorm, new: _BatchNorm) -> float:
    assert own.running_mean is not None and new.running_mean is not None
    assert own.running_var is not None and new.running_var is not None
    before = own.running_var.double() + own.eps
    ratio = (new.running_var.double() + own.eps) / before
    moved = (new.running_mean.double() - own.running_mean.double()).square() / before
    return float((ratio - 1 - ratio.log() + moved).mean() / 2)
