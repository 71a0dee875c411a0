"""out[n, y, x, c] = max or mean over r, s of x[n, y * stride + r * dilation - pad, ...]

max_pool and average_pool of images with their channels last. kind: mean counts the taps
inside the image, mean_padded those inside the padded one. 8-bit integers have a max.
Shapes: x [N, H, W, C]; the lists have an entry for each spatial axis, pads the begins,
then the ends. ceil_mode=1 rounds the number of windows up.
Edges: padding never wins; a NaN in a window gives NaN.
Errors: windows larger than the padded image; pads as wide as a window.
Source: ONNX MaxPool-22 and AveragePool-22, in the layout of TensorFlow's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from toolchain.spec import (
    Attribute,
    Bound,
    Buffer,
    Case,
    Expr,
    Input,
    Kernel,
    Operator,
    Tensor,
    tir,
)
from toolchain.spec import script as T  # noqa: N812  # TVM's own name for it
from toolchain.spec import windows as w
from toolchain.spec.cases import Array, Rng, shape_name, values
from toolchain.spec.cases_windows import pooled
from toolchain.spec.convolution import axes
from toolchain.spec.math import maximum
from toolchain.spec.nest import as_written, choose, nest

KINDS = ("max", "mean", "mean_padded")
SIZES: tuple[tuple[tuple[int, ...], dict[str, Any]], ...] = (
    ((1, 6, 7, 5), {"kernel_shape": [2, 2], "strides": [2, 2]}),
    ((2, 9, 8, 16), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ((1, 5, 6, 33), {"kernel_shape": [3, 2], "pads": [1, 0, 2, 1]}),
    ((1, 9, 9, 3), {"kernel_shape": [3, 3], "dilations": [2, 1], "strides": [2, 3]}),
    ((1, 8, 7, 4), {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    ((1, 1, 1, 1), {"kernel_shape": [1, 1]}),
    ((0, 4, 4, 3), {"kernel_shape": [2, 2]}),
    ((1, 4, 4, 0), {"kernel_shape": [2, 2]}),
)


def compute(k: Kernel) -> Tensor:
    """Window by window; channels of a register stay there while taps are folded."""

    def emit(ins: list[Buffer], out: Buffer) -> None:
        if k.dtype != "float32":
            whole = _Windows(k, ins[0], out, lambda a, b: tir.max(a, b))
            whole.emit(int(np.iinfo(k.dtype).min))
            return
        vectors = k.target.has("simd128")
        largest = _Windows(k, ins[0], out, lambda a, b: maximum(a, b, vectors))
        mean = _Windows(k, ins[0], out, lambda a, b: a + b)
        # What is added first keeps its sign, of zeros too.
        choose(
            [(k.kind == 0, lambda: largest.emit(float("-inf")))],
            lambda: mean.emit(-0.0, mean.count),
        )

    return nest((k.N, w.extent(k, 0), w.extent(k, 1), k.C), [k.x], emit, k.dtype)


class _Windows:
    """The windows of x. combine: two elements."""

    def __init__(
        self,
        k: Kernel,
        x: Buffer,
        out: Buffer,
        combine: Callable[[Expr, Expr], Expr],
    ) -> None:
        self.k, self.x, self.out, self.combine = k, x, out, combine
        self.spatial = axes(k, w.window(k, 0), w.window(k, 1))

    def emit(
        self, empty: float, count: Callable[[int, Expr], Expr] | None = None
    ) -> None:
        """Fold all. empty: what a window starts with. count: what divides means."""
        k = self.k
        lanes = k.target.lanes(8 * np.dtype(k.dtype).itemsize)
        whole = tir.truncdiv(k.C, lanes)
        parts = [(0, whole, lanes)]
        if lanes > 1:
            parts.append((whole * lanes, k.C - whole * lanes, 1))
        with T.serial(0, k.N) as n, T.serial(0, w.extent(k, 0)) as i:
            rows = _bound(self.spatial[0].taps_inside(i))
            down = T.Bind(count(0, i)) if count else None
            with T.serial(0, w.extent(k, 1)) as j:
                columns = _bound(self.spatial[1].taps_inside(j))
                total = down * count(1, j) if count else None
                finish = _quotient(total, rows, columns) if count else _same
                for first, blocks, wide in parts:
                    with T.serial(0, blocks) as block:
                        at = [n, i, j, first + block * wide]
                        self._channels(at, wide, (rows, columns), (empty, finish))

    def _channels(
        self, at: list[Expr], lanes: int, ranges: Ranges, ends: tuple[float, Finish]
    ) -> None:
        """Fold the window at [n, i, j] of some channels."""
        (n, i, j, channel), (y, z) = at, self.spatial
        ((top, bottom), (left, right)), (empty, finish) = ranges, ends
        folded = T.alloc_buffer((lanes,), self.k.dtype)

        def each() -> Any:
            return T.vectorized(0, lanes) if lanes > 1 else T.serial(0, 1)

        with each() as c:
            T.buffer_store(folded, tir.const(empty, self.k.dtype), [c])
        with T.serial(0, bottom - top) as r, T.serial(0, right - left) as s:
            row = y.first(i) + (top + r) * y.dilation
            column = z.first(j) + (left + s) * z.dilation
            with each() as c:
                element = self.x[n, row, column, channel + c]
                T.buffer_store(folded, self.combine(folded[c], element), [c])
        with each() as c:
            T.buffer_store(self.out, finish(folded[c]), [n, i, j, channel + c])

    def count(self, axis: int, position: Expr) -> Expr:
        """Taps that count: inside the image, or inside the padded one."""
        k = self.k
        padded = k.kind == KINDS.index("mean_padded")
        low = tir.Select(padded, -k.pads[axis], k.index(0))
        high = (k.H, k.W)[axis] + tir.Select(padded, k.pads[axis + 2], k.index(0))
        return w.taps_inside(k, axis, position, low, high)


Finish = Callable[[Expr], Expr]
Range = tuple[Expr, Expr]  # the first tap in the image, and the one after the last
Ranges = tuple[Range, Range]


def _bound(taps: Range) -> Range:
    return T.Bind(taps[0]), T.Bind(taps[1])


def _same(folded: Expr) -> Expr:
    return folded


def _quotient(total: Expr, rows: Range, columns: Range) -> Finish:
    """Divide by the taps that count; 0 where no tap is in the image."""
    divisor = T.Bind(total.astype("float32"))
    some = T.Bind((rows[1] - rows[0]) * (columns[1] - columns[0]))
    return lambda folded: tir.Select(some > 0, folded / divisor, tir.const(0.0))


def reference(x: Array, kind: str | int = 0, **attributes: Any) -> Array:
    """numpy, window by window, over planes."""
    kind = KINDS[kind] if isinstance(kind, int) else kind
    planes = np.moveaxis(x, -1, 1)
    counted = int(kind == "mean_padded")

    def fold(taps: Array, inside: tuple[int, int]) -> Any:
        if kind == "max":
            floats = x.dtype.kind == "f"
            return np.max(taps, initial=-np.inf if floats else np.iinfo(x.dtype).min)
        return np.sum(taps) / inside[counted]

    found = pooled(planes, fold, **attributes)
    return np.moveaxis(found, 1, -1)


def scale(x: Array, kind: str | int = 0, **attributes: Any) -> Array:
    """The mean of |x|; what the maximum is of, itself."""
    magnitudes = x if kind in (0, "max") else np.abs(x)
    return reference(magnitudes, kind, **attributes)


def cases(dtypes: tuple[str, ...], rng: Rng) -> Iterator[Case]:
    """Sizes and attributes, for each kind."""
    for shape, given in SIZES:
        for kind in KINDS if dtypes[0] == "float32" else KINDS[:1]:
            x = values(rng, shape, dtypes[0])
            yield Case(f"{kind}-{shape_name(shape)}", (x,), {**given, "kind": kind})
    if dtypes[0] != "float32":
        return
    x = values(rng, (1, 5, 5, 3), dtypes[0])
    x[0, 2, 2, 1], x[0, 0, 0, 0], x[0, 4, 4, 2] = np.nan, np.inf, -np.inf
    yield Case("special", (x,), {"kernel_shape": [3, 3]})


def requires(k: Kernel) -> list[tuple[Expr, str]]:
    """Integers have no mean."""
    found = list(w.requires(k))
    if k.dtype != "float32":
        found.append((k.kind == 0, "means are of float32; use kind max"))
    return found


KERNEL = Operator(
    collapse="exact.plain",
    inputs=(Input("x", "N H W C"),),
    attributes=(
        Attribute("kind", default=0, choices=KINDS),
        w.CEIL_MODE,
        w.KERNEL_SHAPE,
        w.STRIDES,
        w.PADS,
        w.DILATIONS,
    ),
    units=2,
    dtypes=("float32", "int8", "uint8"),
    compute=compute,
    schedule=as_written,
    requires=requires,
    reference=reference,
    reference_scale=scale,
    cases=cases,
    bound=Bound(ulp=4, why="9 additions and a division; of the mean of |x|"),
)
