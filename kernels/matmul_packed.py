"""out[..., m, n] = min(max(sum_k a[..., m, k] * b[k, n] + bias[n], minimum), maximum).

b is packed ahead, by matmul_pack.
Shapes: a [..., M, K], packed [ceil(N / 8), K, 8], bias [N] or absent; N is `columns`.
A 1-D a is a row that leaves the result.
Dtypes: float32 adds up in float32, where a partial sum may become an infinity.
Edges: K = 0 gives bias; NaN and infinity propagate as the products have them, and NaN
passes minimum and maximum.
Errors: panels that do not fit K and columns.
Source: a matrix product with its epilogue, as inference libraries have it.
"""

from __future__ import annotations

from collections.abc import Iterator
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
from toolchain.spec.cases import Array, Rng, values
from toolchain.spec.nest import as_written, nest
from toolchain.spec.panels import PANEL_WIDTH, MatrixRows, panels
from toolchain.spec.product import Packed, Product, by_column


def compute(k: Kernel) -> Tensor:
    """The loop nest of the product."""

    def emit(ins: list[Buffer], out: Buffer) -> None:
        a, packed, bias = ins
        tile = panels(k.target, "f32")
        Product(
            *(tile, k.M, k.K, k.N, MatrixRows(a, k.K, k.target), Packed(packed), out),
            lambda i, j: [i, j],
            k.N,
            by_column(bias, tile),
            (k.minimum, k.maximum),
        ).emit()

    return nest((k.M, k.N), k.inputs, emit, k.dtype)


def product(a: Array, packed: Array, bias: Array | None, columns: int) -> Array:
    """numpy, before the limits."""
    panels, rows, _ = packed.shape
    b = packed.transpose(1, 0, 2).reshape(rows, panels * PANEL_WIDTH)[:, :columns]
    return a @ b + (0 if bias is None else bias)


def reference(
    a: Array,
    packed: Array,
    bias: Array,
    columns: int,
    minimum: float = -np.inf,
    maximum: float = np.inf,
) -> Array:
    """numpy, in float64."""
    out = product(a, packed, bias, columns)
    limits = np.float32(minimum), np.float32(maximum)
    return np.minimum(np.maximum(out, limits[0]), limits[1])


def scale(a: Array, packed: Array, bias: Array | None, columns: int, **_: Any) -> Array:
    """Magnitude of what is added up."""
    bias = None if bias is None else np.abs(bias)
    return product(np.abs(a), np.abs(packed), bias, columns)


def cases(dtypes: tuple[str, ...], rng: Rng) -> Iterator[Case]:
    """Sizes about tiles, panels and blocks; the epilogue; special values."""
    shapes = (
        *(((0, 3), 4), ((3, 0), 4), ((3, 4), 0), ((1, 1), 1), ((1, 7), 31)),
        *(((1, 33), 32), ((1, 300), 553), ((2, 3), 8), ((4, 8), 8), ((5, 5), 9)),
        *(((7, 8), 7), ((13, 31), 33), ((65, 129), 71), ((6, 1031), 9)),
        *(((67, 12), 521), ((5,), 7), ((2, 3, 5), 7), ((2, 1, 3, 9), 17), ((0,), 3)),
    )
    for i, (shape, n) in enumerate(shapes):
        a = values(rng, shape, "float32")
        packed = values(rng, (-(-n // PANEL_WIDTH), shape[-1], PANEL_WIDTH), "float32")
        bias = values(rng, (n,), "float32")
        name = "x".join(map(str, (*shape, n)))
        yield Case(name, (a, packed, bias if i % 2 else None), {"columns": n})
        limits = {"columns": n, "minimum": -1.5, "maximum": 6.0}
        yield Case(f"{name}-limits", (a, packed, None if i % 2 else bias), limits)
    a, packed = values(rng, (9, 13), "float32"), values(rng, (3, 13, 8), "float32")
    a[2, 3], a[5, 0], packed[0, 4, 6], packed[1, 12, 0] = np.nan, np.inf, -np.inf, 0
    bias = np.full(21, -1, np.float32)
    bias[4], bias[20] = np.nan, np.inf
    limits = {"columns": 21, "minimum": 0.0}
    yield Case("special", (a, packed, bias), limits)
    yield Case("special-row", (a[5:6], packed, bias), limits)


KERNEL = Operator(
    collapse="matmul.packed",
    inputs=(
        Input("a", "M K"),
        Input("packed", "P K L"),
        Input("bias", "N", optional=True),
    ),
    attributes=(
        Attribute("columns", minimum=0, maximum=2**31 - 1, kernel=0),
        Attribute("minimum", "float", default=-np.inf, unbounded=True),
        Attribute("maximum", "float", default=np.inf, unbounded=True),
    ),
    dtypes=("float32",),
    absent={"int32": "see matmul", "int8": "see matmul_integer"},
    compute=compute,
    schedule=as_written,
    reference=reference,
    reference_scale=scale,
    cases=cases,
    narrow=PARTIAL_SUMS,
    bound=Bound(ulp=8, why="512 sums in a row of one rounding each, in a random walk"),
)
