"""Keeps the features of a shared and a private branch different from each other (DSN; Bousmalis et al. 2016)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from asr_transfer.errors import ConfigError, nearest_hint
from asr_transfer.training.objective import TrainedObjective
from asr_transfer.training.streams import Output, Stream


def overlap(shared: torch.Tensor, private: torch.Tensor) -> torch.Tensor:
    """Return ‖H_sᵀ H_p‖²_F, H the features with every column's mean taken off and every row scaled to norm 1.

    It is 0 when the branches' features lie in subspaces that do not correlate, and does not change when a branch is
    scaled. A row that equals the mean has no direction; it stays 0.

    Args:
        shared: (rows, dim) features.
        private: (rows, another dim) features of the same rows.
    """
    return (_directions(shared).T @ _directions(private)).square().sum()


class Orthogonality(TrainedObjective):
    """‖H_sᵀ H_p‖²_F / rows² of the frames of a shared and a private branch, the mean over streams; from 0 to 1.

    Divided by the squared number of rows, it does not depend on the size of a batch.

    A private branch that says nothing pleases this objective too: a constant one has no direction left. The history
    therefore shows the root mean square norm of both branches' centred features, before they are scaled.

    Args:
        private: dotted path of the private branch of each stream; such as `{"en": "private.en"}`.
        shared: dotted path of the branch that all have.

    Raises:
        ConfigError: no stream is given.
    """

    def __init__(self, private: Mapping[str, str], shared: str = "encoder") -> None:
        super().__init__()
        if not private:
            raise ConfigError("Orthogonality needs a stream and the path of its private branch; give one or more.")
        self.private, self.shared = dict(private), shared
        self.streams, self.taps = tuple(private), tuple(dict.fromkeys([shared, *private.values()]))

    def setup(self, model: nn.Module, streams: Mapping[str, Stream]) -> None:
        """Check that the model has both branches.

        Raises:
            ConfigError: it has not.
        """
        paths = [path for path, _ in model.named_modules() if path]
        for tap in self.taps:
            if tap not in paths:
                raise ConfigError(
                    f"Orthogonality reads '{tap}', but the model has no such module.{nearest_hint(tap, paths)}"
                )

    def forward(self, model: nn.Module, outputs: Mapping[str, Output]) -> torch.Tensor:
        """Return the mean over streams; of a mixture's batch that lacks a stream, the others' parts of it.

        Raises:
            ConfigError: a stream's batch does not run through its branch.
        """
        losses = []
        for name, path in self.private.items():
            if name not in outputs:
                continue
            for tap in (self.shared, path):
                if tap not in outputs[name].taps:
                    raise ConfigError(
                        f"Orthogonality reads '{tap}', which does not run for the stream '{name}'; give the branch "
                        "that the stream's head reads."
                    )
            shared, private = (outputs[name].vectors(tap, "frames") for tap in (self.shared, path))
            losses.append(overlap(shared, private) / len(shared) ** 2)
            self.note(f"{name}.shared_norm", _spread(shared))
            self.note(f"{name}.private_norm", _spread(private))
        self.note("orthogonality", torch.stack(losses).mean())
        return torch.stack(losses).sum() / len(self.private)


def _centred(features: torch.Tensor) -> torch.Tensor:
    wide = features.float() if features.dtype in (torch.bfloat16, torch.float16) else features
    return wide - wide.mean(0)


def _directions(features: torch.Tensor) -> torch.Tensor:
    centred = _centred(features)
    squares = centred.square().sum(1, keepdim=True)
    some = squares > torch.finfo(squares.dtype).tiny
    # Chosen before the root, whose gradient at 0 is infinite.
    return torch.where(some, centred * squares.where(some, torch.ones_like(squares)).rsqrt(), 0.0)


@torch.no_grad()
def _spread(features: torch.Tensor) -> torch.Tensor:
    return _centred(features).square().sum(1).mean().sqrt()
