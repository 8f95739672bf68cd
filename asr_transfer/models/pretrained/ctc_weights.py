"""Knows the names that weights of Transformers' CTC models have in older and newer folders."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

from asr_transfer.models.pretrained.ctc_families import CtcFamily

_PRETRAINING = re.compile(r"(quantizer|project_hid|project_q|masked_spec_embed|label_embeddings|speaker_proj)(\.|_|$)")
"""Tensors of pre-training that nothing needs any more."""

_FUSED = (
    (".weight_g", ".weight_v"),
    (".parametrizations.weight.original0", ".parametrizations.weight.original1"),
)
"""Old and new names of the length and the direction of a weight (Salimans and Kingma 2016)."""


def with_whole_weights(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return weights in which a length and a direction, under old names or new, are the one weight that they make."""
    own = dict(tensors)
    for length, direction in _FUSED:
        for name in [name for name in own if name.endswith(length)]:
            stem = name.removesuffix(length)
            if (other := own.pop(f"{stem}{direction}", None)) is not None:
                scale = own.pop(name)
                axis = max(range(scale.dim()), key=lambda number: scale.shape[number])
                own[f"{stem}.weight"] = torch._weight_norm(other, scale, axis)
    return own


def name_in(name: str, made: CtcFamily, own: Mapping[str, torch.Tensor]) -> str | None:
    """Return a tensor's name in a whole model of its family, None of what only pre-training needed.

    Args:
        name: name in the folder.
        made: family.
        own: all tensors of the folder, by name; of encoders alone they lack the encoder's own.
    """
    if _PRETRAINING.search(name):
        return None
    prefix = f"{made.encoder}."
    bare = not any(other.startswith(prefix) for other in own)
    return f"{prefix}{name}" if bare and not name.startswith(f"{made.head}.") else name
