"""Trains features that do not tell domains apart (domain-adversarial training, DANN; Ganin et al. 2016).

With languages as domains it is the language-adversarial training of Chen and Cardie (2018) and Yi et al. (2018).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional

from asr_transfer.data.batching import sequential
from asr_transfer.errors import ConfigError, nearest_hint
from asr_transfer.models.modes import evaluating
from asr_transfer.training.forward import run
from asr_transfer.training.objective import TrainedObjective, Weight
from asr_transfer.training.streams import Output, Stream
from asr_transfer.transfer.discriminator import discriminator

Level = Literal["utterance", "frames"]


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, strength: float) -> torch.Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return -ctx.strength * gradient, None


def reverse_gradient(x: torch.Tensor, strength: float) -> torch.Tensor:
    """Return `x` itself; gradients that come back through it are multiplied by -strength."""
    result: torch.Tensor = _Reversal.apply(x, strength)  # type: ignore[no-untyped-call]
    return result


def ramp(greatest: float = 1.0, steepness: float = 10.0) -> Callable[[float], float]:
    """Return Ganin's schedule over progress p: `greatest` × (2 / (1 + exp(-steepness × p)) - 1), 0 at the start.

    While the discriminator knows nothing, its reversed gradient is noise.
    """
    return lambda progress: greatest * (2 / (1 + math.exp(-steepness * progress)) - 1)


class DomainAdversarial(TrainedObjective):
    """Cross-entropy L_d of a discriminator that names the stream a vector is from, through gradient reversal.

    With weight w beside task losses L_y, features get ∂L_y - λ w ∂L_d and the discriminator w ∂L_d. λ = 0 leaves the
    model alone, λ = -1 is multitask training on the domain. L_d is the mean of the streams' own means, so it is log(N)
    for N streams that cannot be told apart, however many vectors each brings.

    The history shows L_d, the part of the vectors whose stream is named rightly (mean over streams), and λ. A low
    accuracy proves little, for the discriminator may be at a loss where a fresh one is not: see `a_distance`.

    Args:
        tap: dotted path of the module whose output is made alike, after the subsampling; such as `encoder`.
        streams: names of two or more streams, labelled or not: the domains.
        level: whether a vector is a frame, or the mean over an `utterance`.
        strength: λ, or a schedule of it over the progress of the training.
        width: units in each of the discriminator's two hidden layers.
        pace: factor on the discriminator's learning rate.
        seed: random seed of the discriminator's initial weights.

    Raises:
        ConfigError: fewer than two streams, one twice, or another `level`.
    """

    def __init__(
        self,
        tap: str,
        streams: Sequence[str],
        level: Level = "utterance",
        strength: Weight | None = None,
        width: int = 128,
        pace: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if len(set(streams)) < 2 or len(set(streams)) < len(streams):
            raise ConfigError(
                f"DomainAdversarial needs two or more different streams to tell apart, got {list(streams)}."
            )
        if level not in ("utterance", "frames"):
            raise ConfigError(
                f"The 'level' parameter of DomainAdversarial must be 'utterance' or 'frames', got '{level}' instead."
            )
        if width < 1:
            raise ConfigError(f"The 'width' parameter of DomainAdversarial must be at least 1, got {width}.")
        self.tap, self.level, self.width, self.pace, self.seed = tap, level, width, pace, seed
        self.streams, self.taps = tuple(streams), (tap,)
        self.strength: Weight = ramp() if strength is None else strength
        self.discriminator: nn.Module = nn.Identity()

    def setup(self, model: nn.Module, streams: Mapping[str, Stream]) -> None:
        """Make the discriminator, for vectors as long as the tap's.

        Raises:
            ConfigError: the model has no module at `tap`, or it does not run.
        """
        like = next(model.parameters())
        stream = streams[self.streams[0]]
        vectors = next(_vectors(model, stream, self.tap, self.level, [stream.data.collate([0])]))
        self.discriminator = discriminator(vectors.shape[1], len(self.streams), self.width, self.seed, like)

    def forward(self, model: nn.Module, outputs: Mapping[str, Output]) -> torch.Tensor:
        """Return L_d; of a mixture's batch that lacks a stream, the other streams' parts of it."""
        strength = self.strength(self.progress) if callable(self.strength) else self.strength
        dtype = next(self.discriminator.parameters()).dtype  # taps are coarser in mixed precision
        losses, right = [], []
        for number, name in enumerate(self.streams):
            if name not in outputs:
                continue
            vectors = outputs[name].vectors(self.tap, self.level).to(dtype)
            logits = self.discriminator(reverse_gradient(vectors, strength))
            wanted = torch.full((len(logits),), number, device=logits.device)
            losses.append(functional.cross_entropy(logits, wanted))
            right.append((logits.detach().argmax(1) == number).float().mean())
        self.note(f"{self.tap}.domain_loss", torch.stack(losses).mean())
        self.note(f"{self.tap}.domain_accuracy", torch.stack(right).mean())
        self.note(f"{self.tap}.reversal", torch.tensor(strength))
        return torch.stack(losses).sum() / len(self.streams)


def domain_features(
    model: nn.Module, streams: Sequence[Stream], tap: str, level: Level = "utterance", budget: int = 6_000
) -> dict[str, torch.Tensor]:
    """Return the (vectors, dim) unaugmented outputs of a module on the CPU by name of the stream, for `a_distance`.

    Args:
        model: model under the contract; run in evaluation mode and left as it was.
        streams: the domains.
        tap: dotted path of the module.
        level: whether a vector is a frame, or the mean over an `utterance`.
        budget: padded cost of a batch.

    Raises:
        ConfigError: the model has no module at `tap`, or it does not run.
    """
    return {
        stream.name: torch.cat(
            [v.cpu() for v in _vectors(model, stream, tap, level, sequential(stream.data, stream.budget or budget))]
        )
        for stream in streams
    }


def a_distance(features: Mapping[str, torch.Tensor], seed: int = 0) -> float:
    """Return the proxy A-distance 2 (1 - 2ε) of domains (Ben-David et al. 2007): 0 when alike, 2 when separable.

    ε is the error of a fresh linear classifier (logistic regression) on the half of the vectors that it was not
    trained on, the mean over both halves and both domains; for more than two domains, the mean over all pairs. By
    chance it may fall a little below 0. Give vectors of utterances: frames of one utterance on both sides make the test
    too easy.

    Args:
        features: (vectors, dim) by domain.
        seed: random seed of the split into halves.

    Raises:
        ConfigError: fewer than two domains, or one of fewer than four vectors.
    """
    if len(features) < 2:
        raise ConfigError(f"The A-distance needs two or more domains, got {len(features)}.")
    for name, vectors in features.items():
        if len(vectors) < 4:
            raise ConfigError(f"The A-distance needs four or more vectors of '{name}', got {len(vectors)}.")
    distances = []
    for first, second in itertools.combinations(features.values(), 2):
        generator = torch.Generator().manual_seed(seed)
        halves = []
        for vectors in (first, second):
            order = torch.randperm(len(vectors), generator=generator)
            halves.append([vectors.cpu()[index].double() for index in order.tensor_split(2)])
        errors = [_probe([h[k] for h in halves], [h[1 - k] for h in halves]) for k in (0, 1)]
        distances.append(2 * (1 - sum(errors)))
    return sum(distances) / len(distances)


def _probe(train: Sequence[torch.Tensor], test: Sequence[torch.Tensor]) -> float:
    """Return the error of a linear classifier of two sets of vectors, each set counting the same."""
    joint = torch.cat(list(train))
    mean, deviation = joint.mean(0), joint.std(0).clamp_min(1e-12)
    line = torch.zeros(joint.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([line], max_iter=200, line_search_fn="strong_wolfe")

    def scores(vectors: torch.Tensor) -> torch.Tensor:
        return (vectors - mean) / deviation @ line[1:] + line[0]

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        # The penalty keeps separable vectors from sending the weights to infinity.
        loss = functional.softplus(scores(train[0])).mean() + functional.softplus(-scores(train[1])).mean()
        loss = loss + 1e-2 * line[1:].square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with torch.enable_grad():
        optimizer.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        wrong = [(scores(test[0]) >= 0).double().mean(), (scores(test[1]) < 0).double().mean()]
    return float(sum(wrong) / 2)


@torch.no_grad()
def _vectors(model: nn.Module, stream: Stream, tap: str, level: str, batches: Any) -> Iterator[torch.Tensor]:
    device = next(model.parameters()).device
    paths = [path for path, _ in model.named_modules() if path]
    if tap not in paths:
        raise ConfigError(f"the model has no module '{tap}' to read features from.{nearest_hint(tap, paths)}")
    for batch in batches:
        with evaluating(model):
            output = run(model, stream, batch.to(device), (tap,))
        if tap not in output.taps:
            raise ConfigError(
                f"the module '{tap}' does not run for the stream '{stream.name}'; tap one that all streams share."
            )
        yield output.vectors(tap, level)
