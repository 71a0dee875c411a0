"""out[n, m, y, x] = b[m] + sum_(c, r, s) w[m, c, r, s] * x[n, c', y', x'].

c' = c + D * floor(m * group / M), y' = y * stride - pad + r * dilation, x' alike;
outside the image x is 0.
Shapes: x [N, C, H, W], w [M, D, R, S] with C = D * group, b [M] or absent; for one
spatial axis [N, C, W] and [M, D, S]. pads: begins, then ends.
Dtypes: float32 adds up in float32, where a partial sum may become an infinity.
Edges: an image without channels gives b; NaN and infinity propagate (of weights over
pads only where a group has three output channels or more: elsewhere pads are skipped).
auto_pad is the caller's to turn into pads.
Errors: channels that do not fit w and group; a kernel larger than the padded image.
Source: ONNX Conv-22; MindSpore Conv2D.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from toolchain.spec import (
    PARTIAL_SUMS,
    Attribute,
    Bound,
    Buffer,
    Case,
    Expr,
    Input,
    Kernel,
    Operator,
    Tensor,
    depthwise,
    regions,
    script,
    tir,
)
from toolchain.spec.cases import Array, Rng, shape_name, values
from toolchain.spec.cases_windows import convolved
from toolchain.spec.convolution import (
    DILATIONS,
    PADS,
    STRIDES,
    Spatial,
    axes,
    each_tap,
    one_tap,
    requirements,
)
from toolchain.spec.images import Planes, workspace
from toolchain.spec.nest import as_written, ceil_div, choose, materialized, nest
from toolchain.spec.panels import (
    Block,
    MatrixRows,
    pack_elements,
    packed_at_once,
    panels,
    unpacked,
)
from toolchain.spec.product import Product, by_row


def compute(k: Kernel) -> Tensor:
    """Direct for groups of few channels and images of pads, else a matrix product."""
    y, x = axes(k, k.R, k.S)
    rows, columns = y.out(), x.out()
    per = tir.truncdiv(k.M, k.group)
    sparse = Planes(k, None, k.D, y, x).sparse()

    def emit(ins: list[Buffer], out: Buffer) -> None:
        with script.If(tir.any(per < k.target.tuning("conv.small_m"), sparse)):
            with script.Then():
                few(k, (y, x), ins, out)
            with script.Else():
                Grouped(k, (y, x), ins, out).emit()

    return nest((k.N, k.M, rows, columns), k.inputs, emit, k.dtype)


class Grouped:
    """A matrix product for each group and image: channels by pixels."""

    def __init__(
        self, k: Kernel, spatial: Spatial, ins: list[Buffer], out: Buffer
    ) -> None:
        self.k, self.spatial, self.out = k, spatial, out
        self.image, self.w, b = ins
        self.tile = tile = unpacked(panels(k.target, "f32"))
        self.per = tir.truncdiv(k.M, k.group)
        pixels, depth = spatial[0].out() * spatial[1].out(), k.D * k.R * k.S
        passes = tir.max(ceil_div(depth, k.target.tuning("conv.kc")), 1)
        deep = ceil_div(depth, passes)
        wide = packed_at_once(k.target, pixels, deep, tile.columns)
        # Whether all weights of a group are packed, once for all of its windows.
        few = self.per <= k.target.tuning("conv.mc")
        self.resident = tir.all(passes == 1, few)
        self.packed = tile.form != "rows"
        some = tir.min(self.per, tile.rows)
        height = tir.Select(self.resident, self.per, some)
        if self.packed:
            self.weights = workspace(height, deep, tile.rows, tile.broadcast)
        self.windows = workspace(wide, deep, tile.columns)
        self.planes = Planes(k, self.image, k.D, *spatial)
        self.planes.allocate(depth)
        self.bias = by_row(lambda i: b[i], k.M, tile)
        self.pixels, self.depth, self.passes, self.deep, self.wide, self.height = map(
            materialized, (pixels, depth, passes, deep, wide, height)
        )

    def emit(self) -> None:
        """Block by block of pixels, of the depth and of output channels."""
        k = self.k
        with (
            script.serial(0, k.group) as g,
            script.serial(0, k.N) as n,
            script.serial(0, ceil_div(self.pixels, self.wide)) as part,
            script.serial(0, self.passes) as step,
            script.serial(0, ceil_div(self.per, self.height)) as some,
        ):
            first, j, i = g * self.per, part * self.wide, some * self.height
            columns = materialized(tir.min(self.wide, self.pixels - j))
            rows = materialized(tir.min(self.height, self.per - i))
            start = step * self.deep
            deep = materialized(tir.min(self.deep, self.depth - start))
            across = Block(
                *(self.windows, self.tile.columns, j, columns, self.pixels),
                *(start, deep),
            )
            channels = MatrixRows(self.w, self.depth, k.target, first)
            left = self.weights if self.packed else channels
            down = Block(left, self.tile.rows, i, rows, self.per, start, deep)
            with script.If(some == 0), script.Then():
                self._pack_windows(across, (g, n), tir.all(part == 0, step == 0))
            other = tir.any(tir.Not(self.resident), n + part == 0)
            if self.packed:
                with script.If(other), script.Then():
                    channels(down)
            self._multiply(n, first, down, across)

    def _pack_windows(self, block: Block, at: tuple[Expr, Expr], new: Expr) -> None:
        """Pack pixels of group and image `at`; new: whether the image is another."""
        k, (g, n) = self.k, at
        start = (n * k.C + g * k.D) * k.H * k.W

        def pixel(j: Expr, channel: Expr) -> Expr:
            return self.image[0, 0, 0, start + channel * self.pixels + j]

        with script.If(one_tap(self.spatial)):
            with script.Then():
                pack_elements(pixel)(block)
            with script.Else():
                with script.If(new), script.Then():
                    self.planes.copy(start)
                self.planes.pack(block)

    def _multiply(self, n: Expr, first: Expr, down: Block, across: Block) -> None:
        """Multiply two blocks; first: the group's first output channel."""
        bias = self.bias
        Product(
            self.tile,
            self.per,
            self.depth,
            self.pixels,
            self.planes.pack,
            self.planes.pack,
            self.out,
            lambda i, j: [n, first + i, 0, j],
            self.pixels,
            replace(bias, at=lambda i, j: bias.at(first + i, j)),
        ).by_width(down, across)


