"""The rules of Resize and Upsample.

The library has them for the last axes of images where scales are sizes over sizes. The
others are made of taps: along an axis each element is a sum of a few elements at places
by weights, both computed from the sizes, which may be open.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toolchain.frontends.nodes.rules import Call, plain_numbers, rule
from toolchain.frontends.nodes.shapes import joined, numbers, rank_of, size_at
from toolchain.graph.graph import Value
from toolchain.spec import SpecError

LIBRARY = ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
MOST_PARTS = 1 << 10  # of a scale that is a simple fraction
# Indices of elements, and their weights where these are not 1.
Taps = list[tuple[Value, Value | None]]
OTHERS = ("half_pixel_symmetric", "tf_crop_and_resize")


class Axis:
    """An axis that is resized.

    size, wanted: vectors of one int64. scale: a float32 scalar, wanted over size, or
    what the node says it is.
    """

    def __init__(self, number: int, size: Value, wanted: Value, scale: Value) -> None:
        self.number, self.size, self.wanted, self.scale = number, size, wanted, scale


@rule("Resize")
def resize(c: Call) -> Value:
    """To sizes or by scales."""
    modern = c.opset >= 11
    scales = c.optional(2 if modern else 1)
    sizes = c.optional(3) if modern else None
    mode = c.get("coordinate_transformation_mode") or "half_pixel"
    return resized(c, scales, sizes, mode if modern else "asymmetric")


@rule("Upsample")
def upsample(c: Call) -> Value:
    """By scales, as Resize of opset 10."""
    given = c.get("scales")
    scales = c.constant(given, "float32") if given else c[1]
    return resized(c, scales, None, "asymmetric")


def resized(
    c: Call, scales: Value | None, sizes: Value | None, coordinates: str
) -> Value:
    """X with its axes resized."""
    x, rank = c[0], rank_of(c[0])
    if coordinates not in (*LIBRARY, *OTHERS):
        raise SpecError(f"has coordinates {coordinates!r}, which are not supported")
    numbers_of = [a % rank for a in c.get("axes") or range(rank)]
    exact = sizes is not None and sizes.shape != (0,)
    axes = _axes(c, numbers_of, scales, sizes if exact else None)
    moved = [a for a in axes if not _stays(a)]
    if coordinates == "tf_crop_and_resize":
        moved = axes
    if not moved:
        return x
    plain = _policy(c) == "stretch" and (exact or _whole(moved))
    if plain and _is_image(c, moved, coordinates, rank):
        return _image(c, moved, coordinates, rank)
    for i, axis in enumerate(axes):
        if axis in moved:
            x = _taps(c, x, axis, coordinates, _region(c, i, len(axes)))
    return x


def _policy(c: Call) -> str:
    return str(c.get("keep_aspect_ratio_policy") or "stretch")


def _axes(
    c: Call, places: Sequence[int], scales: Value | None, sizes: Value | None
) -> list[Axis]:
    """Each axis with its sizes and its scale."""
    found = []
    if sizes is None and scales is None:
        raise SpecError("has neither scales nor sizes; give one of them")
    for i, place in enumerate(places):
        size = size_at(c, c[0], place)
        real = c.builder.reshape(c.cast(size, "float32"), [])
        at = c.constant(i, "int64")
        if sizes is not None:
            wanted = c.builder.reshape(c.call("gather", sizes, at, axis=0), [1])
            wanted = c.cast(wanted, "int64")
            goal = c.builder.reshape(c.cast(wanted, "float32"), [])
            scale = c.call("div", goal, real)
        else:
            assert scales is not None
            scale = c.builder.reshape(c.call("gather", scales, at, axis=0), [])
            wanted = _scaled(c, size, scale, real)
        found.append(Axis(place, size, wanted, scale))
    if sizes is not None and _policy(c) != "stretch":
        return _kept_aspect(c, found)
    return found


def _scaled(c: Call, size: Value, scale: Value, real: Value) -> Value:
    """floor(scale * size); in integers where the scale is a simple fraction."""
    if scale.data is not None and np.isfinite(scale.data.item()):
        up, down = float(scale.data.item()).as_integer_ratio()
        if down <= MOST_PARTS:
            whole = size if up == 1 else c.call("mul", size, up)
            return whole if down == 1 else c.call("div", whole, down)
    exact = c.call("floor", c.call("mul", scale, real))
    return c.builder.reshape(c.cast(exact, "int64"), [1])


def _kept_aspect(c: Call, axes: list[Axis]) -> list[Axis]:
    """All axes by one scale: the least or the greatest."""
    step = "minimum" if _policy(c) == "not_larger" else "maximum"
    scale = axes[0].scale
    for axis in axes[1:]:
        scale = c.call(step, scale, axis.scale)
    found = []
    for a in axes:
        real = c.builder.reshape(c.cast(a.size, "float32"), [])
        half = c.call("add", c.call("mul", scale, real), 0.5)
        wanted = c.builder.reshape(c.cast(c.call("floor", half), "int64"), [1])
        found.append(Axis(a.number, a.size, wanted, scale))
    return found


def _stays(axis: Axis) -> bool:
    """Whether an axis is known to stay as it is."""
    if axis.scale.data is not None and axis.scale.data.item() == 1:
        return True
    if axis.size.data is None or axis.wanted.data is None:
        return False
    return bool(axis.size.data.item() == axis.wanted.data.item())


def _whole(axes: Sequence[Axis]) -> bool:
    """Whether scales are whole numbers, so that they are sizes over sizes."""
    known = [a.scale.data for a in axes]
    return all(k is not None and k.item() >= 1 and k.item() % 1 == 0 for k in known)


def _is_image(c: Call, moved: Sequence[Axis], coordinates: str, rank: int) -> bool:
    """Whether the library's operator has this form."""
    mode = c.get("mode", "nearest")
    return (
        coordinates in LIBRARY
        and (mode == "nearest" or (mode in ("linear", "bilinear")))
        and rank in (3, 4)
        and all(a.number >= 2 for a in moved)
        and not c.get("antialias", 0)
        and c[0].dtype == "float32"
    )


