"""out[m, n] = sum_k (a[m, k] - a_zero_point[m]) * (b[k, n] - b_zero_point[n]).

Shapes: a [..., M, K], b [..., K, N] as for matmul; a zero point is a scalar or has
one value for each row of a (column of b).
Dtypes: int8 or uint8 each, added up in int32, which is the result; exact.
Edges: K = 0 gives 0; sums past int32 wrap as two's complement.
Source: ONNX MatMulInteger-10.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from toolchain.spec import Buffer, Case, Input, Kernel, Operator, Output, Tensor
from toolchain.spec.cases import Array, Rng, values
from toolchain.spec.cases_matrix import matrices
from toolchain.spec.eight_bit import EightBitProduct, Factor
from toolchain.spec.nest import as_written, nest


def compute(k: Kernel) -> Tensor:
    """One loop nest for every choice of dtypes."""

    def emit(ins: list[Buffer], out: Buffer) -> None:
        a, b, a_zero, b_zero = ins
        left, right = Factor(a, a_zero, k.a_sign), Factor(b, b_zero, k.b_sign)
        EightBitProduct(left, right, out, k.M, k.K, k.N, k.N, k.target).emit()

    return nest((k.M, k.N), k.inputs, emit, "int32")


def reference(
    a: Array, b: Array, a_zero_point: Array | None, b_zero_point: Array | None
) -> Array:
    """numpy in int32."""
    a, b = a.astype("int32"), b.astype("int32")
    if a_zero_point is not None:
        rows = a_zero_point.astype("int32")
        a = a - (rows[:, None] if rows.size > 1 else rows.reshape(()))
    if b_zero_point is not None:
        b = b - b_zero_point.astype("int32")
    return a @ b


def cases(dtypes: tuple[str, ...], rng: Rng) -> Iterator[Case]:
    """Sizes, attributes and special values."""
    for case in matrices(dtypes, rng):
        a, b = case.inputs
        b = b.view(dtypes[1])
        for name, zeros in (
            ("", (None, None)),
            ("-a", (values(rng, (), dtypes[0]), None)),
            ("-b", (None, values(rng, (1,), dtypes[1]))),
            ("-ab", (values(rng, (1,), dtypes[0]), values(rng, (), dtypes[1]))),
        ):
            yield Case(case.name + name, (a, b, *zeros))
    for m, k, n in ((1, 19, 9), (5, 19, 1), (7, 19, 11), (66, 19, 70), (259, 269, 521)):
        a, b = values(rng, (m, k), dtypes[0]), values(rng, (k, n), dtypes[1])
        zeros = values(rng, (m,), dtypes[0]), values(rng, (n,), dtypes[1])
        yield Case(f"rows-{m}", (a, b, zeros[0], None))
        yield Case(f"columns-{n}", (a, b, None, zeros[1]))
        yield Case(f"both-{m}-{n}", (a, b, *zeros))
    low, high = (0, 255) if dtypes[0] == "uint8" else (-128, 127)
    for m, k, n in ((5, 33, 9), (256, 256, 256)):
        a = np.full((m, k), high, dtypes[0])
        b = np.full((k, n), np.iinfo(dtypes[1]).min, dtypes[1])
        yield Case(f"widest-{m}", (a, b, np.array(low, dtypes[0]), None))


KERNEL = Operator(
    collapse="matmul.zero_points",
    inputs=(
        Input("a", "M K"),
        Input("b", "K N", dtype=1),
        Input("a_zero_point", "M", optional=True),
        Input("b_zero_point", "N", dtype=1, optional=True),
    ),
    outputs=(Output(dtype="int32"),),
    dtypes=tuple((a, b) for a in ("int8", "uint8") for b in ("int8", "uint8")),
    absent={
        "float32": "see matmul",
        "int32": "see matmul",
        "int64": "ONNX has 8-bit integers",
        "bool": "ONNX has 8-bit integers",
    },
    # int8 is uint8 ^ 128 less 128: the runtime says 128 or 0 for each factor.
    sizes=("a_sign", "b_sign"),
    stored_as={"int8": "uint8"},
    compute=compute,
    schedule=as_written,
    reference=reference,
    cases=cases,
    aliases=("MatMulInteger",),
)
