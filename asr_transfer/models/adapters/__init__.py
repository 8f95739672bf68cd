"""Adds adapters: parameters for a speaker beside the model's own, whose tensors keep their names and values.

Each kind has a file here and is registered by being imported at this door.
"""

from asr_transfer.models.adapters import (  # noqa: F401  # registers
    film,
    input_network,
    lhuc,
    lora,
    residual,
    speaker_code,
    warp,
)
from asr_transfer.models.adapters.attached import (
    adapter_specs,
    adapter_state,
    add_adapter,
    base_checksum,
    base_state,
    merge_adapters,
    remove_adapters,
)
from asr_transfer.models.adapters.kind import KINDS, PREFIX, Adapter, register
from asr_transfer.models.adapters.spec import AdapterSpec, specs_from_plain

__all__ = [
    "KINDS",
    "PREFIX",
    "Adapter",
    "AdapterSpec",
    "adapter_specs",
    "adapter_state",
    "add_adapter",
    "base_checksum",
    "base_state",
    "merge_adapters",
    "register",
    "remove_adapters",
    "specs_from_plain",
]