def few(k: Kernel, spatial: Spatial, ins: list[Buffer], out: Buffer) -> None:
    """Groups of few output channels, mostly depthwise: of one input channel each."""
    forms = (
        (regions.suits, regions.Regions(k, spatial, out)),
        (depthwise.suits, depthwise.Planes(k, spatial, out)),
    )
    alone, columns = k.D == 1, out.shape[3]
    paths = [
        (
            tir.all(alone, suits(k.target, spatial, columns)),
            lambda made=made: made.emit(ins),
        )
        for suits, made in forms
    ]
    choose(paths, lambda: direct(k, spatial, ins, out))


def direct(k: Kernel, spatial: Spatial, ins: list[Buffer], out: Buffer) -> None:
    """Row by row over the taps, for groups of few channels."""
    x, w, b = ins
    per = tir.truncdiv(k.M, k.group)
    rows, columns = out.shape[2], out.shape[3]
    with (
        script.serial(0, k.N) as n,
        script.serial(0, k.M) as m,
        script.serial(0, rows) as row,
    ):
        with script.serial(0, columns) as i:
            script.buffer_store(out, b[m], [n, m, row, i])
        with script.serial(0, k.D) as c:
            channel = tir.truncdiv(m, per) * k.D + c

            def add(i: Expr, source: Expr, r: Expr, s: Expr, column: Expr) -> None:
                value = x[n, channel, source, column] * w[m, c, r, s]
                script.buffer_store(out, out[n, m, row, i] + value, [n, m, row, i])

            each_tap(spatial, row, columns, add)


def requires(k: Kernel) -> list[tuple[Expr, str]]:
    """What sizes must fulfil."""
    spatial = axes(k, k.R, k.S)
    fits, too_large = Planes(k, None, k.D, *spatial).fits()
    few = tir.truncdiv(k.M, k.group) < k.target.tuning("conv.small_m")
    return [
        (k.D * k.group == k.C, "the channels of x must be those of w times group"),
        (
            tir.truncmod(k.M, k.group) == 0,
            "the first axis of w must be a multiple of group",
        ),
        *requirements(spatial),
        (tir.any(few, fits), too_large),
    ]


def scale(x: Array, w: Array, b: Array | None, **attributes: Any) -> Array:
    """Magnitude of what is added up."""
    return convolved(
        np.abs(x), np.abs(w), None if b is None else np.abs(b), **attributes
    )


# Windows that reach far beyond an image: their taps are read one after the other.
SPARSE = {"dilations": (300, 400), "pads": (300, 400, 299, 398), "strides": (299, 400)}
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
    *(
        ((1, 2, *size), (4, 1, 3, 3), {"group": 2, "strides": (2, 2), "pads": pads})
        for size, pads in (
            *(((8, 8), (1, 1, 1, 1)), ((1, 10), (1, 1, 1, 1))),
            *(((9, 12), (1, 1, 1, 1)), ((14, 14), (1, 1, 0, 0))),
            *(((10, 17), (1, 1, 1, 1)), ((12, 25), (0, 1, 1, 0))),
            *(((13, 28), (1, 0, 0, 1)), ((24, 26), (0, 0, 1, 1))),
        )
    ),
    ((0, 3, 5, 5), (4, 3, 3, 3), {}),
    ((1, 0, 5, 5), (4, 0, 3, 3), {}),
    ((1, 3, 5, 5), (0, 3, 3, 3), {}),
    ((1, 2, 0, 3), (4, 2, 2, 2), {"pads": (1, 0, 1, 0)}),
    ((1, 1, 50, 60), (4, 1, 1, 1), {}),
    # Several blocks: of pixels, of the depth, of both, and of output channels.
    ((2, 70, 20, 21), (5, 70, 3, 3), {"pads": (1, 1, 1, 1)}),
    ((1, 80, 6, 7), (9, 80, 3, 3), {"pads": (1, 1, 1, 1)}),
    ((1, 130, 21, 21), (4, 130, 3, 3), {"pads": (1, 1, 1, 1)}),
    ((2, 3, 5, 6), (133, 3, 2, 2), {}),
    ((1, 650, 3, 3), (7, 650, 1, 1), {}),
    ((1, 3, 17), (4, 3, 3), {}),
    ((2, 4, 33), (6, 2, 5), {"group": 2, "strides": (2,), "pads": (1, 3)}),
    ((1, 5, 31), (5, 1, 4), {"group": 5, "dilations": (3,), "pads": (2, 5)}),
    ((1, 1, 1), (1, 1, 1), {}),
    ((2, 3, 3, 4), (4, 3, 2, 2), SPARSE),
)


def cases(dtypes: tuple[str, ...], rng: Rng) -> Iterator[Case]:
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
    reference=convolved,
    reference_scale=scale,
    cases=cases,
    narrow=PARTIAL_SUMS,
    bound=Bound(ulp=8, why="512 sums in a row of one rounding each, in a random walk"),
    aliases=("Conv2D", "Conv1D"),
)
