"""Writes LoRA apart from its model, as peft puts it on models of Transformers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.deployment.libraries import library
from asr_transfer.deployment.source import Source
from asr_transfer.models.adapters import adapter_specs, adapter_state, base_state, remove_adapters
from asr_transfer.models.contract import SpeechModel
from asr_transfer.models.pretrained.ctc_writing import published_paths
from asr_transfer.models.pretrained.transformers_ctc import TransformersCtc
from asr_transfer.models.pretrained.whisper_folder import published_name

EXTRA = "peft"
_START = "adapters.lora."
_PAST = ("wavlm",)
"""Families whose attention reads its weights itself in Transformers, so that adapters on them are not heard."""


def peft_refusal(source: Source, fp16: bool) -> str | None:
    """Return why a model's adapters are none that peft can put on it, as what follows "because "; None where they are.

    Args:
        source: model on its way out.
        fp16: whether weights of sixteen bits are asked for.
    """
    if fp16:
        return "adapters apart from their model are written with all their bits"
    if source.profile is None or source.unfolded is None:
        return "only a profile's adapters can be written apart, and none is given with --profile"
    model = source.unfolded()
    kinds = [spec.kind for spec in adapter_specs(model)]
    if kinds != ["lora"]:
        return f"peft has none but `lora`, and the profile holds {' and '.join(kinds) or 'no adapter'}"
    if isinstance(model, TransformersCtc) and model.plain["model_type"] in _PAST:
        return "WavLM's attention reads its weights past the adapters in Transformers"
    if others := [path for path in _modules(model) if not isinstance(model.get_submodule(path), nn.Linear)]:
        return (
            f"the profile's LoRA acts on {others[0]}, and in Transformers' models adapters act on linear layers alone "
            "(`adapt --settings.blocks 'encoder.layers[:]'` makes such profiles)"
        )
    own, plain = base_state(model), base_state(Recogniser.load(source.folder, source.recogniser.head).model)
    changed = [name for name, tensor in own.items() if not torch.equal(tensor, plain[name])]
    if changed:
        return f"the profile changes weights of the model too ({changed[0]}), which cannot be told apart from it"
    return None


def base_of(source: Source) -> Source:
    """Return the model without its adapters."""
    assert source.unfolded is not None
    model = source.unfolded()
    remove_adapters(model)
    return replace(source, recogniser=replace(source.recogniser, model=model))


def write_peft(source: Source, plain: Path, folder: Path) -> None:
    """Write `adapter_config.json` and `adapter_model.safetensors`.

    Args:
        source: model on its way out.
        plain: folder of its base as Transformers loads it.
        folder: folder to write.
    """
    peft, made = library("peft", EXTRA, "transformers"), library("transformers", EXTRA, "transformers")
    assert source.unfolded is not None
    model = source.unfolded()
    factors, paths = _factors(model), _paths(model)
    rank = adapter_specs(model)[0].size
    config = peft.LoraConfig(
        r=rank, lora_alpha=rank, target_modules=[paths[own] for own in factors], lora_dropout=0.0, bias="none"
    )
    auto = made.AutoModelForCTC if model.criterion == "ctc" else made.WhisperForConditionalGeneration
    adapted = peft.get_peft_model(auto.from_pretrained(plain, dtype=torch.float32), config)
    with torch.no_grad():
        for own, (down, up) in factors.items():
            module = adapted.base_model.model.get_submodule(paths[own])
            for name, weight in (("lora_A", down), ("lora_B", up)):
                there = getattr(module, name)["default"].weight
                there.copy_(weight.view_as(there))
    adapted.peft_config["default"].base_model_name_or_path = source.model
    adapted.save_pretrained(str(folder), save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)


def with_adapters(model: Any, folder: Path) -> Any:
    """Return a model of Transformers with the adapters of a folder on it."""
    return library("peft", EXTRA, "transformers").PeftModel.from_pretrained(model, str(folder)).base_model.model


def usage(source: Source) -> str:
    """Return Markdown on how the adapters are put on their base."""
    ctc = source.recogniser.model.criterion == "ctc"
    kind = "AutoModelForCTC" if ctc else "WhisperForConditionalGeneration"
    return (
        "```python\n"
        "from peft import PeftModel\n"
        f"from transformers import {kind}\n\n"
        f'base = {kind}.from_pretrained("{source.model}")\n'
        'model = PeftModel.from_pretrained(base, ".")\n'
        "```\n\n"
        f"The base is `{source.model}`; where that is a folder of asr-transfer, write it for Transformers first by "
        f"`asr-transfer export --model {source.model} --to transformers --out base`, and give `base`. "
        "`pip install peft 'transformers>=5.24'` installs what it needs."
    )


def _factors(model: SpeechModel) -> Mapping[str, tuple[torch.Tensor, torch.Tensor]]:
    """Return the two matrices of each module that LoRA acts on: (rank, in) and (out, rank), by its path here."""
    state = adapter_state(model)
    return {
        path: (state[f"{_START}{path}.weight.A"].detach(), state[f"{_START}{path}.weight.B"].detach())
        for path in _modules(model)
    }


def _modules(model: SpeechModel) -> list[str]:
    names = (name.removeprefix(_START) for name in adapter_state(model) if name.startswith(_START))
    return list(dict.fromkeys(name.rsplit(".", 2)[0] for name in names))


def _paths(model: SpeechModel) -> Mapping[str, str]:
    """Return the path in Transformers' model of each module, by its path here."""
    if isinstance(model, TransformersCtc):
        return published_paths(model)
    return {path: published_name(path) for path, _ in model.named_modules() if path}
