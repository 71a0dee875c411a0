"""out[n, y, x, m] = b[m] + sum_(r, s, c) w[m, c, r, s] * x[n, y', x', c], in limits.

w are the weights that conv_pack has packed; y' = y * stride - pad + r * dilation and x'
alike; outside the image x is 0; limits are minimum and maximum. What conv computes,
over images with their channels last.
Shapes: x [N, H, W, C], packed [ceil(features / 8), rows * columns * C, 8] where
kernel_shape is rows, columns; b [features], [1] or absent. There are no groups.
Dtypes: float32 adds up in float32, where a partial sum may become an infinity.
Edges: an image without channels gives b; NaN and infinity propagate as in conv, a NaN
passes the limits; minimum above maximum gives maximum.
Errors: packed weights that do not fit x, kernel_shape and features; a kernel larger
than the padded image.
Source: ONNX Conv-22, in the layout of TensorFlow's Conv2D.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import inf
from typing import Any, NamedTuple

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
    one_tap,
    requirements,
)
from toolchain.spec.images import Pixels, workspace
from toolchain.spec.nest import as_written, ceil_div, materialized, nest
from toolchain.spec.panels import (
    PANEL_WIDTH,
    Block,
    MatrixRows,
    Panels,
    packed_at_once,
    panels,
    small_n_panels,
    unpacked,
)
from toolchain.spec.product import Packed, Product, by_column


def compute(k: Kernel) -> Tensor:
    """Matrix products of pixels by channels, or tap by tap where pads are most of x."""
    y, x = spatial = axes(k, *k.kernel_shape)

    def emit(ins: list[Buffer], out: Buffer) -> None:
        with script.If(Pixels(k, None, y, x).sparse()):
            with script.Then():
                direct(k, spatial, ins, out)
            with script.Else():
                products(k, spatial, ins, out)

    return nest((k.N, y.out(), x.out(), k.features), k.inputs, emit, k.dtype)


def products(k: Kernel, spatial: Spatial, ins: list[Buffer], out: Buffer) -> None:
    """The products, with the tile that suits the number of features."""
    image, packed, b = ins
    tile = panels(k.target, "f32")
    small_n_tile, small_n = small_n_panels(k.target, k.features)
    bias = script.alloc_buffer((k.Q * PANEL_WIDTH,), "float32")
    with script.serial(0, k.features) as m:
        script.buffer_store(bias, b[tir.min(m, k.M - 1)], [m])

    def by(tile: Panels) -> None:
        product = Product(
            tile,
            spatial[0].out() * spatial[1].out(),
            k.K,
            k.features,
            MatrixRows(image, k.K, k.target),
            Packed(packed),
            out,
            lambda i, j: [0, 0, i, j],
            k.features,
            by_column(bias, tile),
            (k.minimum, k.maximum),
        )
        pixels_or_windows(k, spatial, image, product)

    if isinstance(small_n, bool):
        by(small_n_tile if small_n else tile)
        return
    with script.If(small_n):
        with script.Then():
            by(small_n_tile)
        with script.Else():
            by(tile)


def pixels_or_windows(
    k: Kernel, spatial: Spatial, image: Buffer, product: Product
) -> None:
    """One product of all images if windows are pixels, else one of each image."""
    plain = one_tap(spatial)
    rows = replace(product, rows=k.N * product.rows, panels=unpacked(product.panels))
    if rows.panels.form == "rows":
        # Rows from beyond L2, for every panel, are slower than packed rows.
        plain = tir.all(plain, k.K * k.features <= k.target.tuning("gemm.l2"))
    with script.If(plain):
        with script.Then():
            rows.by_blocks()
        with script.Else():
            windows(k, spatial, image, product)


def windows(k: Kernel, spatial: Spatial, image: Buffer, product: Product) -> None:
    """A product of each image, whose windows are packed some at a time."""
    tile, pixels, depth = product.panels, product.rows, product.depth
    assert isinstance(product.right, Packed)
    splat, packed = tile.form == "splat", product.right.panels
    tall = tile.rows
    if not splat:
        tall = packed_at_once(k.target, pixels, depth, tile.rows)
    buffer = workspace(tall, depth, tile.rows, tile.broadcast)
    source = Pixels(k, image, *spatial)
    source.allocate()
    pack = source.packer()
    parts = Parts.of(k, spatial) if splat else Parts.whole(k)
    with script.serial(0, k.N) as n:
        source.copy(n * k.H * k.W * k.C)
        part_of = replace(product, place=lambda i, j: [n, 0, i, j])
        with (
            script.serial(0, parts.rows) as r,
            script.serial(0, parts.pieces) as piece,
            script.serial(0, ceil_div(pixels, tall)) as some,
        ):
            start = r * parts.row + piece * parts.piece
            deep = tir.min(parts.piece, parts.row - piece * parts.piece)
            i = some * tall
            rows = tir.min(tall, pixels - i)
            down = Block(buffer, tile.rows, i, rows, pixels, start, deep)
            columns = (0, k.features, k.features)
            across = Block(packed, PANEL_WIDTH, *columns, start, deep, True)
            pack(down)
            if splat:
                part_of.by_depth(down, across)
            else:
                part_of.by_panels(down, across)


class Parts(NamedTuple):
    """How K is cut: into `rows` of length `row`, each into `pieces` of length `piece`.

    Weights beyond L2 come by parts of a row of taps, each for all windows.
    """

    rows: Expr
    row: Expr
    pieces: Expr
    piece: Expr

    @staticmethod
    def whole(k: Kernel) -> Parts:
        """K in one part."""
        return Parts(k.index(1), k.K, k.index(1), k.K)

    @staticmethod
    def of(k: Kernel, spatial: Spatial) -> Parts:
        """Rows of taps in equal pieces, if weights are beyond L2, else one part."""
        y, x = spatial
        number = k.target.tuning
        beyond = k.K * k.features > 2 * number("gemm.l2")
        large = tir.all(beyond, x.dilation == 1)
        row = materialized(tir.Select(large, x.taps * k.C, k.K))
        rows = materialized(tir.Select(large, y.taps, k.index(1)))
        equal = ceil_div(row, tir.max(ceil_div(row, number("conv_packed.kc")), 1))
        piece = materialized(tir.Select(large, equal, k.K))
        pieces = materialized(tir.max(ceil_div(row, tir.max(piece, 1)), 1))
        return Parts(rows, row, pieces, piece)


def direct(k: Kernel, spatial: Spatial, ins: list[Buffer], out: Buffer) -> None:
    """Element by element over the taps in the image."""
    (image, packed, b), (y, x) = ins, spatial
    with (
        script.serial(0, k.N) as n,
        script.serial(0, y.out()) as row,
        script.serial(0, x.out()) as column,
        script.serial(0, k.features) as m,
    ):
        at = [n, row, column, m]
        script.buffer_store(out, b[tir.min(m, k.M - 1)], at)
        (top, bottom), (left, right) = y.taps_inside(row), x.taps_inside(column)
        with (
            script.serial(0, bottom - top) as i,
            script.serial(0, right - left) as j,
            script.serial(0, k.C) as c,
        ):
            r, s = top + i, left + j
            source, place = (
                axis.first(position) + tap * axis.dilation
                for axis, position, tap in ((y, row, r), (x, column, s))
            )
            panel, lane = tir.truncdiv(m, PANEL_WIDTH), tir.truncmod(m, PANEL_WIDTH)
            weight = packed[panel, (r * x.taps + s) * k.C + c, lane]
            more = image[n, source, place, c] * weight
            script.buffer_store(out, out[tuple(at)] + more, at)
        value = out[tuple(at)]
        value = tir.Select(value < k.minimum, k.minimum, value)
        script.buffer_store(out, tir.Select(k.maximum < value, k.maximum, value), at)


def requires(k: Kernel) -> list[tuple[Expr, str]]:
    """What sizes must fulfil."""
    rows, columns = k.kernel_shape
    y, x = axes(k, rows, columns)
    return [
        (k.E == PANEL_WIDTH, "packed must have 8 output channels on its last axis"),
        (
            rows * columns * k.C == k.K,
            "axis 1 of packed must be the taps of kernel_shape times the channels of x",
        ),
        (
            ceil_div(k.features, k.index(PANEL_WIDTH)) == k.Q,
            "packed must have one panel for each 8 features",
        ),
        (
            tir.any(k.M == 1, k.features == k.M),
            "b must have features elements, or one",
        ),
        *requirements((y, x)),
        Pixels(k, None, y, x).fits(),
    ]


def reference(
    x: Array,
    packed: Array,
    b: Array | None,
    features: int,
    minimum: float,
    maximum: float,
    **given: Any,
) -> Array:
    """numpy, in float64."""
    rows = packed.transpose(0, 2, 1).reshape(packed.shape[0] * PANEL_WIDTH, -1)
    weights = rows[:features]
    taps = given.pop("kernel_shape")
    w = weights.reshape(features, *taps, x.shape[3]).transpose(0, 3, 1, 2)
    if b is not None:
        b = np.broadcast_to(b, (features,))
    image = x.transpose(0, 3, 1, 2)
    out = convolved(image, w, b, 1, **given).transpose(0, 2, 3, 1)
    return np.minimum(np.maximum(out, minimum), maximum)


def scale(x: Array, packed: Array, b: Array | None, **attributes: Any) -> Array:
    """Magnitude of what is added up."""
    b = None if b is None else np.abs(b)
    free = {**attributes, "minimum": -inf, "maximum": inf}
    return reference(np.abs(x), np.abs(packed), b, **free)


# Windows that reach far beyond an image, whose taps are read singly.
SPARSE = {"dilations": (300, 400), "pads": (300, 400, 299, 398), "strides": (299, 400)}
# x, rows and columns of a window, features, then attributes.
CASES: tuple[tuple[tuple[int, ...], tuple[int, int], int, dict[str, Any]], ...] = (
    ((1, 1, 1, 1), (1, 1), 1, {}),
    ((1, 5, 7, 3), (3, 3), 4, {}),
    ((2, 8, 9, 3), (3, 3), 5, {"pads": (1, 1, 1, 1), "minimum": 0.0}),
    ((1, 17, 16, 8), (3, 3), 9, {"pads": (1, 1, 1, 1), "maximum": 60.0}),
    ((1, 11, 13, 4), (1, 1), 8, {}),
    ((2, 7, 7, 70), (1, 1), 24, {"minimum": -5.0, "maximum": 5.0}),
    ((1, 9, 9, 70), (3, 3), 67, {"pads": (1, 1, 1, 1)}),
    ((1, 23, 29, 3), (7, 7), 16, {"strides": (2, 2), "pads": (3, 3, 3, 3)}),
    ((1, 14, 15, 5), (3, 2), 6, {"strides": (3, 1), "pads": (0, 2, 1, 0)}),
    ((1, 14, 15, 5), (2, 3), 6, {"strides": (1, 2), "pads": (2, 0, 0, 1)}),
    ((1, 15, 31, 2), (3, 3), 17, {"dilations": (2, 3), "pads": (2, 3, 2, 3)}),
    ((1, 14, 14, 6), (1, 1), 8, {"strides": (2, 2)}),
    ((1, 3, 3, 1), (2, 2), 4, {"pads": (9, 8, 7, 6), "dilations": (5, 4)}),
    ((1, 1, 1, 2), (3, 3), 4, {"pads": (1, 1, 1, 1)}),
    ((0, 5, 5, 3), (3, 3), 4, {}),
    ((1, 5, 5, 0), (3, 3), 4, {}),
    ((1, 0, 3, 2), (2, 2), 4, {"pads": (1, 0, 1, 0)}),
    ((1, 50, 60, 1), (1, 1), 4, {}),
    ((2, 20, 21, 70), (3, 3), 9, {"pads": (1, 1, 1, 1)}),
    ((1, 4, 5, 170), (3, 2), 264, {"pads": (1, 0, 1, 1), "strides": (1, 2)}),
    ((2, 7, 3, 5), (3, 3), 50, {"pads": (1, 1, 1, 1), "strides": (2, 1)}),
    ((1, 9, 2, 9), (3, 2), 53, {"pads": (1, 1, 1, 1), "dilations": (1, 2)}),
    ((1, 13, 12, 1), (5, 5), 49, {"pads": (0, 2, 2, 0)}),
    ((2, 3, 4, 3), (2, 2), 9, {**SPARSE, "minimum": -0.5, "maximum": 1.5}),
    ((1, 2, 2, 1), (3, 2), 8, SPARSE),
)


def cases(dtypes: tuple[str, ...], rng: Rng) -> Iterator[Case]:
    """Sizes, attributes and special values."""
    for i, (image, taps, features, given) in enumerate(CASES):
        shape = (-(-features // PANEL_WIDTH), taps[0] * taps[1] * image[3], PANEL_WIDTH)
        bias = (None, (features,), (1,))[i % 3]
        b = None if bias is None else values(rng, bias, "float32")
        tensors = values(rng, image, "float32"), values(rng, shape, "float32"), b
        attributes = {"features": features, "kernel_shape": taps, **given}
        yield Case(f"{i}-{shape_name(image)}", tensors, attributes)
    x = values(rng, (1, 9, 11, 4), "float32")
    w = values(rng, (1, 36, PANEL_WIDTH), "float32")
    x[0, 4, 4, 1], x[0, 0, 0, 2] = np.nan, np.inf
    attributes = {"features": 8, "kernel_shape": (3, 3)}
    yield Case("special", (x, w, None), attributes)
    limits = {"minimum": 1.0, "maximum": -1.0}
    yield Case("crossed-limits", (x, w, None), {**attributes, **limits})
    huge = {**attributes, "strides": (2**31 - 1,) * 2}
    yield Case("huge-stride", (x, w, None), huge)


KERNEL = Operator(
    collapse="exact.plain",
    inputs=(
        Input("x", "N H W C"),
        Input("packed", "Q K E"),
        Input("b", "M", optional=True),
    ),
    attributes=(
        Attribute("features", minimum=0),
        Attribute("kernel_shape", minimum=1, per_unit=1, kernel=2),
        STRIDES,
        PADS,
        DILATIONS,
        Attribute("minimum", "float", default=-inf),
        Attribute("maximum", "float", default=inf),
    ),
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
    narrow=PARTIAL_SUMS,
    bound=Bound(ulp=8, why="512 sums in a row of one rounding each, in a random walk"),
)
