"""out[i] = saturate(round(x[i] / y_scale) + y_zero_point), halves to even.

y_scale and y_zero_point are scalars, or one value for each index of `axis`.
Dtypes: the quotient is a float32, rounded once; the kernel is
quantize_linear_float32_<output>.
Edges: NaN gives y_zero_point; infinities saturate.
Source: ONNX QuantizeLinear-13.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from toolchain.spec import (
    Attribute,
    Case,
    Expr,
    Input,
    Kernel,
    Operator,
    Output,
    Tensor,
    te,
    tir,
)
from toolchain.spec.cases import SHAPES, Array, shape_name, special, values
from toolchain.spec.math import Let, clamp, is_nan, rint

LIMITS = {"uint8": (0, 255), "int8": (-128, 127)}
# More than any zero point can bring back into the range.
FAR = 1024


def _quantize(k: Kernel, x: Expr, scale: Expr, zero_point: Expr) -> Expr:
    let = Let()
    far, zero = tir.const(FAR, "float32"), tir.const(0, "float32")
    ratio = let(let(x) / let(scale))
    number = let(tir.Select(is_nan(ratio), zero, rint(ratio)))
    near = let(clamp(number, -far, far, k.target.has("simd128")))
    moved = let(near.astype("int32") + let(zero_point).astype("int32"))
    low, high = (tir.const(v, "int32") for v in LIMITS[k.dtypes[1]])
    raised = let(tir.Select(moved < low, low, moved))
    return let.around(tir.Select(raised > high, high, raised).astype(k.dtypes[1]))


def _compute(k: Kernel) -> Tensor:
    return te.compute(
        (k.o, k.c, k.k),
        lambda o, c, i: _quantize(k, k.x[o, c, i], k.y_scale[c], k.y_zero_point[c]),
        name="out",
    )


def _along(parameter: Array | None, x: Array, axis: int) -> Array | int:
    if parameter is None:
        return 0
    if parameter.size == 1:
        return parameter.reshape(())
    return parameter.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])


def _reference(
    x: Array,
    scale: Array,
    zero_point: Array | None = None,
    *,
    axis: int,
    dtypes: tuple[str, ...],
) -> Array:
    ratio = (x / _along(scale, x, axis)).astype(np.float32)
    number = np.nan_to_num(np.rint(ratio), nan=0, posinf=FAR, neginf=-FAR)
    moved = number.astype(np.float64) + _along(zero_point, x, axis)
    return np.clip(moved, *LIMITS[dtypes[1]])


def _cases(dtypes: tuple[str, ...], rng: np.random.Generator) -> Iterator[Case]:
    to = dtypes[1]
    for shape in SHAPES:
        scale = np.array(0.1, np.float32)
        x = values(rng, shape, "float32", -20, 20)
        yield Case(shape_name(shape), (x, scale, values(rng, (), to)))
        yield Case(f"{shape_name(shape)}-symmetric", (x, scale, None))
    for point in (7, 100, 120):
        edges = (special("float32"), np.array([0.5], "f4"), np.array([point], to))
        yield Case(f"special{point}", edges)
    halves = (np.arange(-700, 700) / np.float32(4)).astype("f4")
    yield Case("ties", (halves, np.array(0.5, "f4"), values(rng, (), to)))
    for axis, size in ((1, 5), (0, 3), (-1, 17), (2, 17)):
        x = values(rng, (3, 5, 17), "float32", -99, 99)
        scale = values(rng, (size,), "float32", 0.01, 2)
        yield Case(f"axis{axis}", (x, scale, values(rng, (size,), to)), {"axis": axis})
        yield Case(f"axis{axis}-symmetric", (x, scale), {"axis": axis})


KERNEL = Operator(
    collapse="channels.axis",
    inputs=(
        Input("x", "o c k"),
        Input("y_scale", "c", dtype="float32"),
        Input("y_zero_point", "c", dtype=1, optional=True),
    ),
    outputs=(Output(dtype=1),),
    attributes=(Attribute("axis", default=1, kernel=0),),
    dtypes=(("float32", "uint8"), ("float32", "int8")),
    compute=_compute,
    reference=_reference,
    cases=_cases,
    absent={
        "int32": "ONNX allows int32 input, which models do not use",
        "int8": "int8 is an output",
    },
)
