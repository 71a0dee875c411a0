"""out[m, n] = sum_k a[m, k] * b[k, n], numpy's matmul over any batch axes.

Shapes: a [..., M, K], b [..., K, N]; batch axes broadcast, a 1-D a (b) is a row
(column) that leaves the result.
Dtypes: float32 adds up in float32, where a partial sum may become an infinity; int32
and int8 in int32, cut to their width.
Edges: K = 0 gives 0; NaN and infinity propagate as the products have them; integers
wrap as two's complement.
Source: ONNX MatMul-13; MindSpore MatMul and BatchMatMul (int8).
"""

from __future__ import annotations

import numpy as np

from toolchain.spec import (
    PARTIAL_SUMS,
    Bound,
    Buffer,
    Input,
    Kernel,
    Operator,
    Tensor,
)
from toolchain.spec.cases import Array
from toolchain.spec.cases_matrix import matrices
from toolchain.spec.eight_bit import emit_int8
from toolchain.spec.nest import as_written, nest
from toolchain.spec.panels import MatrixColumns, MatrixRows, panels
from toolchain.spec.product import Product


def words(k: Kernel) -> Tensor:
    """Elements of 4 bytes, which a panel holds as they are."""

    def emit(ins: list[Buffer], out: Buffer) -> None:
        a, b = ins
        left, right = MatrixRows(a, k.K, k.target), MatrixColumns(b, k.N, k.target)
        tile = panels(k.target, "f32" if k.dtype == "float32" else "i32")
        Product(tile, k.M, k.K, k.N, left, right, out, lambda i, j: [i, j], k.N).emit()

    return nest((k.M, k.N), [k.a, k.b], emit, k.dtype)


def eight_bit(k: Kernel) -> Tensor:
    """int8: sums in int32, cut to their width."""
    return nest(
        (k.M, k.N),
        [k.a, k.b],
        lambda ins, out: emit_int8(ins[0], ins[1], out, k.target),
        k.dtype,
    )


def reference(a: Array, b: Array) -> Array:
    """numpy; int8 in int32, which holds the sums."""
    if a.dtype == np.int8:
        return a.astype(np.int32) @ b.astype(np.int32)
    return a @ b


KERNEL = Operator(
    collapse="matmul.plain",
    inputs=(Input("a", "M K"), Input("b", "K N")),
    dtypes=("float32", "int32", "int8"),
    models=("float64",),
    models_source="doubles.c",
    absent={
        "uint8": "neither ONNX nor MindSpore; matmul_integer takes it",
        "int64": "no SIMD multiplication worth a tile of its own",
        "bool": "no multiplication",
    },
    compute=lambda k: eight_bit(k) if k.dtype == "int8" else words(k),
    schedule=as_written,
    reference=reference,
    reference_scale=lambda a, b: np.abs(a) @ np.abs(b),
    cases=matrices,
    narrow=PARTIAL_SUMS,
    bound=Bound(ulp=8, why="512 sums in a row of one rounding each, in a random walk"),
    aliases=("BatchMatMul", "MatMul"),
)
