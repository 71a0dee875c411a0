"""out[n, c, y, x] = max_{r, s} x[n, c, y * stride + r * dilation - pad, ...]

Shapes: x [N, C, H, W] or [N, C, W]; kernel_shape, strides and dilations have an entry
for each spatial axis, pads has the begins, then the ends. ceil_mode=1 rounds the
number of windows up.
Dtypes: no arithmetic, so no accumulator.
Edges: padding never wins; a NaN in a window gives NaN.
Source: ONNX MaxPool-22 (first output); MindSpore MaxPool.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from toolchain.spec import Bound, Input, Kernel, Operator, Tensor
from toolchain.spec import windows as w
from toolchain.spec.cases import Array
from toolchain.spec.cases_windows import pooled, pooling
from toolchain.spec.nest import as_written
from toolchain.spec.rows import lowest


def compute(k: Kernel) -> Tensor:
    """The largest of each window."""
    return w.fold(k, "max", lowest(k.dtype))


def reference(x: Array, **attributes: Any) -> Array:
    """numpy, window by window."""
    floats = x.dtype == np.float64
    lowest = -np.inf if floats else np.iinfo(x.dtype).min
    return pooled(x, lambda taps, inside: np.max(taps, initial=lowest), **attributes)


KERNEL = Operator(
    collapse="exact.lift",
    inputs=(Input("x", "N C H W"),),
    attributes=(w.CEIL_MODE, w.KERNEL_SHAPE, w.STRIDES, w.PADS, w.DILATIONS),
    units=2,
    dtypes=("float32", "int8", "uint8"),
    absent={"int32": "ONNX defines pooling for floats and 8-bit integers"},
    compute=compute,
    schedule=as_written,
    requires=w.requires,
    reference=reference,
    cases=pooling(),
    bound=Bound(why="one of the elements"),
)
