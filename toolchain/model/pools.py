"""Pools: windows of images, by the library's operators or by formulas.

The library has planes (NCHW) of float32, of 8 bits for maxima. Others, and images as
NHWC, take loops whose maxima are the library's: NaN stays, nothing is below -inf.
"""

from __future__ import annotations

from math import inf, prod
from typing import Any

from toolchain.frontends.library import has
from toolchain.model.graph import KERNEL, VIEW, Node, Value
from toolchain.model.kernels import Instance
from toolchain.spec.math import maximum, minimum
from toolchain.targets import Target

NAMES = {"max": "max_pool", "avg": "average_pool"}
MAXIMA = tuple(f"nn.max_pool{rank}d" for rank in (1, 2, 3))
LAYOUTS = {1: "NCW", 2: "NCHW", 3: "NCDHW"}
LARGEST_PLANE = 1 << 28
# How often an element may be read tap by tap, as in runtime_stub/windows.c.
OVERLAP = 64


def overlaps(node: Node) -> bool:
    """Whether windows overlap so much that only the library folds them in time."""
    a, x, out = node.attributes, node.inputs[0], node.output
    taps = out.count * prod(a.get("pool_size", ()))
    return bool(taps > OVERLAP * (x.count + out.count))


def by_library(node: Node) -> list[Node] | None:
    """An instance of the library's operator, where it has the kind of windows."""
    a, (x,), out = node.attributes, node.inputs, node.output
    name = NAMES[node.op.removeprefix("nn.")[:3]]
    rank = len(x.shape) - 2
    if rank > 2 or a["layout"] != LAYOUTS[rank] or not has(name, x.dtype):
        return None
    sizes = (*x.shape[:2], *[1] * (2 - rank), *x.shape[2:])
    one = [1] * (2 - rank)
    none = [0] * (2 - rank)
    window, strides, dilation = (
        [*one, *a[n]] for n in ("pool_size", "strides", "dilation")
    )
    pads = [*none, *a["padding"][:rank], *none, *a["padding"][rank:]]
    extents = []
    for i in range(2):
        reach = (window[i] - 1) * dilation[i] + 1
        before, after, size = pads[i], pads[i + 2], sizes[2 + i]
        if max(before, after) >= reach or size + before + after < reach:
            return None
        extents.append(_extent(size, reach, strides[i], before, after, a["ceil_mode"]))
    if out.shape[2:] != tuple(extents[2 - rank :]) or prod(sizes[2:]) > LARGEST_PLANE:
        return None
    constants: dict[str, float] = dict(zip("NCHW", sizes, strict=True))
    given = {"kernel_shape": window, "strides": strides, "dilations": dilation}
    for attribute, values in (*given.items(), ("pads", pads)):
        constants |= {f"{attribute}_{i}": v for i, v in enumerate(values)}
    constants["ceil_mode"] = int(a["ceil_mode"])
    if name == "average_pool":
        constants["count_include_pad"] = int(a["count_include_pad"])
    instance = Instance.of(name, constants, (x.dtype,))
    return [Node(KERNEL, [x], [out], {"kernel": instance})]


def volumes(node: Node) -> list[Node] | None:
    """Windows of three axes that overlap much: along the first, then along the rest.

    A mean of means is the mean: as many taps lie inside for each place of the first.
    """
    a, (x,), out = node.attributes, node.inputs, node.output
    if a["layout"] != LAYOUTS[3] or not overlaps(node):
        return None
    kind, (batch, channels, depth, *sizes) = node.op.removesuffix("3d"), x.shape
    batch, after = batch * channels, out.shape[2]
    shapes = (batch, 1, depth, prod(sizes)), (batch, 1, after, prod(sizes))
    planes = (batch, after, *sizes), (batch, *out.shape[2:])
    values = [
        Value(f"{x.name}_{i}", s, x.dtype) for i, s in enumerate((*shapes, *planes))
    ]
    given = [
        {n: [a[n][0], 1] for n in _AXES}
        | {"padding": [a["padding"][0], 0, a["padding"][3], 0]},
        {n: a[n][1:] for n in _AXES}
        | {"padding": [a["padding"][i] for i in (1, 2, 4, 5)]},
    ]
    pools = [
        by_library(
            Node(f"{kind}2d", [source], [result], {**a, **own, "layout": LAYOUTS[2]})
        )
        for source, result, own in zip(values[::2], values[1::2], given, strict=True)
    ]
    if None in pools:
        return None
    first, last = (p for found in pools if found for p in found)
    views = [(x, values[0]), (values[1], values[2]), (values[3], out)]
    start, middle, end = (Node(VIEW, [v], [w]) for v, w in views)
    return [start, first, middle, last, end]


