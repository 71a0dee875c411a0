"""out[n, c, i, j] = x[n, c] at the place grid[n, i, j] = (column, row)

Shapes: x [N, C, H, W], grid [N, rows, columns, 2], out [N, C, rows, columns]; of
volumes x [N, C, D, H, W], and a place has a third number.
Places: from -1 to 1; align_corners=1 has both at the middle of a pixel, else they are
the edges of the image.
Attributes: mode linear, nearest (halves to even) or cubic (Keys, a = -3/4);
padding_mode zeros, border or reflection, for places outside.
Edges: a place of NaN gives NaN, or 0 with mode nearest.
Source: ONNX GridSample-22; MindSpore GridSampler2D.
"""

from itertools import product

import numpy as np

from toolchain.spec import Attribute, Bound, Case, Input, Operator
from toolchain.spec.cases import values

MODES = ("linear", "nearest", "cubic")
PADDINGS = ("zeros", "border", "reflection")
F = np.float32


def reflect(place, low, high):
    span = F(high - low)
    if not span > 0:
        return F(low)
    away = abs(F(place - F(low)))
    turns = np.floor(away / span)
    rest = F(away - F(turns * span))
    return F(F(low) + rest) if turns % 2 == 0 else F(F(high) - rest)


def inside(place, size, padding, corners):
    if padding == "reflection":
        ends = (0, size - 1) if corners else (-0.5, size - 0.5)
        place = reflect(place, *ends)
    return place if padding == "zeros" else np.clip(place, 0, F(size - 1))


def around(place, size, mode, padding, corners):
    """Pixels and their weights."""
    place = F(place)
    place = (
        (place + 1) / 2 * F(size - 1) if corners else ((place + 1) * F(size) - 1) / 2
    )
    if mode != "cubic":
        place = inside(F(place), size, padding, corners)
    if mode == "nearest":
        return [(np.rint(place), 1.0)]
    low = np.floor(place)
    t = float(place) - float(low)
    if mode == "linear":
        return [(low, 1 - t), (low + 1, t)]
    a = -0.75

    def far(s):
        return ((a * s - 5 * a) * s + 8 * a) * s - 4 * a

    def near(s):
        return ((a + 2) * s - (a + 3)) * s * s + 1

    weights = (far(t + 1), near(t), near(1 - t), far(2 - t))
    return [
        (inside(F(low + i - 1), size, padding, corners), w)
        for i, w in enumerate(weights)
    ]


def reference(x, grid, mode, padding_mode, align_corners):
    images, channels, *sizes = x.shape
    out = np.zeros((images, channels, *grid.shape[1:-1]))
    if not out.size:
        return out
    for n, *place in np.ndindex(grid.shape[:-1]):
        given = mode, padding_mode, align_corners
        named = grid[(n, *place)][::-1]
        axes = [around(v, s, *given) for v, s in zip(named, sizes, strict=True)]
        total = np.zeros(channels)
        for pixel in product(*axes):
            at, weights = zip(*pixel, strict=True)
            if all(0 <= p < s for p, s in zip(at, sizes, strict=True)):
                total += x[(n, slice(None), *map(int, at))] * np.prod(weights)
        out[(n, slice(None), *place)] = total
    return out


def scale(x, grid, **given):
    # A weight of a cubic is between -1 and 1.5.
    axes = tuple(range(2, x.ndim))
    peak = np.max(np.abs(x), axes, keepdims=True, initial=0)
    shape = (*x.shape[:2], *grid.shape[1:-1])
    return np.broadcast_to(np.where(np.isfinite(peak), peak, 1), shape)


def cases(dtypes, rng):
    for shape, places in (
        *(((1, 1, 3, 2), (2, 4)), ((2, 3, 5, 7), (6, 5)), ((1, 2, 1, 1), (2, 2))),
        *(((1, 3, 4, 4), (0, 3)), ((0, 3, 4, 4), (2, 3))),
        ((2, 3, 3, 4, 5), (2, 3, 4)),
    ):
        x = values(rng, shape, "float32")
        grid = values(rng, (shape[0], *places, len(places)), "float32", -1.6, 1.6)
        grid.reshape(-1)[::7] = np.resize([-1, 1, 0, 3, -5], grid.size)[::7]
        for mode in MODES[: None if len(places) == 2 else -1]:
            for padding in PADDINGS:
                for corners in (0, 1):
                    given = {
                        "mode": mode,
                        "padding_mode": padding,
                        "align_corners": corners,
                    }
                    name = "x".join(map(str, (*shape, *places)))
                    name += f"-{mode}-{padding}-{corners}"
                    yield Case(name, (x, grid), given)


def shapes(call):
    known = call.shape(1) or call.shape(0)
    if known is None:
        return [None]
    x, grid = (call.shape(i) or (None,) * len(known) for i in (0, 1))
    images = call.same((x[0], grid[0]), "images of x and of grid")
    return [(images, x[1], *grid[1:-1])]


KERNEL = Operator(
    collapse="own.plain",
    shapes=shapes,
    inputs=(Input("x", ""), Input("grid", "")),
    attributes=(
        Attribute("mode", default=0, choices=MODES),
        Attribute("padding_mode", default=0, choices=PADDINGS),
        Attribute("align_corners", default=0, minimum=0, maximum=1),
    ),
    dtypes=("float32",),
    source="grid_sample.c",
    reference=reference,
    reference_scale=scale,
    cases=cases,
    narrow="sums of the largest numbers leave float32",
    bound=Bound(ulp=16, why="sums of 16 products; of the largest pixel"),
)
