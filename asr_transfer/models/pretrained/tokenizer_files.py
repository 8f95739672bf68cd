"""Reads the tokenizers of published CTC models: `vocab.json`, of one language or many, and `tokenizer.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from asr_transfer.errors import ConfigError, ModelError, nearest_hint
from asr_transfer.models.pretrained.json_files import read_json
from asr_transfer.models.pretrained.vocabulary import SPECIAL, Vocabulary, arranged
from asr_transfer.plain import checked

_NAMES = ("unk_token", "bos_token", "eos_token", "pad_token", "cls_token", "sep_token", "mask_token")

UNNAMED, UNNAMED_SHARE = 4, 0.1
"""Outputs that no symbol may name, the greater of a number and a share of all: vocabularies are filled up to round
numbers, and marks such as `<s>` are sometimes left out of them. More of them are the outputs of another model."""


def read_vocabulary(
    folder: Path, blank: int, outputs: int | None = None, language: str | None = None, pads: bool = True
) -> Vocabulary:
    """Read `vocab.json` or `tokenizer.json` and what stands beside it.

    Args:
        folder: folder of the model.
        blank: row of the blank.
        outputs: number of rows; None where the vocabulary decides it.
        language: language whose vocabulary is wanted, of several; None for the one that the folder names.
        pads: whether the blank is the token that the tokenizer pads with.

    Raises:
        ModelError: there is no vocabulary, it is damaged, of another model, or of a kind that cannot be read.
    """
    scores: dict[str, float] = {}
    merges = False
    about = read_json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    if (folder / "vocab.json").is_file():
        file = folder / "vocab.json"
        found, language = _of_language(file, read_json(file), about, language)
        indices = _indices(file, found)
    elif (folder / "tokenizer.json").is_file():
        file = folder / "tokenizer.json"
        indices, scores, merges = _pieces(file, read_json(file))
    else:
        raise ModelError(
            f"{folder}: holds no vocabulary (vocab.json or tokenizer.json), so that nobody knows what the model's "
            "outputs mean; copy its tokenizer's files into the folder."
        )
    special = _special(folder, about)
    for name, index in _added(folder).items():
        indices.setdefault(name, index)
        special.add(name)
    padding = _text(about.get("pad_token", "<pad>"))
    if pads and indices.get(padding, blank) != blank:
        raise ModelError(
            f"{file}: {padding} has the index {indices[padding]}, but the blank in config.json (`pad_token_id`) is "
            f"{blank}; the folder mixes two models, copy it again."
        )
    delimiter = _text(about.get("word_delimiter_token", "|"))
    if outputs is not None:
        largest = max((index for name, index in indices.items() if name not in special), default=-1)
        if max(blank, largest) >= outputs:
            raise ModelError(
                f"{file}: has {largest + 1} entries, but the model {outputs} outputs; the folder mixes two models, "
                "copy it again."
            )
        named = {blank, *indices.values(), *_decoded(about)}
        unnamed = sum(index not in named for index in range(outputs))
        if unnamed > max(UNNAMED, UNNAMED_SHARE * outputs):
            raise ModelError(
                f"{file}: names {outputs - unnamed} of the model's {outputs} outputs and says nothing of the others; "
                "the folder mixes two models, copy it again."
            )
    spoken = "Phoneme" in str(about.get("tokenizer_class", ""))
    own = arranged(file, indices, blank, delimiter, special, scores, merges, "phones" if spoken else "characters")
    return replace(own, language=language)


def languages_in(folder: Path) -> list[str]:
    """Return the languages that `vocab.json` has vocabularies of, [] where it is one for all."""
    file = folder / "vocab.json"
    found = read_json(file) if file.is_file() else {}
    return [name for name, own in found.items() if isinstance(own, Mapping)]


def _of_language(
    file: Path, found: Mapping[str, Any], about: Mapping[str, Any], language: str | None
) -> tuple[Mapping[str, Any], str | None]:
    """Return the vocabulary of a language, and its name where there are several."""
    languages = [name for name, own in found.items() if isinstance(own, Mapping)]
    if not languages:
        return found, None
    chosen = language or about.get("target_lang") or (languages[0] if len(languages) == 1 else None)
    if chosen not in languages:
        listed = ", ".join(languages[:8]) + (f" and {len(languages) - 8} more" if len(languages) > 8 else "")
        hint = f" '{chosen}' is none of them.{nearest_hint(str(chosen), languages)}" if chosen else ""
        raise ModelError(f"{file}: has vocabularies of {listed}.{hint} Say which with --language.")
    return found[chosen], chosen


def _indices(file: Path, found: Mapping[str, Any]) -> dict[str, int]:
    if not all(isinstance(index, int) and not isinstance(index, bool) and index >= 0 for index in found.values()):
        raise ModelError(f"{file}: must have a whole number for every symbol; copy the tokenizer's files again.")
    if len(set(found.values())) != len(found):
        raise ModelError(f"{file}: has the same number for two symbols; copy the tokenizer's files again.")
    return dict(found)


def _pieces(file: Path, found: Mapping[str, Any]) -> tuple[dict[str, int], dict[str, float], bool]:
    """Return indices and scores of the pieces of a fast tokenizer, and whether texts are spelled by merging."""
    model = found.get("model")
    kind = model.get("type") if isinstance(model, Mapping) else None
    if kind not in ("BPE", "Unigram") or '"ByteLevel"' in str(found.get("pre_tokenizer")).replace("'", '"'):
        raise ModelError(
            f"{file}: the tokenizer is of a kind ({kind}) that cannot be read; known are BPE and Unigram over "
            "characters, not bytes."
        )
    assert isinstance(model, Mapping)
    added = {one.content: one.row for one in _added_to(file, found)}
    try:
        if kind == "Unigram":
            listed: tuple[tuple[str, float], ...] = checked(
                tuple[tuple[str, float], ...], model.get("vocab"), str(file), "model.vocab"
            )
            indices = {piece: index for index, (piece, _) in enumerate(listed)}
            return _indices(file, {**indices, **added}), {**dict.fromkeys(added, 0.0), **dict(listed)}, False
        own = _indices(file, checked(Mapping[str, int], model.get("vocab"), str(file), "model.vocab"))
        pairs = _merges(file, model.get("merges", []))
    except ConfigError as error:
        raise ModelError(f"{error} Copy the tokenizer's files again.") from None
    ranks = {"".join(pair): -float(number) for number, pair in reversed(list(enumerate(pairs)))}
    found_in = _indices(file, {**own, **added})
    return found_in, {piece: ranks.get(piece, -float(len(ranks)) - 1) for piece in found_in}, True


def _merges(file: Path, found: Any) -> list[tuple[str, ...]]:
    """Return the pairs that are merged, which are written as lists, or as texts with a space between the two."""
    pairs = [
        one.split(" ") if isinstance(one, str) else one for one in checked(list[Any], found, str(file), "model.merges")
    ]
    rows: list[tuple[str, ...]] = checked(list[tuple[str, str]], pairs, str(file), "model.merges")
    return rows


class _Added(NamedTuple):
    """A token that is added to a fast tokenizer's own.

    Attributes:
        content: its text.
        row: row that it has.
        special: whether it stands in no text.
    """

    content: str
    row: int
    special: bool


def _added_to(file: Path, found: Mapping[str, Any]) -> list[_Added]:
    """Return the tokens that `tokenizer.json` adds.

    Raises:
        ModelError: one of them is damaged.
    """
    where, name = str(file), "added_tokens"
    try:
        listed = [
            checked(Mapping[str, Any], one, where, f"{name}[{number}]")
            for number, one in enumerate(checked(list[Any], found.get(name, []), where, name))
        ]
        return [
            _Added(
                checked(str, one.get("content"), where, f"{name}[{number}].content"),
                checked(int, one.get("id"), where, f"{name}[{number}].id"),
                checked(bool, one.get("special", False), where, f"{name}[{number}].special"),
            )
            for number, one in enumerate(listed)
        ]
    except ConfigError as error:
        raise ModelError(f"{error} Copy the tokenizer's files again.") from None


def _special(folder: Path, about: Mapping[str, Any]) -> set[str]:
    """Return the symbols that stand in no text."""
    mapped = folder / "special_tokens_map.json"
    sources = [about, read_json(mapped) if mapped.is_file() else {}]
    found = {_text(source[name]) for source in sources for name in _NAMES if source.get(name)}
    found |= {_text(one) for one in _decoded(about).values() if one.get("special")}
    fast = folder / "tokenizer.json"
    if fast.is_file():
        found |= {one.content for one in _added_to(fast, read_json(fast)) if one.special}
    return (found | SPECIAL) - {_text(about.get("word_delimiter_token", "|"))}


def _decoded(about: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    """Return the tokens that `tokenizer_config.json` adds, by the rows that it gives them."""
    decoder = about.get("added_tokens_decoder")
    listed = decoder.items() if isinstance(decoder, Mapping) else ()
    return {int(row): one for row, one in listed if row.isdecimal() and isinstance(one, Mapping)}


def _added(folder: Path) -> dict[str, int]:
    file = folder / "added_tokens.json"
    return _indices(file, read_json(file)) if file.is_file() else {}


def _text(token: Any) -> str:
    """Return a token that is written as a text, or as a mapping with its `content`."""
    return str(token.get("content", "")) if isinstance(token, Mapping) else str(token or "")
