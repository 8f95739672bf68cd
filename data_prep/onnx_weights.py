"""Reads the weights of an ONNX file under the names that they had in PyTorch, as floats where it holds 8-bit integers.

An ONNX file is a protocol buffer, of which only the tensors and the nodes' names are needed here: numbered fields, each
a varint, a group of bytes, or 4 or 8 bytes (protobuf.dev/programming-guides/encoding; field numbers from onnx.proto3).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from asr_transfer.errors import DataError

_MODEL_GRAPH, _GRAPH_NODE, _GRAPH_TENSOR = 7, 1, 5
_NODE_INPUT, _NODE_NAME, _NODE_KIND, _NODE_ATTRIBUTE, _ATTRIBUTE_GRAPH = 1, 3, 4, 5, 6
_DIMENSION, _TYPE, _FLOATS, _INTEGERS, _TENSOR_NAME, _RAW = 1, 2, 4, 5, 8, 9
_TYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype(np.uint8),
    3: np.dtype(np.int8),
    10: np.dtype("<f2"),
}
"""Types of tensors that weights have, by their number; others are shapes and axes."""

_QUANTISED = "_quantized"
_DAMAGE = (IndexError, ValueError, KeyError, RecursionError, MemoryError)


@dataclass
class _Graph:
    """Tensors by name, and for each matrix product the name of its node and of its right-hand factor."""

    tensors: dict[str, np.ndarray] = field(default_factory=dict)
    products: dict[str, str] = field(default_factory=dict)


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """Return the float32 weights of an exported model by the names of its PyTorch parameters.

    Parameters that the export kept have their names. A linear layer's weight lost its name; the node that multiplies by
    it is called by the layer's path, and it is transposed back. Integers are dequantised by their scale and zero point.

    Raises:
        DataError: The file cannot be read or is no whole ONNX file.
    """
    graph = _Graph()
    try:
        for number, value in _fields(memoryview(path.read_bytes())):
            if number == _MODEL_GRAPH:
                _read_graph(_bytes(value), graph)
        if not graph.tensors:
            raise ValueError("it holds no weights")
        floats = {_parameter(name): _dequantised(name, graph.tensors) for name in graph.tensors if _is_weight(name)}
        for node, factor in graph.products.items():
            if (weight := floats.get(_parameter(factor))) is not None:
                floats[f"{node}.weight"] = np.ascontiguousarray(weight.T)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); download the package again.") from None
    except _DAMAGE as error:
        raise DataError(f"{path}: is no whole ONNX file ({error}); download the package again.") from None
    return floats


def _is_weight(name: str) -> bool:
    return not name.endswith(("_scale", "_zero_point"))


def _parameter(name: str) -> str:
    """Return a tensor's name without what quantising and merging two graphs put behind it."""
    return re.sub(r"_merged_\d+$", "", name.removesuffix(_QUANTISED))


def _dequantised(name: str, tensors: dict[str, np.ndarray]) -> np.ndarray:
    values = tensors[name]
    if not name.endswith(_QUANTISED):
        return values.astype(np.float32)
    stem = name.removesuffix(_QUANTISED)
    scale, zero = tensors[f"{stem}_scale"], tensors[f"{stem}_zero_point"]
    return np.asarray((values.astype(np.float32) - zero.astype(np.float32)) * scale, dtype=np.float32)


def _read_graph(content: memoryview, into: _Graph) -> None:
    for number, value in _fields(content):
        if number == _GRAPH_TENSOR:
            _read_tensor(_bytes(value), into)
        elif number == _GRAPH_NODE:
            _read_node(_bytes(value), into)


def _read_node(content: memoryview, into: _Graph) -> None:
    inputs, name, kind = [], "", ""
    for number, value in _fields(content):
        if number == _NODE_INPUT:
            inputs.append(_text(value))
        elif number == _NODE_NAME:
            name = _text(value)
        elif number == _NODE_KIND:
            kind = _text(value)
        elif number == _NODE_ATTRIBUTE:  # the branches of a decoder with and without a cache
            for inner, graph in _fields(_bytes(value)):
                if inner == _ATTRIBUTE_GRAPH:
                    _read_graph(_bytes(graph), into)
    if kind in ("MatMul", "MatMulInteger") and len(inputs) > 1:
        into.products[name.strip("/").rpartition("/")[0].replace("/", ".")] = inputs[1]


def _read_tensor(content: memoryview, into: _Graph) -> None:
    shape: list[int] = []
    kind, name = 0, ""
    floats, integers, raw = memoryview(b""), list[int](), memoryview(b"")
    for number, value in _fields(content):
        if number == _DIMENSION:
            shape += [value] if isinstance(value, int) else _varints(value)
        elif number == _TYPE and isinstance(value, int):
            kind = value
        elif number == _FLOATS:
            floats = _bytes(value)
        elif number == _INTEGERS:
            integers += [value] if isinstance(value, int) else _varints(value)
        elif number == _TENSOR_NAME:
            name = _text(value)
        elif number == _RAW:
            raw = _bytes(value)
    if kind in _TYPES:
        # A negative number is kept as 64 bits.
        wide = np.array(integers, dtype=np.uint64).astype(np.int64)
        values = np.frombuffer(raw or floats, dtype=_TYPES[kind]) if raw or floats else wide.astype(_TYPES[kind])
        into.tensors[name] = values.reshape(shape)


def _fields(content: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Return the number and the value of every field of a message."""
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        if key & 7 == 0:
            value, at = _varint(content, at)
            yield key >> 3, value
            continue
        length = {1: 8, 5: 4}.get(key & 7, 0)
        if key & 7 == 2:
            length, at = _varint(content, at)
        if (key & 7) not in (1, 2, 5) or at + length > len(content):
            raise ValueError("a field is cut off or of an unknown kind")
        yield key >> 3, content[at : at + length]
        at += length


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    """Return the number that begins at a place, seven bits a byte from the lowest, and the place behind it."""
    value = shift = 0
    while True:
        byte = content[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _varints(content: memoryview) -> list[int]:
    values, at = [], 0
    while at < len(content):
        value, at = _varint(content, at)
        values.append(value)
    return values


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number stands where a group of bytes should")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_bytes(value)).decode()
