"""Reads the JSON files of pretrained models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from asr_transfer import textfiles
from asr_transfer.errors import DataError, ModelError


def read_json(file: Path) -> dict[str, Any]:
    """Read a file that holds a JSON object.

    Raises:
        ModelError: It is missing, may not be read, or is damaged.
    """
    try:
        found = json.loads(textfiles.read_text(file, "copy the model again"))
    except DataError as error:
        raise ModelError(str(error)) from None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ModelError(f"{file}: is no JSON object; copy the model again.")
    return found
