"""Puts CTC models of Transformers together again, as the library's own classes hold them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from asr_transfer.models.adapters import base_state
from asr_transfer.models.pretrained.ctc_families import FAMILIES, make_whole, plain_config
from asr_transfer.models.pretrained.library import transformers
from asr_transfer.models.pretrained.transformers_ctc import TransformersCtc
from asr_transfer.models.weight_files import load_weights

BLANK = 0
"""Row of the blank, as in every head here."""


@torch.no_grad()
def published_model(model: TransformersCtc, head: str) -> Any:
    """Return the library's model with a head's rows in their order here, the blank first, on the CPU.

    Args:
        model: model, whose adapters are left out.
        head: name of the head.

    Raises:
        ModelError: transformers is not installed.
    """
    where = "the model"
    library = transformers(where)
    own = model.head(head)
    network = {**plain_config(model.plain), "vocab_size": own.out_features, "pad_token_id": BLANK}
    family = FAMILIES[network["model_type"]]
    network[family.blank] = BLANK
    family, body = make_whole(library, network, where)
    parts = TransformersCtc(network, model.inputs, {}, where, (family, body))
    state = {name: tensor.cpu() for name, tensor in base_state(model).items() if not name.startswith("heads.")}
    load_weights(parts, state, where)
    for name, tensor in body.get_submodule(family.head).named_parameters():
        tensor.copy_(getattr(own, name).view_as(tensor))
    whole: nn.Module = getattr(library, family.made_by)(
        library.CONFIG_MAPPING[network["model_type"]].from_dict(network)
    )
    known = whole.state_dict()
    found = {name: tensor for name, tensor in body.state_dict().items() if name in known}
    whole.load_state_dict(found, strict=False)
    for path, module in whole.named_modules():
        if is_parametrized(module, "weight"):
            # Kept there as a direction and a length (Salimans and Kingma 2016).
            module.weight = body.get_submodule(path).weight
    return whole.eval()


def published_paths(model: TransformersCtc) -> dict[str, str]:
    """Return the path in the library's model of every module that it has, by the module's path here.

    Raises:
        ModelError: transformers is not installed.
    """
    where = "the model"
    family, body = make_whole(transformers(where), model.plain, where)
    there = {module: path for path, module in body.named_modules()}
    parts = TransformersCtc(model.plain, model.inputs, {}, where, (family, body))
    return {path: there[module] for path, module in parts.named_modules() if module in there}
