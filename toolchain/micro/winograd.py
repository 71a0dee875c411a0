"""Micro-kernels of Winograd's convolution: F(4 x 4, 3 x 3) between image and products.

A tile of 6 x 6 pixels becomes 36 numbers for each channel, the numbers of all tiles are
multiplied by 36 matrices, and 36 sums become 4 x 4 pixels. Channels lie side by side,
so a register holds a pixel of several channels and nothing is shuffled.
Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from toolchain.micro.builder import (
    F32,
    WORD,
    clamp,
    define_function,
    entry_builder,
    for_range,
    gep_bytes,
    i32,
    load_at,
    store_at,
    vector,
)
from toolchain.micro.registry import emits
from toolchain.spec.convolution import PATCH, TILE
from toolchain.spec.microkernels import WINOGRAD
from toolchain.targets import Target


@emits(WINOGRAD)
def winograd(module: ir.Module, name: str, target: Target, part: str) -> None:
    """The transform of a tile of the image, or of its sums; see `_Transform`."""
    if part == "input":
        _Transform(module, name, "x v", "row column step channels", target).input()
    else:
        sizes = "row column step channels low high"
        _Transform(module, name, "u o b", sizes, target).output()


class _Transform:
    """One tile, channels in registers; row, column: bytes to the next pixel.

    step: bytes from one of the 36 numbers to the next. channels: a multiple of a
    register's.
    """

    def __init__(
        self, module: ir.Module, name: str, pointers: str, sizes: str, target: Target
    ) -> None:
        self.function = define_function(
            module, name, (*pointers.split(), *sizes.split())
        )
        self.build = entry_builder(self.function)
        self.given = {a.name: a for a in self.function.args}
        self.lanes = target.lanes()
        self.kind = vector(F32, self.lanes)

    def input(self) -> None:
        """i32 (ptr x, v, i32 row, column, step, channels): v = Bᵀ x B."""
        self._channels(self._input)

    def output(self) -> None:
        """i32 (ptr u, o, b, i32 row, column, step, channels, float low, high).

        o = min(max(Aᵀ u A + b, low), high); a NaN passes the limits.
        """
        self._channels(self._output)

    def _channels(self, body: Callable[[ir.Value], None]) -> None:
        build, word = self.build, i32(WORD)
        channels, zero = self.given["channels"], i32(0)
        for_range(
            build,
            *(zero, channels, self.lanes),
            lambda c: body(build.mul(c, word)),
        )
        build.ret(zero)

    def _places(
        self, name: str, offset: ir.Value, count: int, step: str
    ) -> list[ir.Value]:
        found = [gep_bytes(self.build, self.given[name], offset)]
        for _ in range(count - 1):
            found.append(gep_bytes(self.build, found[-1], self.given[step]))
        return found

    def _input(self, offset: ir.Value) -> None:
        rows = self._places("x", offset, PATCH, "row")
        numbers = self._places("v", offset, PATCH**2, "step")
        columns = []
        for j in range(PATCH):
            columns.append(
                self._before([load_at(self.build, p, 0, self.kind) for p in rows])
            )
            if j < PATCH - 1:
                rows = [gep_bytes(self.build, p, self.given["column"]) for p in rows]
        for i in range(PATCH):
            for j, value in enumerate(self._before([c[i] for c in columns])):
                store_at(self.build, value, numbers[PATCH * i + j], 0)

    def _output(self, offset: ir.Value) -> None:
        build = self.build
        numbers = self._places("u", offset, PATCH**2, "step")
        rows = self._places("o", offset, TILE, "row")
        columns = [
            self._after(
                [
                    load_at(build, numbers[PATCH * i + j], 0, self.kind)
                    for i in range(PATCH)
                ]
            )
            for j in range(PATCH)
        ]
        bias = load_at(build, self.given["b"], offset, self.kind)
        low, high = self.given["low"], self.given["high"]
        for i, place in enumerate(rows):
            for j, value in enumerate(self._after([c[i] for c in columns])):
                if j:
                    place = gep_bytes(build, place, self.given["column"])
                total = clamp(build, build.fadd(value, bias), low, high)
                store_at(build, total, place, 0)

    def _times(self, factor: float, value: ir.Value) -> ir.Value:
        one = ir.Constant(F32, factor)
        many = ir.Constant(self.kind, [one] * 4) if self.lanes > 1 else one
        return self.build.fmul(many, value)

    def _before(self, d: list[ir.Value]) -> list[ir.Value]:
        """Bᵀ d."""
        add, sub, times = self.build.fadd, self.build.fsub, self._times
        even, odd = sub(d[4], times(4, d[2])), sub(d[3], times(4, d[1]))
        near, far = sub(d[4], d[2]), times(2, sub(d[3], d[1]))
        first = add(sub(times(4, d[0]), times(5, d[2])), d[4])
        last = add(sub(times(4, d[1]), times(5, d[3])), d[5])
        sums = add(even, odd), sub(even, odd), add(near, far), sub(near, far)
        return [first, *sums, last]

    def _after(self, m: list[ir.Value]) -> list[ir.Value]:
        """Aᵀ m."""
        add, sub, times = self.build.fadd, self.build.fsub, self._times
        one, two = add(m[1], m[2]), add(m[3], m[4])
        ones, twos = sub(m[1], m[2]), sub(m[3], m[4])
        return [
            add(add(m[0], one), two),
            add(ones, times(2, twos)),
            add(one, times(4, two)),
            add(add(ones, times(8, twos)), m[5]),
        ]
