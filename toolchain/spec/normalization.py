"""Normalizations: rows times the inverse roots of their squares, four rows at once."""

from __future__ import annotations

from collections.abc import Callable

from toolchain.spec import math as m
from toolchain.spec import microkernels as micro
from toolchain.spec.kernel import Kernel
from toolchain.spec.nest import call, materialized, nest
from toolchain.spec.tvm import Buffer, Expr, Tensor, tir
from toolchain.spec.tvm import script as T  # noqa: N812  # TVM's own name for it

MOST = 0x58800000  # the bits of 2^50: inverse roots up to which squares keep digits
# What a function of (first, count, x) emits of up to four rows: the sums of squares,
# and the means that these are about, where rows are centred.
Statistics = Callable[[Expr, Expr, Buffer], tuple[Buffer, Buffer | None]]


def each_four(k: Kernel, emit: Callable[..., None], *inputs: Tensor) -> Tensor:
    """Tensor of a nest over rows, by four short rows or by a long one.

    emit(first, count, inputs, out). The roots of four rows are a vector, and roots take
    longer than a short row's sum; four long rows would not stay in L1.
    """

    def body(buffers: list[Buffer], out: Buffer) -> None:
        _each_four(k, emit, buffers, out)

    return nest((k.o, k.n), inputs, body, k.output_dtypes[0])


def normalized(k: Kernel, statistics: Statistics, *inputs: Tensor) -> Tensor:
    """Tensor of a nest: (x - mean) / sqrt(squares / n + epsilon) * scale + bias.

    inputs: x, scale and, where rows are centred, the bias. A row whose squares left
    float32 begins with NaN, and is done again in float64.
    """

    def body(buffers: list[Buffer], out: Buffer) -> None:
        x, scale, *others = buffers
        bias = others[0] if others else scale  # which nothing reads
        lost = T.alloc_buffer((1,), "int32")
        T.buffer_store(lost, tir.const(0, "int32"), [0])

        def emit(first: Expr, count: Expr) -> None:
            squares, means = statistics(first, count, x)
            inverses = inverse_roots(k, squares)
            kind, means = ("centred", means) if others else ("scaled", inverses)
            factors, row = (means, inverses, scale, bias), first * k.n
            some = tir.call_extern(
                *("int32", micro.NORMALIZE(kind)),
                *(x.access_ptr("r", offset=row), *(b.access_ptr("r") for b in factors)),
                *(out.access_ptr("w", offset=row), count, k.n),
            )
            T.buffer_store(lost, lost[0] | some, [0])

        with T.If(k.n > 0), T.Then():
            _each_four(k, emit)
        ends = (*(b.access_ptr("r") for b in (x, scale, bias)), out.access_ptr("rw"))
        epsilon = tir.reinterpret("int32", k.epsilon)
        with T.If(lost[0] != 0), T.Then():
            call(micro.WIDE_NORMALIZATION(), *ends, k.o, k.n, epsilon, len(others))

    return nest((k.o, k.n), inputs, body, k.output_dtypes[0])


def _each_four(
    k: Kernel, emit: Callable[..., None], *given: Buffer | list[Buffer]
) -> None:
    short = k.n <= k.target.tuning("normalize.short_row")
    step = materialized(tir.Select(short, k.index(4), k.index(1)))
    with T.serial(0, tir.truncdiv(k.o + (step - 1), step)) as b:
        emit(b * step, tir.min(k.o - b * step, step), *given)


def inverse_roots(k: Kernel, squares: Buffer) -> Buffer:
    """Emit and give a buffer of 1 / sqrt(squares / n + epsilon), of four rows."""
    inverses = T.alloc_buffer((4,), k.dtype)
    with T.vectorized(0, 4) as i:
        mean = squares[i] / k.n.astype("float32")
        T.buffer_store(inverses, 1 / m.sqrt(mean + k.epsilon), [i])
    return inverses
