"""Opens published folders of Whisper, encoder, decoder and tokenizer; knows the names that weights have there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from asr_transfer.data.byte_pairs import BytePairTokens
from asr_transfer.errors import ConfigError, DataError, ModelError
from asr_transfer.models.adapters import base_state
from asr_transfer.models.pretrained.family import Pretrained, family
from asr_transfer.models.pretrained.json_files import read_json
from asr_transfer.models.pretrained.weights import fill, read_tensors
from asr_transfer.models.pretrained.whisper import Whisper
from asr_transfer.plain import checked

GENERATION = "generation_config.json"
HEAD = "text"
"""Name of the head, one for all languages."""

_ENCODER = {"mels": "num_mel_bins", "dim": "d_model", "layers": "encoder_layers", "heads": "encoder_attention_heads"}
_ENCODER |= {"feed_forward": "encoder_ffn_dim", "positions": "max_source_positions"}
_DECODER = {"layers": "decoder_layers", "heads": "decoder_attention_heads", "feed_forward": "decoder_ffn_dim"}
_DECODER |= {"tokens": "vocab_size", "positions": "max_target_positions"}
_RENAMED = {
    "encoder.conv": "encoder.front.conv",
    "encoder.embed_positions.weight": "encoder.front.positions",
    "encoder.layer_norm.": "encoder.norm.",
    "decoder.layer_norm.": "decoder.norm.",
    "decoder.embed_positions.weight": "decoder.embedding.positions",
    "decoder.embed_tokens.": "decoder.embedding.tokens.",
}


@family("Whisper", frozenset({"whisper"}), "cross-entropy")
def open_whisper(folder: Path, config: Mapping[str, Any]) -> Pretrained:
    """Open a Whisper folder, its tokenizer with it.

    Raises:
        ModelError: Something is missing, damaged, or computed otherwise than here.
    """
    where = str(folder / "config.json")
    for name, known in (("activation_function", "gelu"), ("scale_embedding", False)):
        if config.get(name, known) != known:
            raise ModelError(f"{where}: `{name}` is {config[name]!r}, but only {known!r} can be computed.")
    encoder, decoder = ({own: config[n] for own, n in names.items() if n in config} for names in (_ENCODER, _DECODER))
    try:
        heads = {HEAD: checked(int, config.get("vocab_size"), where, "vocab_size")}
        tokens = _tokens(folder, config, heads[HEAD])
        decoder["prompt"] = len(tokens.prompt(next(iter(tokens.languages), None)))
        decoder["alignment"] = _generation(folder).get("alignment_heads") or ()
        model = Whisper.from_plain({"encoder": encoder, "decoder": decoder}, heads, where)
    except ConfigError as error:
        raise ModelError(f"{error} Copy the model again.") from None
    matched = fill(model, read_tensors(folder), _name, str(folder))
    return Pretrained(model.eval(), {HEAD: tokens}, matched)


def _tokens(folder: Path, config: Mapping[str, Any], size: int) -> BytePairTokens:
    file, generation = folder / "tokenizer.json", folder / GENERATION
    if not file.is_file():
        raise ModelError(
            f"{file}: the tokenizer is missing; copy it from where the model is from, or save it there with "
            "Transformers' `WhisperTokenizerFast`."
        )
    rules = {**config, **_generation(folder)}
    try:
        never, first = (
            checked(tuple[int, ...], rules.get(name) or (), str(generation), name)
            for name in ("suppress_tokens", "begin_suppress_tokens")
        )
        return BytePairTokens(file.read_bytes(), size, never, first)
    except (ConfigError, DataError) as error:
        raise ModelError(f"{folder}: {error}") from None


def _generation(folder: Path) -> dict[str, Any]:
    file = folder / GENERATION
    return read_json(file) if file.is_file() else {}


def published_name(name: str) -> str:
    """Return the name in published folders of a tensor or module here: `encoder.norm.bias` is
    `model.encoder.layer_norm.bias`.
    """
    for there, here in _RENAMED.items():
        if name.startswith(here):
            return f"model.{there}{name.removeprefix(here)}"
    return f"model.{name}"


def published_tensors(model: Whisper) -> dict[str, torch.Tensor]:
    """Return the weights of a model by the names that published folders have them under."""
    return {published_name(name): tensor.detach().cpu() for name, tensor in base_state(model).items()}


def published_sizes(model: Whisper) -> dict[str, Any]:
    """Return the sizes of a model by the names that a published `config.json` has them under."""
    return {
        **{there: getattr(model.sizes, own) for own, there in _ENCODER.items()},
        **{there: getattr(model.decoder_sizes, own) for own, there in _DECODER.items()},
    }


def _name(name: str) -> str | None:
    """Return the name here of a tensor there: `model.encoder.conv1.weight` is `encoder.front.conv1.weight`."""
    name = name.removeprefix("model.")
    if name.startswith("proj_out."):
        return None  # the embedding once more
    for there, here in _RENAMED.items():
        if name.startswith(there):
            return here + name.removeprefix(there)
    return name
