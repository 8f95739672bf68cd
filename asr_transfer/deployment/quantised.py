"""Turns the weights of a graph into whole numbers of eight bits; what passes through is turned while it runs."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from asr_transfer.deployment.libraries import library

OPERATORS = ("MatMul", "LSTM")


def quantise(file: Path, out: Path) -> None:
    """Write a graph with whole numbers in place of its products of matrices and its recurrences."""
    quantisation = library("onnxruntime.quantization", "export", "onnx")
    with _quiet():
        quantisation.quantize_dynamic(
            str(file), str(out), op_types_to_quantize=list(OPERATORS), weight_type=quantisation.QuantType.QInt8
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Let the library not advise to do what was left out on purpose."""
    logger = logging.getLogger()
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
