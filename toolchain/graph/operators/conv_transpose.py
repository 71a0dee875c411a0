"""out[n, m, y * stride + r * dilation - pad, ...] += x[n, c, y, ...] * w[c, m, r, ...]

Shapes: x [N, C, axes...], one to three of them, w [C, M / group, taps...], b [M] or
absent, out [N, M, axes...] of (size - 1) * stride + reach + output_padding - pads;
lists have an entry for each axis, pads has the begins, then the ends, also below 0.
Dtypes: float32, added up in float32, channels first.
Source: ONNX ConvTranspose-22, whose auto_pad and output_shape become pads; MindSpore
Conv2DTranspose.
"""

from typing import Any

import numpy as np

from toolchain.spec import (
    PARTIAL_SUMS,
    Attribute,
    Bound,
    Case,
    Input,
    Operator,
    windows,
)
from toolchain.spec.cases import values

TAKEN: tuple[Any, ...] = (  # x, w, attributes
    ((1, 1, 3, 3), (1, 2, 3, 3), {}),
    ((2, 3, 5, 4), (3, 5, 2, 3), {"strides": [2, 3], "pads": [1, 0, 1, 2]}),
    ((1, 4, 7, 9), (4, 3, 3, 3), {"dilations": [2, 1], "pads": [2, 1, 0, 1]}),
    ((1, 6, 5, 5), (6, 4, 3, 2), {"group": 2, "strides": [2, 2]}),
    ((1, 6, 5, 5), (6, 1, 3, 3), {"group": 6, "pads": [1, 1, 1, 1]}),
    (
        (1, 2, 3, 3),
        (2, 2, 3, 3),
        {"strides": [3, 2], "output_padding": [1, 1], "pads": [0, 1, -1, 0]},
    ),
    ((2, 5, 17), (5, 9, 4), {"strides": [2], "pads": [1, 2]}),
    ((1, 3, 3, 4, 5), (3, 5, 2, 3, 2), {"strides": [1, 2, 2], "pads": [1, 0, 0] * 2}),
    ((0, 3, 5, 4), (3, 5, 2, 3), {}),
    ((1, 0, 5, 4), (0, 5, 2, 3), {}),
    ((1, 33, 6, 11), (33, 13, 2, 2), {"strides": [2, 2]}),
)


def lists(x, given):
    rank = x.ndim - 2
    names = ("strides", "dilations", "output_padding")
    found = [given.get(n) or [n != "output_padding"] * rank for n in names]
    pads = given.get("pads") or [0] * 2 * rank
    return [*found, pads[:rank], pads[rank:]]


def shapes(call):
    x, taps = call.shape(0), call.shape(1)
    group = call.integer("group")
    if x is None:
        return [None if taps is None else (None,) * len(taps)]
    features = None if None in (group, taps and taps[1]) else taps[1] * group
    pads = call.sizes("pads")
    rows = [call.sizes(n) for n in ("strides", "dilations", "output_padding")]
    if taps is None or pads is None or None in rows:
        return [(x[0], features, *[None] * len(x[2:]))]
    if call.units == 0:
        rank = len(x[2:])
        rows, pads = [[1] * rank, [1] * rank, [0] * rank], [0] * 2 * rank
    ends = pads[: len(x[2:])], pads[len(x[2:]) :]
    return [(x[0], features, *map(size_of, x[2:], taps[2:], *rows, *ends))]


def size_of(size, taps, step, gap, more, before, after):
    if None in (size, taps, step, gap, more, before, after):
        return None
    return (size - 1) * step + gap * (taps - 1) + 1 + more - before - after


def reference(x, w, b, group, **given):
    strides, gaps, more, before, after = lists(x, given)
    parts = np.array(x.shape[2:]), np.array(w.shape[2:])
    full = (parts[0] - 1) * strides + np.array(gaps) * (parts[1] - 1) + 1
    features = w.shape[1]
    # Wide enough for pads below 0; they are cut off, or left in, at the end.
    wide = np.maximum(full + more, full + more - before - after) + np.abs(before)
    out = np.zeros((x.shape[0], group * features, *wide + np.abs(after)))
    for g in range(group):
        channels = slice(g * len(w) // group, (g + 1) * len(w) // group)
        for tap in np.ndindex(*w.shape[2:]):
            part = np.einsum(
                "nc...,cm->nm...", x[:, channels], w[(channels, slice(None), *tap)]
            )
            at = [
                slice(t * d + max(-p, 0), t * d + max(-p, 0) + (n - 1) * s + 1, s)
                for t, d, p, n, s in zip(
                    tap, gaps, before, parts[0], strides, strict=True
                )
            ]
            out[(slice(None), slice(g * features, (g + 1) * features), *at)] += part
    sizes = full + more - before - after
    cut = [slice(max(p, 0), max(p, 0) + n) for p, n in zip(before, sizes, strict=True)]
    out = out[(slice(None), slice(None), *cut)]
    return out if b is None else out + b.reshape(-1, *[1] * len(cut))


def scale(x, w, b, **given):
    return reference(np.abs(x), np.abs(w), None if b is None else np.abs(b), **given)


def cases(dtypes, rng):
    for shape, weights, given in TAKEN:
        x, taps = values(rng, shape, "float32"), values(rng, weights, "float32")
        bias = values(rng, (weights[1] * given.get("group", 1),), "float32")
        name = "x".join(map(str, (*shape, *weights)))
        name += "".join(f"-{n}" for n in given)
        yield Case(name, (x, taps, None), given)
        yield Case(f"{name}-bias", (x, taps, bias), given)


KERNEL = Operator(
    collapse="own.plain",
    inputs=(Input("x", ""), Input("w", ""), Input("b", "", optional=True)),
    attributes=(
        Attribute("group", default=1, minimum=1),
        windows.STRIDES,
        Attribute("pads", default=0, per_unit=2),
        windows.DILATIONS,
        Attribute("output_padding", default=0, minimum=0, per_unit=1),
    ),
    units=3,
    dtypes=("float32",),
    source="conv_transpose.c",
    shapes=shapes,
    reference=reference,
    reference_scale=scale,
    cases=cases,
    narrow=PARTIAL_SUMS,
    bound=Bound(ulp=8, why="sums of products in order; of their magnitudes"),
)
