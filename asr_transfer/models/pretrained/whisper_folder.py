"""Opens published folders of Whisper, encoder, decoder and tokenizer; knows the names that weights have there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from asr_transfer import textfiles
from asr_transfer.data.byte_pairs import BytePairTokens
from asr_transfer.errors import ConfigError, DataError, ModelError
from asr_transfer.models.adapters import base_state
from asr_transfer.models.pretrained.family import Pretrained, family
from asr_transfer.models.pretrained.json_files import read_json
from asr_transfer.models.pretrained.weights import fill, read_tensors
from asr_transfer.models.pretrained.whisper import Whisper
from asr_transfer.models.pretrained.whisper_decoder_layers import DecoderSizes
from asr_transfer.models.pretrained.whisper_published import DECODER, ENCODER, as_published, require_features
from asr_transfer.plain import checked

GENERATION = "generation_config.json"
HEAD = "text"
"""Name of the head, one for all languages."""

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
    encoder, decoder = ({own: config[n] for own, n in names.items() if n in config} for names in (ENCODER, DECODER))
    generation = folder / GENERATION
    try:
        heads = {HEAD: checked(DecoderSizes, decoder, where, "decoder").tokens}
        require_features(folder, config)
        tokens = _tokens(folder, config, heads[HEAD])
        decoder["prompt"] = len(tokens.prompt(next(iter(tokens.languages), None)))
        alignment = _generation(folder).get("alignment_heads") or ()
        decoder["alignment"] = checked(tuple[tuple[int, int], ...], alignment, str(generation), "alignment_heads")
        model = Whisper.from_plain({"encoder": encoder, "decoder": decoder}, heads, where)
    except ConfigError as error:
        raise ModelError(f"{as_published(str(error))} Copy the model again.") from None
    matched = fill(model, read_tensors(folder), _name, str(folder))
    return Pretrained(model.eval(), {HEAD: tokens}, matched)


def _tokens(folder: Path, config: Mapping[str, Any], size: int) -> BytePairTokens:
    file, generation = folder / "tokenizer.json", folder / GENERATION
    if not file.is_file():
        raise ModelError(
            f"{file}: the tokenizer is missing; copy it from where the model is from, or save it there with "
            "Transformers' `WhisperTokenizerFast`."
        )
    own = _generation(folder)
    never, first = (
        _suppressed(str(generation), own.get(name), name, size)
        if name in own
        else _suppressed(str(folder / "config.json"), config.get(name), name, size)
        for name in ("suppress_tokens", "begin_suppress_tokens")
    )
    if len({*never, *first}) == size:
        raise ModelError(
            f"{generation}: `suppress_tokens` and `begin_suppress_tokens` leave no token that a text could begin with; "
            "copy the model again."
        )
    try:
        tokens = BytePairTokens(textfiles.read_bytes(file, "copy the model again"), size, never, first)
    except DataError as error:
        raise ModelError(str(error) if str(error).startswith(str(file)) else f"{file}: {error}") from None
    if len(tokens) > size:
        raise ModelError(
            f"{file}: has the token '{tokens.symbols[-1]}' at {len(tokens) - 1}, but `vocab_size` in config.json is "
            f"{size}; the folder mixes two models, copy it again."
        )
    return tokens


def _suppressed(where: str, found: Any, name: str, size: int) -> tuple[int, ...]:
    """Return the tokens that a field forbids; -1 stands for none of its own, as in OpenAI's program.

    Raises:
        ConfigError: it is no list of numbers.
        ModelError: one of them is no token.
    """
    tokens: tuple[int, ...] = checked(tuple[int, ...], found or (), where, name)
    if strangers := [token for token in tokens if not -1 <= token < size]:
        raise ModelError(
            f"{where}: `{name}` holds {strangers[0]}, but `vocab_size` in config.json is {size}; the folder mixes two "
            "models, copy it again."
        )
    return tuple(token for token in tokens if token >= 0)


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
        **{there: getattr(model.sizes, own) for own, there in ENCODER.items()},
        **{there: getattr(model.decoder_sizes, own) for own, there in DECODER.items()},
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
