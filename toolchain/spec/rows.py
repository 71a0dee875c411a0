"""Folds of rows and columns: what reductions and normalisations share.

Micro-kernels fold (toolchain/micro/rows.py, columns.py): rows that lie one after the
other, or x[o, n, k] down its columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

from toolchain.dtypes import DTYPES
from toolchain.spec import Attribute
from toolchain.spec import math as m
from toolchain.spec import microkernels as micro
from toolchain.spec.kernel import Kernel
from toolchain.spec.nest import call, materialized, nest
from toolchain.spec.tvm import Buffer, Expr, Tensor, tir
from toolchain.spec.tvm import script as T  # noqa: N812  # TVM's own name for it

Compute = Callable[[Kernel], Tensor]
# The bits of 2^-50, below which squares lose digits, and how many others are finite.
ROOTS, ROOTS_OF_ALL = 0x26800000, 0x7F800000 - 0x26800000
INF = float("inf")

AXIS = Attribute("axis", default=-1, kernel=0)
# Of sums and products that run along an axis; their cases: cases.running.
RUNNING = (
    AXIS,
    Attribute("exclusive", default=0, minimum=0, maximum=1),
    Attribute("reverse", default=0, minimum=0, maximum=1),
)
REDUCE_AXIS = (
    Attribute("axis", default=0, kernel=0),
    Attribute("keepdims", default=1, minimum=0, maximum=1, kernel=0),
)
REDUCE_AXES = (
    Attribute("keepdims", default=1, minimum=0, maximum=1, kernel=0),
    Attribute("noop_with_empty_axes", default=0, minimum=0, maximum=1, kernel=0),
    Attribute("axes", default=0, per_unit=1),
)
TRAILING = (
    Attribute("axis", default=-1, kernel=0),
    Attribute("epsilon", "float", default=1e-5),
)


def lowest(dtype: str) -> Expr:
    """-inf, or the smallest integer."""
    return tir.const(-INF, dtype) if dtype == "float32" else tir.min_value(dtype)


# What names of micro-kernels call dtypes; integers are compared as signed.
ELEMENTS = {d.name: d.element.replace("u", "i") for d in DTYPES.values()}
_SIGN = 0x80  # of a uint8


@dataclass(frozen=True)
class Fold:
    """kind: of a micro-kernel: sum, squares, deviations, product, max or min."""

    kind: str

    def kernel(self, form: micro.Form, dtype: str) -> str:
        """Name of the micro-kernel; of integers, the smallest is the largest of ~x."""
        floats = dtype == "float32"
        kind = self.kind if floats or self.kind != "min" else "max"
        return form(kind, ELEMENTS[dtype])

    def extra(self, dtype: str) -> int:
        """The last argument: a sum's divisor, or what turns the order of integers."""
        if self.kind in ("max", "min") and dtype != "float32":
            turn = -1 if self.kind == "min" else 0
            return turn ^ (_SIGN if dtype == "uint8" else 0)
        return 1

    def row(self, x: Buffer, n: Expr, first: Expr, extra: Expr = None) -> Expr:
        """Emit the fold of n elements of x from `first` on; the result.

        In a variable: what a call was given a pointer to, LLVM loads at every use.
        """
        out = T.alloc_buffer((1,), x.dtype)
        self.rows(x, out, 1, n, first, extra)
        return materialized(out[0])

    def rows(
        self,
        x: Buffer,
        out: Buffer,
        o: Expr,
        n: Expr,
        first: Expr = 0,
        extra: Expr = None,
        at: Expr = 0,
    ) -> None:
        """Emit out[at + i] = the fold of row i, n elements, of o from `first` on."""
        extra = self.extra(x.dtype) if extra is None else extra
        source = x.access_ptr("r", offset=first)
        target = out.access_ptr("w", offset=at)
        call(self.kernel(micro.ROWS, x.dtype), source, target, o, n, extra)

    def columns(
        self, x: Buffer, out: Buffer, sizes: Sequence[Expr], k: Expr, **given: Expr
    ) -> None:
        """Emit out[i, j] = the fold of x[i, r, j], of sizes (o, n, columns).

        k: elements from a row to the next. given: first, the first element of x;
        extra.
        """
        first, extra = given.get("first", 0), given.get("extra", self.extra(x.dtype))
        source, target = x.access_ptr("r", offset=first), out.access_ptr("w")
        call(self.kernel(micro.COLUMNS, x.dtype), source, target, *sizes, k, extra)


SUM, PRODUCT, SQUARES = Fold("sum"), Fold("product"), Fold("squares")
MAXIMUM, MINIMUM, DEVIATIONS = Fold("max"), Fold("min"), Fold("deviations")


