"""out[n, c, y, x] = in[n, c, y', x'], where y' and x' are the places y and x map to.

nearest takes the nearest element, linear interpolates between the neighbours along
each axis; elements past the edge are those at the edge. With a = size, b = its entry
of sizes and i a place along it, coordinate_transformation_mode says
half_pixel: (i + 1/2) a / b - 1/2; asymmetric: i a / b; align_corners:
i (a - 1) / (b - 1), or 0 where b = 1; pytorch_half_pixel: as half_pixel, or 0 where
b = 1. Places are exact fractions, so that ties are ties in every mode.
Shapes: in [N, C, H, W] or [N, C, W]; sizes has an entry for each spatial axis.
Dtypes: float32.
Edges: an element at a whole place is taken as it is, beside infinity and NaN too.
Errors: a spatial axis of size 0; no sizes.
Source: ONNX Resize-19, scales being sizes over the input's; MindSpore ResizeBilinear
and ResizeNearestNeighbor.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import ceil, floor
from typing import Any

import numpy as np

from toolchain.spec import (
    Attribute,
    Bound,
    Buffer,
    Case,
    Expr,
    Input,
    Kernel,
    Operator,
    Tensor,
    tir,
)
from toolchain.spec.cases import SPECIAL, Array, Rng, values
from toolchain.spec.interpolation import MODES, ROUNDINGS, interpolate, sizes_of
from toolchain.spec.nest import as_written, nest


def compute(k: Kernel) -> Tensor:
    """Along the rows of x, then between two of them for each row of the result."""
    sizes = sizes_of(k)

    def emit(ins: list[Buffer], out: Buffer) -> None:
        interpolate(k, ins[0], out, sizes)

    return nest((k.N, k.C, *sizes), [k.x], emit, "float32")


def requires(k: Kernel) -> list[tuple[Expr, str]]:
    """What sizes must fulfil."""
    return [
        (k.sizes[1] >= 1, "sizes is missing; give one for each spatial axis"),
        (
            tir.any(tir.all(k.H >= 1, k.W >= 1), k.N * k.C == 0),
            "a spatial axis of x has size 0; there is nothing to resize",
        ),
    ]


HALF = Fraction(1, 2)


def weights(
    a: int, b: int, mode: str, coordinate_transformation_mode: str, nearest_mode: str
) -> Array:
    """Matrix [b, a] that resizes one axis, from exact fractions."""
    matrix = np.zeros((b, a))
    for i in range(b):
        at = {
            "half_pixel": Fraction((2 * i + 1) * a, 2 * b) - Fraction(1, 2),
            "asymmetric": Fraction(i * a, b),
            "align_corners": Fraction(i * (a - 1), max(b - 1, 1)),
        }
        at["pytorch_half_pixel"] = at["half_pixel"] if b > 1 else Fraction(0)
        x = at[coordinate_transformation_mode]
        if mode == "nearest":
            rounding = {
                "round_prefer_floor": lambda v: ceil(v - HALF),
                "round_prefer_ceil": lambda v: floor(v + HALF),
                "floor": floor,
                "ceil": ceil,
            }[nearest_mode]
            matrix[i, min(max(rounding(x), 0), a - 1)] = 1
        else:
            x = min(max(x, Fraction(0)), Fraction(a - 1))
            matrix[i, floor(x)] += 1 - float(x - floor(x))
            if x != floor(x):
                matrix[i, floor(x) + 1] += float(x - floor(x))
    return matrix


def along(x: Array, axis: int, matrix: Array) -> Array:
    """Apply a matrix to an axis; elements of weight 0 do not count, NaN or not."""
    x = np.moveaxis(x, axis, -1)
    out = np.zeros((*x.shape[:-1], matrix.shape[0]))
    for i, row in enumerate(matrix):
        used = np.flatnonzero(row)
        terms = [x[..., j] * row[j] if row[j] != 1 else x[..., j] for j in used]
        out[..., i] = sum(terms[1:], terms[0])
    return np.moveaxis(out, -1, axis)


def reference(x: Array, sizes: tuple[int, ...], **attributes: Any) -> Array:
    """numpy, in float64."""
    if x.size == 0:
        return np.zeros((*x.shape[:2], *sizes))
    for i, size in enumerate(sizes):
        x = along(x, 2 + i, weights(x.shape[2 + i], size, **attributes))
    return x


def scale(x: Array, **attributes: Any) -> Array:
    """Magnitude of what is added up."""
    return reference(np.abs(x), **attributes)


def cases(dtypes: tuple[str, ...], rng: Rng) -> Iterator[Case]:
    """Sizes, attributes and special values."""
    shapes: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
        ((2, 3, 5, 7), (10, 14)),
        ((1, 2, 6, 5), (3, 9)),
        ((1, 1, 4, 4), (1, 1)),
        ((1, 1, 1, 1), (3, 5)),
        ((1, 1, 17, 31), (13, 17)),
        ((1, 2, 21, 3), (43, 2)),
    ]
    for transformation in MODES:
        for rounding in ROUNDINGS:
            for x, sizes in shapes:
                given = {
                    "sizes": sizes,
                    "mode": "nearest",
                    "coordinate_transformation_mode": transformation,
                    "nearest_mode": rounding,
                }
                name = f"{transformation}-{rounding}-{sizes[0]}x{sizes[1]}"
                yield Case(name, (values(rng, x, "float32"),), given)
        for x, sizes in (*shapes, ((1, 3, 9), (20,)), ((2, 1, 8), (3,))):
            given = {
                "sizes": sizes,
                "mode": "linear",
                "coordinate_transformation_mode": transformation,
            }
            name = f"linear-{transformation}-{'x'.join(map(str, sizes))}"
            yield Case(name, (values(rng, x, "float32"),), given)
    for transformation in ("half_pixel", "pytorch_half_pixel"):
        # Doubled: rows of a register of pairs and more, and rows too narrow for it.
        for shape in ((1, 2, 3, 5), (2, 1, 4, 8), (1, 1, 1, 9), (1, 3, 5, 18), (2, 4)):
            *_, h, w = x = (1,) * (4 - len(shape)) + shape
            given = {
                "sizes": (2 * h, 2 * w),
                "mode": "linear",
                "coordinate_transformation_mode": transformation,
            }
            name = f"double-{transformation}-{h}x{w}"
            yield Case(name, (values(rng, x, "float32"),), given)
    yield Case("default", (values(rng, (1, 2, 3, 4), "float32"),), {"sizes": (6, 6)})
    yield Case("1d", (values(rng, (2, 2, 9), "float32"),), {"sizes": (21,)})
    yield Case("empty", (np.zeros((0, 2, 3, 4), "float32"),), {"sizes": (6, 6)})
    special = np.stack([SPECIAL, SPECIAL[::-1]])[None, None]
    for mode in ("nearest", "linear"):
        given = {
            "sizes": (2, SPECIAL.size * 2 - 1),
            "mode": mode,
            "coordinate_transformation_mode": "align_corners",
        }
        yield Case(f"special-{mode}", (special,), given)
    given = {"sizes": (4, SPECIAL.size * 2), "mode": "linear"}
    yield Case("special-linear-double", (special,), given)


KERNEL = Operator(
    collapse="exact.lift",
    inputs=(Input("x", "N C H W"),),
    attributes=(
        Attribute("mode", default=0, choices=("nearest", "linear")),
        Attribute("coordinate_transformation_mode", default=0, choices=MODES),
        Attribute("nearest_mode", default=0, choices=ROUNDINGS),
        # Without a default: the axis that 1-D images lack is then 0 here.
        Attribute("sizes", minimum=1, maximum=1 << 30, per_unit=1, kernel=2),
    ),
    units=2,
    dtypes=("float32",),
    absent={
        "int8": "ONNX leaves open how linear rounds; cast around it",
        "int32": "ONNX leaves open how linear rounds; cast around it",
        "uint8": "ONNX leaves open how linear rounds; cast around it",
    },
    requires=requires,
    compute=compute,
    schedule=as_written,
    reference=reference,
    reference_scale=scale,
    cases=cases,
    bound=Bound(ulp=4, why="six roundings along the way, two of them of the weights"),
    aliases=("ResizeBilinear", "ResizeNearestNeighbor"),
)
