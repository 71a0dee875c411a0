"""Arg reductions: where in a row its maximum or minimum stands."""

from __future__ import annotations

from toolchain.spec import microkernels as micro
from toolchain.spec.kernel import Kernel
from toolchain.spec.nest import call, nest
from toolchain.spec.rows import ELEMENTS, Compute, Fold, vector_lanes
from toolchain.spec.tvm import Buffer, Expr, Tensor
from toolchain.spec.tvm import script as T  # noqa: N812  # TVM's own name for it


def arg_reduction(kind: Fold) -> tuple[Compute, Compute]:
    """(compute, columns): where in a row its fold (a maximum or minimum) stands.

    The first position or, by the attribute select_last_index, the last one. NaN is
    equal to NaN.
    """

    def rows(k: Kernel) -> Tensor:
        def body(buffers: list[Buffer], out: Buffer) -> None:
            (x,) = buffers
            best = T.alloc_buffer((1,), k.dtype)

            def row(i: Expr) -> None:
                kind.rows(x, best, 1, k.n, i * k.n)
                call(
                    micro.ARG_FIND(ELEMENTS[k.dtype]),
                    x.access_ptr("r", offset=i * k.n),
                    best.access_ptr("r"),
                    out.access_ptr("w", offset=i),
                    *(k.n, k.select_last_index),
                )

            one_pass = k.dtype == "float32" and vector_lanes(k) > 1
            if one_pass:
                call(
                    micro.ARG_ROWS(kind.kind),
                    *(x.access_ptr("r"), out.access_ptr("w")),
                    *(k.o, k.n, k.select_last_index, 0),
                )
            with T.serial(0, k.o) as i:
                if one_pass:
                    with T.If(out[i] < 0), T.Then():
                        row(i)
                else:
                    row(i)

        return nest((k.o,), (k.x,), body, "int64")

    def columns(k: Kernel) -> Tensor:
        def body(buffers: list[Buffer], out: Buffer) -> None:
            (x,) = buffers
            call(
                kind.kernel(micro.ARG_COLUMNS, k.dtype),
                *(x.access_ptr("r"), out.access_ptr("w")),
                *(k.o, k.n, k.k, k.select_last_index, kind.extra(k.dtype)),
            )

        return nest((k.o, k.k), (k.x,), body, "int64")

    return rows, columns
