"""out[i] = minimum(maximum(input[i], min), max), with numpy broadcasting of all three.

An absent min or max does not limit. ONNX passes scalars; tensors broadcast as well.
Edges: NaN where any is NaN; max where min > max.
Source: ONNX Clip-13.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from toolchain.spec import (
    Bound,
    Case,
    Expr,
    Input,
    Kernel,
    Operator,
    math,
    pointwise,
    tir,
)
from toolchain.spec.cases import SHAPES, Array, shape_name, special, values

INF = float("inf")


def _clip(k: Kernel, x: Expr, low: Expr, high: Expr) -> Expr:
    if k.dtype.startswith("float"):
        vectors = k.target.has("simd128")
        return math.minimum(math.maximum(x, low, vectors), high, vectors)
    raised = tir.Select(x < low, low, x)
    return math.bind(raised, lambda r: tir.Select(r > high, high, r))


def _reference(x: Array, low: Array | None = None, high: Array | None = None) -> Array:
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def _cases(dtypes: tuple[str, ...], rng: np.random.Generator) -> Iterator[Case]:
    dtype = dtypes[0]
    low, high = (np.array(v, dtype) for v in (3, 60))
    ends = {"both": (low, high), "min": (low, None), "max": (None, high)}
    ends |= {"none": (None, None), "crossed": (high, low)}
    for name, limits in ends.items():
        yield Case(f"special-{name}", (special(dtype), *limits))
    for shape in SHAPES:
        yield Case(shape_name(shape), (values(rng, shape, dtype, -9, 99), low, high))
    columns = (values(rng, (3,), dtype), values(rng, (4, 1), dtype))
    yield Case("broadcast", (values(rng, (2, 4, 3), dtype), *columns))


KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(
        Input("input", "n"),
        Input("min", "n", optional=True, fill=-INF),
        Input("max", "n", optional=True, fill=INF),
    ),
    dtypes=("float32", "int32", "int8", "uint8", "int64"),
    models=("float64",),
    compute=pointwise(_clip),
    reference=_reference,
    cases=_cases,
    bound=Bound(why="no rounding"),
)
