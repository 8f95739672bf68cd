"""Finds the files of words that an option means: one file for one language, or a folder of files named by language."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from asr_transfer.errors import ConfigError, DataError, nearest_hint
from asr_transfer.remarks import remark

ENDINGS = {"lexicon": ".txt", "hotwords": ".txt", "lm": ".arpa"}
"""Endings of the files by option: a folder holds `OPTION.LANGUAGE` with them, such as `lexicon.en.txt`."""
NAMED = 8
"""Languages that a line names."""


def file_of(option: str, path: Path | None, language: str) -> Path | None:
    """Return the file of one language that an option means; None where the option is not given.

    Args:
        option: name of the option, one of `ENDINGS`.
        path: file, or folder of files named by language.
        language: head that listens.

    Raises:
        DataError: the folder holds no file of the language.
    """
    if path is None or not path.is_dir():
        return path
    file = path / _name(option, language)
    if not file.is_file():
        held = _held(option, path)
        has = f"it has those of {_listed(held)}" if held else "it has none of any language"
        raise DataError(f"{path}: holds no {file.name} ({has}); write it there, or give --{option} a file.")
    return file


def files_of(option: str, path: Path | None, heads: Sequence[str]) -> dict[str, Path]:
    """Return the files of several languages that an option means, and say which languages of the folder are unknown.

    Args:
        option: name of the option, one of `ENDINGS`.
        path: folder of files named by language; None gives no files.
        heads: languages that the model knows.

    Raises:
        ConfigError: it is a file, whose language nothing says.
        DataError: there is no such folder, or it has no file of any of the languages.
    """
    if path is None:
        return {}
    example = _name(option, heads[0])
    if not path.is_dir():
        if not path.exists():
            raise DataError(f"{path}: there is no such folder; make it, with files named by language: {example} …")
        raise ConfigError(
            f"{path}: belongs to one language, but with --language auto there are several; give --{option} a folder of "
            f"files named by language, such as {example}, or name the language."
        )
    held = _held(option, path)
    found = {language: path / _name(option, language) for language in held if language in heads}
    if not found:
        raise DataError(
            f"{path}: holds no file of a language that the model knows ({_listed(heads)}); name the files by "
            f"language, such as {example}."
        )
    for language in held:
        if language not in heads:
            hint = nearest_hint(language, heads)
            remark(f"{path / _name(option, language)}: not used, for the model has no language '{language}'.{hint}")
    return found


def say_without(option: str, path: Path, lacking: Sequence[str], what: str) -> None:
    """Say what becomes of the languages that a folder has no file for."""
    if lacking:
        remark(f"{path}: has no {_name(option, 'LANGUAGE')} for {_listed(lacking)}, {what}")


def _name(option: str, language: str) -> str:
    return f"{option}.{language}{ENDINGS[option]}"


def _held(option: str, folder: Path) -> list[str]:
    """Return the languages of which a folder has files, sorted."""
    start, end = f"{option}.", ENDINGS[option]
    names = (path.name for path in folder.iterdir() if path.is_file())
    return sorted(
        name[len(start) : -len(end)]
        for name in names
        if name.startswith(start) and name.endswith(end) and len(name) > len(start) + len(end)
    )


def _listed(languages: Sequence[str]) -> str:
    more = f" and {len(languages) - NAMED} more" if len(languages) > NAMED else ""
    return ", ".join(languages[:NAMED]) + more
