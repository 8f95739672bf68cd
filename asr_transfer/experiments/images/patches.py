"""Describes maps, such as images or log-mels over time, by what was learnt of patches without labels.

The patches of a map are made alike in brightness and contrast and are whitened, each gives a vector of features, and
the means of these over a few regions of the map are the map's vector (Coates, Ng and Lee, "An analysis of single-layer
networks in unsupervised feature learning", 2011).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.cluster.vq import kmeans2
from torch.nn.functional import unfold

from asr_transfer.config import TrainerConfig
from asr_transfer.data.batching import ArrayData
from asr_transfer.models.vectors import VectorConfig, VectorModel
from asr_transfer.training.criteria import squared_error
from asr_transfer.training.prediction import embed
from asr_transfer.training.streams import Task
from asr_transfer.training.trainer import Trainer
from asr_transfer.transfer.self_taught import Basis, learn_basis

Encoder = Callable[[torch.Tensor], torch.Tensor]
"""Maps (patches, dim) whitened patches to (patches, features)."""

_CONTRAST, _NOISE = 1e-2, 0.05
"""Least variance of a patch's values, and of a direction of the whitened ones as a share of the mean: no noise is made
large."""


@dataclass(frozen=True)
class Grid:
    """Where patches are taken and over which regions their features are averaged.

    Attributes:
        height, width: size of a patch.
        stride: step between patches, in both directions.
        regions: rows and columns of regions.
    """

    height: int
    width: int
    stride: int
    regions: tuple[int, int]


def patches(grid: Grid, one: torch.Tensor) -> tuple[torch.Tensor, tuple[int, int]]:
    """Return the (patches, height × width) patches of a (rows, columns) map, and their rows and columns.

    A map that is smaller than a patch is repeated at its end to the size of one.
    """
    rows, columns = one.shape
    if rows < grid.height or columns < grid.width:
        least = (grid.height, grid.width)
        places = [torch.arange(max(pair)).clamp(max=pair[0] - 1) for pair in zip((rows, columns), least, strict=True)]
        one = one[places[0]][:, places[1]]
        rows, columns = one.shape
    found = unfold(one[None, None], (grid.height, grid.width), stride=grid.stride)[0].T
    return found, ((rows - grid.height) // grid.stride + 1, (columns - grid.width) // grid.stride + 1)


def random_patches(grid: Grid, maps: Sequence[torch.Tensor], count: int, seed: int) -> torch.Tensor:
    """Return so many patches from random places of (rows, columns) maps."""
    random = np.random.default_rng(seed)
    found = []
    for place in random.integers(len(maps), size=count):
        one = maps[place]
        room = (one.shape[0] - grid.height + 1, one.shape[1] - grid.width + 1)
        top, left = (int(random.integers(max(1, places))) for places in room)
        cut = one[top : top + grid.height, left : left + grid.width]
        found.append(patches(grid, cut)[0][0])
    return torch.stack(found)


@dataclass(frozen=True)
class Whitening:
    """Makes patches alike in brightness and contrast, and their directions alike in variance.

    Attributes:
        mean: (dim,) mean of patches of one brightness and contrast.
        directions: (dim, kept) principal directions, the first of most variance, each divided by its deviation.
    """

    mean: torch.Tensor
    directions: torch.Tensor

    @classmethod
    def of(cls, found: torch.Tensor, kept: int) -> Whitening:
        """Return the whitening of (patches, dim) patches, of their `kept` first directions."""
        normal = _normalised(found)
        mean = normal.mean(0)
        variances, directions = torch.linalg.eigh((normal - mean).T @ (normal - mean) / len(normal))
        variances, directions = variances.flip(0)[:kept].clamp(min=0), directions.flip(1)[:, :kept]
        return cls(mean, directions / (variances + _NOISE * variances.mean()).sqrt())

    def __call__(self, found: torch.Tensor) -> torch.Tensor:
        """Map (patches, dim) to (patches, kept)."""
        return (_normalised(found) - self.mean) @ self.directions


def _normalised(found: torch.Tensor) -> torch.Tensor:
    centred = found - found.mean(1, keepdim=True)
    return centred / (centred.square().mean(1, keepdim=True) + _CONTRAST).sqrt()


def encoders(
    whitened: torch.Tensor, features: int, active: float, trainer: TrainerConfig, seed: int
) -> tuple[dict[str, Encoder], Basis]:
    """Learn all ways to describe a patch from whitened patches without labels, each of so many features.

    Returns:
        Encoders by name, and the basis of sparse coding.

    Args:
        whitened: (patches, dim) patches.
        features: number of features, even.
        active: share of codes that sparse coding leaves.
        trainer: training of the autoencoder.
        seed: random seed.
    """
    half = min(features // 2, whitened.shape[1])
    basis = learn_basis(whitened, features, active, seed=seed)
    drawn = learn_basis(whitened, features, active, rounds=0, settle=0, seed=seed)  # what it begins with
    means = torch.from_numpy(kmeans2(whitened.numpy(), features, iter=15, minit="points", seed=seed)[0])
    torch.manual_seed(seed)
    model = VectorModel(VectorConfig(whitened.shape[1], (features,)), {"inputs": whitened.shape[1]})
    task = Task("patches", ArrayData(whitened, whitened), squared_error, head="inputs")
    Trainer(model, [task], config=trainer).train()

    def distant(own: torch.Tensor) -> torch.Tensor:
        distances = torch.cdist(own, means)  # the triangle of Coates et al.
        return (distances.mean(1, keepdim=True) - distances).clamp(min=0)

    ways: dict[str, Encoder] = {
        "pca": lambda own: torch.cat([own[:, :half].clamp(min=0), (-own[:, :half]).clamp(min=0)], 1),
        "k-means": distant,
        "autoencoder": lambda own: embed(model, ArrayData(own)),
        "random": lambda own: drawn.codes(own).abs(),
        "sparse": lambda own: basis.codes(own).abs(),
    }
    return ways, basis


def described(
    grid: Grid, whitening: Whitening, encoder: Encoder, maps: Sequence[torch.Tensor]
) -> tuple[torch.Tensor, float]:
    """Return the (maps, regions × features) vectors of maps, and the share of features that are not 0."""
    parts = [patches(grid, one) for one in maps]
    found = encoder(whitening(torch.cat([own for own, _ in parts])))
    rows = []
    for (_, (high, wide)), values in zip(parts, torch.split(found, [len(own) for own, _ in parts]), strict=True):
        square = values.T.reshape(1, values.shape[1], high, wide)
        rows.append(torch.nn.functional.adaptive_avg_pool2d(square, grid.regions).flatten())
    return torch.stack(rows), float((found != 0).float().mean())
