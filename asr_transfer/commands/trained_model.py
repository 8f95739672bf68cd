"""Says where a trained model lies when something fails after its training, and how to go on from there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asr_transfer.commands.options import Say
from asr_transfer.errors import AsrTransferError, TrainingError
from asr_transfer.terminal import refused


@contextmanager
def kept_in(model: Path, how: str, say: Say) -> Iterator[None]:
    """Add to the error of what is done inside that the trained model is kept, where its folder holds one by then.

    Args:
        model: model folder.
        how: words on how to go on.
        say: function that prints a line; a fault of the program keeps its traceback, behind that line.

    Raises:
        TrainingError: something that a user can mend failed although the model is there.
    """
    try:
        yield
    except Exception as error:
        if not (model / "config.yaml").is_file():
            raise
        if not isinstance(error, AsrTransferError | OSError):
            say(f"{model}: holds the trained model: {how}")
            raise
        reason = refused(error) if isinstance(error, OSError) else str(error)
        raise TrainingError(f"{reason.rstrip('.')}; {model} holds the trained model: {how}.") from error
