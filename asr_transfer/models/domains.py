"""Keeps the statistics of BatchNorm layers apart by domain, while their scales and shifts are shared.

Images of two kinds, or speech through a telephone and a microphone, have activations of other means and spreads. One
set of statistics for both is right for neither, and tells them apart (Li et al. 2016; Chang et al. 2019). The figures
of a domain are buffers of the layer beside its own, so that they lie in checkpoints; `settle` leaves one set.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from asr_transfer.errors import ConfigError, nearest_hint

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_NAME = re.compile(r"[A-Za-z0-9_-]+")


def keep_domains(model: nn.Module, domains: Iterable[str]) -> None:
    """Give every BatchNorm layer statistics of these domains, where it has none yet: at first copies of its own.

    Raises:
        ConfigError: a domain's name cannot be that of a tensor.
    """
    wanted = list(domains)
    if wrong := [name for name in wanted if not _NAME.fullmatch(name)]:
        raise ConfigError(f"a domain cannot be called '{wrong[0]}'; use letters, digits, '-' and '_'.")
    for layer in normalisation_layers(model):
        for domain in wanted:
            for name in _STATISTICS:
                own, kept = layer._buffers.get(name), f"{name}@{domain}"
                if own is not None and kept not in layer._buffers:
                    layer.register_buffer(kept, own.detach().clone())


def domains_of(model: nn.Module) -> list[str]:
    """Return the domains whose statistics a model keeps."""
    names = (name for layer in normalisation_layers(model) for name in layer._buffers)
    return sorted({name.partition("@")[2] for name in names if "@" in name})


@contextmanager
def normalised_for(model: nn.Module, domain: str | None) -> Iterator[None]:
    """Let the BatchNorm layers of a model take, and in training follow, the statistics of a domain meanwhile.

    Args:
        model: model that keeps the domain's statistics, or has no BatchNorm.
        domain: name of the domain; None for the model's own statistics.

    Raises:
        ConfigError: the model keeps no statistics of it.
    """
    if domain is None:
        yield
        return
    layers = normalisation_layers(model)
    own = [
        {name: layer._buffers[name] for name in _STATISTICS if layer._buffers.get(name) is not None} for layer in layers
    ]
    for layer, statistics in zip(layers, own, strict=True):
        if statistics and f"running_mean@{domain}" not in layer._buffers:
            known = domains_of(model)
            raise ConfigError(f"the model keeps no statistics of the domain '{domain}'.{nearest_hint(domain, known)}")
    try:
        for layer, statistics in zip(layers, own, strict=True):
            for name in statistics:
                layer._buffers[name] = layer._buffers[f"{name}@{domain}"]  # the same tensor: updates are in place
        yield
    finally:
        for layer, statistics in zip(layers, own, strict=True):
            layer._buffers.update(statistics)


@torch.no_grad()
def settle(model: nn.Module, domain: str | None) -> None:
    """Make the statistics of a domain a model's own and drop those of all domains, so that it is an ordinary model.

    Args:
        model: model, changed in place.
        domain: name of the domain; None keeps the model's own statistics.

    Raises:
        ConfigError: the model keeps no statistics of it.
    """
    with normalised_for(model, domain):
        taken = [{name: layer._buffers[name] for name in _STATISTICS} for layer in normalisation_layers(model)]
    for layer, statistics in zip(normalisation_layers(model), taken, strict=True):
        for name in [name for name in layer._buffers if "@" in name]:
            delattr(layer, name)
        for name, value in statistics.items():
            if value is not None:
                layer._buffers[name] = value


def normalisation_layers(model: nn.Module) -> list[_BatchNorm]:
    """Return the BatchNorm layers of a model."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]
