"""out[n, m, z, y, x] = b[m] + sum x[n, c, z * stride + r * dilation, ...] * w[m, c, r]

Shapes: x [N, C, D, H, W], w [M, C / group, taps of each axis], b [M] or absent; lists
have an entry for each axis, pads has the begins, then the ends.
Dtypes: float32, added up in float32, channels first, then taps in order.
Source: ONNX Conv-22 over three spatial axes; MindSpore Conv3D.
"""

from typing import Any

import numpy as np

from toolchain.spec import PARTIAL_SUMS, Attribute, Bound, Case, Input, Operator
from toolchain.spec import windows as shared
from toolchain.spec.cases import values

TAKEN: tuple[Any, ...] = (  # x, w, attributes
    ((1, 1, 3, 3, 3), (2, 1, 2, 2, 2), {}),
    ((2, 3, 4, 5, 6), (5, 3, 1, 2, 3), {"pads": [1, 0, 2, 0, 1, 1]}),
    ((1, 4, 5, 6, 19), (6, 2, 2, 3, 3), {"group": 2, "strides": [1, 2, 2]}),
    ((1, 4, 5, 6, 9), (4, 1, 3, 3, 3), {"group": 4, "pads": [1] * 6}),
    ((1, 2, 5, 6, 7), (3, 2, 2, 2, 2), {"dilations": [2, 1, 3], "strides": [1, 1, 3]}),
    ((1, 33, 2, 3, 17), (13, 33, 1, 1, 1), {}),
    ((0, 3, 4, 5, 6), (5, 3, 1, 2, 3), {}),
    ((1, 0, 4, 5, 6), (5, 0, 1, 2, 3), {}),
)


def shapes(call):
    x, w = call.shape(0), call.shape(1)
    features = None if w is None else w[0]
    lists = [call.sizes(n) for n in ("strides", "dilations", "pads")]
    if x is None or w is None or None in lists:
        return [(None if x is None else x[0], features, None, None, None)]
    strides, gaps, pads = lists
    if call.units == 0:
        strides, gaps, pads = [1] * 3, [1] * 3, [0] * 6
    rows = zip(x[2:], w[2:], strides, gaps, pads[:3], pads[3:], strict=True)
    return [(x[0], features, *(size_of(*row) for row in rows))]


def size_of(size, taps, step, gap, before, after):
    if None in (size, taps, step, gap, before, after):
        return None
    return (size + before + after - gap * (taps - 1) - 1) // step + 1


def reference(x, w, b, group, strides=(), pads=(), dilations=()):
    steps, gaps = strides or [1] * 3, dilations or [1] * 3
    pads = pads or [0] * 6
    wide = np.pad(x, [(0, 0), (0, 0), *zip(pads[:3], pads[3:], strict=True)])
    rows = zip(x.shape[2:], w.shape[2:], steps, gaps, pads[:3], pads[3:], strict=True)
    sizes = [size_of(*row) for row in rows]
    out = np.zeros((x.shape[0], group, len(w) // group, *sizes))
    factors = w.reshape(group, len(w) // group, *w.shape[1:])
    for tap in np.ndindex(*w.shape[2:]):
        at = [
            slice(t * d, t * d + (n - 1) * s + 1, s)
            for t, d, n, s in zip(tap, gaps, sizes, steps, strict=True)
        ]
        part = wide[(slice(None), slice(None), *at)]
        part = part.reshape(x.shape[0], group, w.shape[1], *sizes)
        out += np.einsum("ngc...,gmc->ngm...", part, factors[(..., *tap)])
    out = out.reshape(x.shape[0], len(w), *sizes)
    return out if b is None else out + b[:, None, None, None]


def scale(x, w, b, **given):
    return reference(np.abs(x), np.abs(w), None if b is None else np.abs(b), **given)


def cases(dtypes, rng):
    for shape, weights, given in TAKEN:
        x, taps = values(rng, shape, "float32"), values(rng, weights, "float32")
        name = "x".join(map(str, (*shape, *weights)))
        name += "".join(f"-{n}" for n in given)
        yield Case(name, (x, taps, None), given)
        bias = values(rng, weights[:1], "float32")
        yield Case(f"{name}-bias", (x, taps, bias), given)


KERNEL = Operator(
    collapse="own.plain",
    inputs=(Input("x", ""), Input("w", ""), Input("b", "", optional=True)),
    attributes=(
        Attribute("group", default=1, minimum=1),
        *(shared.STRIDES, shared.PADS, shared.DILATIONS),
    ),
    units=3,
    dtypes=("float32",),
    source="conv_3d.c",
    shapes=shapes,
    reference=reference,
    reference_scale=scale,
    cases=cases,
    narrow=PARTIAL_SUMS,
    bound=Bound(ulp=8, why="sums of products in order; of their magnitudes"),
)