_AXES = ("pool_size", "strides", "dilation")


def _extent(size: int, reach: int, step: int, before: int, after: int, up: bool) -> int:
    """Windows along an axis; the last of them begins in the plane or before it."""
    room = size + before + after - reach
    count = (-(-room // step) if up else room // step) + 1
    return count - 1 if up and (count - 1) * step >= size + before else count


def written(builder: Any, node: Node, inputs: list[Any], target: Target) -> Any | None:
    """Maxima and minima as TIR; None for other nodes."""
    if node.inputs and node.inputs[0].dtype.startswith("float"):
        if node.op in MAXIMA:
            windows = _windows(node, target)
            return builder.call_te(windows, *inputs, primfunc_name_hint="pool")
        if node.op in ("max", "min"):
            extremes = _extremes(node, target)
            return builder.call_te(extremes, *inputs, primfunc_name_hint=node.op)
    return None


def _reducer(op: str, dtype: str, target: Target) -> Any:
    from tvm import te, tirx

    largest = op == "max"
    combine, vectors = maximum if largest else minimum, target.has("simd128")
    empty = tirx.const(-inf if largest else inf, dtype)
    return te.comm_reducer(
        lambda a, b: combine(a, b, vectors), lambda _: empty, name=op
    )


def _windows(node: Node, target: Target) -> Any:
    a, (x,), shape = node.attributes, node.inputs, node.output.shape
    spatial = [i for i, letter in enumerate(a["layout"]) if letter in "DHW"]
    before = dict(zip(spatial, a["padding"], strict=False))
    steps = dict(
        zip(spatial, zip(a["strides"], a["dilation"], strict=True), strict=True)
    )

    def compute(data: Any) -> Any:
        from tvm import te, tirx

        taps = {
            axis: te.reduce_axis((0, size), f"r{axis}")
            for axis, size in zip(spatial, a["pool_size"], strict=True)
        }
        wide = [
            (shape[i] - 1) * steps[i][0]
            + (int(taps[i].dom.extent) - 1) * steps[i][1]
            + 1
            if i in taps
            else n
            for i, n in enumerate(x.shape)
        ]
        outside = [i for i in spatial if before[i] or wide[i] - before[i] > x.shape[i]]

        def padded(*at: Any) -> Any:
            moved = [p - before[i] if i in before else p for i, p in enumerate(at)]
            inside = [tirx.all(moved[i] >= 0, moved[i] < x.shape[i]) for i in outside]
            empty = tirx.const(-inf, x.dtype)
            return tirx.if_then_else(tirx.all(*inside), data(*moved), empty)

        source = te.compute(wide, padded, name="pad_temp") if outside else data

        def window(*at: Any) -> Any:
            places = [
                p * steps[i][0] + taps[i] * steps[i][1] if i in taps else p
                for i, p in enumerate(at)
            ]
            reducer = _reducer("max", x.dtype, target)
            return reducer(source(*places), axis=list(taps.values()))

        return te.compute(shape, window, name="pool_max")

    return compute


def _extremes(node: Node, target: Target) -> Any:
    """A reduction to one element along axes."""
    (x,), given = node.inputs, node.attributes.get("axis")
    axes = {given} if isinstance(given, int) else set(given or range(len(x.shape)))
    axes = {axis % len(x.shape) for axis in axes}
    kept = node.attributes["keepdims"]

    def compute(data: Any) -> Any:
        from tvm import te

        taps = {i: te.reduce_axis((0, x.shape[i]), f"r{i}") for i in sorted(axes)}

        def fold(*at: Any) -> Any:
            left = list(at)
            if kept:
                left = [p for i, p in enumerate(at) if i not in axes]
            places = [
                taps[i] if i in axes else left.pop(0) for i in range(len(x.shape))
            ]
            reducer = _reducer(node.op, x.dtype, target)
            return reducer(data(*places), axis=list(taps.values()))

        return te.compute(node.output.shape, fold, name="extremes")

    return compute
