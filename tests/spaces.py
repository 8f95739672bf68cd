"""Made-up training speakers, so that models of tests have the directions of their profiles."""

from __future__ import annotations

import copy

import torch

from asr_transfer.adaptation.methods import METHODS
from asr_transfer.adaptation.speaker_profiles import space_of
from asr_transfer.models.adapters import AdapterSpec, adapter_state, add_adapter, base_checksum
from asr_transfer.models.contract import SpeechModel
from asr_transfer.models.speaker_space import names_of

STARTS = tuple(name for name, method in METHODS.items() if method.role == "start")
"""Methods that describe a speaker by weights of such directions."""


def made_up_profiles(
    model: SpeechModel, spec: AdapterSpec, speakers: int = 9, seed: int = 7
) -> dict[str, dict[str, torch.Tensor]]:
    """Return profiles of so many speakers, drawn at random around one that is not without effect."""
    twin = copy.deepcopy(model)
    add_adapter(twin, spec)
    random = torch.Generator().manual_seed(seed)
    shared = {
        name: 0.2 * torch.randn(value.shape, generator=random, dtype=torch.float64)
        for name, value in names_of(spec, adapter_state(twin)).items()
    }
    return {
        f"speaker{number}": {
            name: (value + 0.3 * torch.randn(value.shape, generator=random, dtype=torch.float64)).to(
                next(model.parameters()).dtype
            )
            for name, value in shared.items()
        }
        for number in range(speakers)
    }


def give_space(model: SpeechModel, kind: str = "lhuc", speakers: int = 9, seed: int = 7) -> None:
    """Let a model have directions of made-up training speakers."""
    spec = AdapterSpec(kind, 2 if kind == "lora" else 0)
    model.speakers = space_of(spec, base_checksum(model), made_up_profiles(model, spec, speakers, seed))
