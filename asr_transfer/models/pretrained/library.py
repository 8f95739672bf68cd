"""Imports Transformers where a model needs it: not before, for that takes seconds, and it is an extra."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from asr_transfer.errors import ModelError


def transformers(where: str) -> Any:
    """Return the library.

    Args:
        where: file or folder that needs it, for messages.

    Raises:
        ModelError: it is not installed, or cannot be imported.
    """
    try:
        return import_module("transformers")
    except ImportError as error:
        raise ModelError(
            f"{where}: this model needs transformers ({error}); install it by: pip install 'asr-transfer[pretrained]'"
        ) from None