def vector_lanes(k: Kernel) -> int:
    """Elements of x in a vector register, or 1."""
    return k.target.lanes(DTYPES[k.dtype].bits)


@dataclass(frozen=True)
class Strip:
    """Columns of x[o, n, k] that are done together, by vectors; at least a vector.

    The last vector is moved back to end with the strip: its columns may be done twice.
    """

    k: Kernel
    first: Expr
    width: Expr

    def each(
        self,
        emit: Callable[[Expr, Expr], None],
        loop: Callable[[int, int], AbstractContextManager[Expr]] | None = None,
    ) -> None:
        """Emit emit(c, c0) for the columns first + c, of which c0 starts a vector.

        loop: over a vector, T.vectorized or T.serial.
        """
        loop = loop or T.vectorized
        lanes = vector_lanes(self.k)
        vectors = (self.width + (lanes - 1)) // lanes
        with T.serial(0, vectors) as v, loop(0, lanes) as lane:
            emit(tir.min(v * lanes, self.width - lanes) + lane, v * lanes)


def each_row(k: Kernel, emit: Callable[..., None], *inputs: Tensor) -> Tensor:
    """Tensor of a nest over rows: emit(i, inputs, out)."""

    def body(buffers: list[Buffer], out: Buffer) -> None:
        with T.serial(0, k.o) as i:
            emit(i, buffers, out)

    return nest((k.o, k.n), inputs, body, k.output_dtypes[0])


def each_element(k: Kernel, emit: Callable[[Expr], None]) -> None:
    """Emit emit(r) for r < n, by four vectors and a rest."""
    count = 4 * vector_lanes(k)
    with T.serial(0, k.n // count) as b, T.vectorized(0, count) as lane:
        emit(b * count + lane)
    with T.serial(k.n // count * count, k.n) as r:
        emit(r)


def each_strip(k: Kernel, emit: Callable[..., None], *inputs: Tensor) -> Tensor:
    """Tensor of a nest over strips of columns: emit(i, strip, results, inputs, out).

    results: two buffers for the columns of a strip.
    """

    def body(buffers: list[Buffer], out: Buffer) -> None:
        most = k.target.tuning("reduce.strip")
        results = [T.alloc_buffer((most,), k.dtype) for _ in range(2)]
        with T.serial(0, k.o) as i, T.serial(0, (k.k + (most - 1)) // most) as s:
            first = tir.min(s * most, k.k - vector_lanes(k))
            strip = Strip(k, first, tir.min(k.k - first, most))
            emit(i, strip, results, buffers, out)

    return nest((k.o, k.n, k.k), inputs, body, k.output_dtypes[0])


def reduction(
    kind: Fold, mean: bool = False, root: bool = False
) -> tuple[Compute, Compute]:
    """(compute, columns): the fold of x; of a sum divided by n for a mean; its root."""

    def divisor(k: Kernel) -> Tensor:
        if not mean:
            return kind.extra(k.dtype)
        return k.n if k.dtype == "float32" else tir.Max(k.n, 1)

    def rows(k: Kernel) -> Tensor:
        def body(buffers: list[Buffer], out: Buffer) -> None:
            kind.rows(buffers[0], out, k.o, k.n, extra=divisor(k))
            if root:
                take_roots(k, buffers[0], out)

        return nest((k.o,), (k.x,), body, k.dtype)

    def columns(k: Kernel) -> Tensor:
        def body(buffers: list[Buffer], out: Buffer) -> None:
            sizes = (k.o, k.n, k.k)
            kind.columns(buffers[0], out, sizes, k.k, extra=divisor(k))
            if root:
                take_roots(k, buffers[0], out)

        return nest((k.o, k.k), (k.x,), body, k.dtype)

    return rows, columns


def take_roots(k: Kernel, x: Buffer, out: Buffer) -> None:
    """Emit out = its roots; sums of squares that left float32 are made anew."""
    lost = T.alloc_buffer((1,), "int32")
    T.buffer_store(lost, tir.const(0, "int32"), [0])
    with ExitStack() as loops:
        at = [loops.enter_context(T.serial(0, size)) for size in out.shape]
        T.buffer_store(out, m.sqrt(out[tuple(at)]), at)
        bits = tir.reinterpret("uint32", out[tuple(at)]) - tir.const(ROOTS, "uint32")
        beyond = bits >= tir.const(ROOTS_OF_ALL, "uint32")
        T.buffer_store(lost, lost[0] | beyond.astype("int32"), [0])
    width = out.shape[1] if len(out.shape) > 1 else k.index(1)
    ends = (x.access_ptr("r"), out.access_ptr("rw"))
    with T.If(lost[0] != 0), T.Then():
        call(micro.WIDE("norm"), *ends, k.o * width, width, k.n, width, 0)
