"""ONNX operators over windows and regions of images, in Relax."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from toolchain.frontends.converters import const, converter, dtype_of
from toolchain.frontends.importer import Call
from toolchain.frontends.library import KEPT, has, library_call
from toolchain.frontends.onnx_quantized import padding
from toolchain.spec import SpecError
from toolchain.spec.math import Let, is_nan


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


# Samples of a cell of a region along an axis: as many as sampling_ratio says, or as the
# cell has pixels. These numbers bound the time of a call, whatever the regions are.
MOST_SAMPLES = 64
MOST_PIXELS = 2**24  # from here on float32 has no places between pixels


@converter("RoiAlign")
def roi_align(c: Call) -> Any:
    """Regions of images, sampled bilinearly; batch indices are limited to the batch.

    mode max takes the largest weighted neighbour of any sample, as the standard does.
    Errors: SpecError for a sampling_ratio above MOST_SAMPLES.
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
    if regions.ratio > MOST_SAMPLES:
        raise SpecError(
            f"has sampling_ratio {regions.ratio}; use 1 to {MOST_SAMPLES}, or 0: as "
            "many samples as a cell has pixels"
        )
    if dtype_of(c[0]) != "float32":
        raise SpecError(f"takes {dtype_of(c[0])}; use float32")
    emit = c.importer.builder.call_te
    return emit(regions.compute, c[0], c[1], c[2], primfunc_name_hint="roi_align")


def _table(shape: Sequence[Any], element: Callable[..., Any], name: str) -> Any:
    """A tensor that is computed before it is read, not in each place."""
    from tvm import te

    return te.compute(shape, element, name=name, attrs={KEPT: 1})


def _largest(a: Any, b: Any) -> Any:
    """The larger of two, or NaN: a comparison, which all targets have."""
    from tvm import tirx

    let = Let()
    x, y = let(a), let(b)
    return let.around(tirx.Select(tirx.Or(x > y, is_nan(x)), x, y))


class _Regions:
    """RoiAlign as a tensor expression. half: regions are moved by half a pixel."""

    ratio = 0  # samples along an axis of a cell; 0: as many as it has pixels

    def __init__(self, sizes: Sequence[int], largest: bool, scale: float, half: bool):
        self.sizes, self.largest, self.scale, self.half = sizes, largest, scale, half

    def compute(self, x: Any, rois: Any, batch: Any) -> Any:
        """The result [regions, channels, rows, columns]."""
        from tvm import te, tirx

        shape = (rois.shape[0], x.shape[1], *self.sizes)
        axes = [self._axis(rois, 1, x.shape[2]), self._axis(rois, 0, x.shape[3])]

        def cell(n: Any, c: Any, *places: Any) -> Any:
            image = batch[n].astype("int32")
            image = tirx.max(tirx.min(image, x.shape[0] - 1), 0)
            pairs = list(zip(axes, places, strict=True))
            taps = [te.reduce_axis((0, a.number[n, p]), a.name) for a, p in pairs]
            points = [a.point(n, p, t) for (a, p), t in zip(pairs, taps, strict=True)]
            value = self._sample(x, image, c, points)
            if self.largest:
                lowest = tirx.const(-np.inf, "float32")
                fold = te.comm_reducer(_largest, lambda _: lowest, name="max")
                return fold(value, axis=taps)
            return te.sum(value, axis=taps)

        found = te.compute(shape, cell, name="pool_regions")

        def finished(n: Any, c: Any, *places: Any) -> Any:
            counts = [a.count[n].astype("float32") for a in axes]
            samples, zero = counts[0] * counts[1], tirx.const(0, "float32")
            value = found[(n, c, *places)]
            if self.largest:  # samples that were left out are 0
                pairs = zip(axes, places, strict=True)
                whole = tirx.all(*(a.number[n, p] == a.count[n] for a, p in pairs))
                value = tirx.Select(whole, value, _largest(value, zero))
            else:
                value = value / tirx.max(samples, tirx.const(1, "float32"))
            # Loops without a step leave what they were to begin with unset.
            pairs = zip(axes, places, strict=True)
            some = tirx.all(*(a.number[n, p] > 0 for a, p in pairs))
            return tirx.Select(some, value, zero)

        return te.compute(shape, finished, name="regions")

    def _axis(self, rois: Any, axis: int, size: Any) -> _Axis:
        """Samples of cells along columns (0) or rows (1) of images of a size."""
        from tvm import tirx

        cells, name = self.sizes[1 - axis], "xy"[axis]
        scale = tirx.const(self.scale, "float32")
        offset = tirx.const(0.5 if self.half else 0.0, "float32")

        def width(n: Any) -> Any:
            start = rois[n, axis] * scale - offset
            length = (rois[n, axis + 2] * scale - offset) - start
            if not self.half:
                length = tirx.max(length, tirx.const(1, "float32"))
            return length / tirx.const(cells, "float32")

        widths = _table((rois.shape[0],), width, f"width_{name}")

        def start(n: Any, place: Any) -> Any:
            first = rois[n, axis] * scale - offset
            return first + place.astype("float32") * widths[n]

        def count(n: Any) -> Any:
            if self.ratio:
                return tirx.const(self.ratio, "int32")
            zero, most = (tirx.const(v, "float32") for v in (0, MOST_PIXELS))
            pixels = tirx.Select(widths[n] < most, tirx.ceil(widths[n]), most)
            return tirx.Select(widths[n] > zero, pixels, zero).astype("int32")

        starts = _table((rois.shape[0], cells), start, f"start_{name}")
        counts = _table((rois.shape[0],), count, f"count_{name}")
        return _Axis(name, starts, widths, counts, size)

    def _sample(self, x: Any, image: Any, channel: Any, points: list[Any]) -> Any:
        from tvm import tirx

        let = Let()
        zero, one = (tirx.const(v, "float32") for v in (0, 1))
        inside, sides = [], []
        for point, size in zip(points, x.shape[2:], strict=True):
            last = size - 1
            inside += [point >= -one, point <= size.astype("float32")]
            place = tirx.min(tirx.max(point, zero), last.astype("float32"))
            low = tirx.min(place.astype("int32"), last)
            rest = place - low.astype("float32")
            sides.append(((low, one - rest), (tirx.min(low + 1, last), rest)))
        parts = [
            let((wy * wx) * x[image, channel, y, column])
            for y, wy in sides[0]
            for column, wx in sides[1]
        ]
        if self.largest:
            pairs = [let(_largest(*parts[:2])), let(_largest(*parts[2:]))]
            value = _largest(*pairs)
        else:
            value = ((parts[0] + parts[1]) + parts[2]) + parts[3]
        return let.around(tirx.Select(tirx.all(*inside), value, zero))


