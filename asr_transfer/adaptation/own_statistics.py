"""Lets a model normalise by statistics of a speaker's recordings, where they differ clearly (AdaBN; Li et al. 2016).

A telephone, a room or noise moves the means and spreads of what the first layers compute; those that a model keeps from
its training then normalise wrongly. Nothing is learnt and no transcript is read. A few recordings of any speaker differ
somewhat from what was trained on, which is no reason to follow them: the more they differ beyond that, the more of
their own statistics is taken, as a positive-part James-Stein estimate would.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import reduce

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.models.contract import Model, SpeechModel
from asr_transfer.models.domains import keep_domains, normalisation_layers, normalised_for
from asr_transfer.training.recalibration import recalibrate

ADABN = "adabn"
"""Name of the method."""

USUAL_NATS, USUAL_NAT_SECONDS = 0.028, 0.03
"""Nats by which recordings of a new speaker differ without any channel between, and what fewer seconds of them add.
Taken from speakers of AN4's training part whom a model had not heard. For 24 others, two source models each, one to
three utterances through a telephone line then took 9 to 15 % of the word errors away, with noise 27 to 39 %, and
without either they left 388 of 402."""

STATISTICS = ("running_mean", "running_var")
SHORTEST = 0.1
"""Seconds of a recording from which its statistics are taken: a single frame has no variance."""


@dataclass(frozen=True)
class OwnStatistics:
    """How far a speaker's own statistics are taken.

    Attributes:
        share: share of them in the model's statistics, from 0 to 1.
        nats: Divergence of the statistics of the speaker's recordings from the model's (Kullback and Leibler), each
            taken for those of normal distributions: the mean over the units of the first layer, which is the nearest to
            what a channel does.
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


@dataclass(frozen=True)
class Statistics:
    """Statistics of recordings as the layers of a model take them, each recording heard by itself.

    Attributes:
        layers: (units,) means and mean squares of each layer that normalises, each frame counting alike.
        seconds: duration of the recordings.
        recordings: number of them.
    """

    layers: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    seconds: float
    recordings: int

    def beside(self, other: Statistics) -> Statistics:
        """Return those of both together."""
        seconds = self.seconds + other.seconds
        share = other.seconds / seconds
        layers = tuple(
            (torch.lerp(mean, means, share), torch.lerp(square, squares, share))
            for (mean, square), (means, squares) in zip(self.layers, other.layers, strict=True)
        )
        return Statistics(layers, seconds, self.recordings + other.recordings)


class Ear:
    """Takes the statistics of recordings by a copy of a model.

    Args:
        model: model, which is left as it is.
        device: device to compute on.

    Raises:
        ConfigError: the model keeps no statistics.
    """

    def __init__(self, model: SpeechModel, device: torch.device | str = "cpu") -> None:
        require_statistics(model)
        self._home = next(model.parameters()).device
        self._model = copy.deepcopy(model).to(device)
        self._layers = _layers(self._model)
        for layer in self._layers:
            layer.statistics_frozen = False  # type: ignore[assignment]  # as they are while something is trained

    def hear(self, spoken: Spoken) -> Statistics:
        """Return the statistics of recordings, whose texts are not read; those of a few frames have none.

        Raises:
            DataError: all have so few.
        """
        long = [number for number, utterance in enumerate(spoken.utterances) if utterance.duration >= SHORTEST]
        if not long:
            raise DataError(f"no recording lasts {SHORTEST:g} s, so there is nothing that `{ADABN}` could go by.")
        return reduce(Statistics.beside, (self._hear(spoken.subset([number])) for number in long))

    def _hear(self, one: Spoken) -> Statistics:
        recalibrate(self._model, one)
        layers = []
        for layer in self._layers:
            mean, variance = (getattr(layer, name).double().to(self._home) for name in STATISTICS)
            layers.append((mean, variance + mean.square()))
        return Statistics(tuple(layers), one.utterance(0).duration, 1)


@torch.no_grad()
def normalise_by(model: SpeechModel, source: SpeechModel, heard: Statistics) -> OwnStatistics:
    """Let a model normalise by statistics of recordings as far as they differ from its source's, and return how far.

    Args:
        model: copy of the source, changed in place.
        source: model whose statistics are gone on from.
        heard: statistics of the recordings.
    """
    new = [(mean, square - mean.square()) for mean, square in heard.layers]
    nats = _divergence(_layers(source)[0], *new[0])
    usual = USUAL_NATS + USUAL_NAT_SECONDS / heard.seconds
    share = max(0.0, 1 - usual / nats) if nats > 0 else 0.0
    for layer, before, own in zip(_layers(model), _layers(source), new, strict=True):
        for name, value in zip(STATISTICS, own, strict=True):
            kept = getattr(before, name)
            getattr(layer, name).copy_(torch.lerp(kept.double(), value, share) if share else kept)
    return OwnStatistics(share, nats, usual, heard.recordings)


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
        DataError: all recordings are too short.
    """
    model = copy.deepcopy(source.model)
    taken = normalise_by(model, source.model, Ear(source.model, device).hear(spoken))
    return replace(source, model=model.eval()), taken


def differ(source: Recogniser, spoken: Spoken, device: torch.device | str = "cpu") -> bool:
    """Return whether recordings differ from what a model normalises by more than those of any speaker do.

    Args:
        source: recogniser; one whose model keeps no statistics is never said to differ.
        spoken: speech of a speaker, whose texts are not read.
        device: device to compute on.
    """
    if not _layers(source.model) or all(utterance.duration < SHORTEST for utterance in spoken.utterances):
        return False
    return with_own_statistics(source, spoken, device)[1].share > 0


def is_measured(model: SpeechModel) -> bool:
    """Return whether a model is of the kind that this was measured on: trained here, normalised in its front end alone.

    What few recordings give for deeper layers tells of their words too.
    """
    front = {part for block in model.front_end() for part in model.get_submodule(block.path).modules()}
    return bool(_layers(model)) and not model.published() and front.issuperset(_layers(model))


@contextmanager
def normalised_as(model: Model, statistics: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """Let others be heard by a speaker's model: by the statistics that it had before him, for his own are his alone.

    Args:
        model: model of the speaker.
        statistics: statistics by name; of those that are left out the model keeps its own.
    """
    if not statistics:
        yield
        return
    kept = {name: tensor.clone() for name, tensor in statistics_of(model) if name in statistics}
    _set(model, statistics)
    try:
        yield
    finally:
        _set(model, kept)


@torch.no_grad()
def _set(model: Model, statistics: Mapping[str, torch.Tensor]) -> None:
    for name, tensor in statistics_of(model):
        if name in statistics:
            tensor.copy_(statistics[name])


def keep_beside(model: Model, domain: str, statistics: Mapping[str, torch.Tensor]) -> None:
    """Let a model keep statistics of a domain beside its own, for speech that is mixed in; see `models.domains`.

    Args:
        model: model, changed in place.
        domain: name of the domain.
        statistics: its statistics by name.
    """
    keep_domains(model, [domain])
    with normalised_for(model, domain):
        _set(model, statistics)


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


def _divergence(layer: _BatchNorm, mean: torch.Tensor, variance: torch.Tensor) -> float:
    assert layer.running_mean is not None and layer.running_var is not None
    before = layer.running_var.double() + layer.eps
    ratio = (variance + layer.eps) / before
    moved = (mean - layer.running_mean.double()).square() / before
    return float((ratio - 1 - ratio.log() + moved).mean() / 2)
