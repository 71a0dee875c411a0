"""out[o, j, k] = x[o, j - begin, k] inside x, else by `mode`

Shapes: pads holds the elements to add before every axis, then those after; negative
ones take elements away first; the modes repeat what is left.
Modes: constant puts `value`, edge repeats the outermost element, reflect mirrors x
about it, wrap starts from the other end.
Dtypes: value is a float64; integers take its whole part, bool whether it is 0.
Edges: reflect takes fewer elements than are left, edge and wrap need one.
Source: ONNX Pad-19, whose pads are a tensor; MindSpore Pad.
"""

import numpy as np

from toolchain.spec import DTYPES, Attribute, Bound, Case, Input, Operator, tir
from toolchain.spec import script as T  # noqa: N812  # TVM's own name for it
from toolchain.spec.cases import shape_name, values
from toolchain.spec.nest import as_written, nest

MODES = ("constant", "reflect", "edge", "wrap")
PADDED = (  # shape, before, after
    *(((n,), [2], [3]) for n in (4, 5, 16, 17, 1031)),
    ((5,), [0], [0]),
    ((5,), [-2], [3]),
    ((9,), [3], [-4]),
    ((9,), [-3], [-4]),
    ((4, 6), [1, 2], [3, 0]),
    ((4, 6), [0, -2], [1, 5]),
    ((2, 3, 5, 7), [0, 0, 1, 2], [0, 0, 2, 1]),
    ((2, 3, 2, 2, 2, 3, 2, 3), [1, 0, 0, 1, 0, -1, 0, 2], [0, 1, 0, 0, 0, 0, 1, 1]),
)


def filler(k):
    if k.dtypes[0] == "float32":
        return k.value.astype("float32")
    if k.dtypes[0] == "bool":
        return tir.NE(k.value, tir.const(0, "float64")).astype("uint8")
    whole = k.value.astype("int64")
    if k.dtype == "uint8":  # a constant below 0 has no uint8
        whole = whole & tir.const(255, "int64")
    return whole.astype(k.dtype)


def outside(k, t):
    """Position in x that stands for t, which lies outside what is left of x."""
    begin, end = k.pads
    first, last = tir.max(-begin, 0), k.n - 1 - tir.max(-end, 0)
    mirrored = tir.Select(t < first, 2 * first - t, 2 * last - t)
    clamped = tir.max(tir.min(t, last), first)
    wrapped = first + tir.floormod(t - first, last + 1 - first)
    return tir.Select(
        k.mode == MODES.index("reflect"),
        mirrored,
        tir.Select(k.mode == MODES.index("edge"), clamped, wrapped),
    )


def compute(k):
    begin, end = k.pads
    size = k.n + begin + end
    zero = tir.const(0, k.n.expr_ty().dtype)  # int64 where only sizes are asked for

    def emit(inputs, out):
        (x,) = inputs
        # x fills [low, low + inner) of the output.
        low = tir.min(tir.max(begin, 0), size)
        inner = tir.max(tir.min(begin + k.n, size) - low, 0)
        with T.serial(0, k.o) as i:
            with T.serial(0, inner * k.k) as c:
                T.buffer_store(out, x[i, low - begin, c], [i, low, c])
            with T.serial(0, size - inner) as q:
                j = q + tir.Select(q < low, zero, inner)
                with T.If(k.mode == MODES.index("constant")):
                    with T.Then(), T.serial(0, k.k) as c:
                        T.buffer_store(out, filler(k), [i, j, c])
                    with T.Else(), T.serial(0, k.k) as c:
                        T.buffer_store(out, x[i, outside(k, j - begin), c], [i, j, c])

    return nest((k.o, size, k.k), [k.x], emit, k.dtype)


def cases(dtypes, rng):
    for shape, before, after in PADDED:
        x = values(rng, shape, dtypes[0])
        for mode in MODES:
            reflects = all(
                max(b, a) < max(n + min(b, 0) + min(a, 0), 1)
                for b, a, n in zip(before, after, shape, strict=True)
            )
            if mode == "reflect" and not reflects:
                continue  # an error
            name = f"{shape_name(shape)}-{'_'.join(map(str, before))}-{mode}"
            given = {"mode": mode, "pads": [*before, *after]}
            yield Case(name, (x,), given)
    value = {"float32": -2.5, "uint8": 7, "bool": 1}.get(dtypes[0], -3)
    yield Case("value", (x[:1],), {"pads": [1] * 16, "value": value})
    empty = values(rng, (0, 3), dtypes[0])
    yield Case("empty", (empty,), {"pads": [2, 0, 1, 1], "value": value})
    yield Case("scalar", (values(rng, (), dtypes[0]),), {"pads": []})


def reference(x, mode, value, pads):
    rank = x.ndim
    if not rank:
        return x
    crop = tuple(
        slice(max(-pads[i], 0), x.shape[i] + min(pads[rank + i], 0))
        for i in range(rank)
    )
    grow = [(max(pads[i], 0), max(pads[rank + i], 0)) for i in range(rank)]
    how = {"constant_values": x.dtype.type(value)} if mode == "constant" else {}
    return np.pad(x[crop], grow, mode, **how)


KERNEL = Operator(
    collapse="pad.axes",
    inputs=(Input("x", "o n k"),),
    attributes=(
        Attribute("mode", default=0, choices=MODES),
        Attribute("value", "float", default=0, dtype="float64"),
        Attribute("pads", per_unit=2, kernel=2),
    ),
    dtypes=DTYPES,
    stored_as={"int8": "uint8"},
    compute=compute,
    schedule=as_written,
    reference=reference,
    cases=cases,
    bound=Bound(why="moves elements"),
)
