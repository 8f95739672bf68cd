"""Made-up training speakers, so that models of tests have the directions of their profiles."""

from __future__ import annotations

import copy
from math import prod

import torch

from asr_transfer.adaptation.film_summary import FILM
from asr_transfer.adaptation.methods import METHODS
from asr_transfer.adaptation.speaker_profiles import space_of
from asr_transfer.models.adapters import AdapterSpec, adapter_state, add_adapter, base_checksum
from asr_transfer.models.adapters.modulation import add_modulation
from asr_transfer.models.contract import Model, SpeechModel
from asr_transfer.models.speaker_space import names_of

STARTS = tuple(name for name, method in METHODS.items() if method.role == "start" and name != FILM)
"""Methods that describe a speaker by weights of such directions."""


def made_up_profiles(
    model: SpeechModel, spec: AdapterSpec, speakers: int = 9, seed: int = 7, spread: float = 0.3
) -> tuple[dict[str, tuple[int, ...]], dict[str, torch.Tensor]]:
    """Return the adapter's shapes, and profiles of so many speakers, drawn at random around one with an effect."""
    twin = copy.deepcopy(model)
    add_adapter(twin, spec)
    shapes = {name: tuple(value.shape) for name, value in names_of(spec, adapter_state(twin)).items()}
    random, values = torch.Generator().manual_seed(seed), sum(map(prod, shapes.values()))
    shared = 0.2 * torch.randn(values, generator=random, dtype=torch.float64)
    draws = spread * torch.randn(speakers, values, generator=random, dtype=torch.float64)
    return shapes, {f"speaker{number}": shared + draw for number, draw in enumerate(draws)}


def give_space(model: SpeechModel, kind: str = "lhuc", speakers: int = 9, seed: int = 7, spread: float = 0.3) -> None:
    """Let a model have directions of made-up training speakers."""
    spec = AdapterSpec(kind, 2 if kind == "lora" else 0)
    made = made_up_profiles(model, spec, speakers, seed, spread)
    model.speakers = space_of(spec, base_checksum(model), *made, next(model.parameters()).dtype)


def give_modulation(model: Model, size: int = 3, seed: int = 9) -> None:
    """Let a model be modulated by summaries, as if it had been trained so."""
    part, random = add_modulation(model, size), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in part.state_dict().values():
            tensor.copy_(0.2 * torch.randn(tensor.shape, generator=random, dtype=torch.float64))
        part.spread.abs_().add_(0.1)
