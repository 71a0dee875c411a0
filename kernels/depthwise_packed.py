"""out[n, y, x, c] = b[c] + sum_(r, s) w[r, s, c] * x[n, y', x', c].

y' = y * stride - pad + r * dilation, x' alike; outside the image x is 0; the result is
limited to minimum..maximum. conv with a group for each channel and the image NHWC.
Shapes: x [N, H, W, C], w [R, S, C], which is ONNX's [C, 1, R, S] transposed by
(2, 3, 0, 1) and reshaped; b [C] or absent.
Dtypes: float32 adds up in float32, where a partial sum may become an infinity.
Edges: pads are skipped; NaN and infinity propagate, a NaN passes the limits; minimum
above maximum gives maximum.
Errors: a kernel larger than the padded image.
Source: ONNX Conv-22, in the layout of TensorFlow's DepthwiseConv2D.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Any

import numpy as np

from toolchain.spec import (
    PARTIAL_SUMS,
    Attribute,
    Bound,
    Buffer,
    Case,
    Input,
    Kernel,
    Operator,
    Tensor,
)
from toolchain.spec.cases import Array, Rng, shape_name, values
from toolchain.spec.convolution import DILATIONS, PADS, STRIDES, axes, requirements
from toolchain.spec.depthwise import PixelRows
from toolchain.spec.nest import as_written, nest


def compute(k: Kernel) -> Tensor:
    """Row by row of the image."""
    y, x = axes(k, k.R, k.S)

    def emit(ins: list[Buffer], out: Buffer) -> None:
        PixelRows(k, (y, x), ins, out).emit()

    return nest((k.N, y.out(), x.out(), k.C), k.inputs, emit, k.dtype)


def reference(
    x: Array,
    w: Array,
    b: Array | None,
    minimum: float,
    maximum: float,
    strides: tuple[int, ...] = (1, 1),
    pads: tuple[int, ...] = (0, 0, 0, 0),
    dilations: tuple[int, ...] = (1, 1),
) -> Array:
    """numpy, in float64, tap by tap."""
    padded = np.pad(x, ((0, 0), (pads[0], pads[2]), (pads[1], pads[3]), (0, 0)))
    sizes = [
        (padded.shape[1 + a] - dilations[a] * (w.shape[a] - 1) - 1) // strides[a] + 1
        for a in range(2)
    ]
    out = np.zeros((x.shape[0], *sizes, x.shape[3])) + (0 if b is None else b)
    for taps in np.ndindex(*w.shape[:2]):
        rows, columns = (
            t * d + np.arange(size) * step
            for t, d, size, step in zip(taps, dilations, sizes, strides, strict=True)
        )
        out += padded[:, rows][:, :, columns] * w[taps]
    return np.minimum(np.maximum(out, minimum), maximum)


def scale(x: Array, w: Array, b: Array | None, **attributes: Any) -> Array:
    """Magnitude of what is added up."""
    b = None if b is None else np.abs(b)
    return reference(
        np.abs(x), np.abs(w), b, **{**attributes, "minimum": -inf, "maximum": inf}
    )


# x, taps, then attributes where they are not the default.
CASES: tuple[tuple[tuple[int, ...], tuple[int, int], dict[str, Any]], ...] = (
    ((1, 1, 1, 1), (1, 1), {}),
    ((1, 5, 7, 8), (3, 3), {}),
    ((2, 8, 9, 13), (3, 3), {"pads": (1, 1, 1, 1), "minimum": 0.0}),
    ((1, 12, 17, 4), (3, 3), {"pads": (1, 1, 1, 1), "maximum": 9.0}),
    ((1, 9, 8, 3), (3, 3), {"pads": (1, 1, 1, 1)}),
    ((1, 7, 3, 9), (3, 3), {"pads": (1, 1, 1, 1)}),
    ((2, 14, 15, 12), (3, 3), {"strides": (2, 2), "pads": (1, 1, 1, 1)}),
    ((1, 13, 21, 7), (3, 3), {"strides": (1, 2), "pads": (0, 0, 1, 1)}),
    ((1, 11, 23, 17), (5, 5), {"pads": (2, 2, 2, 2), "minimum": -5.0}),
    ((1, 11, 9, 10), (2, 3), {"strides": (3, 3), "pads": (1, 0, 0, 2)}),
    ((1, 15, 31, 8), (3, 3), {"dilations": (2, 3), "pads": (2, 3, 2, 3)}),
    ((1, 3, 4, 8), (2, 2), {"pads": (9, 8, 7, 6), "dilations": (5, 4)}),
    ((1, 2, 3, 9), (3, 3), {"pads": (4, 4, 4, 4), "strides": (4, 5)}),
    ((0, 5, 5, 3), (3, 3), {}),
    ((1, 5, 5, 0), (3, 3), {}),
    ((1, 0, 3, 8), (2, 2), {"pads": (1, 0, 1, 0)}),
)


def cases(dtypes: tuple[str, ...], rng: Rng) -> Iterator[Case]:
    """Sizes, attributes and special values."""
    for i, (image, taps, given) in enumerate(CASES):
        bias = values(rng, image[3:], "float32") if i % 2 else None
        w = values(rng, (*taps, image[3]), "float32")
        tensors = values(rng, image, "float32"), w, bias
        yield Case(f"{i}-{shape_name(image)}", tensors, given)
    x = values(rng, (1, 9, 11, 9), "float32")
    w = values(rng, (3, 3, 9), "float32")
    x[0, 4, 4, 1], x[0, 0, 0, 2] = np.nan, np.inf
    yield Case("special", (x, w, None), {"pads": (1, 1, 1, 1)})
    yield Case("crossed-limits", (x, w, None), {"minimum": 1.0, "maximum": -1.0})
    yield Case("huge-stride", (x, w, None), {"strides": (2**31 - 1,) * 2})


KERNEL = Operator(
    collapse="exact.plain",
    inputs=(
        Input("x", "N H W C"),
        Input("w", "R S C"),
        Input("b", "C", optional=True),
    ),
    attributes=(
        STRIDES,
        PADS,
        DILATIONS,
        Attribute("minimum", "float", default=-inf),
        Attribute("maximum", "float", default=inf),
    ),
    units=2,
    dtypes=("float32",),
    absent={"int8": "see conv", "int32": "see conv"},
    requires=lambda k: requirements(axes(k, k.R, k.S)),
    compute=compute,
    schedule=as_written,
    reference=reference,
    reference_scale=scale,
    cases=cases,
    narrow=PARTIAL_SUMS,
    bound=Bound(ulp=8, why="up to 25 sums in a row of one rounding each"),
)
