"""Runs a model in evaluation mode for a moment and gives every module its own mode back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Hold a model in evaluation mode, then set every module back to the mode that it was in.

    `model.eval()` in the midst of a training would leave what is trained without dropout from there on, and cuDNN's
    recurrent layers cannot go backward in that mode.

    Args:
        model: model whose modules may each be in a mode of their own.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
