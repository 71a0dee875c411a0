"""out[i] = (x[i] - x_zero_point) * x_scale, as float32.

x_scale and x_zero_point are scalars, or one value for each index of `axis`.
Dtypes: the difference is exact; int32 multiplies in float64.
Source: ONNX DequantizeLinear-13.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from toolchain.spec import (
    Attribute,
    Bound,
    Case,
    Expr,
    Input,
    Kernel,
    Operator,
    Output,
    Tensor,
    te,
)
from toolchain.spec.cases import SHAPES, Array, shape_name, special, values


def _dequantize(k: Kernel, x: Expr, scale: Expr, zero_point: Expr) -> Expr:
    if k.dtype == "int32":
        wide = x.astype("float64") - zero_point.astype("float64")
        return (wide * scale.astype("float64")).astype("float32")
    return (x.astype("int32") - zero_point.astype("int32")).astype("float32") * scale


def _compute(k: Kernel) -> Tensor:
    return te.compute(
        (k.o, k.c, k.k),
        lambda o, c, i: _dequantize(k, k.x[o, c, i], k.x_scale[c], k.x_zero_point[c]),
        name="out",
    )


def _along(parameter: Array | None, x: Array, axis: int) -> Array | int:
    if parameter is None:
        return 0
    if parameter.size == 1:
        return parameter.reshape(())
    return parameter.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])


def _reference(
    x: Array, scale: Array, zero_point: Array | None = None, *, axis: int
) -> Array:
    return (x.astype(np.float64) - _along(zero_point, x, axis)) * _along(scale, x, axis)


def _cases(dtypes: tuple[str, ...], rng: np.random.Generator) -> Iterator[Case]:
    dtype = dtypes[0]
    for shape in (*SHAPES, (19, 1)):
        scale = np.array(0.1, np.float32)
        x = values(rng, shape, dtype)
        yield Case(shape_name(shape), (x, scale, values(rng, (), dtype)))
        yield Case(f"{shape_name(shape)}-symmetric", (x, scale, None))
    for i, scale in enumerate(special("float32")):
        edges = (special(dtype), np.array([scale]), np.array([3], dtype))
        yield Case(f"special{i}", edges)
    for axis, size in ((1, 5), (0, 3), (-1, 17), (2, 17)):
        x = values(rng, (3, 5, 17), dtype)
        scale = values(rng, (size,), "float32", 0.01, 2)
        points = values(rng, (size,), dtype)
        yield Case(f"axis{axis}", (x, scale, points), {"axis": axis})
        yield Case(f"axis{axis}-symmetric", (x, scale), {"axis": axis})


KERNEL = Operator(
    collapse="channels.axis",
    inputs=(
        Input("x", "o c k"),
        Input("x_scale", "c", dtype="float32"),
        Input("x_zero_point", "c", optional=True),
    ),
    outputs=(Output(dtype="float32"),),
    attributes=(Attribute("axis", default=1, kernel=0),),
    dtypes=("uint8", "int8", "int32"),
    compute=_compute,
    reference=_reference,
    cases=_cases,
    bound=Bound(ulp=0.5, why="one rounding"),
    absent={"float32": "float32 is the output"},
)
