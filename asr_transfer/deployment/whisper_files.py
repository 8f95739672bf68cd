"""Writes Whisper's folders as Transformers publishes them, from which other programs convert theirs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import safetensors.torch

from asr_transfer import audio
from asr_transfer.data.byte_pairs import BytePairTokens
from asr_transfer.deployment.source import Source
from asr_transfer.errors import ModelError, class_of
from asr_transfer.models.adapters import adapter_specs
from asr_transfer.models.pretrained.door import is_foreign
from asr_transfer.models.pretrained.json_files import read_json
from asr_transfer.models.pretrained.whisper import Whisper
from asr_transfer.models.pretrained.whisper_folder import GENERATION, published_sizes, published_tensors
from asr_transfer.plain import to_json
from asr_transfer.textfiles import write_bytes, write_text

SPELLINGS = "normalizer.json"
COPIED = ("preprocessor_config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
"""Files that a published folder's own are copied for; without one they are written from what the model knows."""

_TOLD = ("forced_decoder_ids", "max_length", "suppress_tokens", "begin_suppress_tokens", "_name_or_path")
"""Parts of a published `config.json` that belong to the generation's settings, or say nothing of the network."""


def whisper_refusal(source: Source, only: str = "models of Whisper, encoder and decoder,") -> str | None:
    """Return why a model is no Whisper that a plain folder can hold, as what follows "because "; None where it is.

    Args:
        source: model on its way out.
        only: name of all that the target takes, for the message.
    """
    model = source.recogniser.model
    if not isinstance(model, Whisper) or not isinstance(source.recogniser.tokens, BytePairTokens):
        return f"it takes {only} and this is {class_of(model)}"
    if specs := adapter_specs(model):
        return f"the adapter {specs[0]} cannot be folded into the weights, and it has no place for it"
    return None


def whisper_of(source: Source) -> tuple[Whisper, BytePairTokens]:
    """Return the model and its tokens, of what `whisper_refusal` does not refuse."""
    return cast(Whisper, source.recogniser.model), cast(BytePairTokens, source.recogniser.tokens)


def write_whisper(source: Source, folder: Path, fp16: bool = False) -> list[str]:
    """Write the folder: weights, config, tokenizer, features, and the rules by which texts are written.

    Args:
        source: model on its way out.
        folder: empty folder.
        fp16: whether weights are floating-point numbers of sixteen bits.

    Returns:
        Sentences on what could not be written.

    Raises:
        ModelError: a published file is of another model.
    """
    model, tokens = whisper_of(source)
    published = source.folder if is_foreign(source.folder) else None
    tensors = published_tensors(model)
    if fp16:
        tensors = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    safetensors.torch.save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    language = source.recogniser.language or None
    _write(folder / "config.json", _config(model, tokens, published, fp16))
    _write(folder / GENERATION, _generation(model, tokens, published, language))
    made = {
        "preprocessor_config.json": _features(model),
        "tokenizer_config.json": _about_tokens(tokens),
        "special_tokens_map.json": _special(tokens),
        "added_tokens.json": _added(tokens),
    }
    for name in COPIED:
        if published is not None and (published / name).is_file():
            shutil.copyfile(published / name, folder / name)
        else:
            _write(folder / name, made[name])
    _require_features(folder, made["preprocessor_config.json"])
    pieces = json.loads(tokens.data)["model"]
    write_bytes(folder / "tokenizer.json", tokens.data)
    _write(folder / "vocab.json", pieces["vocab"], indent=None)
    merges = (pair if isinstance(pair, str) else " ".join(pair) for pair in pieces["merges"])
    write_text(folder / "merges.txt", "\n".join(["#version: 0.2", *merges]) + "\n")
    lines = []
    if published is not None and (published / SPELLINGS).is_file():
        shutil.copyfile(published / SPELLINGS, folder / SPELLINGS)
    else:
        lines.append(
            f"without {SPELLINGS}, the table of English spellings that only Transformers' own scoring reads: the "
            "model's folder has none"
        )
    if not model.decoder_sizes.alignment:
        lines.append(
            "without `alignment_heads`, for the model's folder names none: the times of words are less exact than they "
            "could be"
        )
    return lines