def _image(c: Call, moved: Sequence[Axis], coordinates: str, rank: int) -> Value:
    wanted = {a.number: a.wanted for a in moved}
    sizes = joined(c, *(wanted.get(i) or size_at(c, c[0], i) for i in range(2, rank)))
    mode = "nearest" if c.get("mode", "nearest") == "nearest" else "linear"
    rounding = _rounding(c)
    return c.call(
        "resize",
        c[0],
        mode=mode,
        coordinate_transformation_mode=coordinates,
        nearest_mode=rounding,
        sizes=sizes,
    )


def _rounding(c: Call) -> str:
    old = c.opset < 11 or c.name == "Upsample"
    return "floor" if old else str(c.get("nearest_mode") or "round_prefer_floor")


def _region(c: Call, index: int, count: int) -> tuple[Value, Value] | None:
    """Begin and end of the part that is resized, as shares of an axis."""
    mode = c.get("coordinate_transformation_mode")
    if mode != "tf_crop_and_resize":
        return None
    ends = (c.constant(index + k, "int64") for k in (0, count))
    first, last = (
        c.builder.reshape(c.call("gather", c[1], e, axis=0), []) for e in ends
    )
    return first, last


def _places(
    c: Call, axis: Axis, coordinates: str, region: tuple[Value, Value] | None
) -> Value:
    """Where the elements of the result lie along the axis, as float32."""
    call = c.call
    at = c.cast(numbers(c, plain_numbers(axis.wanted)), "float32")
    size, wanted = (c.cast(v, "float32") for v in (axis.size, axis.wanted))
    if coordinates == "asymmetric":
        return call("div", at, axis.scale)
    width = call("mul", axis.scale, size)
    if coordinates == "align_corners":
        last = call("sub", width, 1)
        alone = call("equal", last, 0)
        safe = call("where", alone, c.constant(1, "float32"), last)
        span = call("div", call("mul", at, call("sub", size, 1)), safe)
        return call("where", alone, c.constant(0, "float32"), span)
    if region is not None:
        return _cropped(c, at, size, wanted, region)
    middle = call("sub", call("div", call("add", at, 0.5), axis.scale), 0.5)
    if coordinates == "half_pixel_symmetric":
        share = call("sub", c.constant(1, "float32"), call("div", wanted, width))
        return call("add", call("mul", call("mul", size, 0.5), share), middle)
    if coordinates == "pytorch_half_pixel":
        several = call("greater", width, 1)
        return call("where", several, middle, c.constant(0, "float32"))
    return middle


def _cropped(
    c: Call, at: Value, size: Value, wanted: Value, region: tuple[Value, Value]
) -> Value:
    """Places in a region, from its first element to its last."""
    call, (start, end) = c.call, region
    last = call("sub", size, 1)
    steps = call("maximum", call("sub", wanted, 1), 1)
    span = call("mul", call("sub", end, start), last)
    moved = call(
        "add", call("mul", start, last), call("div", call("mul", at, span), steps)
    )
    centre = call("mul", call("mul", call("add", start, end), 0.5), last)
    return call("where", call("greater", wanted, 1), moved, centre)


