"""out[n, y, x, m] = saturate(round(factor[m] * sum[n, y, x, m]) + y_zero).

sum[n, y, x, m] = bias[m] + sum_(r, s, c) w[m, c, r, s] * (x[n, y', x', c] - x_zero) in
int32, y' and x' as in conv_packed; outside the image x is x_zero. A convolution of a
quantized network.

Shapes: x [N, H, W, C]; w packed as words of two int16, consecutive in k = (r, s, c):
[P, ceil(R * S * C / 2), 8], panels of 8 output channels; bias and factor [8 * P].
Dtypes: of x and of out, each int8 or uint8, which one kernel serves; x_sign is 128
where x is int8, else 0. low and high are limits of the result and contain the dtype's.
Source: ONNX QLinearConv-10.
"""

from itertools import product
from typing import Any

from toolchain.spec import SAME_WIDTH, Input, Operator, Output, tir
from toolchain.spec import microkernels as micro
from toolchain.spec import script as T  # noqa: N812  # TVM's own name for it
from toolchain.spec.math import maximum, minimum, rint
from toolchain.spec.nest import as_written, call, ceil_div, nest, pointer
from toolchain.spec.panels import PANEL_WIDTH


def compute(k: Any) -> Any:
    """Tiles of a few pixels by 8 channels; windows are gathered tile by tile."""

    def emit(ins: Any, out: Any) -> None:
        x, w, bias, factor = ins
        _Convolution(k, x, w, bias, factor, out).emit()

    return nest((k.N, k.OY, k.OX, k.M), k.inputs, emit, "uint8")


class _Convolution:
    def __init__(self, k: Any, x: Any, w: Any, bias: Any, factor: Any, out: Any):
        self.k, self.x, self.w, self.bias = k, x, w, bias
        self.factor, self.out = factor, out
        simd = k.target.has("simd128")
        self.height, lanes = (4, 4) if simd else (2, 1)
        self.depth = int(k.R) * int(k.S) * int(k.C)
        self.words = -(-self.depth // 2)
        self.across = int(k.P) * PANEL_WIDTH
        self.rows = int(k.H) + int(k.pads_0) + int(k.pads_2)
        self.columns = int(k.W) + int(k.pads_1) + int(k.pads_3)
        size = (self.rows, self.columns * int(k.C))
        self.image = T.alloc_buffer(size, "uint8")
        self.windows = T.alloc_buffer((self.height, self.depth), "uint8")
        self.zeros = T.alloc_buffer((self.height,), "uint8")
        # In bytes too: TVM lets workspaces share memory, whatever their dtypes, and
        # then refuses pointers of the second one's. The sums live beside all others.
        self.left = T.alloc_buffer((self.words, self.height, 4 * lanes), "uint8")
        self.sums = T.alloc_buffer((self.height, self.across), "int32")

    def emit(self) -> None:
        """Image by image, pad it, then tile by tile its pixels."""
        k = self.k
        pixels = int(k.OY) * int(k.OX)
        zero = tir.const(int(k.x_zero) & 255, "uint8")
        with T.serial(0, self.height) as i:
            T.buffer_store(self.zeros, zero, [i])
        with T.serial(0, k.N) as n:
            self._pad(n, zero)
            with T.serial(0, ceil_div(pixels, self.height)) as p:
                first = p * self.height
                valid = tir.min(pixels - first, self.height)
                with T.serial(0, self.height) as i, T.serial(0, self.across) as m:
                    T.buffer_store(self.sums, self.bias[m], [i, m])
                with T.serial(0, valid) as i:
                    self._gather(i, first + i)
                self._multiply(valid)
                with T.serial(0, valid) as i:
                    self._requantize(n, i, first + i)

    def _pad(self, n: Any, zero: Any) -> None:
        k = self.k
        with T.serial(0, self.rows) as y:
            if self.rows != int(k.H) or self.columns != int(k.W):
                with T.serial(0, self.columns * k.C) as i:
                    T.buffer_store(self.image, zero, [y, i])
        with T.serial(0, k.H) as y, T.serial(0, k.W) as x, T.serial(0, k.C) as c:
            at = [y + k.pads_0, (x + k.pads_1) * k.C + c]
            T.buffer_store(self.image, self.x[n, y, x, c], at)

    def _gather(self, i: Any, pixel: Any) -> None:
        """Window of a pixel: its rows are in one piece where they have no gaps."""
        k = self.k
        y, x = tir.truncdiv(pixel, k.OX), tir.truncmod(pixel, k.OX)
        run, count = int(k.C), int(k.S)
        if int(k.dilations_1) == 1:
            run, count = run * count, 1
        with (
            T.serial(0, k.R) as r,
            T.serial(0, count) as s,
            T.serial(0, run) as c,
        ):
            row = y * k.strides_0 + r * k.dilations_0
            column = (x * k.strides_1 + s * k.dilations_1) * k.C + c
            value = self.image[row, column]
            T.buffer_store(self.windows, value, [i, (r * count + s) * run + c])

    def _multiply(self, valid: Any) -> None:
        tile = (self.height, PANEL_WIDTH)
        source, zeros = self.windows.access_ptr("r"), self.zeros.access_ptr("r")
        call(
            micro.DOT("rows", *tile),
            *(source, source, zeros, zeros, self.left.access_ptr("w")),
            *(self.depth, self.depth, valid, self.k.x_sign, 0),
        )
        with T.serial(0, self.k.P) as q:
            sums = pointer(self.sums, [0, q * PANEL_WIDTH], "rw")
            call(
                micro.DOT("tile", *tile),
                *(self.left.access_ptr("r"), pointer(self.w, [q, 0, 0], "r")),
                *(
                    sums,
                    sums,
                    self.words,
                    self.across * 4,
                    0,
                    1,
                    self.height,
                    PANEL_WIDTH,
                ),
            )

    def _requantize(self, n: Any, i: Any, pixel: Any) -> None:
        k = self.k
        y, x = tir.truncdiv(pixel, k.OX), tir.truncmod(pixel, k.OX)
        low, high = (
            tir.const(int(v) - int(k.y_zero), "float32") for v in (k.low, k.high)
        )
        with T.serial(0, k.M) as m:
            real = self.sums[i, m].astype("float32") * self.factor[m]
            whole = rint(minimum(maximum(real, low), high)).astype("int32")
            byte = (whole + k.y_zero).astype("uint8")
            T.buffer_store(self.out, byte, [n, y, x, m])


def reference(x: Any, w: Any, bias: Any, factor: Any, **_: Any) -> Any:
    """Models verify it: an operator of its own it is not."""
    raise NotImplementedError


KERNEL = Operator(
    collapse="exact.plain",
    inputs=(
        Input("x", "N H W C"),
        Input("w", "P D E", dtype="int32"),
        Input("bias", "B", dtype="int32"),
        Input("factor", "B", dtype="float32"),
    ),
    outputs=(Output(dtype=1),),
    dtypes=tuple(product(("uint8", "int8"), repeat=2)),
    stored_as=SAME_WIDTH,
    sizes=(
        *("R", "S", "M", "OY", "OX", "strides_0", "strides_1", "dilations_0"),
        *("dilations_1", "pads_0", "pads_1", "pads_2", "pads_3", "x_sign", "x_zero"),
        *("y_zero", "low", "high"),
    ),
    compute=compute,
    schedule=as_written,
    reference=reference,
    cases=lambda dtypes, rng: (),
)
