"""Axes of a convolution: sizes, valid ranges, requirements.

An image is [N, C, H, W]; a window has R x S taps, `strides`, `dilations`, and `pads`
as ONNX orders them: top, left, bottom, right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from toolchain.spec import Attribute, Kernel
from toolchain.spec.nest import materialized
from toolchain.spec.tvm import Expr, tir
from toolchain.spec.tvm import script as T  # noqa: N812  # TVM's own name for it
from toolchain.targets import Target

STRIDES = Attribute("strides", default=1, minimum=1, per_unit=1, kernel=2)
PADS = Attribute("pads", default=0, minimum=0, per_unit=2, kernel=4)
DILATIONS = Attribute("dilations", default=1, minimum=1, per_unit=1, kernel=2)
# Positions in a padded image are int32, and sums of two of them must be.
MOST = 1 << 30
# Winograd's: pixels on the side of a tile of the result, and of the image under it.
TILE, PATCH = 4, 6


@dataclass(frozen=True)
class Axis:
    """One spatial axis. size: of the image; taps: of the window; begin, end: pads.

    What is int32 in the kernel stays below 2^31 by `requirements`.
    """

    size: Expr
    taps: Expr
    stride: Expr
    begin: Expr
    end: Expr
    dilation: Expr

    @property
    def reach(self) -> Expr:
        """Elements from the first tap to the last."""
        return self.dilation * (self.taps - 1)

    @property
    def padded(self) -> Expr:
        """Size with pads."""
        return self.size + self.begin + self.end

    def out(self) -> Expr:
        """Windows along the axis."""
        return tir.truncdiv(self.padded - self.reach - 1, self.stride) + 1

    def first(self, position: Expr) -> Expr:
        """Place in the image of the first tap of a window."""
        return position * self.stride - self.begin

    def taps_inside(self, position: Expr) -> tuple[Expr, Expr]:
        """[first, last): taps of a window that lie in the image."""
        before = -self.first(position)
        low = _ceil_positive(before, self.dilation)
        high = _ceil_positive(self.size + before, self.dilation)
        return tir.min(low, self.taps), tir.min(high, self.taps)

    @property
    def phases(self) -> Expr:
        """Residues of a place, modulo the stride, that taps have."""
        return tir.min(self.stride, self.reach + 1)

    @property
    def length(self) -> Expr:
        """Places of one residue, from the first window's first tap to the last tap."""
        return self.out() + tir.truncdiv(self.reach, self.stride)

    def place(self, tap: Expr) -> Expr:
        """Of a tap of the first window, in the axis split by residues."""
        at = tap * self.dilation
        phase = tir.truncmod(at, self.stride)
        return phase * self.length + tir.truncdiv(at, self.stride)

    def windows_of(self, tap: Expr, count: Expr) -> tuple[Expr, Expr]:
        """[low, high): windows of `count` whose tap lies in the image."""
        return self.inside(tap * self.dilation, count)

    def inside(self, offset: Expr, count: Expr) -> tuple[Expr, Expr]:
        """[low, high): windows of `count` whose `offset` lies in the image."""
        before = self.begin - offset
        after = self.size + before
        low = _ceil_positive(before, self.stride)
        high = _ceil_positive(after, self.stride)
        return tir.min(low, count), tir.min(high, count)


def _ceil_positive(a: Expr, b: Expr) -> Expr:
    """Smallest integer >= a / b, or 0 where a is negative; a + b may pass int32."""
    return tir.truncdiv(tir.max(a, 1) - 1, b) + tir.min(tir.max(a, 0), 1)


Spatial = tuple[Axis, Axis]


def axes(k: Kernel, rows: Expr, columns: Expr) -> Spatial:
    """The two spatial axes of a kernel over H x W with windows of rows x columns."""
    y, x = (
        Axis(size, taps, k.strides[i], k.pads[i], k.pads[i + 2], k.dilations[i])
        for i, (size, taps) in enumerate(((k.H, rows), (k.W, columns)))
    )
    return y, x


def requirements(spatial: Spatial) -> list[tuple[Expr, str]]:
    """What must hold for a result to exist and be reached by int32."""
    return [
        (
            tir.all(*(a.taps >= 1 for a in spatial)),
            "the kernel has size 0; give it one tap or more",
        ),
        (
            tir.all(*(a.reach < a.padded for a in spatial)),
            "the kernel, with dilations, is larger than the padded image; "
            "use more pads or a smaller kernel",
        ),
        (
            tir.all(*(a.padded <= MOST for a in spatial)),
            "an axis with pads is longer than 2^30; use smaller pads",
        ),
    ]


def one_tap(spatial: Spatial) -> Expr:
    """Whether windows are pixels: 1 x 1, next to each other, without pads."""
    return tir.all(
        *(a.taps == 1 for a in spatial),
        *(a.stride == 1 for a in spatial),
        *(a.padded == a.size for a in spatial),
    )


def is_sparse(target: Target, copied: Expr, elements: Expr) -> Expr:
    """Whether a padded copy of so many elements is out of proportion; a condition."""
    most = target.tuning("conv.sparse")
    return tir.truncdiv(copied, most) > elements + most


def each_tap(
    spatial: Spatial,
    row: Expr,
    columns: Expr,
    body: Callable[[Expr, Expr, Expr, Expr, Expr], None],
) -> None:
    """For an output row: body(x, source, r, s, column) wherever a tap is in the image.

    x: position in the output row; source, column: place in the image. The innermost
    loop is over x, apart for strides 1 and 2, so that LLVM vectorises it.
    """
    y, x = spatial
    with T.serial(0, y.taps) as r:
        source = materialized(y.first(row) + r * y.dilation)
        with (
            T.If(tir.all(source >= 0, source < y.size)),
            T.Then(),
            T.serial(0, x.taps) as s,
        ):
            low, high = x.windows_of(s, columns)
            shift = s * x.dilation - x.begin

            def loop(step: Expr) -> None:
                with T.serial(0, high - low) as i:
                    body(low + i, source, r, s, (low + i) * step + shift)

            _by_stride(x.stride, loop)


def _by_stride(stride: Expr, loop: Callable[[Expr], None]) -> None:
    with T.If(stride == 1):
        with T.Then():
            loop(1)
        with T.Else(), T.If(stride == 2):
            with T.Then():
                loop(2)
            with T.Else():
                loop(stride)
