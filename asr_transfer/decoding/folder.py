"""Reads what a recogniser's folder holds beside the weights: its heads, their tokens, and how it listens."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.settings import SutaConfig
from asr_transfer.errors import ConfigError, ModelError, nearest_hint
from asr_transfer.fetched import PRETRAINED
from asr_transfer.models.configuration import read_config, readable
from asr_transfer.models.contract import SequenceModel, SpeechModel, find_kind
from asr_transfer.models.folder import load_model
from asr_transfer.models.kinds import PLAIN
from asr_transfer.models.pretrained.door import CONFIG, criterion_of, is_foreign, pretrained_heads
from asr_transfer.models.pretrained.hub import local_folder
from asr_transfer.models.pretrained.speechbrain_folder import SETTINGS
from asr_transfer.models.replacing import restore
from asr_transfer.plain import checked, from_plain

OFFSETS = "language_offsets"
"""Where a model folder's `config.yaml` keeps the offsets, below `origin`."""

_CONFIGS = ("config.yaml", CONFIG, SETTINGS)
"""One of these stands in every model folder."""
_ADAPTER = "adapter_config.json"
_WHISPER = re.compile(r"whisper-(tiny|base|small|medium|large)[\w.-]*")


def model_folder(folder: str | Path) -> Path:
    """Return a model folder, the `model` folder of a run folder, or that of a model on the hub, fetched if need be.

    Raises:
        ModelError: there is no such folder, or it may not be read.
    """
    path = local_folder(folder)
    if path.is_file():
        raise ModelError(
            f"{path}: is a file, and a model is a folder that `train`, `learn` or `adapt` wrote; give that"
            + (f", perhaps {path.parent}." if any((path.parent / name).is_file() for name in _CONFIGS) else ".")
        )
    restore(path)
    restore(path / "model")
    if not path.is_dir():
        raise ModelError(f"{path}: there is no such model folder{_instead(path)}")
    with readable(path):
        if (path / _ADAPTER).is_file() and not any((path / name).is_file() for name in _CONFIGS):
            raise ModelError(
                f"{path}: holds an adapter ({_ADAPTER}) and not the model that it belongs to; merge both with peft's "
                "`merge_and_unload`, save that with `save_pretrained`, and give the folder that this writes."
            )
        if not (path / "config.yaml").is_file() and (path / "model").is_dir():
            path = path / "model"
    return path


def _instead(path: Path) -> str:
    """Return the end of a sentence that says of what is no folder where models are to be had."""
    if path.name != str(path):
        return "; correct the path, or make one with `asr-transfer train` or `adapt`."
    published = _WHISPER.fullmatch(path.name) is not None
    example = f"openai/{path}" if published else "openai/whisper-small"
    hint = "" if published else nearest_hint(path.name, PRETRAINED)
    return (
        f"; make one with `asr-transfer train` or `adapt`, give a model of the hub by its whole name, such as "
        f"`{example}`, or get one with `asr-transfer fetch {PRETRAINED[0]}`.{hint if 'Did you' in hint else ''}"
    )


def heads_in(folder: str | Path) -> list[str]:
    """Return the names of the heads of the model in a folder, without its weights where the folder tells them.

    Raises:
        ModelError: the folder is no model, is damaged, or holds a published encoder that has no head.
    """
    path = model_folder(folder)
    if is_foreign(path):
        names = pretrained_heads(path)
        if not names:
            raise bare(path)
        return names
    return _described_heads(read_config(path)) or load_model(path).head_names()


def speaks_many(folder: str | Path) -> bool:
    """Return whether the model in a folder writes texts of many languages through one head, token after token.

    Raises:
        ModelError: the folder is no model, or is damaged.
    """
    path = model_folder(folder)
    if is_foreign(path):
        return criterion_of(path) == "cross-entropy"
    kind = read_config(path).get("kind", PLAIN)
    return issubclass(find_kind(kind, str(path / "config.yaml")), SequenceModel)


def _described_heads(plain: Mapping[str, Any]) -> list[str]:
    """Return the heads that a model's description names, those of a column's base behind its own."""
    base = plain.get("base")
    return [*(plain.get("heads") or ()), *(_described_heads(base) if isinstance(base, Mapping) else ())]


def bare(path: Path) -> ModelError:
    """Return what is wrong with an encoder that has no head."""
    return ModelError(
        f"{path}: is an encoder that no language was learnt on; teach it one with `asr-transfer learn`, and give the "
        "model that this writes."
    )


def one_of(names: Sequence[str], head: str | None, path: Path) -> str:
    """Return the head that is asked for, or the only one.

    Args:
        names: Names of the model's heads.
        head: Name of the one that is asked for; None for the only one.
        path: Folder of the model.

    Raises:
        ModelError: there is none of that name, or none is named and there are several.
    """
    if head is None and len(names) > 1:
        raise ModelError(f"{path}: the model has the heads {', '.join(names)}; say which with --language.")
    if head is not None and head not in names:
        raise ModelError(f"{path}: the model has no head '{head}'.{nearest_hint(head, names)}")
    return head or names[0]


def file_of(what: str, head: str, heads: Sequence[str]) -> str:
    """Return the name of a head's token file or lexicon: `tokens.txt` for the only head, else `tokens.HEAD.txt`.

    Subwords write their SentencePiece model beside it, see `tokens.model_file`.
    """
    return f"{what}.txt" if len(heads) == 1 else f"{what}.{head}.txt"


def read_test_time(path: Path, origin: Mapping[str, Any]) -> SutaConfig | None:
    """Return the settings by which a model adapts to each utterance; None where it does not.

    Args:
        path: folder of the model.
        origin: `origin` in its `config.yaml`.

    Raises:
        ModelError: they are damaged.
    """
    if (plain := origin.get("test_time")) is None:
        return None
    try:
        return from_plain(SutaConfig, plain, f"{path / 'config.yaml'}: `origin.test_time`")
    except ConfigError as error:
        raise ModelError(str(error)) from None


def read_offsets(path: Path, origin: Mapping[str, Any], heads: Sequence[str]) -> dict[str, float]:
    """Return the offset of every head, with which languages are told apart; empty where there are none.

    Args:
        path: folder of the model.
        origin: `origin` in its `config.yaml`.
        heads: names of its heads.

    Raises:
        ModelError: they are damaged.
    """
    file = path / "config.yaml"
    try:
        offsets: dict[str, float] = checked(Mapping[str, float] | None, origin.get(OFFSETS), str(file), OFFSETS) or {}
    except ConfigError:
        offsets = {"": math.inf}
    if offsets and (set(offsets) != set(heads) or not all(map(math.isfinite, offsets.values()))):
        raise ModelError(
            f"{file}: `{OFFSETS}` must have a number for each of {', '.join(heads)} and nothing else; "
            "take it out, then languages are told apart without, or copy the model again."
        )
    return offsets


def read_tokens(path: Path, model: SpeechModel, head: str) -> Tokens:
    """Return the tokens of a head.

    Raises:
        ModelError: their file is missing or damaged, or has not as many as the head has outputs.
    """
    file = path / file_of("tokens", head, model.head_names())
    tokens = Tokens.load(file)
    if model.head(head).out_features != len(tokens):
        raise ModelError(
            f"{path}: {file.name} lists {len(tokens)} tokens but the head '{head}' has "
            f"{model.head(head).out_features} outputs; the folder mixes two models, copy it again."
        )
    return tokens
