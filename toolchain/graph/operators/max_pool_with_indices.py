"""out[n, c, y, x] = max_{r, s} x[n, c, y * stride + r * dilation - pad, ...]; its place

Shapes: x [N, C, axes...], one to three of them; kernel_shape, strides and dilations
have an entry for each, pads has the begins, then the ends.
Places: indices into all of x, int64; storage_order=1 counts the axes of a plane from
the first on.
Edges: padding never wins; a NaN in a window wins, the first of several; of equal
elements the first wins; a window of padding alone has place -1.
Source: ONNX MaxPool-22 with both outputs; MindSpore MaxPoolWithArgmax.
"""

import numpy as np

from toolchain.spec import (
    Attribute,
    Bound,
    Case,
    Input,
    Operator,
    Output,
    window_shapes,
)
from toolchain.spec import windows as w
from toolchain.spec.cases import values
from toolchain.spec.cases_windows import pooled, pooling

DEEP = (
    ("deep", (2, 3, 5, 6, 7), {"kernel_shape": [2, 3, 2]}),
    (
        "deep_all",
        (1, 2, 7, 6, 9),
        {
            "kernel_shape": [3, 2, 3],
            "strides": [2, 1, 3],
            "pads": [1, 0, 2, 0, 1, 1],
            "dilations": [1, 2, 1],
            "ceil_mode": 1,
        },
    ),
)


def best(taps, x):
    """Place of the largest element; -1 where there is none."""
    if not taps.size:
        return -1
    flat = x.ravel()[taps.ravel().astype("int64")]
    nan = np.flatnonzero(flat != flat)
    return taps.ravel()[nan[0] if nan.size else np.argmax(flat)]


def reference(x, storage_order, **given):
    """numpy, window by window, over places in place of elements."""
    numbers = np.arange(x.size, dtype="float64").reshape(x.shape)
    at = pooled(numbers, lambda taps, inside: best(taps, x), **given).astype("int64")
    lowest = -np.inf if x.dtype == np.float64 else np.iinfo(x.dtype).min
    padded = np.append(x.ravel(), np.array(lowest, x.dtype))
    out = padded[at]
    if storage_order:
        order = np.arange(x.size).reshape(x.shape)
        back = np.moveaxis(
            order.reshape(*x.shape[:2], *x.shape[:1:-1]),
            range(2, x.ndim),
            range(x.ndim - 1, 1, -1),
        )
        at = np.append(back.ravel(), -1)[at]
    return [out, at]


def cases(dtypes, rng):
    yield from pooling()(dtypes, rng)
    for name, shape, given in DEEP:
        yield Case(name, (values(rng, shape, dtypes[0]),), given)
        turned = {**given, "storage_order": 1}
        yield Case(f"{name}-turned", (values(rng, shape, dtypes[0]),), turned)
    given = {"kernel_shape": [2, 3], "storage_order": 1}
    yield Case("turned", (values(rng, (2, 3, 5, 7), dtypes[0]),), given)


KERNEL = Operator(
    collapse="own.plain",
    shapes=window_shapes.pooled,
    inputs=(Input("x", ""),),
    outputs=(Output(), Output("indices", dtype="int64")),
    attributes=(
        *(w.CEIL_MODE, w.KERNEL_SHAPE, w.STRIDES, w.PADS, w.DILATIONS),
        Attribute("storage_order", default=0, minimum=0, maximum=1),
    ),
    units=3,
    dtypes=("float32", "int8", "uint8"),
    absent={"int32": "ONNX defines pooling for floats and 8-bit integers"},
    source="max_pool_with_indices.c",
    reference=reference,
    cases=cases,
    bound=Bound(why="one of the elements"),
)