def _taps(
    c: Call, x: Value, axis: Axis, coordinates: str, region: tuple[Value, Value] | None
) -> Value:
    """An axis resized by taps."""
    places = _places(c, axis, coordinates, region)
    mode = c.get("mode", "nearest")
    if mode == "nearest":
        rows: Taps = [(_nearest(c, places), None)]
    else:
        rows = _weighted(c, places, axis, mode)
    after = rank_of(c[0]) - 1 - axis.number
    last = c.call("sub", axis.size, 1)
    total: Value | None = None
    for index, weight in rows:
        inside = c.call(
            "clip", index, c.constant(0, "int64"), c.builder.reshape(last, [])
        )
        part = c.call("gather", x, inside, axis=axis.number)
        if weight is not None:
            part = c.call("mul", part, _aligned(c, weight, after))
        total = part if total is None else c.call("add", total, part)
    assert total is not None
    if region is None:
        return total
    edge = c.cast(last, "float32")
    outside = c.call(
        "logical_or", c.call("less", places, 0), c.call("greater", places, edge)
    )
    value = c.constant(c.get("extrapolation_value", 0.0), "float32")
    return c.call("where", _aligned(c, outside, after), value, total)


def _aligned(c: Call, vector: Value, after: int) -> Value:
    """A vector along an axis that so many follow."""
    return c.builder.unsqueeze(vector, [*range(1, after + 1)]) if after else vector


def _nearest(c: Call, places: Value) -> Value:
    """The nearest element; ties are ties whatever the rounding before."""
    rounding = _rounding(c)
    half = c.constant(0.5, "float32")
    size = c.call("add", c.call("abs", places), 1)
    near = c.call("mul", size, 2.0**-20)  # some roundings of places
    if rounding in ("floor", "round_prefer_ceil"):
        moved = c.call("add", places, half) if rounding != "floor" else places
        found = c.call("floor", c.call("add", moved, near))
    else:
        moved = c.call("sub", places, half) if rounding != "ceil" else places
        found = c.call("ceil", c.call("sub", moved, near))
    return c.cast(found, "int64")


def _weighted(c: Call, places: Value, axis: Axis, mode: str) -> Taps:
    """Elements about places, and their weights."""
    reach, stretch = (1 if mode in ("linear", "bilinear") else 2), 1.0
    if c.get("antialias", 0):
        if axis.scale.data is None:
            raise SpecError("has antialias, for which its scales must be constant")
        stretch = min(float(axis.scale.data.item()), 1.0)
    span = int(np.ceil(reach / stretch))
    base = c.call("floor", places)
    rows, weights = [], []
    for tap in range(1 - span, span + 1):
        index = c.call("add", base, tap)
        distance = c.call("abs", c.call("sub", index, places))
        scaled = c.call("mul", distance, stretch) if stretch != 1 else distance
        weight = _kernel(c, scaled, mode)
        if c.get("exclude_outside", 0):
            weight = c.call("mul", weight, _inside(c, index, axis))
        rows.append(c.cast(index, "int64"))
        weights.append(weight)
    if c.get("exclude_outside", 0) or stretch != 1:
        total = weights[0]
        for weight in weights[1:]:
            total = c.call("add", total, weight)
        weights = [c.call("div", w, total) for w in weights]
    return list(zip(rows, weights, strict=True))


def _inside(c: Call, index: Value, axis: Axis) -> Value:
    """1 where an index is on the axis, else 0."""
    low = c.call("greater_or_equal", index, 0)
    high = c.call("less", index, c.cast(axis.size, "float32"))
    return c.cast(c.call("logical_and", low, high), "float32")


def _kernel(c: Call, distance: Value, mode: str) -> Value:
    """The weight of an element at a distance."""
    call = c.call
    if mode in ("linear", "bilinear"):
        return call("maximum", call("sub", c.constant(1, "float32"), distance), 0)
    a = float(c.get("cubic_coeff_a", -0.75))

    def polynomial(*coefficients: float) -> Value:
        total = c.constant(coefficients[0], "float32")
        for k in coefficients[1:]:
            total = call("add", call("mul", total, distance), k)
        return total

    near = polynomial(a + 2, -(a + 3), 0, 1)
    far = polynomial(a, -5 * a, 8 * a, -4 * a)
    zero = c.constant(0, "float32")
    outer = call("where", call("less", distance, 2), far, zero)
    return call("where", call("less_or_equal", distance, 1), near, outer)
