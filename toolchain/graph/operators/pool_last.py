"""out[n, y, x, c] = max or mean over r, s of x[n, y * stride + r * dilation - pad, ...]

max_pool and average_pool of images with their channels last. kind: mean counts the taps
inside the image, mean_padded those inside the padded one.
Shapes: x [N, H, W, C]; the lists have an entry for each spatial axis, pads the begins,
then the ends. ceil_mode=1 rounds the number of windows up.
Edges: padding never wins; a NaN in a window gives NaN.
Errors: windows larger than the padded image; pads as wide as a window.
Source: ONNX MaxPool-22 and AveragePool-22, in the layout of TensorFlow's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from toolchain.spec import Attribute, Bound, Case, Input, Operator, window_shapes
from toolchain.spec import windows as w
from toolchain.spec.cases import Array, Rng, shape_name, values
from toolchain.spec.cases_windows import pooled

KINDS = ("max", "mean", "mean_padded")
SIZES: tuple[tuple[tuple[int, ...], dict[str, Any]], ...] = (
    ((1, 6, 7, 5), {"kernel_shape": [2, 2], "strides": [2, 2]}),
    ((2, 9, 8, 16), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ((1, 5, 6, 33), {"kernel_shape": [3, 2], "pads": [1, 0, 2, 1]}),
    ((1, 9, 9, 3), {"kernel_shape": [3, 3], "dilations": [2, 1], "strides": [2, 3]}),
    ((1, 8, 7, 4), {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    ((1, 1, 1, 1), {"kernel_shape": [1, 1]}),
    ((0, 4, 4, 3), {"kernel_shape": [2, 2]}),
    ((1, 4, 4, 0), {"kernel_shape": [2, 2]}),
)


def reference(x: Array, kind: str | int = 0, **attributes: Any) -> Array:
    """numpy, window by window, over planes."""
    kind = KINDS[kind] if isinstance(kind, int) else kind
    planes = np.moveaxis(x, -1, 1)
    counted = int(kind == "mean_padded")

    def fold(taps: Array, inside: tuple[int, int]) -> Any:
        if kind == "max":
            return np.max(taps, initial=-np.inf)
        return np.sum(taps) / inside[counted]

    found = pooled(planes, fold, **attributes)
    return np.moveaxis(found, 1, -1)


def scale(x: Array, kind: str | int = 0, **attributes: Any) -> Array:
    """The mean of |x|; what the maximum is of, itself."""
    magnitudes = x if kind in (0, "max") else np.abs(x)
    return reference(magnitudes, kind, **attributes)


def cases(dtypes: tuple[str, ...], rng: Rng) -> Iterator[Case]:
    """Sizes and attributes, for each kind."""
    for shape, given in SIZES:
        for kind in KINDS:
            x = values(rng, shape, dtypes[0])
            yield Case(f"{kind}-{shape_name(shape)}", (x,), {**given, "kind": kind})
    x = values(rng, (1, 5, 5, 3), dtypes[0])
    x[0, 2, 2, 1], x[0, 0, 0, 0], x[0, 4, 4, 2] = np.nan, np.inf, -np.inf
    yield Case("special", (x,), {"kernel_shape": [3, 3]})


KERNEL = Operator(
    collapse="own.plain",
    inputs=(Input("x", ""),),
    attributes=(
        Attribute("kind", default=0, choices=KINDS),
        w.CEIL_MODE,
        w.KERNEL_SHAPE,
        w.STRIDES,
        w.PADS,
        w.DILATIONS,
    ),
    units=2,
    dtypes=("float32",),
    source="pool_last.c",
    reference=reference,
    reference_scale=scale,
    cases=cases,
    shapes=window_shapes.pooled_last,
    bound=Bound(ulp=4, why="9 additions and a division; of the mean of |x|"),
)
