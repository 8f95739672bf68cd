"""Checks what options are given: the YAML files that `--config` names, and values that no YAML can hold."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import get_loader, set_loader

from asr_transfer import textfiles
from asr_transfer.errors import ConfigError, DataError

OPTION = "--config"

_given: list[Path] = []


def check_option_files(arguments: Sequence[str]) -> None:
    """Make sure that every file of options among the arguments is one.

    Raises:
        ConfigError: it is missing, may not be read, is not UTF-8 or no YAML mapping; the message names file and line.
    """
    _given[:] = _named(arguments)
    for name in _given:
        try:
            text = textfiles.read_text(name, "give a YAML file of options")
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except DataError as error:
            raise ConfigError(f"{OPTION} {error}") from None
        except (yaml.YAMLError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            line = text.count("\n", 0, error.position) if isinstance(error, yaml.reader.ReaderError) else None
            line = mark.line if mark is not None else line
            place = "" if line is None else f" line {line + 1}"
            what = getattr(error, "problem", None) or getattr(error, "reason", None) or "nested too deeply"
            raise ConfigError(f"{OPTION} {name}{place}: is not YAML ({what}); mend the line.") from None
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{OPTION} {name}: holds no options; write them as `name: value`, one per line.")
        _require_once(node, f"{OPTION} {name}")


def _require_once(node: yaml.Node, where: str) -> None:
    """Refuse an option that a file gives twice, of which YAML takes the last."""
    first: dict[str, int] = {}
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        line = key.start_mark.line + 1
        if isinstance(key, yaml.ScalarNode) and first.setdefault(key.value, line) != line:
            raise ConfigError(
                f"{where} line {line}: `{key.value}` stands on line {first[key.value]} already; remove one of them."
            )
        _require_once(value, where)


def files_first(arguments: Sequence[str], parts: Collection[str]) -> list[str]:
    """Put files of options before all that is typed, so that what is typed wins wherever it stands.

    Args:
        arguments: command line.
        parts: names of the commands, such as `lexicon fit`; behind them the files stand.

    >>> files_first(["train", "--steps", "3", "--config", "a.yaml"], ["train"])
    ['train', '--config', 'a.yaml', '--steps', '3']
    """
    count = max((n for n in range(3) if " ".join(arguments[:n]) in parts), default=0)
    files: list[str] = []
    typed: list[str] = []
    rest = iter(arguments[count:])
    for word in rest:
        if word == "--":
            typed += [word, *rest]
        elif word == OPTION:
            files += [word, *([following] if (following := next(rest, None)) is not None else [])]
        else:
            (files if word.startswith(f"{OPTION}=") else typed).append(word)
    return [*arguments[:count], *files, *typed]


def given_option_files() -> dict[str, Path]:
    """Return the files of options that this command was given, as a run's other inputs are named."""
    return {"config" if len(_given) == 1 else f"config.{number}": file for number, file in enumerate(_given)}


def allow_any_name() -> None:
    """Let the parser take every value that YAML cannot hold, such as a name that is not UTF-8, for the text it is."""
    set_loader("yaml", _value, (yaml.YAMLError,))


def _value(text: str) -> Any:
    try:
        return _yaml_value(text)
    except (UnicodeEncodeError, yaml.reader.ReaderError):
        return text


_yaml_value = get_loader("yaml")


def _named(arguments: Sequence[str]) -> Iterator[Path]:
    for word, following in zip(arguments, [*arguments[1:], None], strict=False):
        if word == OPTION and following is not None:
            yield Path(following)
        elif word.startswith(f"{OPTION}="):
            yield Path(word.removeprefix(f"{OPTION}="))
