"""Imports the libraries that targets need where they need them: not before, for they are extras."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from asr_transfer.errors import ConfigError


def library(module: str, extra: str, target: str) -> Any:
    """Return a library.

    Args:
        module: module to import.
        extra: extra of this package that installs it.
        target: target that needs it, for the message.

    Raises:
        ConfigError: it is not installed, or cannot be imported.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"--to {target} needs {module} ({error}); install it by: pip install 'asr-transfer[{extra}]'"
        ) from None


@contextmanager
def quiet(transformers: Any) -> Iterator[None]:
    """Keep Transformers, the library that is given, from printing bars and hints for the length of a `with` block."""
    logging = transformers.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
