"""Holds a graph against its model, and turns its weights into whole numbers of eight bits where that is wanted.

What passes through such a graph is turned into whole numbers while it runs.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from asr_transfer.deployment.agreement import Agreement, require_close, require_equal
from asr_transfer.deployment.libraries import library

OPERATORS = ("MatMul", "LSTM")


def finish_graph(file: Path, held: Callable[[Path], Agreement], int8: bool) -> tuple[dict[str, Any], list[str]]:
    """Hold a graph that was written against the model, and turn it into whole numbers.

    Args:
        file: graph, replaced by the smaller one where that is wanted.
        held: function that holds a graph against the model.
        int8: whether the weights shall be whole numbers.

    Returns:
        Figures for `export.json` by number format, and sentences on them.

    Raises:
        ModelError: the graph, or the smaller one, hears otherwise than the model.
    """
    found = held(file)
    require_equal(found, file.name)
    check, lines = {"float32": found.plain()}, [found.line("The graph")]
    if int8:
        whole = file.with_name("float32.onnx")
        file.rename(whole)
        quantise(whole, file)
        found = held(file)
        require_close(found, file.name)
        check["int8"] = found.plain()
        share = 100 * file.stat().st_size / whole.stat().st_size
        lines.append(f"{found.line('In whole numbers the graph')}; it has {share:.0f} % of the size")
        whole.unlink()
    return check, lines


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
