"""ONNX files made by hand: the fields of `onnx.proto3` that weights and named nodes need."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int64": 7}


def varint(value: int) -> bytes:
    low = [value >> shift & 127 for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([*(part | 128 for part in low[:-1]), low[-1]])


def field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def tensor(name: str, values: np.ndarray) -> bytes:
    """Return a graph's field with a weight; single numbers are written as the quantiser of ONNX Runtime writes them."""
    content = b"".join(field(1, size) for size in values.shape) + field(2, TYPES[str(values.dtype)])
    if values.ndim:
        content += field(9, values.tobytes())
    elif values.dtype == np.float32:
        content += field(4, values.tobytes())
    else:
        content += field(5, varint(int(values) & (1 << 64) - 1))
    return field(5, content + field(8, name))


def node(kind: str, name: str, inputs: Iterable[str], graphs: Iterable[bytes] = ()) -> bytes:
    """Return a graph's field with a node that may hold graphs, as a node `If` does."""
    attributes = b"".join(field(5, field(1, "branch") + field(6, graph)) for graph in graphs)
    return field(1, b"".join(field(1, one) for one in inputs) + field(3, name) + field(4, kind) + attributes)


def quantised(name: str, weight: np.ndarray, kind: str) -> tuple[bytes, np.ndarray]:
    """Return a weight as 8-bit integers with their scale and zero point, and the floats that they stand for."""
    low, high = min(float(weight.min()), 0.0), max(float(weight.max()), 0.0)
    scale = np.float32(max(-low, high) / 127 if kind == "int8" else (high - low) / 255)
    zero = 0 if kind == "int8" else round(-low / float(scale))
    integers = np.clip(np.rint(weight / scale) + zero, *((-127, 127) if kind == "int8" else (0, 255))).astype(kind)
    parts = {"quantized": integers, "scale": np.array(scale), "zero_point": np.array(zero, dtype=kind)}
    floats = (integers.astype(np.float32) - np.float32(zero)) * scale
    return b"".join(tensor(f"{name}_{part}", values) for part, values in parts.items()), floats


def model(graph: bytes) -> bytes:
    return field(1, 8) + field(7, graph)
