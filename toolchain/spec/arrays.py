"""Functions of toolchain.spec.math over whole arrays, by stages.

They are written by toolchain/lower/functions.py, which says why.
"""

from __future__ import annotations

from collections.abc import Iterator

from toolchain.spec import Pointwise
from toolchain.spec import math as m
from toolchain.spec.kernel import Kernel
from toolchain.spec.nest import call, nest
from toolchain.spec.tvm import Buffer, Expr, Tensor, tir


def each(
    name: str, x: Buffer, out: Buffer, n: Expr, *others: Expr, first: Expr = 0
) -> None:
    """Emit out[i] = f(x[i], *others), f of toolchain.spec.math, from `first`, n times.

    By stages (see toolchain/lower/functions.py), and without alignment or a multiple.
    """
    ends = (x.access_ptr("r", offset=first), out.access_ptr("w", offset=first))
    call(f"{m.SYMBOL}array_{name}", *ends, n, *others)


def add_up(
    name: str, x: Buffer, out: Buffer, n: Expr, *others: Expr, first: Expr
) -> None:
    """Emit the same; the last of `others` points to where the sum of all out[i] goes.

    It is infinity, and there are no results, where an element is beyond limits of f.
    """
    each(f"sum_{name}", x, out, n, *others, first=first)


def function(name: str, *others: float) -> Pointwise:
    """Compute of an elementwise operator: out[i] = f(x[i], *others).

    name: of a function of toolchain.spec.math.
    """

    def constants() -> Iterator[Expr]:
        return (tir.const(v, "float32") for v in others)

    def formula(k: Kernel, x: Expr) -> Expr:
        return getattr(m, name)(x, *constants())

    def loops(k: Kernel) -> Tensor:
        def emit(ins: list[Buffer], out: Buffer) -> None:
            each(name, ins[0], out, k.n, *constants())

        return nest((k.n,), k.inputs, emit, k.dtype)

    return Pointwise(formula, loops)
