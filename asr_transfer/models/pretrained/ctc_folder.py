"""Opens folders of Transformers' CTC models: config, features, weights of old and new names, vocabulary, adapters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from asr_transfer import audio
from asr_transfer.data.inputs import Inputs, LasrMel, ParakeetMel, Waveform
from asr_transfer.errors import ConfigError, ModelError
from asr_transfer.models.pretrained.ctc_families import FAMILIES, CtcFamily, make_whole, plain_config
from asr_transfer.models.pretrained.ctc_weights import name_in, rows_of, with_whole_weights
from asr_transfer.models.pretrained.family import Pretrained, family
from asr_transfer.models.pretrained.json_files import read_feature_settings, read_json
from asr_transfer.models.pretrained.library import transformers
from asr_transfer.models.pretrained.tokenizer_files import languages_in, read_vocabulary
from asr_transfer.models.pretrained.transformers_ctc import TransformersCtc
from asr_transfer.models.pretrained.vocabulary import Vocabulary
from asr_transfer.models.pretrained.weights import fill, read_file, read_tensors
from asr_transfer.plain import checked

HEAD = "main"
"""Name of the head of a model that is of one language and does not say of which."""


def _heads(folder: Path, config: Mapping[str, Any]) -> list[str] | None:
    """Return the languages that there are adapters for, or the only head of what was published with one.

    The language that the folder says it is in is among them without one too, so that no other is taken in its place.
    """
    if languages := languages_in(folder):
        own = own_language(folder, config)
        return [name for name in languages if name == own or _adapter(folder, name) is not None]
    return [HEAD] if any("ForCTC" in str(name) for name in config.get("architectures") or ()) else None


def own_language(folder: Path, config: Mapping[str, Any]) -> str | None:
    """Return the language that a folder says it is in, of one with weights for several; None where it does not say."""
    about = folder / "tokenizer_config.json"
    found = config.get("target_lang") or (read_json(about) if about.is_file() else {}).get("target_lang")
    return found if isinstance(found, str) else None


@family("transformers-ctc", frozenset(FAMILIES), heads=_heads)
def open_folder(folder: Path, config: Mapping[str, Any]) -> Pretrained:
    """Open a folder as Transformers writes it; see `family.Family`. `target_lang` is the language that is asked for.

    Raises:
        ModelError: something is missing or damaged, or of a kind that is not known.
    """
    inputs = inputs_of(folder, config)
    return assemble(folder, config, read_tensors(folder), inputs)


def assemble(
    folder: Path,
    config: Mapping[str, Any],
    tensors: Mapping[str, torch.Tensor],
    inputs: Inputs,
    vocabulary: Vocabulary | None = None,
) -> Pretrained:
    """Make a model of a family's config, weights in its names, and what a folder says of its outputs.

    Args:
        folder: folder with the vocabulary; for messages.
        config: config of the family; `target_lang` is the language of one with adapters for several, and may be left
            out where the folder names one.
        tensors: weights by their names in the family.
        inputs: inputs of the model.
        vocabulary: vocabulary, where another file than the family's has it.

    Raises:
        ModelError: the config is impossible, weights are missing, or the vocabulary is of another model.
    """
    where = str(folder / "config.json")
    own = with_whole_weights(tensors)
    kind = FAMILIES[str(config["model_type"])]
    headed, language = f"{kind.head}.weight" in own, config.get("target_lang")
    if headed and vocabulary is None and languages_in(folder):
        language, own = _with_adapter(folder, kind, own, language)
    network = plain_config(config)
    if headed:
        network["vocab_size"] = rows_of(own[f"{kind.head}.weight"], f"{kind.head}.weight", str(folder))
    try:
        made, whole = make_whole(transformers(where), network, where)
    except ConfigError as error:
        raise ModelError(str(error)) from None
    matched = fill(whole, own, lambda name: name_in(name, made, own), str(folder), () if headed else (made.head,))
    heads: dict[str, Vocabulary] = {}
    if headed:
        pads = made.blank == "pad_token_id"
        found = vocabulary
        if found is None:
            row = config.get(made.blank, getattr(whole.config, made.blank, 0))
            blank = _blank(row, network["vocab_size"], f"{where}: `{made.blank}`")
            found = read_vocabulary(folder, blank, network["vocab_size"], language, pads)
        heads[found.language or HEAD] = found
    sizes = {name: len(one.tokens) for name, one in heads.items()}
    model = TransformersCtc(network, inputs, sizes, where, (made, whole))
    for name, one in heads.items():
        rows = torch.tensor(one.rows)
        head = whole.get_submodule(made.head)
        state = {key: tensor.detach()[rows].flatten(1 if key == "weight" else 0) for key, tensor in _own(head)}
        model.heads[name].load_state_dict(state)
        left = tuple(f"{made.head} of {symbol}" for symbol in one.left_out)
        matched = replace(matched, ignored=(*matched.ignored, *left))
    return Pretrained(model.eval(), {name: one.tokens for name, one in heads.items()}, matched)


def inputs_of(folder: Path, config: Mapping[str, Any]) -> Inputs:
    """Return what a folder's feature extractor computes.

    Args:
        folder: folder of the feature extractor's settings.
        config: config of the family.

    Raises:
        ModelError: its settings are missing where they decide, or others than can be computed.
    """
    try:
        return _inputs(*read_feature_settings(folder), config)
    except ConfigError as error:
        raise ModelError(f"{error} Copy the model again.") from None


def _inputs(file: Path, found: Mapping[str, Any], config: Mapping[str, Any]) -> Inputs:
    model_type, config_file = config.get("model_type"), str(file.with_name("config.json"))
    rate = checked(int, found.get("sampling_rate", audio.SAMPLE_RATE), str(file), "sampling_rate")
    if rate != audio.SAMPLE_RATE:
        raise ModelError(f"{file}: the model hears {rate} samples a second, but {audio.SAMPLE_RATE} are read.")
    if model_type in ("parakeet_ctc", "lasr_ctc"):
        windows = {"hop_length": 160, "n_fft": 512, "win_length": 400}
        if model_type == "parakeet_ctc":
            windows["preemphasis"] = 0.97  # type: ignore[assignment]
        for name, value in windows.items():
            if found.get(name, value) != value:
                raise ModelError(f"{file}: `{name}` is {found[name]!r}, but {value} is all that can be computed.")
        kind = ParakeetMel if model_type == "parakeet_ctc" else LasrMel
        encoder = checked(Mapping[str, Any], config.get("encoder_config", {}), config_file, "encoder_config")
        wanted = checked(int, encoder.get("num_mel_bins", kind.mels), config_file, "encoder_config.num_mel_bins")
        mels = checked(int, found.get("feature_size", wanted), str(file), "feature_size")
        if mels < 1 or mels != wanted:
            raise ModelError(
                f"{file}: `feature_size` is {mels}, but `num_mel_bins` in config.json {wanted}; the folder mixes two "
                "models, copy it again."
            )
        return kind(mels)
    floor = 1e-5 if model_type == "omniasr_ctc" else 1e-7
    normalised = checked(bool, found.get("do_normalize", True), str(file), "do_normalize")
    return Waveform(normalised=normalised, floor=floor)


def _blank(row: object, outputs: int, what: str) -> int:
    """Return the row of the blank, the first where nothing says it.

    Raises:
        ModelError: there is no such row.
    """
    if row is None:
        return 0
    if not isinstance(row, int) or isinstance(row, bool) or not 0 <= row < outputs:
        raise ModelError(
            f"{what} is {row!r}, but the blank is one of the model's outputs, 0 to {outputs - 1}; copy the model again."
        )
    return row


def _own(module: torch.nn.Module) -> list[tuple[str, torch.Tensor]]:
    return [(name, tensor) for name, tensor in module.state_dict().items() if name in ("weight", "bias")]


def _with_adapter(
    folder: Path, kind: CtcFamily, tensors: Mapping[str, torch.Tensor], language: str | None
) -> tuple[str, dict[str, torch.Tensor]]:
    """Return the language and the weights with its adapter and head in their places (Pratap et al. 2023)."""
    chosen = read_vocabulary(folder, 0, None, language, False).language
    assert chosen is not None
    file = _adapter(folder, chosen)
    if file is None:
        missing = folder / f"adapter.{chosen}.safetensors"
        there = [name for name in languages_in(folder) if _adapter(folder, name) is not None]
        others = f", or name a --language that has one ({', '.join(there[:8])})" if there else ""
        raise ModelError(f"{missing}: the adapter of {chosen} is missing; copy it into the folder{others}.")
    adapter = read_file(file)
    strangers = [name for name in adapter if name not in tensors]
    if strangers:
        raise ModelError(f"{file}: '{strangers[0]}' is no tensor of the model; take the adapter of this very model.")
    lacking = [name for name in tensors if name.startswith(f"{kind.head}.") or ".adapter_layer." in name]
    if lacking := [name for name in lacking if name not in adapter]:
        raise ModelError(f"{file}: '{lacking[0]}' is missing; take the adapter of this very model.")
    return chosen, {**tensors, **adapter}


def _adapter(folder: Path, language: str) -> Path | None:
    files = [folder / f"adapter.{language}.{ending}" for ending in ("safetensors", "bin")]
    return next((file for file in files if file.is_file()), None)
