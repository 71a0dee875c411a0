"""ONNX operators over windows and regions of images, in Relax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from toolchain.frontends.converters import const, converter, dtype_of
from toolchain.frontends.importer import Call
from toolchain.frontends.library import has, library_call
from toolchain.frontends.onnx_quantized import padding
from toolchain.spec import SpecError
from toolchain.spec.math import maximum


@converter("AveragePool", "MaxPool", "LpPool")
def pool(c: Call) -> Any:
    """TVM's, with the pads that auto_pad means."""
    rank = len(c.shape(0)) - 2
    kernel, ones = c.get("kernel_shape"), [1] * rank
    strides, dilations = c.get("strides", ones), c.get("dilations", ones)
    if c.get("auto_pad", "NOTSET") != "NOTSET":
        sizes = c.shape(0)[2:]
        c.attributes["pads"] = padding(c, sizes, kernel, strides, dilations)
        c.attributes["auto_pad"] = "NOTSET"
    # The standard's sizes are 0 or more then.
    up = c.get("ceil_mode", 0)
    beyond = [n if up or n == 1 else 0 for n in strides]
    rooms(c, kernel, dilations, c.get("pads", [0] * 2 * rank), beyond)
    return c.importer.by_tvm(c)


@converter("Conv")
def convolution(c: Call) -> Any:
    """The library's; with weights by TVM, for those are packed."""
    shape, kernel = c.shape(0), c.shape(1)[2:]
    rank, dtype = len(shape) - 2, dtype_of(c[0])
    strides, dilations = c.get("strides", [1] * rank), c.get("dilations", [1] * rank)
    pads = padding(c, shape[2:], kernel, strides, dilations)
    room = rooms(c, kernel, dilations, pads, [0] * rank)
    if rank > 2 or not has("conv", dtype) or c.is_weight(1):
        return c.importer.by_tvm(c)
    none, one = [0] * (2 - rank), [1] * (2 - rank)
    given = {
        "strides": [*one, *strides],
        "dilations": [*one, *dilations],
        "pads": [*none, *pads[:rank], *none, *pads[rank:]],
        "group": c.get("group", 1),
    }
    features = c.shape(1)[0]
    bias = const(np.zeros(features), dtype) if c[2] is None else c[2]
    extents = [n // step + 1 for n, step in zip(room, strides, strict=True)]
    result = (shape[0], features, *extents)
    return library_call("conv", [c[0], c[1], bias], result, dtype, **given)


def rooms(
    c: Call,
    kernel: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[int],
    beyond: Sequence[int],
) -> list[int]:
    """Elements of each axis, with its pads, past a window at its beginning.

    beyond: how many may be missing. Errors: SpecError where more are.
    """
    sizes, rank = c.shape(0)[2:], len(kernel)
    found = []
    for i, size in enumerate(sizes):
        reach = (kernel[i] - 1) * dilations[i] + 1
        padded = size + pads[i] + pads[rank + i]
        if reach > padded + beyond[i]:
            raise SpecError(
                f"its window takes {reach} of axis {i + 2} of {list(c.shape(0))}, "
                f"which has {padded} with its pads; give a larger input, more pads or "
                "a smaller kernel"
            )
        found.append(padded - reach)
    return found


@converter("RoiAlign")
def roi_align(c: Call) -> Any:
    """Regions of images, sampled bilinearly; batch indices are limited to the batch.

    mode max takes the largest weighted neighbour of any sample, as the standard does.
    """
    mode, place = c.get("mode", "avg"), c.get("coordinate_transformation_mode")
    if place is None:
        place = "half_pixel" if c.opset >= 16 else "output_half_pixel"
    if mode not in ("avg", "max") or place not in ("half_pixel", "output_half_pixel"):
        raise SpecError(f"has mode {mode!r} and {place!r}; use avg or max, half_pixel")
    sizes = (c.get("output_height", 1), c.get("output_width", 1))
    regions = _Regions(
        sizes, mode == "max", c.get("spatial_scale", 1.0), place == "half_pixel"
    )
    regions.ratio = max(int(c.get("sampling_ratio", 0)), 0)
    if dtype_of(c[0]) != "float32":
        raise SpecError(f"takes {dtype_of(c[0])}; use float32")
    emit = c.importer.builder.call_te
    return emit(regions.compute, c[0], c[1], c[2], primfunc_name_hint="roi_align")


class _Regions:
    """RoiAlign as a tensor expression. half: regions are moved by half a pixel."""

    ratio = 0  # samples along an axis of a cell; 0: as many as it has pixels

    def __init__(self, sizes: Sequence[int], largest: bool, scale: float, half: bool):
        self.sizes, self.largest, self.scale, self.half = sizes, largest, scale, half

    def compute(self, x: Any, rois: Any, batch: Any) -> Any:
        """The result [regions, channels, rows, columns]."""
        from tvm import te, tirx

        count, channels = rois.shape[0], x.shape[1]
        shape = (count, channels, *self.sizes)

        def cell(n: Any, c: Any, row: Any, column: Any) -> Any:
            image = batch[n].astype("int32")
            image = tirx.max(tirx.min(image, x.shape[0] - 1), 0)
            axes = [self._axis(rois, n, i, p) for i, p in ((1, row), (0, column))]
            taps = [te.reduce_axis((0, a.count), f"r{i}") for i, a in enumerate(axes)]
            points = [a.point(t) for a, t in zip(axes, taps, strict=True)]
            value = self._sample(x, image, c, points)
            if self.largest:
                lowest = tirx.const(-np.inf, "float32")
                fold = te.comm_reducer(
                    lambda a, b: maximum(a, b), lambda _: lowest, name="max"
                )
                return fold(value, axis=taps)
            return te.sum(value, axis=taps)

        found = te.compute(shape, cell, name="pool_regions")

        def finished(n: Any, c: Any, row: Any, column: Any) -> Any:
            axes = [self._axis(rois, n, i, p) for i, p in ((1, row), (0, column))]
            samples = axes[0].count * axes[1].count
            value, zero = found[n, c, row, column], tirx.const(0, "float32")
            if not self.largest:
                value = value / tirx.max(samples, 1).astype("float32")
            return tirx.Select(samples > 0, value, zero)

        return te.compute(shape, finished, name="regions")

    def _axis(self, rois: Any, n: Any, axis: int, place: Any) -> _Axis:
        """Samples of a cell along columns (0) or rows (1)."""
        from tvm import tirx

        scale = tirx.const(self.scale, "float32")
        offset = tirx.const(0.5 if self.half else 0.0, "float32")
        start = rois[n, axis] * scale - offset
        length = (rois[n, axis + 2] * scale - offset) - start
        if not self.half:
            length = tirx.max(length, tirx.const(1, "float32"))
        width = length / tirx.const(self.sizes[1 - axis], "float32")
        count: Any = self.ratio
        if not self.ratio:
            count = tirx.max(tirx.ceil(width).astype("int32"), 0)
        return _Axis(start + place.astype("float32") * width, width, count)

    def _sample(self, x: Any, image: Any, channel: Any, points: list[Any]) -> Any:
        from tvm import tirx

        zero, one = (tirx.const(v, "float32") for v in (0, 1))
        sizes = x.shape[2:]
        inside = tirx.all(
            *(
                tirx.all(p >= -one, p <= n.astype("float32"))
                for p, n in zip(points, sizes, strict=True)
            )
        )
        sides = []
        for point, size in zip(points, sizes, strict=True):
            last = size - 1
            place = tirx.min(tirx.max(point, zero), last.astype("float32"))
            low = tirx.min(place.astype("int32"), last)
            high = tirx.min(low + 1, last)
            rest = place - low.astype("float32")
            sides.append(((low, one - rest), (high, rest)))
        parts = [
            (wy * wx) * x[image, channel, y, column]
            for y, wy in sides[0]
            for column, wx in sides[1]
        ]
        if self.largest:
            value = maximum(maximum(parts[0], parts[1]), maximum(parts[2], parts[3]))
        else:
            value = ((parts[0] + parts[1]) + parts[2]) + parts[3]
        return tirx.if_then_else(inside, value, zero)


class _Axis:
    """Where samples of a cell lie along an axis: start, width, and their count."""

    def __init__(self, start: Any, width: Any, count: Any) -> None:
        from tvm import tirx

        self.start, self.width = start, width
        self.count = tirx.const(count, "int32") if isinstance(count, int) else count

    def point(self, sample: Any) -> Any:
        """The place of a sample."""
        from tvm import tirx

        half = tirx.const(0.5, "float32")
        step = (sample.astype("float32") + half) * self.width
        return self.start + step / self.count.astype("float32")
