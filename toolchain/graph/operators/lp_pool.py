"""out[n, c, y, x] = (sum_{r, s} |x[n, c, y * stride + r * dilation, ...]|^p)^(1/p)

Shapes: x [N, C, axes...], one to three of them; kernel_shape, strides and dilations
have an entry for each, pads has the begins, then the ends; pads add nothing.
Dtypes: added up in float64.
Source: ONNX LpPool-22; MindSpore LPPool1d, LPPool2d.
"""

import numpy as np

from toolchain.spec import Attribute, Bound, Case, Input, Operator, window_shapes
from toolchain.spec import windows as w
from toolchain.spec.cases import values
from toolchain.spec.cases_windows import pooled, pooling


def reference(x, p, **given):
    def norm(taps, inside):
        return np.sum(np.abs(taps) ** p) ** (1 / p)

    return pooled(x, norm, **given)


def cases(dtypes, rng):
    for case in pooling()(dtypes, rng):
        for p in (1, 2, 3):
            yield Case(f"{case.name}-{p}", case.inputs, {**case.attributes, "p": p})
    given = {"kernel_shape": [2, 3, 2], "pads": [1, 0, 0, 0, 1, 1], "p": 2}
    pads = {"kernel_shape": [2, 2], "pads": [1, 1, 1, 1], "p": 2}
    yield Case("pads-alone", (np.zeros((2, 3, 0, 4), "f4"),), pads)
    yield Case("deep", (values(rng, (2, 3, 5, 6, 7), dtypes[0]),), given)


KERNEL = Operator(
    collapse="own.plain",
    shapes=window_shapes.pooled,
    inputs=(Input("x", ""),),
    attributes=(
        *(w.CEIL_MODE, w.KERNEL_SHAPE, w.STRIDES, w.PADS, w.DILATIONS),
        Attribute("p", default=2, minimum=1, maximum=64),
    ),
    units=3,
    dtypes=("float32",),
    source="lp_pool.c",
    reference=reference,
    cases=cases,
    bound=Bound(ulp=4, why="a power of a sum in float64, and of 2 beside it"),
)
