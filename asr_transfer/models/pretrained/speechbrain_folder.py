"""Opens SpeechBrain's `EncoderASR` folders of a wav2vec 2.0 with one linear layer, without executing their YAML.

HyperPyYAML makes whatever objects a file names. Here the names are only read, and compared with those that are known.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from asr_transfer.data.inputs import Waveform
from asr_transfer.data.subwords import SubwordModel
from asr_transfer.errors import DataError, ModelError
from asr_transfer.models.pretrained.ctc_folder import assemble, inputs_of
from asr_transfer.models.pretrained.ctc_parts import UTTERANCE_NORM
from asr_transfer.models.pretrained.ctc_weights import rows_of
from asr_transfer.models.pretrained.family import Pretrained
from asr_transfer.models.pretrained.hub import local_folder
from asr_transfer.models.pretrained.json_files import read_model_config, refuse_pointer
from asr_transfer.models.pretrained.tagged_yaml import Made, read_tagged, resolved
from asr_transfer.models.pretrained.vocabulary import Vocabulary, arranged
from asr_transfer.models.pretrained.weights import read_file

SETTINGS = "hyperparams.yaml"

_ENCODERS = re.compile(r"(?i)\b(wav2vec2|hubert|wavlm)\.\w+$")
"""Classes of SpeechBrain that wrap an encoder of Transformers, by the end of their names."""


def open_speechbrain(folder: Path) -> Pretrained:
    """Open a folder.

    Raises:
        ModelError: something is missing or damaged, or the model is another than a wav2vec 2.0 with one linear layer.
    """
    file = folder / SETTINGS
    settings = read_tagged(file)
    encoder = _encoder(file, settings)
    source = str(resolved(settings, encoder.get("source", "")))
    origin = folder if (folder / "config.json").is_file() else local_folder(source)
    if not (origin / "config.json").is_file():
        raise ModelError(
            f"{file}: the encoder is that of {source}, whose config.json is not here; copy that file and "
            f"preprocessor_config.json into {folder}."
        )
    config = read_model_config(origin / "config.json")
    if (kind := config.get("model_type")) not in ("wav2vec2", "hubert", "wavlm"):
        raise ModelError(f"{origin / 'config.json'}: `model_type` is {kind}; known are wav2vec2, hubert and wavlm.")
    inputs = inputs_of(origin, config)
    assert isinstance(inputs, Waveform)
    normed = resolved(settings, encoder.get("output_norm", False))
    if not isinstance(normed, bool):
        raise ModelError(f"{file}: `output_norm` is {normed!r}; it is True or False.")
    config = {**config, UTTERANCE_NORM: normed}
    tensors = _tensors(folder, file, settings)
    outputs = rows_of(tensors["lm_head.weight"], "w.weight", str(folder))
    vocabulary = _vocabulary(folder, settings, outputs)
    return assemble(folder, config, tensors, Waveform(inputs.normalised, 1e-5), vocabulary)


def _encoder(file: Path, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the settings of the encoder, if nothing but a linear layer comes after it."""
    parts = resolved(settings, settings.get("encoder"))
    modules = settings.get("modules")
    if parts is None and isinstance(modules, Mapping):
        parts = resolved(settings, modules.get("encoder"))
    found: list[Mapping[str, Any]] = []
    row = isinstance(parts, Made) and parts.name.endswith("Sequential")
    for name, part in (parts if row else {}).items():
        own = resolved(settings, part)
        made = own.name if isinstance(own, Made) else ""
        if _ENCODERS.search(made) and not found:
            found.append(own)
        elif not (name == "input_shape" or made.endswith(("linear.Linear", "activations.Softmax", "LogSoftmax"))):
            raise ModelError(
                f"{file}: the encoder has the part '{name}' ({made or type(own).__name__}), which cannot be opened; "
                "known is a wav2vec 2.0, HuBERT or WavLM with one linear layer behind it."
            )
    if not found:
        raise ModelError(
            f"{file}: describes no `encoder` that begins with a wav2vec 2.0, HuBERT or WavLM of Transformers; other "
            "models of SpeechBrain cannot be opened."
        )
    return found[0]


