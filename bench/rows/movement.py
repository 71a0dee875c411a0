"""Rows of operators that move data, pool and resize."""

from __future__ import annotations

import math

import numpy as np

from bench.row import (
    LAYOUTS,
    NCHW,
    NHWC,
    Case,
    Onnx,
    Ours,
    Row,
    Tfjs,
    both,
    byte_count,
    floats,
    in_float64,
)


def transpose(label: str, shape: tuple[int, ...], perm: tuple[int, ...]) -> Row:
    """A transposition of a float32 tensor."""

    def make() -> Case:
        (x,) = floats(shape)
        attributes = {"perm": list(perm)}
        return Case(
            Ours("transpose", (x,), attributes),
            Onnx("Transpose", (x,), (), attributes),
            Tfjs("transpose", (x,), attributes),
            lambda: np.ascontiguousarray(x.transpose(perm)),
            in_float64(lambda v: v.transpose(perm), x),
            tolerance=0,
        )

    count = math.prod(shape)
    return Row(
        f"transpose {label}",
        "transpose",
        make,
        (both("stream", 0.5), both("best peer", 1.2)),
        "byte",
        8 * count,
        count,
        8 * count,
        ("copy", 4 * count),
    )


def max_pool(size: int, c: int) -> Row:
    """A pool of 3×3 windows at stride 2, H = W = size, c channels."""
    out = (size - 1) // 2 + 1

    def make() -> Case:
        (x,) = floats((1, c, size, size))
        attributes = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4}
        return Case(
            Ours("max_pool", (x,), attributes),
            Onnx("MaxPool", (x,), (), attributes),
            Tfjs(
                "maxPool",
                (np.ascontiguousarray(x.transpose(NHWC)),),
                {"filter": 3, "strides": 2, "pads": 1},
                perm=NCHW,
            ),
            tolerance=0,
        )

    traffic = byte_count((c, size, size), (c, out, out))
    return Row(
        f"max_pool 3×3 stride 2, {size}×{size}×{c}",
        "max_pool",
        make,
        (both("best peer", 1.2),),
        "byte",
        traffic,
        9 * c * out * out,
        traffic,
        ("copy", 4 * c * size * size),
        note=LAYOUTS,
    )


def resize(size: int, c: int) -> Row:
    """A linear resize to twice the height and width."""
    out = 2 * size

    def make() -> Case:
        (x,) = floats((1, c, size, size))
        scales = np.array([1, 1, 2, 2], np.float32)
        empty = np.empty(0, np.float32)
        return Case(
            Ours("resize", (x,), {"mode": "linear", "sizes": [out, out]}),
            Onnx("Resize", (x, empty, scales), (1, 2), {"mode": "linear"}),
            Tfjs(
                "resizeBilinear",
                (np.ascontiguousarray(x.transpose(NHWC)),),
                {"size": [out, out]},
                perm=NCHW,
            ),
        )

    traffic = byte_count((c, size, size), (c, out, out))
    return Row(
        f"resize linear {size}×{size}×{c} to twice",
        "resize",
        make,
        (both("best peer", 1.2),),
        "byte",
        traffic,
        7 * c * out * out,
        traffic,
        ("copy", 4 * c * out * out),
        note=LAYOUTS,
    )
