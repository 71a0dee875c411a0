"""out[r, c, i, j] = mean or largest sample of cell (i, j) of region r of an image

A region is cut into output_height by output_width cells; each has sampling_ratio
samples along both axes, or one for each pixel of the cell (0). A sample is bilinear
between four pixels, 0 outside the image; mode max takes the largest weighted pixel of
any sample, as the standard does.
Shapes: x [N, C, H, W], rois [R, 4] (x, y, x, y, times spatial_scale), batch_indices
[R] (int64): of each region its image; out [R, C, output_height, output_width].
Attributes: coordinate_transformation_mode half_pixel moves regions by half a pixel;
output_half_pixel does not, and makes them at least a pixel large.
Errors: an index outside the images, by its place and value; nothing is written then.
Source: ONNX RoiAlign-22; MindSpore ROIAlign.
"""

import numpy as np

from toolchain.spec import Attribute, Bound, Case, Input, Operator
from toolchain.spec.cases import values

MODES = ("half_pixel", "output_half_pixel")
MOST_PIXELS = 2**24
F = np.float32


def points(low, high, cells, size, half, ratio, scale):
    """For each cell its samples inside: (low, high, weights); and how many it has."""
    half = F(0.5 if half else 0)
    start = F(low) * F(scale) - half
    length = (F(high) * F(scale) - half) - start
    if not half and length == length:
        length = max(length, F(1))
    width = length / F(cells)
    count = ratio or int(np.ceil(min(width, MOST_PIXELS)) if width > 0 else 0)
    found = []
    for cell in range(cells):
        begin = start + F(cell) * width
        at = begin + (np.arange(count, dtype="f4") + F(0.5)) * width / F(count)
        at = np.clip(at[(at >= -1) & (at <= size)], 0, F(size - 1))
        first = at.astype("int64")
        rest = (at - first.astype("f4")).astype("f8")
        found.append((first, np.minimum(first + 1, size - 1), 1 - rest, rest))
    return found, count


def cell(planes, y, x, counts, largest):
    parts = [
        wy[:, None] * wx * planes[:, iy][:, :, ix]
        for iy, wy in ((y[0], y[2]), (y[1], y[3]))
        for ix, wx in ((x[0], x[2]), (x[1], x[3]))
    ]
    if not y[0].size or not x[0].size:
        return np.zeros(len(planes))
    if not largest:
        return sum(parts).sum((1, 2)) / (counts[0] * counts[1])
    best = np.max([p.max((1, 2)) for p in parts], 0)
    whole = (y[0].size, x[0].size) == tuple(counts)
    return best if whole else np.maximum(best, 0)


def reference(x, rois, batch_indices, output_height, output_width, **given):
    half = given["coordinate_transformation_mode"] == "half_pixel"
    more = half, given["sampling_ratio"], given["spatial_scale"]
    out = np.zeros((len(rois), x.shape[1], output_height, output_width))
    if not out.size:
        return out
    for r, (image, roi) in enumerate(zip(batch_indices, rois, strict=True)):
        ys, rows = points(roi[1], roi[3], output_height, x.shape[2], *more)
        xs, columns = points(roi[0], roi[2], output_width, x.shape[3], *more)
        for i, j in np.ndindex(output_height, output_width):
            counts, largest = (rows, columns), given["mode"] == "max"
            out[r, :, i, j] = cell(x[image], ys[i], xs[j], counts, largest)
    return out


ROIS = np.array(
    [
        *([0, 0, 4, 5], [0.5, 1.25, 3, 2], [2, 2, 2, 2], [-3, -2, 9, 8], [3, 4, 1, 2]),
        *([-100, -100, 100, 100], [-3e4, -1e4, 2e4, 3e4], [9, 9, 12, 12]),
        *([np.nan, 0, 4, 5], [0, 0, np.inf, 5]),
    ],
    "f4",
)


def cases(dtypes, rng):
    x = values(rng, (2, 3, 6, 5), "float32")
    images = rng.integers(0, 2, len(ROIS))
    for mode in ("avg", "max"):
        for place in MODES:
            for ratio in (0, 2, 3):
                given = {
                    "mode": mode,
                    "coordinate_transformation_mode": place,
                    "sampling_ratio": ratio,
                    "output_height": 2,
                    "output_width": 3,
                    "spatial_scale": 0.75,
                }
                yield Case(f"{mode}-{place}-{ratio}", (x, ROIS, images), given)
    none = np.zeros((0, 4), "f4"), np.zeros(0, "int64")
    yield Case("none", (x, *none), {"output_height": 2, "output_width": 3})
    wide = values(rng, (1, 17, 31, 40), "float32")
    rois = values(rng, (5, 4), "float32", 0, 40)
    given = {"output_height": 7, "output_width": 7}
    yield Case("wide", (wide, rois, np.zeros(5, "int64")), given)


def shapes(call):
    x, rois = call.shape(0) or (None,) * 4, call.shape(1) or (None,) * 2
    cells = (call.number("output_height"), call.number("output_width"))
    return [(rois[0], x[1], *cells)]


KERNEL = Operator(
    collapse="own.plain",
    shapes=shapes,
    inputs=(
        Input("x", ""),
        Input("rois", ""),
        Input("batch_indices", "", dtype="int64"),
    ),
    attributes=(
        Attribute("mode", default=0, choices=("avg", "max")),
        Attribute("coordinate_transformation_mode", default=0, choices=MODES),
        Attribute("output_height", default=1, minimum=0),
        Attribute("output_width", default=1, minimum=0),
        Attribute("sampling_ratio", default=0, minimum=0, maximum=64),
        Attribute("spatial_scale", "float", default=1.0),
    ),
    dtypes=("float32",),
    source="roi_align.c",
    reference=reference,
    reference_scale=lambda x, *inputs, **given: reference(np.abs(x), *inputs, **given),
    cases=cases,
    narrow="sums of the largest numbers leave float32",
    bound=Bound(ulp=40, why="sums of products in order; of their magnitudes"),
)
