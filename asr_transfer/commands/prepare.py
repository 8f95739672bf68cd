"""Makes the manifests of a corpus: `asr-transfer prepare CORPUS`."""

from __future__ import annotations

from typing import get_type_hints

from jsonargparse import ArgumentParser, Namespace

from asr_transfer.commands.options import Command, NewParser
from asr_transfer.errors import ConfigError
from asr_transfer.ranges import check
from asr_transfer.remarks import collected, lines
from asr_transfer.textfiles import require_writable_folder


def _parsers(make: NewParser) -> dict[str, ArgumentParser]:
    """Return the parsers by name of what there is to prepare."""
    from data_prep import registry

    about = registry.descriptions()
    parsers = {}
    for name, function in registry.commands().items():
        parsers[name] = make(name, about[name])
        parsers[name].add_argument("--config", action="config", help="YAML file with any of the options")
        parsers[name].add_function_arguments(function, as_positional=False)
    return parsers


def _run(arguments: Namespace) -> int:
    from data_prep import registry

    values = {name: value for name, value in vars(arguments[arguments.subcommand]).items() if name != "config"}
    for name, value in values.items():
        if isinstance(value, str) and not value.strip():
            raise ConfigError(f"`--{name}` is empty; give a value, or leave it out.")
    function = registry.commands()[arguments.subcommand]
    for name, hint in get_type_hints(function, include_extras=True).items():
        if name in values:
            check(hint, values[name], name)
    require_writable_folder(values["out"])
    with collected() as unusual:
        function(**values)
    for line in lines(unusual):
        print(line)
    return 0


COMMAND = Command("make manifests of a corpus", _run, below=_parsers)
