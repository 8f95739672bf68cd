"""Finds the head that a command works with, where a model has one for each of several languages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from asr_transfer.commands.options import Say
from asr_transfer.commands.profile_folders import open_profile
from asr_transfer.commands.profile_on_model import load_with_profile, require_head
from asr_transfer.commands.speech import named_as, read_speech
from asr_transfer.data.features import build_store
from asr_transfer.data.manifest import UNKNOWN, Utterance, names_language
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.folder import heads_in, model_folder
from asr_transfer.decoding.identify import identify
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError, DataError, ModelError, nearest_hint
from asr_transfer.language_codes import is_code, same_language
from asr_transfer.models.configuration import LAST_LANGUAGE, read_config
from asr_transfer.models.pretrained.ctc_folder import own_language
from asr_transfer.models.pretrained.door import CONFIG, is_foreign
from asr_transfer.models.pretrained.json_files import read_json

AUTO = "auto"
"""Asks for the language to be found out."""

SURE = 0.5
"""Share of a folder's recordings that must be taken for one language, and more than it, for all to be in it."""


ASKED = 20
"""Recordings that are listened to for their language, of a model that is slow to hear."""


def require_a_head(model: Path, heads: Sequence[str]) -> None:
    """Refuse a bare encoder.

    Raises:
        ModelError: the model has no head.
    """
    if not heads:
        raise ModelError(f"{model}: knows no language yet; teach it one with `asr-transfer learn --model {model}`.")


def find_head(
    model: Path,
    language: str | None,
    say: Say,
    *,
    profile: Path | None = None,
    data: Path | None = None,
    speaker: str | None = None,
) -> str:
    """Return the head of a model that a command is to work with.

    It is the one that is named, else that of the profile, else the only one of the model, else that of the only
    language of a manifest, else the one that the model was taught or adapted in last, or that a published folder says
    it is in, which is said. An only head that does not say its language is taken for any that is named. For recordings
    that nothing says the language of, as in most folders, `auto` takes the one that most of them are identified as,
    and says so.

    Args:
        model: model folder, or the run folder of `train`.
        language: name of the head, `auto` or None.
        say: function that prints a line.
        profile: profile that is put on the model; None for none.
        data: manifest or folder that the command reads; None where that says nothing.
        speaker: name of the only speaker whose utterances of a manifest count.

    Raises:
        ConfigError: no head can be told, or the model knows one language only and it should be found out.
        ModelError: a folder is no model or profile, the model lacks the head, or the profile is of another one.
        DataError: the recordings cannot be read, are in several languages or in none that the model knows.
    """
    heads = heads_in(model)
    require_a_head(model, heads)
    own = open_profile(profile) if profile is not None else None
    if language not in (None, AUTO):
        if (named := same_language(language, heads)) != language:
            say(f"{model}: its head '{named}' is the one of the language '{language}'")
            language = named
        if _is_of(language, heads):
            say(f"{model}: its head '{heads[0]}', which does not say its language, is taken for '{language}'")
            language = heads[0]
        require_named(model, language, heads)
        if own is not None:
            require_head(own, language)
        return language
    if language == AUTO and len(heads) < 2:
        raise ConfigError(f"{model}: knows the language '{heads[0]}' only; leave --language out.")
    if own is not None and own.facts.head in heads:
        return own.facts.head
    if len(heads) < 2:
        return heads[0]
    if own is not None:
        what = f"and {own.folder} does not say which it is of"
        raise ModelError(f"{model}: the model has the heads {', '.join(heads)} {what}; say which with --language.")
    found = None if data is None else _of_speech(model, data, speaker, language, heads, say)
    if found is not None:
        return found
    last, why = last_language(model)
    if last in heads:
        say(f"{model}: taken in '{last}', {why}; --language names another")
        return last
    what = "" if data is None else f", and {data} does not say its language"
    how = "" if data is None else ", or `--language auto` to have it identified"
    raise ModelError(f"{model}: the model has the heads {', '.join(heads)}{what}; say which with --language{how}.")


def last_language(model: Path) -> tuple[str | None, str]:
    """Return the head that a model was last taught or adapted in, None where its folder does not say, and what it is.

    Of a published folder it is the language that its makers name there.

    Args:
        model: model folder, or a run folder with one.

    Raises:
        ModelError: the folder is no model, or is damaged.
    """
    path = model_folder(model)
    if is_foreign(path):
        file = path / CONFIG
        own = own_language(path, read_json(file)) if file.is_file() else None
        return own, "which its folder says (`target_lang`)"
    found = read_config(path)["origin"].get(LAST_LANGUAGE)
    return found if isinstance(found, str) else None, "which it was taught or adapted in last"


