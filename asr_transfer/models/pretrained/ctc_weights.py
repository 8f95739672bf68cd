"""Knows the names that weights of Transformers' CTC models have in older and newer folders."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

from asr_transfer.errors import ModelError
from asr_transfer.models.pretrained.ctc_families import CtcFamily

_LEFT_OUT = re.compile(
    r"(quantizer|project_hid|project_q|masked_spec_embed|label_embeddings|speaker_proj)(\.|_|$)"
    r"|^(ctc_proj|layer_norm_for_extract|projector|classifier|layer_weights|tdnn|objective)(\.|$)"
    r"|^feature_extractor\.(weight|bias)$"
)
"""Tensors that only pre-training needed, or heads that tell kinds of speech or speakers."""

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
            scale, other = own[name], own.get(f"{stem}{direction}")
            if other is None or not scale.dim():
                continue
            axis = max(range(scale.dim()), key=lambda number: scale.shape[number])
            if scale.shape == tuple(size if at == axis else 1 for at, size in enumerate(other.shape)):
                del own[name], own[f"{stem}{direction}"]
                own[f"{stem}.weight"] = torch._weight_norm(other, scale, axis)
    return own


def rows_of(head: torch.Tensor, name: str, where: str) -> int:
    """Return how many outputs the weights of a head have.

    Raises:
        ModelError: they are no rows.
    """
    if head.dim() < 2 or not len(head):
        raise ModelError(
            f"{where}: '{name}' has the shape {tuple(head.shape)}, but a head has a row for each output; copy the "
            "model again."
        )
    return len(head)


def name_in(name: str, made: CtcFamily, own: Mapping[str, torch.Tensor]) -> str | None:
    """Return a tensor's name in a whole model of its family, None of what no model of CTC needs.

    Args:
        name: name in the folder.
        made: family.
        own: all tensors of the folder, by name; of encoders alone they lack the encoder's own.
    """
    if _LEFT_OUT.search(name):
        return None
    prefix = f"{made.encoder}."
    bare = not any(other.startswith(prefix) for other in own)
    return f"{prefix}{name}" if bare and not name.startswith(f"{made.head}.") else name
