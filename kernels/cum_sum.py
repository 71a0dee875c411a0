"""out[o, i] = sum_{j <= i} x[o, j]

Shapes: rows o of n elements along `axis`; out has the shape of x.
Attributes: exclusive=1 leaves x[o, i] itself out; reverse=1 adds up from the end.
Dtypes: added up in the dtype of x, in order.
Edges: integers wrap as two's complement; a sum beyond float32 is an infinity and
stays one, or becomes NaN.
Source: ONNX CumSum-14, whose axis is a tensor; MindSpore CumSum.
"""

import numpy as np

from toolchain.spec import (
    PARTIAL_SUMS,
    Bound,
    Input,
    Operator,
    tir,
)
from toolchain.spec import script as T  # noqa: N812  # TVM's own name for it
from toolchain.spec.cases import running
from toolchain.spec.nest import as_written, nest
from toolchain.spec.rows import RUNNING


def direction(k):
    """First position of a row, and the way to the next."""
    return k.reverse * (k.n - 1), 1 - 2 * k.reverse


def rows(k):
    zero = tir.const(0, k.dtype)

    def emit(inputs, out):
        (x,) = inputs
        total = T.alloc_buffer((2,), k.dtype)  # without x[o, i], and with it
        start, step = direction(k)
        with T.serial(0, k.o) as i:
            T.buffer_store(total, zero, [0])
            with T.serial(0, k.n) as s:
                at = [i, start + step * s]
                T.buffer_store(total, total[0] + x[tuple(at)], [1])
                chosen = tir.Select(k.exclusive != 0, total[0], total[1])
                T.buffer_store(out, chosen, at)
                T.buffer_store(total, total[1], [0])

    return nest((k.o, k.n), [k.x], emit, k.dtype)


def columns(k):
    zero = tir.const(0, k.dtype)

    def emit(inputs, out):
        (x,) = inputs
        start, step = direction(k)
        with T.serial(0, k.o) as i:
            with T.serial(0, tir.min(k.n, 1)), T.serial(0, k.k) as j:
                first = [i, start, j]
                value = tir.Select(k.exclusive != 0, zero, x[tuple(first)])
                T.buffer_store(out, value, first)
            with T.serial(0, k.n - 1) as s, T.serial(0, k.k) as j:
                before = start + step * s
                added = before + step * (1 - k.exclusive)
                value = out[i, before, j] + x[i, added, j]
                T.buffer_store(out, value, [i, before + step, j])

    return nest((k.o, k.n, k.k), [k.x], emit, k.dtype)


def reference(x, axis, exclusive, reverse):
    x = np.flip(x, axis) if reverse else x
    total = np.cumsum(x, axis=axis, dtype=x.dtype)
    total = total - x if exclusive and x.dtype != np.float64 else total
    if exclusive and x.dtype == np.float64:
        total = np.roll(total, 1, axis)
        index = [slice(None)] * x.ndim
        index[axis] = slice(0, 1)
        total[tuple(index)] = 0
    return np.flip(total, axis) if reverse else total


KERNEL = Operator(
    collapse="rows.axis",
    inputs=(Input("x", "o n"),),
    attributes=RUNNING,
    dtypes=("float32", "int32", "int8", "int64"),
    models=("float64",),
    compute=rows,
    columns=columns,
    schedule=as_written,
    reference=reference,
    reference_scale=lambda x, **given: reference(np.abs(x), **given),
    cases=running(),
    narrow=PARTIAL_SUMS,
    bound=Bound(ulp=4, why="4099 additions in order, a random walk; of the sum of |x|"),
)
