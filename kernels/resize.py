"""out[n, c, y, x] = x[n, c, v(y), v(x)], rounded to an element or interpolated

Shapes: x [N, C, H, W] or [N, C, W]; sizes holds the size of each spatial axis of out.
An output position p of an axis of size s -> t lies at v in x: half_pixel
(p + 1/2) s/t - 1/2; pytorch_half_pixel the same, but 0 where t = 1; asymmetric p s/t;
align_corners p (s - 1)/(t - 1).
mode nearest takes the element that nearest_mode rounds v to; linear interpolates
between its neighbours. Positions outside x are moved to its edge.
Dtypes: float32 interpolates in float32; positions are exact fractions of integers.
Edges: NaN and infinity spread to what is interpolated from them.
Source: ONNX Resize-19 with sizes; MindSpore ResizeNearestNeighbor, ResizeBilinear.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from toolchain.spec import Attribute, Bound, Case, Input, Operator, te, tir
from toolchain.spec.cases import values

MODES = ("nearest", "linear")
COORDINATES = ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


def _chosen(which: Any, options: list[Any]) -> Any:
    result = options[0]
    for number, option in enumerate(options[1:], 1):
        result = tir.Select(which == number, option, result)
    return result


def _position(k: Any, p: Any, size: Any, target: Any) -> tuple[Any, Any]:
    """Position in x of element p of out, as a fraction of int64."""
    zero, one = tir.const(0, "int64"), tir.const(1, "int64")
    half = (2 * p + 1) * size - target
    alone = target == one
    which = k.coordinate_transformation_mode
    over = [
        half,
        p * size,
        tir.Select(alone, zero, p * (size - 1)),
        tir.Select(alone, zero, half),
    ]
    under = [2 * target, target, tir.Select(alone, one, target - 1), 2 * target]
    return _chosen(which, over), _chosen(which, under)


def _tables(k: Any, axis: int) -> tuple[Any, Any, Any, Any]:
    """Tensors of an axis: both neighbours of each position, and their weights."""
    size = (k.H, k.W)[axis].astype("int64")
    count = k.sizes[axis]
    target = count.astype("int64")
    name = "yx"[axis]

    def clamped(v: Any) -> Any:
        return tir.max(tir.min(v, size - 1), tir.const(0, "int64")).astype("int32")

    def ceiling(a: Any, b: Any) -> Any:
        return -tir.floordiv(-a, b)

    def first(p: Any) -> Any:
        over, under = _position(k, p.astype("int64"), size, target)
        rounded = [
            ceiling(2 * over - under, 2 * under),
            tir.floordiv(2 * over + under, 2 * under),
            tir.floordiv(over, under),
            ceiling(over, under),
        ]
        nearest = _chosen(k.nearest_mode, rounded)
        return clamped(tir.Select(k.mode == 0, nearest, tir.floordiv(over, under)))

    def second(p: Any) -> Any:
        over, under = _position(k, p.astype("int64"), size, target)
        return clamped(tir.floordiv(over, under) + 1)

    def weight(p: Any, near: bool) -> Any:
        # Each is a quotient of its own: 1 - weight would lose what is small.
        over, under = _position(k, p.astype("int64"), size, target)
        rest = tir.floormod(over, under)
        part = under - rest if near else rest
        return part.astype("float32") / under.astype("float32")

    return (
        te.compute((count,), first, name=f"{name}_first"),
        te.compute((count,), second, name=f"{name}_second"),
        te.compute((count,), lambda p: weight(p, True), name=f"{name}_near"),
        te.compute((count,), lambda p: weight(p, False), name=f"{name}_far"),
    )


def compute(k: Any) -> Any:
    """Gather by tables of positions, one pair of neighbours for each axis."""
    top, bottom, above, below = _tables(k, 0)
    left, right, before, behind = _tables(k, 1)

    def element(n: Any, c: Any, y: Any, x: Any) -> Any:
        def row(i: Any) -> Any:
            a, b = k.x[n, c, i, left[x]], k.x[n, c, i, right[x]]
            return a * before[x] + b * behind[x]

        mixed = row(top[y]) * above[y] + row(bottom[y]) * below[y]
        return tir.if_then_else(k.mode == 0, k.x[n, c, top[y], left[x]], mixed)

    return te.compute((k.N, k.C, *k.sizes), element, name="out")


def requires(k: Any) -> list[tuple[Any, str]]:
    """An empty plane has nothing to take from."""
    return [(tir.all(k.H > 0, k.W > 0), "the spatial axes of x must have elements")]


def _axis(
    size: int, target: int, mode: str, coordinate: str, rounding: str
) -> tuple[Any, Any, Any]:
    p = np.arange(target, dtype=np.float64)
    half = (2 * p + 1) * size / (2 * target) - 0.5
    v = {
        "half_pixel": half,
        "asymmetric": p * size / target,
        "align_corners": p * (size - 1) / max(target - 1, 1),
        "pytorch_half_pixel": half if target > 1 else p * 0,
    }[coordinate]
    if mode == "linear":
        low = np.floor(v)
        return _inside(low, size), _inside(low + 1, size), v - low
    nearest = {
        "round_prefer_floor": np.ceil(v - 0.5),
        "round_prefer_ceil": np.floor(v + 0.5),
        "floor": np.floor(v),
        "ceil": np.ceil(v),
    }[rounding]
    return _inside(nearest, size), _inside(nearest, size), v * 0


def _inside(v: Any, size: int) -> Any:
    return np.clip(v, 0, size - 1).astype(int)


def reference(
    x: Any,
    mode: str,
    coordinate_transformation_mode: str,
    nearest_mode: str,
    sizes: list[int],
) -> Any:
    """numpy, one axis after the other."""
    for axis, target in enumerate(sizes, 2):
        first, second, weight = _axis(
            x.shape[axis], target, mode, coordinate_transformation_mode, nearest_mode
        )
        weight = weight.reshape([-1] + [1] * (x.ndim - axis - 1))
        taken = np.take(x, first, axis)
        if mode == "linear":
            taken = taken * (1 - weight) + np.take(x, second, axis) * weight
        x = taken
    return x


def scale(x: Any, **attributes: Any) -> Any:
    """Magnitude of what is interpolated between."""
    return reference(np.abs(x), **attributes)


def cases(dtypes: tuple[str, ...], rng: np.random.Generator) -> Iterator[Case]:
    """Larger and smaller, every mode, lines and planes."""
    shapes: list[tuple[tuple[int, ...], list[int]]] = [
        ((1, 2, 4, 5), [8, 10]),
        ((2, 1, 7, 6), [3, 4]),
        ((1, 1, 3, 3), [7, 1]),
        ((1, 3, 13), [31]),
        ((0, 3, 4, 4), [2, 2]),
    ]
    for shape, sizes in shapes:
        for coordinate in COORDINATES:
            for mode, rounding in [
                ("linear", "floor"),
                *(("nearest", r) for r in ROUNDINGS),
            ]:
                name = f"{len(shape)}d-{sizes[0]}-{coordinate}-{mode}-{rounding}"
                attributes = {
                    "mode": mode,
                    "coordinate_transformation_mode": coordinate,
                    "nearest_mode": rounding,
                    "sizes": sizes,
                }
                yield Case(name, (values(rng, shape, dtypes[0]),), attributes)


KERNEL = Operator(
    collapse="exact.lift",
    inputs=(Input("x", "N C H W"),),
    attributes=(
        Attribute("mode", default=0, choices=MODES),
        Attribute("coordinate_transformation_mode", default=0, choices=COORDINATES),
        Attribute("nearest_mode", default=0, choices=ROUNDINGS),
        Attribute("sizes", default=1, minimum=1, per_unit=1, kernel=2),
    ),
    units=2,
    dtypes=("float32",),
    absent={
        "int32": "ONNX leaves open how interpolated integers are rounded",
        "int8": "ONNX leaves open how interpolated integers are rounded",
    },
    compute=compute,
    requires=requires,
    reference=reference,
    reference_scale=scale,
    cases=cases,
    bound=Bound(ulp=4, why="weights rounded once, two products and a sum per axis"),
)
