"""Holds a graph against its model, and turns its weights into whole numbers of eight bits where that is wanted.

What passes through such a graph is turned into whole numbers while it runs, by one scale for all frames. Transformers
have single frames with values a hundred times as great as all others (Sun et al., Massive activations in large language
models, 2024), beside which these would be rounded to nothing. So every frame is divided by its greatest value before a
product of matrices, and multiplied by it after; and every output's weights have a scale of their own.

No sum of two products is cut off on processors without instructions for them (`eight_bits`).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from asr_transfer.deployment.agreement import Agreement, require_close, require_equal
from asr_transfer.deployment.eight_bits import fitted
from asr_transfer.deployment.libraries import library

OPERATORS = ("MatMul", "LSTM")
_LEAST = 1e-9
"""Number that a frame is divided by at least, as one of zeros is."""


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
    onnx = library("onnx", "export", "onnx")
    quantisation = library("onnxruntime.quantization", "export", "onnx")
    made = onnx.load(str(file))
    _scale_frames(made.graph, onnx)
    with _quiet():
        quantisation.quantize_dynamic(
            made,
            str(out),
            op_types_to_quantize=list(OPERATORS),
            weight_type=quantisation.QuantType.QInt8,
            per_channel=True,
        )
    whole = onnx.load(str(out))
    _fit(whole.graph, onnx)
    onnx.save(whole, str(out))


def _fit(graph: Any, onnx: Any) -> None:
    """Make the weights of a graph that was quantised as small as their products need."""
    stored = {one.name: one for one in graph.initializer}
    for name, one in stored.items():
        scale = stored.get(f"{name.removesuffix('_quantized')}_scale") if name.endswith("_quantized") else None
        if scale is not None and one.data_type == onnx.TensorProto.INT8:
            weights, factors = fitted(onnx.numpy_helper.to_array(one), -2)
            scales = (onnx.numpy_helper.to_array(scale) / factors).astype(np.float32)
            one.CopyFrom(onnx.numpy_helper.from_array(weights, name))
            scale.CopyFrom(onnx.numpy_helper.from_array(scales, scale.name))


def _scale_frames(graph: Any, onnx: Any) -> None:
    """Divide each frame by its greatest value before it is multiplied by a matrix of weights, and undo it after."""
    node, weights = onnx.helper.make_node, {one.name for one in graph.initializer}
    graph.initializer.append(onnx.numpy_helper.from_array(np.array(_LEAST, dtype=np.float32), "least_scale"))
    nodes: list[Any] = []
    scaled: set[str] = set()
    for one in graph.node:
        if one.op_type != "MatMul" or one.input[1] not in weights:
            nodes.append(one)
            continue
        fed, result = one.input[0], one.output[0]
        size, greatest, scale, small = (f"{fed}_{name}" for name in ("size", "greatest", "scale", "scaled"))
        if fed not in scaled:
            scaled.add(fed)
            nodes += [
                node("Abs", [fed], [size]),
                node("ReduceMax", [size], [greatest], axes=[-1], keepdims=1),
                node("Max", [greatest, "least_scale"], [scale]),
                node("Div", [fed, scale], [small]),
            ]
        one.input[0], one.output[0] = small, f"{result}_scaled_product"
        nodes += [one, node("Mul", [one.output[0], scale], [result])]
    del graph.node[:]
    graph.node.extend(nodes)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Let the library not advise to do what was left out on purpose."""
    logger = logging.getLogger()
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
