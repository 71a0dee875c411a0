"""out[n, c, y, x] = mean_{r, s} x[n, c, y * stride + r * dilation - pad, ...]

Shapes: x [N, C, H, W] or [N, C, W]; kernel_shape, strides and dilations have an entry
for each spatial axis, pads has the begins, then the ends. ceil_mode=1 rounds the
number of windows up.
Dtypes: float32 adds up in float32, where a partial sum may become an infinity.
Edges: the mean is over the taps inside x; with count_include_pad=1 over those inside
x and its pads, which count as 0.
Source: ONNX AveragePool-22; MindSpore AvgPool.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from toolchain.spec import (
    PARTIAL_SUMS,
    Attribute,
    Bound,
    Buffer,
    Expr,
    Input,
    Kernel,
    Operator,
    Tensor,
    script,
    tir,
)
from toolchain.spec import windows as w
from toolchain.spec.cases import Array
from toolchain.spec.cases_windows import pooled, pooling
from toolchain.spec.nest import as_written


def compute(k: Kernel) -> Tensor:
    """Add up each window of the padded planes, then divide by its taps."""
    counted = k.count_include_pad != 0

    def taps(axis: int, position: Expr) -> Expr:
        before, after = k.pads[axis], k.pads[axis + 2]
        low = tir.Select(counted, -before, k.index(0))
        high = (k.H, k.W)[axis] + tir.Select(counted, after, k.index(0))
        return w.taps_inside(k, axis, position, low, high)

    def divide() -> Callable[[Buffer, list[Expr]], None]:
        columns = w.extent(k, 1)
        across = script.alloc_buffer((columns,), "int32")
        planes = tir.all(k.N > 0, k.C > 0)
        with script.If(planes), script.Then(), script.serial(0, columns) as x:
            script.buffer_store(across, taps(1, x), [x])

        def each(out: Buffer, row: list[Expr]) -> None:
            down = script.Bind(taps(0, row[2]))
            with script.serial(0, columns) as x:
                at = [*row, x]
                mean = out[tuple(at)] / (down * across[x]).astype("float32")
                script.buffer_store(out, mean, at)

        return each

    return w.fold(k, "sum", tir.const(0, "float32"), divide)


def reference(x: Array, count_include_pad: int, **attributes: Any) -> Array:
    """numpy, window by window."""

    def mean(taps: Array, inside: tuple[int, int]) -> Any:
        return np.sum(taps) / (inside[1] if count_include_pad else inside[0])

    return pooled(x, mean, **attributes)


def scale(x: Array, **attributes: Any) -> Array:
    """Magnitude of what is added up."""
    return reference(np.abs(x), **attributes)


KERNEL = Operator(
    collapse="exact.lift",
    inputs=(Input("x", "N C H W"),),
    attributes=(
        w.CEIL_MODE,
        Attribute("count_include_pad", default=0, minimum=0, maximum=1),
        *(w.KERNEL_SHAPE, w.STRIDES, w.PADS, w.DILATIONS),
    ),
    units=2,
    dtypes=("float32",),
    absent={
        "int32": "ONNX defines it for floats only",
        "int8": "ONNX defines it for floats only",
    },
    compute=compute,
    schedule=as_written,
    requires=w.requires,
    reference=reference,
    reference_scale=scale,
    cases=pooling(average=True),
    narrow=PARTIAL_SUMS,
    bound=Bound(ulp=4, why="a sum in order over up to 25 taps, one division"),
)
