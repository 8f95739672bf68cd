"""Writes checkpoints that are complete or absent: SpeechBrain's checkpointer, written aside and renamed into place."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from speechbrain.utils.checkpoints import Checkpoint, Checkpointer
from speechbrain.utils.distributed import if_main_process

from asr_transfer.errors import ModelError, TrainingError


class AtomicCheckpointer(Checkpointer):
    """SpeechBrain's `Checkpointer`, whose own `save_checkpoint` leaves a half-written folder that looks complete."""

    checkpoints_dir: Path

    def save(self, step: int) -> None:
        """Write the checkpoint of `step`, then delete the older ones.

        Raises:
            TrainingError: it cannot be written; the last good checkpoint is kept.
        """
        folder = self.checkpoints_dir
        aside = folder / ".partial"
        main = if_main_process()
        newest = self._newest()
        number = 1 + (0 if newest is None else int(newest.meta.get("number", 0)))
        try:
            if main:
                shutil.rmtree(aside, ignore_errors=True)
                aside.mkdir()
            self.checkpoints_dir = aside
            try:
                written = self.save_checkpoint(name=f"step-{step:08d}", meta={"step": step, "number": number})
            finally:
                self.checkpoints_dir = folder
            if written is not None:
                _flush(written.path)
                # A name of its own: replacing a folder takes two operations, and a kill between them would lose both.
                final = folder / f"{written.path.name}-{number}"
                os.replace(written.path, final)
                for other in folder.glob("CKPT+*"):
                    if other != final:
                        shutil.rmtree(other, ignore_errors=True)
        except (OSError, RuntimeError) as error:
            # torch's zip writer reports a full disk as a RuntimeError.
            raise TrainingError(
                f"{folder}: the checkpoint of step {step} cannot be written ({_first_line(error)}); free space, then "
                "go on with --resume from the last good one."
            ) from error
        finally:
            if main:
                shutil.rmtree(aside, ignore_errors=True)

    def recover(self) -> Checkpoint | None:
        """Load the newest checkpoint, if there is one.

        Raises:
            ModelError: it is damaged or of another architecture.
        """
        newest = self._newest()
        if newest is None:
            return None
        try:
            self.load_checkpoint(newest)
        except Exception as error:
            # Damage shows as whatever torch's unpickler, zip reader or strict loading happen to raise.
            raise ModelError(
                f"{newest.path}: the checkpoint is damaged or of another architecture ({_first_line(error)}); use the "
                "settings it was made with, or begin anew with another --out (--overwrite would delete it)."
            ) from error
        return newest

    def _newest(self) -> Checkpoint | None:
        # By a counter, for clocks are set back.
        return self.find_checkpoint(importance_key=lambda checkpoint: checkpoint.meta.get("number", 0))


def _flush(folder: Path) -> None:
    for file in folder.iterdir():
        with file.open("rb") as handle:
            os.fsync(handle.fileno())


def _first_line(error: BaseException) -> Any:
    return str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
