"""Writes models as other programs take them: a file per target, each registered by being imported at this door.

A target says what it cannot carry, writes its files, and tells how they are run; the card, the record of the checks and
the folder itself are the same for all (`export`).
"""

from asr_transfer.deployment import (  # noqa: F401  # register themselves
    faster_whisper,
    onnx,
    onnx_asr,
    sherpa_onnx,
    speechbrain_folder,
    transformers,
    whisper_cpp,
)
from asr_transfer.deployment.folder import Exported, export
from asr_transfer.deployment.source import Source
from asr_transfer.deployment.target import TARGETS, ExportOptions, Report, Target, find_target, register

__all__ = [
    "TARGETS",
    "ExportOptions",
    "Exported",
    "Report",
    "Source",
    "Target",
    "export",
    "find_target",
    "register",
]
