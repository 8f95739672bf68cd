"""Learns basis vectors of which few at a time make each item: sparse coding of unlabelled data.

Raina, Battle, Lee, Packer and Ng, "Self-taught learning: transfer learning from unlabeled data" (2007): least over a
and b, ‖b_j‖ ≤ 1, of Σ_i ‖x_i - Σ_j a_ij b_j‖² + β Σ_ij |a_ij|. Codes and basis are improved in turn, and neither turn
makes the objective larger.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from asr_transfer.errors import ConfigError, DataError

HALVINGS = 12
"""Steps of the search for the β that leaves the wanted share of codes."""


@dataclass(frozen=True)
class Basis:
    """Basis vectors that were learnt.

    Attributes:
        vectors: (bases, dim) b, none longer than 1.
        beta: weight β of the codes' sizes.
        objectives: mean objective of an item after each round with this β, never rising.
    """

    vectors: torch.Tensor
    beta: float
    objectives: tuple[float, ...]

    def codes(self, items: torch.Tensor, steps: int = 60) -> torch.Tensor:
        """Return the (items, bases) codes of (items, dim) items."""
        return sparse_codes(items, self.vectors, self.beta, steps)


def soft(values: torch.Tensor, threshold: float) -> torch.Tensor:
    """Return values moved towards 0 by a threshold, those within it to 0."""
    return values.sign() * (values.abs() - threshold).clamp(min=0)


def objective(items: torch.Tensor, codes: torch.Tensor, basis: torch.Tensor, beta: float) -> torch.Tensor:
    """Return (items,) ‖x - Σ_j a_j b_j‖² + β Σ_j |a_j|."""
    return (items - codes @ basis).square().sum(1) + beta * codes.abs().sum(1)


def sparse_codes(
    items: torch.Tensor, basis: torch.Tensor, beta: float, steps: int = 60, start: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the (items, bases) codes that make the objective small, by accelerated soft thresholding.

    (FISTA; Beck and Teboulle 2009.) Of an orthonormal basis they are soft(xBᵀ, β/2) after the first step. No item ends
    with a larger objective than it starts with.

    Args:
        items: (items, dim) x.
        basis: (bases, dim) b.
        beta: weight β of the codes' sizes.
        steps: steps.
        start: codes to begin with; zeros by default.
    """
    gram, reach = basis @ basis.T, items @ basis.T
    curvature = float(torch.linalg.eigvalsh(gram)[-1])
    before = codes = torch.zeros_like(reach) if start is None else start
    ahead, momentum = codes, 1.0
    for _ in range(steps if curvature > 0 else 0):
        new = soft(ahead + (reach - ahead @ gram) / curvature, beta / (2 * curvature))
        grown = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        ahead = new + (momentum - 1) / grown * (new - codes)
        codes, momentum = new, grown
    better = objective(items, codes, basis, beta) <= objective(items, before, basis, beta)
    return torch.where(better[:, None], codes, before)


def improved(items: torch.Tensor, codes: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """Return the basis with each vector in turn the best one of length at most 1, the codes as they are.

    (Mairal et al., "Online dictionary learning for sparse coding", 2009.) A vector that no item uses stays.
    """
    gram, reach, found = codes.T @ codes, codes.T @ items, basis.clone()
    for number in range(len(found)):
        if gram[number, number] > 0:
            vector = (reach[number] - gram[number] @ found) / gram[number, number] + found[number]
            found[number] = vector / vector.norm().clamp(min=1)
    return found


def learn_basis(
    items: torch.Tensor, bases: int, active: float, rounds: int = 15, steps: int = 30, settle: int = 3, seed: int = 0
) -> Basis:
    """Learn basis vectors with which the wanted share of codes is not 0.

    β is found in the first rounds, in which the basis takes shape, and stays from then on.

    Args:
        items: (items, dim) unlabelled items.
        bases: number of basis vectors.
        active: share of codes that are not 0, between 0 and 1; 0.05 to 0.1 tell kinds of patches apart.
        rounds: rounds with one β.
        steps: steps of the codes in a round.
        settle: rounds before, each with a β of its own.
        seed: random seed of the items that the basis begins with.

    Raises:
        ConfigError: the share is not between 0 and 1.
        DataError: there are fewer items that are not 0 than basis vectors.
    """
    if not 0 < active < 1:
        raise ConfigError(f"`active` must be between 0 and 1, got {active}.")
    some = items[items.norm(dim=1) > 0]
    if len(some) < bases:
        raise DataError(f"{bases} basis vectors need as many items that are not 0, got {len(some)}; take fewer.")
    generator = torch.Generator().manual_seed(seed)
    chosen = some[torch.randperm(len(some), generator=generator)[:bases]]
    basis = chosen / chosen.norm(dim=1, keepdim=True)
    few = items[torch.randperm(len(items), generator=generator)[:1000]]
    for _ in range(settle):
        beta = _beta(few, basis, active, steps)
        basis = improved(items, sparse_codes(items, basis, beta, steps), basis)
    beta = _beta(few, basis, active, steps)
    codes, found = None, []
    for _ in range(rounds):
        codes = sparse_codes(items, basis, beta, steps, codes)
        basis = improved(items, codes, basis)
        found.append(float(objective(items, codes, basis, beta).mean()))
    return Basis(basis, beta, tuple(found))


def _beta(items: torch.Tensor, basis: torch.Tensor, active: float, steps: int) -> float:
    """Return the β that leaves the wanted share of codes, by halving: the larger it is, the fewer are left."""
    low, high = 0.0, 2 * float((items @ basis.T).abs().max())  # from there on, no code is left
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        left = float((sparse_codes(items, basis, middle, steps) != 0).float().mean())
        low, high = (middle, high) if left > active else (low, middle)
    return high
