"""out[n, m, y, x] = b[m] + sum_(c, r, s) w[m, c, r, s] * x[n, c', y', x'].

c' = c + D * floor(m * group / M), y' = y * stride - pad + r * dilation, x' alike;
outside the image x is 0.
Shapes: x [N, C, H, W], w [M, D, R, S] with C = D * group, b [M] or absent; for one
spatial axis [N, C, W] and [M, D, S]. pads: begins, then ends.
Dtypes: float32 adds up in float32.
Edges: an image without channels gives b; NaN and infinity propagate (of weights over
pads only where a group has three output channels or more: elsewhere pads are skipped).
auto_pad is the caller's to turn into pads.
Errors: channels that do not fit w and group; a kernel larger than the padded image.
Source: ONNX Conv-22; MindSpore Conv2D.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from toolchain.spec import (
    Attribute,
    Bound,
    Case,
    Input,
    Operator,
    depthwise,
    script,
    tir,
)
from toolchain.spec.cases import shape_name, values
from toolchain.spec.convolution import (
    DILATIONS,
    PADS,
    STRIDES,
    Windows,
    axes,
    each_tap,
    requirements,
)
from toolchain.spec.panels import (
    Product,
    as_written,
    by_row,
    nest,
    pack_lines,
    panels,
    shifted,
)

# Output channels of a group below which a tile of 4 rows is mostly padding.
FEW = 3


def compute(k: Any) -> Any:
    """Direct for groups of few channels, else a matrix product."""
    y, x = axes(k)
    rows, columns = y.out(), x.out()
    per = tir.truncdiv(k.M, k.group)

    def emit(ins: Any, out: Any) -> None:
        with script.If(per < FEW):
            with script.Then():
                few(k, (y, x), ins, out)
            with script.Else():
                grouped(k, (y, x), per, ins, out)

    return nest((k.N, k.M, rows, columns), k.inputs, emit, k.dtype)


def grouped(k: Any, spatial: Any, per: Any, ins: Any, out: Any) -> None:
    """A matrix product for each image and group: channels by pixels."""
    image, w, b = ins
    pixels = out.shape[2] * out.shape[3]
    depth = k.D * k.R * k.S
    with script.serial(0, k.N) as n, script.serial(0, k.group) as g:
        first = g * per
        windows = Windows.over(image, (n * k.C + g * k.D) * k.H * k.W, spatial)
        tile = panels(k, "f32")
        Product(
            tile,
            per,
            depth,
            pixels,
            shifted(pack_lines(w, depth, k.target), first),
            windows.pack,
            out,
            lambda i, j: [n, first + i, 0, j],
            pixels,
            by_row(lambda i: b[first + i], per, tile),
        ).emit()


def few(k: Any, spatial: Any, ins: Any, out: Any) -> None:
    """Groups of few channels: by planes where they have one each (depthwise)."""
    planes = depthwise.Planes(k, spatial, out)
    suits = tir.all(k.D == 1, depthwise.suits(spatial, out.shape[3]))
    with script.If(suits):
        with script.Then():
            planes.emit(ins)
        with script.Else():
            direct(k, spatial, ins, out)


def direct(k: Any, spatial: Any, ins: Any, out: Any) -> None:
    """Row by row over the taps, for groups of few channels."""
    x, w, b = ins
    per = tir.truncdiv(k.M, k.group)
    rows, columns = out.shape[2], out.shape[3]
    with (
        script.serial(0, k.N) as n,
        script.serial(0, k.M) as m,
        script.serial(0, rows) as line,
    ):
        with script.serial(0, columns) as i:
            script.buffer_store(out, b[m], [n, m, line, i])
        with script.serial(0, k.D) as c:
            channel = tir.truncdiv(m, per) * k.D + c

            def add(i: Any, row: Any, r: Any, s: Any, column: Any) -> None:
                value = x[n, channel, row, column] * w[m, c, r, s]
                script.buffer_store(out, out[n, m, line, i] + value, [n, m, line, i])

            each_tap(spatial, line, columns, add)


def requires(k: Any) -> Any:
    """What sizes must fulfil."""
    return [
        (k.D * k.group == k.C, "the channels of x must be those of w times group"),
        (
            tir.truncmod(k.M, k.group) == 0,
            "the first axis of w must be a multiple of group",
        ),
        *requirements(axes(k)),
    ]


def taken(x: Any, axis: Any, positions: Any) -> Any:
    """x at positions along an axis; 0 outside."""
    inside = (positions >= 0) & (positions < x.shape[axis])
    shape = list(x.shape)
    shape[axis] = positions.size
    out = np.zeros(shape)
    index = [slice(None)] * x.ndim
    index[axis] = np.flatnonzero(inside)
    out[tuple(index)] = x.take(positions[inside], axis)
    return out


def reference(
    x: Any,
    w: Any,
    b: Any,
    group: Any,
    strides: Any = None,
    pads: Any = None,
    dilations: Any = None,
) -> Any:
    """numpy, in float64."""
    spatial = x.ndim - 2
    strides, dilations = strides or [1] * spatial, dilations or [1] * spatial
    pads = pads or [0] * (2 * spatial)
    if spatial == 1:
        x, w = x[:, :, None], w[:, :, None]
        strides, dilations = [1, *strides], [1, *dilations]
        pads = [0, pads[0], 0, pads[1]]
    images, features = x.shape[0], w.shape[0]
    depth, taps = w.shape[1], w.shape[2:]
    starts = []
    for i in range(2):
        room = x.shape[2 + i] + pads[i] + pads[2 + i] - dilations[i] * (taps[i] - 1)
        starts.append(np.arange((room - 1) // strides[i] + 1) * strides[i] - pads[i])
    sizes = [s.size for s in starts]
    out = np.zeros((images, group, features // group, *sizes))
    factors = w.reshape(group, features // group, depth, *taps)
    for r, s in np.ndindex(*taps):
        part = taken(x, 2, starts[0] + r * dilations[0])
        part = taken(part, 3, starts[1] + s * dilations[1])
        part = part.reshape(images, group, depth, *sizes)
        out += np.einsum("ngchw,gmc->ngmhw", part, factors[..., r, s])
    out = out.reshape(images, features, *sizes)
    if b is not None:
        out += b[:, None, None]
    return out[:, :, 0] if spatial == 1 else out


def scale(x: Any, w: Any, b: Any, **attributes: Any) -> Any:
    """Magnitude of what is added up."""
    return reference(
        np.abs(x), np.abs(w), None if b is None else np.abs(b), **attributes
    )


# x, w, then group, strides, pads, dilations where they are not the default.
CASES: tuple[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]], ...] = (
    ((1, 1, 1, 1), (1, 1, 1, 1), {}),
    ((1, 3, 5, 7), (4, 3, 3, 3), {}),
    ((2, 3, 8, 9), (5, 3, 3, 3), {"pads": (1, 1, 1, 1)}),
    ((1, 8, 17, 16), (9, 8, 3, 3), {"pads": (1, 1, 1, 1)}),
    ((1, 4, 11, 13), (8, 4, 1, 1), {}),
    ((1, 70, 9, 9), (67, 70, 3, 3), {"pads": (1, 1, 1, 1)}),
    ((1, 3, 23, 29), (7, 3, 7, 7), {"strides": (2, 2), "pads": (3, 3, 3, 3)}),
    ((1, 5, 14, 15), (6, 5, 3, 2), {"strides": (3, 1), "pads": (0, 2, 1, 0)}),
    ((1, 5, 14, 15), (6, 5, 2, 3), {"strides": (1, 2), "pads": (2, 0, 0, 1)}),
    ((1, 2, 15, 31), (4, 2, 3, 3), {"dilations": (2, 3), "pads": (2, 3, 2, 3)}),
    ((2, 6, 9, 10), (9, 2, 3, 3), {"group": 3, "pads": (1, 1, 1, 1)}),
    ((1, 8, 7, 9), (8, 4, 1, 1), {"group": 2}),
    ((2, 5, 12, 17), (5, 1, 3, 3), {"group": 5, "pads": (1, 1, 1, 1)}),
    (
        (1, 3, 12, 19),
        (6, 1, 5, 5),
        {"group": 3, "strides": (2, 2), "pads": (2, 2, 2, 2)},
    ),
    ((1, 4, 9, 9), (4, 2, 3, 3), {"group": 2, "dilations": (2, 2), "strides": (3, 3)}),
    ((1, 1, 3, 3), (4, 1, 2, 2), {"pads": (9, 8, 7, 6), "dilations": (5, 4)}),
    ((1, 2, 1, 1), (4, 2, 3, 3), {"pads": (1, 1, 1, 1)}),
    ((1, 2, 2, 3), (2, 1, 3, 3), {"group": 2, "pads": (4, 4, 4, 4), "strides": (4, 5)}),
    ((1, 2, 90, 100), (2, 1, 3, 3), {"group": 2, "pads": (1, 1, 1, 1)}),
    (
        (1, 2, 61, 131),
        (4, 1, 3, 3),
        {"group": 2, "strides": (2, 2), "pads": (1, 1, 0, 1)},
    ),
    ((1, 2, 13, 9), (2, 1, 3, 3), {"group": 2, "strides": (1, 3)}),
    ((0, 3, 5, 5), (4, 3, 3, 3), {}),
    ((1, 0, 5, 5), (4, 0, 3, 3), {}),
    ((1, 3, 5, 5), (0, 3, 3, 3), {}),
    ((1, 2, 0, 3), (4, 2, 2, 2), {"pads": (1, 0, 1, 0)}),
    ((1, 1, 50, 60), (4, 1, 1, 1), {}),
    ((1, 3, 17), (4, 3, 3), {}),
    ((2, 4, 33), (6, 2, 5), {"group": 2, "strides": (2,), "pads": (1, 3)}),
    ((1, 5, 31), (5, 1, 4), {"group": 5, "dilations": (3,), "pads": (2, 5)}),
    ((1, 1, 1), (1, 1, 1), {}),
)


def cases(dtypes: Any, rng: Any) -> Iterator[Case]:
    """Sizes, attributes and special values."""
    for i, (image, kernel, given) in enumerate(CASES):
        bias = values(rng, kernel[:1], "float32") if i % 2 else None
        tensors = values(rng, image, "float32"), values(rng, kernel, "float32"), bias
        yield Case(f"{i}-{shape_name(image)}", tensors, given)
    for name, features, group in (("gemm", 8, 1), ("depthwise", 4, 4)):
        x = values(rng, (1, 4, 9, 11), "float32")
        w = values(rng, (features, 4 // group, 3, 3), "float32")
        x[0, 1, 4, 4], x[0, 2, 0, 0] = np.nan, np.inf
        yield Case(f"special-{name}", (x, w, None), {"group": group})
        huge = {"strides": (2**31 - 1,) * 2, "dilations": (1, 1), "group": group}
        yield Case(f"huge-stride-{name}", (x, w, None), huge)
        wide = values(rng, (features, 4 // group, 1, 1), "float32")
        huge = {
            "strides": (2**29,) * 2,
            "pads": (2**29, 0, 0, 2**29),
            "dilations": (2**31 - 1,) * 2,
            "group": group,
        }
        yield Case(f"huge-pads-{name}", (x, wide, None), huge)


KERNEL = Operator(
    collapse="exact.lift",
    inputs=(
        Input("x", "N C H W"),
        Input("w", "M D R S"),
        Input("b", "M", optional=True),
    ),
    attributes=(Attribute("group", default=1, minimum=1), STRIDES, PADS, DILATIONS),
    units=2,
    dtypes=("float32",),
    absent={
        "int8": "ONNX has ConvInteger and QLinearConv, with zero points and scales",
        "int32": "no framework has it",
    },
    requires=requires,
    compute=compute,
    schedule=as_written,
    reference=reference,
    reference_scale=scale,
    cases=cases,
    bound=Bound(ulp=8, why="512 sums in a row of one rounding each, in a random walk"),
    aliases=("Conv2D", "Conv1D"),
)
