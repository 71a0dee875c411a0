"""Normalizations: rows times the inverse roots of their squares, four rows at once."""

from __future__ import annotations

from collections.abc import Callable

from toolchain.spec import math as m
from toolchain.spec import microkernels as micro
from toolchain.spec.kernel import Kernel
from toolchain.spec.nest import call, materialized, nest
from toolchain.spec.tvm import Buffer, Tensor, tir
from toolchain.spec.tvm import script as T  # noqa: N812  # TVM's own name for it

MOST = 0x58800000  # the bits of 2^50: inverse roots up to which squares keep digits


def each_four(k: Kernel, emit: Callable[..., None], *inputs: Tensor) -> Tensor:
    """Tensor of a nest over rows, by four short rows or by a long one.

    emit(first, count, inputs, out). The roots of four rows are a vector, and roots take
    longer than a short row's sum; four long rows would not stay in L1.
    """

    def body(buffers: list[Buffer], out: Buffer) -> None:
        _each_four(k, emit, buffers, out)

    return nest((k.o, k.n), inputs, body, k.output_dtypes[0])


def normalized(k: Kernel, emit: Callable[..., None], *inputs: Tensor) -> Tensor:
    """The same of a normalization: emit(first, count, inputs, out, lost).

    inputs: x, scale and, if rows are centred, the bias. lost: for inverse_roots;
    rows that it makes NaN are done again, in float64.
    """

    def body(buffers: list[Buffer], out: Buffer) -> None:
        lost = T.alloc_buffer((1,), "int32")
        T.buffer_store(lost, tir.const(0, "int32"), [0])
        _each_four(k, emit, buffers, out, lost)
        pointers = [b.access_ptr("r") for b in buffers]
        pointers += [pointers[1]] * (3 - len(buffers))
        with T.If(tir.And(lost[0] != 0, k.n > 0)), T.Then():
            call(
                micro.WIDE_NORMALIZATION(),
                *(*pointers, out.access_ptr("rw"), k.o, k.n),
                *(tir.reinterpret("int32", k.epsilon), int(len(buffers) > 2)),
            )

    return nest((k.o, k.n), inputs, body, k.output_dtypes[0])


def _each_four(
    k: Kernel, emit: Callable[..., None], *given: Buffer | list[Buffer]
) -> None:
    short = k.n <= k.target.tuning("normalize.short_row")
    step = materialized(tir.Select(short, k.index(4), k.index(1)))
    with T.serial(0, tir.truncdiv(k.o + (step - 1), step)) as b:
        emit(b * step, tir.min(k.o - b * step, step), *given)


def inverse_roots(k: Kernel, squares: Buffer, lost: Buffer) -> Buffer:
    """Emit and give a buffer of 1 / sqrt(squares / n + epsilon), of four rows.

    NaN where squares left float32, which `lost` says then; of fewer rows, perhaps too
    where only the others did.
    """
    inverses = T.alloc_buffer((4,), k.dtype)
    with T.vectorized(0, 4) as i:
        mean = squares[i] / k.n.astype("float32")
        T.buffer_store(inverses, 1 / m.sqrt(mean + k.epsilon), [i])
    with T.serial(0, 4) as i:
        bits = tir.reinterpret("uint32", inverses[i]) - tir.const(1, "uint32")
        beyond = bits >= tir.const(MOST, "uint32")
        nan = tir.const(float("nan"), "float32")
        T.buffer_store(inverses, tir.Select(beyond, nan, inverses[i]), [i])
        T.buffer_store(lost, lost[0] | beyond.astype("int32"), [0])
    return inverses
