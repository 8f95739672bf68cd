"""Holds a model near the weights one starts from (weight-conservative, L2-SP; Li, Grandvalet and Davoine 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from asr_transfer.errors import ConfigError
from asr_transfer.training.streams import Output, Stream


class L2SP:
    """α/2 ‖w_S - w₀‖² + β/2 ‖w_new‖² over the trainable parameters, w_S those that the reference has.

    Normalisation layers' parameters are left out. The optimiser's own weight decay must be off.

    Args:
        alpha: pull towards the reference; its gradient is α (w - w₀).
        beta: pull of new parameters towards zero.
        reference: w₀ by name; None takes the weights that training starts from.
    """

    streams: Sequence[str] = ()
    taps: Sequence[str] = ()
    replaces_weight_decay = True

    def __init__(self, alpha: float, beta: float = 0.0, reference: Mapping[str, torch.Tensor] | None = None) -> None:
        if alpha < 0 or beta < 0:
            raise ConfigError(f"L2SP's `alpha` and `beta` must not be negative, got {alpha} and {beta}.")
        self.alpha, self.beta, self.reference = alpha, beta, reference
        self._held: list[tuple[nn.Parameter, torch.Tensor]] = []
        self._new: list[nn.Parameter] = []

    def setup(self, model: nn.Module, streams: Mapping[str, Stream]) -> None:
        """Remember the reference of every trainable parameter."""
        norms = {
            f"{path}.{name}" if path else name
            for path, module in model.named_modules()
            if isinstance(module, nn.modules.batchnorm._NormBase | nn.LayerNorm | nn.GroupNorm)
            for name, _ in module.named_parameters(recurse=False)
        }
        source = model.state_dict() if self.reference is None else self.reference
        self._held, self._new = [], []
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad or name in norms:
                continue
            if name in source and source[name].shape == parameter.shape:
                self._held.append((parameter, source[name].detach().clone().to(parameter)))
            else:
                self._new.append(parameter)

    def forward(self, model: nn.Module, outputs: Mapping[str, Output]) -> torch.Tensor:
        """Return the penalty."""
        total = torch.zeros((), device=next(model.parameters()).device)
        if self._held and self.alpha:
            differences = torch._foreach_sub([p for p, _ in self._held], [w for _, w in self._held])
            total = total + self.alpha / 2 * torch.stack([d.square().sum() for d in differences]).sum()
        if self._new and self.beta:
            total = total + self.beta / 2 * torch.stack([p.square().sum() for p in self._new]).sum()
        return total
