"""Rows of elementwise operators."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from ops_wasm32.convert import Array

from bench.row import (
    Case,
    Goal,
    Onnx,
    Ours,
    Row,
    Tfjs,
    byte_count,
    floats,
    in_float64,
)


def binary(
    operator: str,
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    label: str,
    goals: tuple[Goal, ...],
) -> Row:
    """An operator of two float32 tensors of these shapes."""
    function: np.ufunc = {"add": np.add, "mul": np.multiply}[operator]
    out = np.broadcast_shapes(*shapes)
    count = math.prod(out)

    def make() -> Case:
        a, b = floats(*shapes)
        y = np.empty(out, np.float32)
        return Case(
            Ours(operator, (a, b)),
            Onnx(operator.capitalize(), (a, b)),
            Tfjs(operator, (a, b)),
            lambda: np.asarray(function(a, b, out=y)),
            in_float64(function, a, b),
        )

    traffic = byte_count(*shapes, out)
    same = shapes[0] == shapes[1]
    return Row(
        f"{operator} {label}",
        operator,
        make,
        goals,
        "byte",
        traffic,
        count,
        traffic,
        ("add" if same else "copy", 4 * count),
    )


def _erf(x: Array) -> Array:
    return np.asarray(np.vectorize(math.erf)(x))


_UNARY: dict[str, tuple[str, str | None, Callable[[Array], Array], bool]] = {
    # ours: ONNX's, TensorFlow.js's, the formula, whether numpy has it in float32
    "relu": ("Relu", "relu", lambda x: np.maximum(x, 0), True),
    "exp": ("Exp", "exp", np.exp, True),
    "tanh": ("Tanh", "tanh", np.tanh, True),
    "sigmoid": ("Sigmoid", "sigmoid", lambda x: 1 / (1 + np.exp(-x)), True),
    "erf": ("Erf", "erf", _erf, False),
    "gelu": ("Gelu", None, lambda x: x * (1 + _erf(x / math.sqrt(2))) / 2, False),
}


def unary(operator: str, count: int, label: str, goals: tuple[Goal, ...]) -> Row:
    """An operator of one float32 tensor of `count` elements."""
    op_type, tfjs, function, timed = _UNARY[operator]

    def make() -> Case:
        (x,) = floats((count,))
        return Case(
            Ours(operator, (x,)),
            Onnx(op_type, (x,)),
            Tfjs(tfjs, (x,)) if tfjs else None,
            (lambda: np.asarray(function(x))) if timed else None,
            in_float64(function, x),
        )

    return Row(
        f"{operator} {label}",
        operator,
        make,
        goals,
        "byte",
        8 * count,
        count,
        8 * count,
        ("copy", 4 * count),
    )
