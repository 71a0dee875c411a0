"""out[m, n] = alpha * sum_k a'[m, k] * b'[k, n] + beta * c[m, n].

a' is a, or its transpose where transA is 1; b' alike.
Shapes: a [M, K], b [K, N] (transposed: [K, M], [N, K]); c is absent, a scalar, [N],
[1, N], [M, 1] or [M, N].
Dtypes: float32 adds up in float32, where a partial sum may become an infinity.
Edges: K = 0 leaves beta * c; beta = 0 leaves c out, NaN or not, as ONNX's reference and
BLAS have it; otherwise NaN and infinity propagate.
Source: ONNX Gemm-13.
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
    Expr,
    Input,
    Kernel,
    Operator,
    Tensor,
    tir,
)
from toolchain.spec.cases import Array, Rng, values
from toolchain.spec.nest import as_written, nest
from toolchain.spec.panels import MatrixRows, either, pack_elements, panels
from toolchain.spec.product import Product


def sizes(k: Kernel) -> tuple[Expr, Expr, Expr, Expr]:
    """M, K of a and K, N of b, after transposition."""
    left, right = k.transA != 0, k.transB != 0
    return (
        tir.Select(left, k.A1, k.A0),
        tir.Select(left, k.A0, k.A1),
        tir.Select(right, k.B1, k.B0),
        tir.Select(right, k.B0, k.B1),
    )


def requires(k: Kernel) -> list[tuple[Expr, str]]:
    """What sizes must fulfil."""
    rows, depth, other, columns = sizes(k)
    return [
        (
            depth == other,
            "the inner sizes of a and b must be equal; see transA, transB",
        ),
        (tir.any(k.P == 1, rows == k.P), "c must have 1 row or as many as the result"),
        (
            tir.any(k.Q == 1, columns == k.Q),
            "c must have 1 column or as many as the result",
        ),
    ]


def compute(k: Kernel) -> Tensor:
    """The loop nest of the product."""
    rows, depth, _, columns = sizes(k)

    def emit(ins: list[Buffer], out: Buffer) -> None:
        a, b, c = ins

        def finish(i: Expr, j: Expr, total: Expr) -> Expr:
            bias = c[tir.min(i, k.P - 1), tir.min(j, k.Q - 1)]
            zero = tir.const(0, "float32")
            return k.alpha * total + tir.Select(k.beta == zero, zero, k.beta * bias)

        left = either(
            k.transA != 0,
            pack_elements(lambda i, u: a[u, i]),
            MatrixRows(a, k.A1, k.target),
        )
        right = either(
            k.transB != 0,
            MatrixRows(b, k.B1, k.target),
            pack_elements(lambda j, u: b[u, j]),
        )
        tile = panels(k.target, "f32")
        Product(
            tile,
            rows,
            depth,
            columns,
            left,
            right,
            out,
            lambda i, j: [i, j],
            columns,
            finish=finish,
        ).emit()

    return nest((rows, columns), k.inputs, emit, k.dtype)


def reference(a: Array, b: Array, c: Array | None, **attributes: Any) -> Array:
    """numpy, in float64."""
    a = a.T if attributes["transA"] else a
    b = b.T if attributes["transB"] else b
    product = np.float32(attributes["alpha"]) * (a @ b)
    if c is None or attributes["beta"] == 0:
        return product
    return product + np.float32(attributes["beta"]) * c


def scale(a: Array, b: Array, c: Array | None, **attributes: Any) -> Array:
    """Magnitude of what is added up."""
    c = None if c is None else np.abs(c)
    positive = {name: abs(value) for name, value in attributes.items()}
    return reference(np.abs(a), np.abs(b), c, **positive)


def cases(dtypes: tuple[str, ...], rng: Rng) -> Iterator[Case]:
    """Sizes, attributes and special values."""
    shapes = (
        *((0, 3, 4), (3, 0, 4), (1, 1, 1), (2, 3, 4), (5, 5, 9), (4, 8, 8)),
        *((17, 13, 31), (65, 129, 71), (6, 1031, 9), (66, 7, 2050)),
    )
    for m, k, n in shapes:
        for flip in range(4):
            left, right = flip & 1, flip >> 1
            a = values(rng, (k, m) if left else (m, k), "float32")
            b = values(rng, (n, k) if right else (k, n), "float32")
            forms = (None, (), (n,), (1, n), (m, 1), (m, n))
            form = forms[(flip + m + n) % 6]
            c = None if form is None else values(rng, form, "float32")
            given = {"transA": left, "transB": right}
            yield Case(f"{m}x{k}x{n}-{left}{right}", (a, b, c), given)
    a, b = values(rng, (5, 6), "float32"), values(rng, (6, 7), "float32")
    for form in (None, (), (1,), (7,), (1, 1), (1, 7), (5, 1), (5, 7)):
        c = None if form is None else values(rng, form, "float32")
        factors = {"alpha": 0.37, "beta": -1.75}
        yield Case(f"c{form}".replace(" ", ""), (a, b, c), factors)
    c = np.array([np.nan, np.inf, -np.inf, 0, 1, 2, 3], np.float32)
    yield Case("special", (a, b, c), {"beta": 0.0})
    a[2, 2] = np.inf
    yield Case("infinite", (a, b, None), {"alpha": -1.0})


KERNEL = Operator(
    collapse="exact.pad_left",
    inputs=(
        Input("a", "A0 A1"),
        Input("b", "B0 B1"),
        Input("c", "P Q", optional=True),
    ),
    attributes=(
        Attribute("alpha", "float", default=1.0),
        Attribute("beta", "float", default=1.0),
        Attribute("transA", default=0, minimum=0, maximum=1),
        Attribute("transB", default=0, minimum=0, maximum=1),
    ),
    dtypes=("float32",),
    absent={
        "int32": "alpha and beta are fractions; see matmul",
        "int8": "alpha and beta are fractions; see matmul_integer",
    },
    requires=requires,
    compute=compute,
    schedule=as_written,
    reference=reference,
    reference_scale=scale,
    cases=cases,
    narrow=PARTIAL_SUMS,
    bound=Bound(ulp=8, why="512 sums in a row of one rounding each, in a random walk"),
)
