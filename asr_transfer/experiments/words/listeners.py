"""Loads models that recognise a language through its head, or through the phones that they share with others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from asr_transfer.data.lexicon import Entry, Lexicon
from asr_transfer.data.manifest import checksum
from asr_transfer.data.tokens import spells_phones
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import DataError, ModelError
from asr_transfer.experiments.words.unseen import Words
from asr_transfer.models.attributes import PhoneModel
from asr_transfer.models.configuration import read_config
from asr_transfer.runs.record import read_record
from asr_transfer.training.phone_models import for_lexicon


def load_listener(path: Path, language: str, words: Words) -> Recogniser:
    """Load a model for words of a language, which it may never have heard; its own lexicon is left out.

    It listens through the head of that name. Without one, a model whose languages share their phones listens through
    those of the words' lexicon, and a model with a single head of phones through that one.

    Args:
        path: run or model folder.
        language: language of the words, or the name of another head.
        words: data whose lexica have the phones.

    Raises:
        ModelError: the folder is no model, or it has several heads and none of that name.
        DataError, ConfigError: the lexicon's phones are no IPA, which shared phones are.
    """
    folder = path / "model" if (path / "model").is_dir() else path
    if not folder.is_dir():
        return Recogniser.load(path, language)  # says what is wrong
    heads = list(read_config(folder)["heads"])
    recogniser = Recogniser.load(folder, language if language in heads else heads[0])
    if language not in heads and isinstance(recogniser.model, PhoneModel):
        entries: dict[tuple[str, tuple[str, ...]], Entry] = {}
        for entry in (*words.lexicon, *(words.by_rule or ())):
            entries.setdefault((entry.word, entry.phones), replace(entry, line=None))
        recogniser, _ = for_lexicon(recogniser, language, Lexicon(entries.values(), words.lexicon.source))
    elif language not in heads and (len(heads) > 1 or not spells_phones(recogniser.tokens.units)):
        raise ModelError(
            f"{path}: the model has no head '{language}' but {', '.join(heads)}, each with phones of its own; name one "
            "with --head, or train a model whose languages share their phones."
        )
    return replace(recogniser, lexicon=None, decoder=None)


def note_training(path: Path, words: Words, say: Callable[[str], None]) -> None:
    """Say where a model was not trained on the manifests by which it is judged what was heard."""
    try:
        known = read_record(path).get("data", {}).get("train", {})
    except DataError:
        return  # a model without a run
    if known.get("checksum") not in (None, checksum(words.train)):
        say(
            f"{path.name}: was trained on other utterances ({known.get('utterances')}) than the training manifests "
            f"hold ({len(words.train)}), by which the table says what was heard"
        )
