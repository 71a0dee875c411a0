"""Rows of reductions and normalizations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from ops_wasm32.convert import Array

from bench.row import (
    Case,
    Goal,
    Onnx,
    Ours,
    Row,
    Tfjs,
    both,
    byte_count,
    floats,
    in_float64,
)


def _softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


def _layer(x: Array, scale: Array, bias: Array) -> Array:
    d = x - x.mean(-1, keepdims=True)
    variance = (d * d).mean(-1, keepdims=True)
    return np.asarray(d / np.sqrt(variance + 1e-5) * scale + bias)


def _rms(x: Array, scale: Array) -> Array:
    mean = (x * x).mean(-1, keepdims=True)
    return np.asarray(x / np.sqrt(mean + 1e-5) * scale)


def along_rows(operator: str, shape: tuple[int, ...], goals: tuple[Goal, ...]) -> Row:
    """A normalization or softmax along the last axis."""
    function: Any
    op_type, function, more, opset = {
        "softmax": ("Softmax", _softmax, 0, 21),
        "layer_normalization": ("LayerNormalization", _layer, 2, 21),
        "rms_normalization": ("RMSNormalization", _rms, 1, 23),
    }[operator]
    n = shape[-1]

    def make() -> Case:
        x, *rest = floats(shape, *[(n,)] * more)
        inputs = (x, *rest)
        attributes: dict[str, Any] = {"axis": -1}
        if more:
            attributes["epsilon"] = 1e-5
        return Case(
            Ours(operator, inputs, attributes),
            Onnx(op_type, inputs, tuple(range(1, more + 1)), attributes, opset=opset),
            None if more else Tfjs("softmax", inputs),
            lambda: np.asarray(function(*inputs)),
            in_float64(function, *inputs),
        )

    count = math.prod(shape)
    traffic = 2 * byte_count(shape) + more * 4 * n
    return Row(
        f"{operator} {'×'.join(map(str, shape))}",
        operator,
        make,
        goals,
        "byte",
        traffic,
        count,
        traffic,
        ("copy", 4 * count),
    )


REDUCTIONS: dict[str, tuple[str, str, Callable[..., Array]]] = {
    "reduce_sum": ("ReduceSum", "sum", np.sum),
    "reduce_max": ("ReduceMax", "max", np.max),
    "arg_max": ("ArgMax", "argMax", np.argmax),
}


def reduce(operator: str, where: str, shape: tuple[int, ...], axis: int) -> Row:
    """A reduction along an axis; where: which, in words."""
    op_type, tfjs, function = REDUCTIONS[operator]

    def make() -> Case:
        (x,) = floats(shape)
        if operator == "arg_max":
            ours = Ours(operator, (x,), {"axis": axis, "keepdims": 0})
            onnx = Onnx(op_type, (x,), attributes={"axis": axis, "keepdims": 0})
        else:
            ours = Ours(operator, (x,), {"axes": [axis], "keepdims": 0})
            axes = np.array([axis], np.int64)
            onnx = Onnx(op_type, (x, axes), (1,), {"keepdims": 0})
        return Case(
            ours,
            onnx,
            Tfjs(tfjs, (x,), {"axis": axis}),
            lambda: np.asarray(function(x, axis=axis)),
            in_float64(lambda v: function(v, axis=axis), x),
        )

    count = math.prod(shape)
    return Row(
        f"{operator} {where} axis of {'×'.join(map(str, shape))}",
        operator,
        make,
        (both("stream", 0.70), both("best peer", 4)),
        "byte",
        4 * count,
        count,
        4 * count + 4 * count // shape[axis],
        ("read", 4 * count),
    )