def _config(model: Whisper, tokens: BytePairTokens, published: Path | None, fp16: bool) -> dict[str, Any]:
    known = {} if published is None else read_json(published / "config.json")
    known = {name: value for name, value in known.items() if name not in (*_TOLD, "torch_dtype")}
    return {
        **known,
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "is_encoder_decoder": True,
        "activation_function": "gelu",
        "scale_embedding": False,
        "tie_word_embeddings": True,
        **published_sizes(model),
        "decoder_start_token_id": tokens.start,
        **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), tokens.end),
        "dtype": "float16" if fp16 else "float32",
    }


def _generation(model: Whisper, tokens: BytePairTokens, published: Path | None, language: str | None) -> dict[str, Any]:
    known = read_json(published / GENERATION) if published is not None and (published / GENERATION).is_file() else {}
    index = {symbol: number for number, symbol in enumerate(tokens.symbols) if symbol}
    made: dict[str, Any] = {
        "decoder_start_token_id": tokens.start,
        **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), tokens.end),
        "is_multilingual": bool(tokens.languages),
        "max_length": model.most_tokens,
        "no_timestamps_token_id": index["<|notimestamps|>"],
        "return_timestamps": False,
    }
    if "<|startofprev|>" in index:
        made["prev_sot_token_id"] = index["<|startofprev|>"]
    if model.decoder_sizes.alignment:
        made["alignment_heads"] = [list(pair) for pair in model.decoder_sizes.alignment]
    if tokens.languages:
        made["lang_to_id"] = {f"<|{code}|>": number for code, number in tokens.languages.items()}
        tasks = {task: index.get(f"<|{task}|>") for task in ("transcribe", "translate")}
        made["task_to_id"] = {task: number for task, number in tasks.items() if number is not None}
    made |= {name: value for name, value in known.items() if name != "forced_decoder_ids"}
    made["suppress_tokens"] = list(tokens.never) or None
    made["begin_suppress_tokens"] = list(tokens.never_first) or None
    if language is not None and tokens.languages:
        made |= {"language": tokens.require_language(language, "--language"), "task": "transcribe"}
    return made


def _features(model: Whisper) -> dict[str, Any]:
    samples = round(model.window * audio.SAMPLE_RATE)
    return {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "processor_class": "WhisperProcessor",
        "feature_size": model.sizes.mels,
        "sampling_rate": audio.SAMPLE_RATE,
        "hop_length": 160,
        "n_fft": 400,
        "chunk_length": round(model.window),
        "n_samples": samples,
        "nb_max_frames": samples // 160,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": False,
    }


def _require_features(folder: Path, made: Mapping[str, Any]) -> None:
    """Refuse a published `preprocessor_config.json` of another model, which would make other features in silence."""
    file = folder / "preprocessor_config.json"
    found = read_json(file)
    found = found.get("feature_extractor", found)
    for name in ("feature_size", "sampling_rate", "hop_length", "n_fft", "chunk_length"):
        if found.get(name, made[name]) != made[name]:
            raise ModelError(
                f"preprocessor_config.json of the published folder: `{name}` is {found[name]}, but the model needs "
                f"{made[name]}; the folder mixes two models, copy it again."
            )


def _about_tokens(tokens: BytePairTokens) -> dict[str, Any]:
    listed = json.loads(tokens.data).get("added_tokens", [])
    names = ("content", "lstrip", "normalized", "rstrip", "single_word", "special")
    return {
        "added_tokens_decoder": {str(one["id"]): {name: one.get(name, False) for name in names} for one in listed},
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "errors": "replace",
        "model_max_length": 1024,
        "processor_class": "WhisperProcessor",
        "tokenizer_class": "WhisperTokenizer",
        **_special(tokens),
    }


def _special(tokens: BytePairTokens) -> dict[str, Any]:
    end = tokens.symbols[tokens.end]
    marks = [symbol for symbol in tokens.symbols[tokens.end :] if symbol.startswith("<|") and not _is_time(symbol)]
    return {
        **dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), end),
        "additional_special_tokens": marks,
    }


def _added(tokens: BytePairTokens) -> dict[str, int]:
    known = json.loads(tokens.data)["model"]["vocab"]
    listed = json.loads(tokens.data).get("added_tokens", [])
    return {one["content"]: one["id"] for one in listed if one["content"] not in known and not _is_time(one["content"])}


def _is_time(symbol: str) -> bool:
    return symbol.startswith("<|") and symbol[2:-2].replace(".", "").isdigit()


def _write(file: Path, value: Any, indent: int | None = 2) -> None:
    write_text(file, to_json(value, indent) + "\n")