class _Axis:
    """Where samples of cells lie along an axis.

    starts[region, cell], widths[region] of a cell, counts[region] of a cell's samples,
    of which number[region, cell] from first[region, cell] on may be inside the image.
    The others are 0, and regions far larger than an image take the time of the image.
    """

    def __init__(self, name: str, start: Any, width: Any, count: Any, size: Any):
        from tvm import tirx

        self.name, self.start, self.width, self.count = name, start, width, count
        limits = (tirx.const(-1, "float32"), size.astype("float32"))
        self.first, end = (
            _table(start.shape, self._near(place, side), f"near_{name}_{side}")
            for side, place in enumerate(limits)
        )
        self.number = _table(
            start.shape,
            lambda n, cell: tirx.max(end[n, cell] - self.first[n, cell], 0),
            f"number_{name}",
        )

    def _near(self, place: Any, side: int) -> Callable[[Any, Any], Any]:
        """The sample at a place, or before it (side 0) or behind it (1).

        Roundings move samples by less than 2^-20 of their number.
        """
        from tvm import tirx

        zero, half, slack, share = (
            tirx.const(v, "float32") for v in (0, 0.5, 2, 2.0**-20)
        )

        def number(n: Any, cell: Any) -> Any:
            let, count = Let(), self.count[n].astype("float32")
            step = self.width[n] / count
            exact = let((place - self.start[n, cell]) / step - half)
            wide = let(slack + tirx.abs(exact) * share)
            moved = let(exact + wide if side else exact - wide)
            limited = let(tirx.Select(moved < count, moved, count))
            sample = tirx.Select(limited > zero, limited, zero).astype("int32")
            every = self.count[n] if side else tirx.const(0, "int32")
            few = self.count[n] <= MOST_SAMPLES
            return let.around(tirx.Select(few, every, sample))

        return number

    def point(self, n: Any, cell: Any, tap: Any) -> Any:
        """The place of a sample of a cell, from the first that may be inside on."""
        from tvm import tirx

        number = (tap + self.first[n, cell]).astype("float32")
        step = (number + tirx.const(0.5, "float32")) * self.width[n]
        return self.start[n, cell] + step / self.count[n].astype("float32")