def _is_of(language: str, heads: Sequence[str]) -> bool:
    """Return whether a language may be that of a model's only head, which does not say its own."""
    return len(heads) == 1 and not is_code(heads[0]) and is_code(language)


def require_named(model: Path, language: str, heads: Collection[str]) -> None:
    """Refuse a name that is no head of a model.

    Raises:
        ConfigError: it is no code of a language.
        ModelError: the model lacks it.
    """
    if language in heads:
        return
    if not names_language(language):
        raise ConfigError(
            f"`language` is '{language}', which is no code such as en, cmn or pt-BR; "
            f"the model {model} has the heads {', '.join(heads)}."
        )
    if len(heads) == 1:
        only = next(iter(heads))
        raise ModelError(
            f"{model}: the model has no head '{language}', only '{only}'; leave --language out to take that."
        )
    raise ModelError(f"{model}: the model has no head '{language}'.{nearest_hint(language, heads)}")


def in_language(
    utterances: Sequence[Utterance], head: str, heads: Collection[str], path: Path, say: Say
) -> list[Utterance]:
    """Return utterances without those that are in the language of another head of the model, which is said.

    Args:
        utterances: speech that was read.
        head: head that the command works with.
        heads: names of all heads of the model.
        path: manifest or folder that the utterances are from, for messages.
        say: function that prints a line.

    Raises:
        DataError: all of them are.
    """
    utterances = named_as(utterances, heads)
    left = [u for u in utterances if u.language == head or u.language not in heads]
    others = sorted({u.language for u in utterances} & set(heads) - {head})
    if utterances and not left:
        raise DataError(
            f"{path}: its utterances are in {', '.join(others)}, but the head is '{head}'; "
            "name another --language, or give recordings of this one."
        )
    if others:
        count = len(utterances) - len(left)
        say(f"{path}: {count} utterances in {', '.join(others)} are left out, for the head is '{head}'")
    return left


def _of_speech(
    model: Path, data: Path, speaker: str | None, language: str | None, heads: Sequence[str], say: Say
) -> str | None:
    """Return the only language that a manifest, or the table of a folder, names; else what is identified, if asked.

    None where nothing is named, nor asked for.
    """
    read = read_speech(data, "", "kept", labelled=False)
    utterances = named_as([u for u in read if speaker in (None, u.speaker)], heads)
    whose = f" of speaker '{speaker}'" if speaker is not None else ""
    if not utterances:
        raise DataError(f"{data}: there is no utterance{whose}; correct --speaker.")
    found = sorted({u.language for u in utterances} - {"", UNKNOWN["language"]})
    if len(found) > 1:
        raise DataError(
            f"{data}: the utterances{whose} are in {', '.join(found)}; name the one that is meant with --language."
        )
    if found and found[0] in heads:
        return found[0]
    if language == AUTO:
        return _identified(model, data, utterances, heads, say)
    if found:
        raise DataError(
            f"{data}: the utterances{whose} are in '{found[0]}', of which the model {model} has no head; "
            f"name one of its heads {', '.join(heads)} with --language."
        )
    return None


def _identified(model: Path, data: Path, utterances: Sequence[Utterance], heads: Sequence[str], say: Say) -> str:
    """Return the language that most recordings are taken for, by the model as it is on disk."""
    recogniser = load_with_profile(model, None, heads[0])
    found = identify(recogniser, Spoken(utterances, build_store(utterances, recogniser.model.inputs)))
    return _of_most([name for name, _ in found], data, say)


def heard_language(recogniser: Recogniser, data: Path, utterances: Sequence[Utterance], say: Say) -> str:
    """Return the language that most recordings are taken for by a model that writes many through one head.

    Of more than `ASKED` recordings so many are listened to, from all over them.

    Raises:
        DataError: they are taken for several languages.
    """
    chosen = utterances[:: max(1, len(utterances) // ASKED)][:ASKED]
    spoken = Spoken(chosen, build_store(chosen, recogniser.model.inputs))
    return _of_most(recogniser.languages_heard(spoken), data, say)


def _of_most(found: Sequence[str], data: Path, say: Say) -> str:
    ranked = Counter(found).most_common()
    counts = ", ".join(f"{name} {count}" for name, count in ranked)
    best, most = ranked[0]
    if most <= SURE * len(found):
        raise DataError(
            f"{data}: its {len(found)} recordings are taken for several languages ({counts}), for none of them more "
            "than half; name the right one with --language."
        )
    say(
        f"{data}: taken to be in '{best}', as {most} of {len(found)} recordings ({100 * most / len(found):.0f} %); "
        "--language names another"
    )
    return best
