"""Computes what models are fed, by kind: how, at what cost, and how it may be changed at random.

Each kind has a file here and is registered by being imported at this door.
"""

from asr_transfer.data.inputs.kaldi_fbank import KaldiFbank
from asr_transfer.data.inputs.kind import KINDS, Inputs, Wanted, as_inputs, inputs_from_plain, register
from asr_transfer.data.inputs.lasr_mel import LasrMel
from asr_transfer.data.inputs.log_mel import LogMel
from asr_transfer.data.inputs.parakeet_mel import ParakeetMel
from asr_transfer.data.inputs.waveform import Waveform
from asr_transfer.data.inputs.whisper_mel import WhisperMel

__all__ = [
    "KINDS",
    "Inputs",
    "KaldiFbank",
    "LasrMel",
    "LogMel",
    "ParakeetMel",
    "Wanted",
    "Waveform",
    "WhisperMel",
    "as_inputs",
    "inputs_from_plain",
    "register",
]