def _tensors(folder: Path, file: Path, settings: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Return the weights of all checkpoints, under the names of Transformers."""
    pretrainer = settings.get("pretrainer")
    loadables = pretrainer.get("loadables") if isinstance(pretrainer, Mapping) else None
    names = [name for name in (loadables if isinstance(loadables, Mapping) else {}) if name != "tokenizer"]
    files = [folder / f"{name}.ckpt" for name in names]
    if not files:
        raise ModelError(f"{file}: `pretrainer` names no `loadables`, the files of weights; copy the model again.")
    tensors: dict[str, torch.Tensor] = {}
    for one in files:
        for name, tensor in read_file(one).items():
            ending = name.rpartition(".")[2]
            if name.endswith((".w.weight", ".w.bias")):
                name = f"lm_head.{ending}"
            elif "model." in name:
                name = name.partition("model.")[2]
            if name in tensors:
                raise ModelError(f"{one}: there are two linear layers; only one can be opened.")
            tensors[name] = tensor
    if "lm_head.weight" not in tensors:
        raise ModelError(f"{files[-1]}: holds no linear layer over the encoder; copy the model again.")
    return tensors


def _vocabulary(folder: Path, settings: Mapping[str, Any], outputs: int) -> Vocabulary:
    """Read the tokenizer, SentencePiece's or a text encoder's."""
    file = folder / "tokenizer.ckpt"
    if not file.is_file():
        raise ModelError(f"{file}: the tokenizer is missing, so that nobody knows what the outputs mean; copy it.")
    blank = resolved(settings, settings.get("blank_index", 0))
    if not isinstance(blank, int) or isinstance(blank, bool) or not 0 <= blank < outputs:
        raise ModelError(
            f"{folder / SETTINGS}: `blank_index` is {blank!r}, but the blank is one of the model's outputs, 0 to "
            f"{outputs - 1}; copy the model again."
        )
    refuse_pointer(file)
    data = file.read_bytes()
    if b" => " in data[:4096] or b"====" in data[:4096]:
        indices = _labels(file, data)
        scores, merges = None, False
    else:
        try:
            listed = SubwordModel(data).listed()
        except DataError as error:
            raise ModelError(f"{file}: {error}; copy the model again.") from None
        indices = {piece: index for index, (piece, _) in enumerate(listed)}
        scores = dict(listed)
        # Of merges SentencePiece keeps the rank as the score.
        merges = all(score == int(score) for score in scores.values()) and len(set(scores.values())) > 1
    if max(indices.values(), default=0) >= outputs:
        raise ModelError(
            f"{file}: has {len(indices)} entries, but the model {outputs} outputs; the folder mixes two models."
        )
    return arranged(
        file, indices, blank, "_" if " " not in indices and "_" in indices else "", scores=scores, merges=merges
    )


def _labels(file: Path, data: bytes) -> dict[str, int]:
    """Read what SpeechBrain's encoders save: `'label' => index` a line, until a line of equality signs."""
    found: dict[int, str] = {}
    for number, line in enumerate(data.decode("utf-8", "replace").split("\n"), start=1):
        if line.startswith("===="):
            break
        label, _, index = line.rpartition(" => ")
        try:
            row, name = int(index), str(ast.literal_eval(label))
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            raise ModelError(f"{file} line {number}: is no `'label' => index`; copy the model again.") from None
        if row < 0:
            raise ModelError(f"{file} line {number}: the index is {row}, and none is below 0; copy the model again.")
        if row in found or name in found.values():
            raise ModelError(
                f"{file} line {number}: '{name}' or the index {row} stands there a second time; copy the model again."
            )
        found[row] = name
    return {name: row for row, name in found.items()}
