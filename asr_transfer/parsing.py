"""Parses command lines: flags without values, settings made of options, and mistakes explained in one sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence

from jsonargparse import ArgumentParser, Namespace

from asr_transfer.errors import ConfigError, nearest_hint


def explain(message: str, parts: dict[str, ArgumentParser]) -> str:
    """Turn a parser's message into one sentence, with the nearest known option where one is unknown."""
    text = " ".join(_plainly(message).split())
    unknown = re.search(r"unrecognized arguments: (--[^\s=]+)", text) or re.search(
        r"(?:does not accept (?:option|nested key)s?|Option) '([^']+)'", text
    )
    if unknown:
        option = unknown.group(1).lstrip("-")
        spelled = f"--{option}" if "unrecognized" in text else f"`{option}`"
        known_options = {action.dest for part in parts.values() for action in part._actions if action.dest != "help"}
        known_options.discard(option)  # another command's
        near = nearest_hint(option, known_options)
        return f"{spelled} is not known.{near if near.startswith(' Did') else ' See --help for the options.'}"
    if stray := re.search(r"unrecognized arguments: (\S+)", text):
        return f"'{stray.group(1)}' belongs to no option. See --help for the options."
    choice = re.search(r"invalid choice: '([^']+)' \(choose from (.+)\)", text)
    if choice:
        given, known = choice.group(1), re.findall(r"[\w-]+", choice.group(2))
        return f"'{given}' is not known.{nearest_hint(given, known)}"
    named = re.search(r'key "([^"]+)": Expected a typing\.Literal\[([^\]]+)\]\. Got value: (.+)$', text)
    if named:
        known = re.findall(r"'([^']+)'", named.group(2))
        return f"`{named.group(1)}` is '{named.group(3)}', which it cannot be; it takes {', '.join(known)}."
    typed = re.search(r"key \"([^\"]+)\": Expected a <class '([\w.]+)'>\. Got value: (.+)$", text)
    if typed and typed.group(2) in _WORDS:
        return f"`{typed.group(1)}` must be {_WORDS[typed.group(2)]}, got '{typed.group(3)}'."
    single = re.search(r'key "([^"]+)": Expected a <class .tuple.>\. Got value: (.+)', text)
    if single:
        return f"`{single.group(1)}` takes a list, in brackets also where it has one entry; give [{single.group(2)}]."
    return text


_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "collections.abc.Mapping": "a mapping, such as {en: characters}",
}
"""What values of a type are called."""


def _plainly(message: str) -> str:
    """Return a parser's message on a setting that may be left out as that on one that may not.

    The parser lists what is wrong with each type that such a setting takes, one of which is none, and names a setting
    within settings by its last name alone.
    """
    if "Does not validate against any of the Union subtypes" not in message:
        return message
    if own := re.search(r"^\s*- (`.+)$", message, re.MULTILINE):  # said by the settings themselves
        return own.group(1)
    key = ".".join(re.findall(r'Parser key "([^"]+)":', message))
    if option := re.search(r"Option '([^']+)' is not accepted", message):
        return f"Option '{key}.{option.group(1)}' is not accepted"
    if "Expected a dot import path string" in message or "Not a valid subclass of" in message:
        return f"`{key}` is made of several settings and takes no value of its own; give one of them, such as --{key}.…"
    wanted = re.search(r"Expected a (<class '(?!NoneType)[^>]+>|typing\.Literal\[[^\]]+\])", message)
    value = re.search(r"(?:Got value|Given value): (?!NestedArg\(|Namespace\()(.+)$", message, re.MULTILINE)
    if not wanted or not value:
        return message
    return f'Parser key "{key}": Expected a {wanted.group(1)}. Got value: {value.group(1)}'


def spell_out_flags(arguments: Sequence[str], parts: dict[str, ArgumentParser]) -> list[str]:
    """Write `--resume` as `--resume=true`: the parser itself wants a value for every typed option.

    A number may be `inf`, which the parser reads with a dot before it alone.
    """
    types = {
        option: getattr(action, "_typehint", None)
        for part in parts.values()
        for action in part._actions
        for option in action.option_strings
    }
    numbers = {option for option, kind in types.items() if "float" in str(kind)}
    spelled: list[str] = []
    for word, following in zip(arguments, [*arguments[1:], ""], strict=False):
        option, joined, value = word.partition("=")
        if types.get(word) is bool and following.lower() not in {"true", "false", "yes", "no"}:
            spelled.append(f"{word}=true")
        elif joined and option in numbers:
            spelled.append(f"{option}={_dotted(value)}")
        else:
            spelled.append(_dotted(word) if spelled and spelled[-1] in numbers else word)
    return spelled


def _dotted(number: str) -> str:
    """Return a number as YAML writes it, where it is infinite."""
    return {"inf": ".inf", "infinity": ".inf", "-inf": "-.inf", "-infinity": "-.inf"}.get(number.lower(), number)


def instantiated(parser: ArgumentParser, parsed: Namespace) -> Namespace:
    """Return options with the settings that they make up.

    Raises:
        ConfigError: a value is of no type that its option takes.
    """
    try:
        made: Namespace = parser.instantiate(parsed)
        return made
    except ValueError as error:  # of settings that may be left out, which the parser takes apart by trying
        if (sentence := _plainly(str(error))) == str(error):
            raise
        raise ConfigError(sentence) from None
    except TypeError:  # of a value that the parser holds against no type, such as a null in a file
        raise ConfigError(
            "an option has a value of another type than it takes, a `null`, or one value where several options belong; "
            "mend the --config file."
        ) from None
