"""Micro-kernels of Winograd's convolution: F(4 x 4, 3 x 3) between image and products.

A tile of 6 x 6 pixels becomes 36 numbers for each channel, those of all tiles are
multiplied by 36 matrices, and 36 sums become 4 x 4 pixels. Channels lie side by side,
so a register holds a pixel of several channels and nothing is shuffled.
Names: `micro_winograd_input` and `micro_winograd_output`.
Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from toolchain.micro.builder import _F32, _at, _filled, _function, _i32, _load, _loop
from toolchain.spec import SpecError
from toolchain.spec.convolution import PATCH, TILE
from toolchain.targets import Target

_WORD = 4  # bytes of a float32


def emit(module: Any, name: str, target: Target) -> None:
    """Emit the micro-kernel of that name. Errors: SpecError for an unknown one."""
    if name == "micro_winograd_input":
        _Transform(module, name, "x v", "row column step channels", target).input()
    elif name == "micro_winograd_output":
        sizes = "row column step channels low high"
        _Transform(module, name, "u o b", sizes, target).output()
    else:
        raise SpecError(
            f"micro-kernel {name!r} is unknown; use micro_winograd_input or "
            "micro_winograd_output"
        )


class _Transform:
    """One tile, channels in registers; row, column: bytes to the next pixel.

    step: bytes from one of the 36 numbers to the next. channels: a multiple of a
    register's.
    """

    def __init__(
        self, module: Any, name: str, pointers: str, sizes: str, target: Target
    ) -> None:
        self.function = _function(module, name, (*pointers.split(), *sizes.split()))
        self.build = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.given = {a.name: a for a in self.function.args}
        self.lanes = target.lanes()
        self.kind = ir.VectorType(_F32, 4) if self.lanes > 1 else _F32

    def input(self) -> None:
        """i32 (ptr x, v, i32 row, column, step, channels): v = Bᵀ x B."""
        self._channels(self._input)

    def output(self) -> None:
        """i32 (ptr u, o, b, i32 row, column, step, channels, float low, high).

        o = min(max(Aᵀ u A + b, low), high); a NaN passes the limits.
        """
        self._channels(self._output)

    def _channels(self, body: Callable[[Any], None]) -> None:
        build, word = self.build, _i32(_WORD)
        channels, zero = self.given["channels"], _i32(0)
        _loop(
            self.function,
            build,
            *(zero, channels, self.lanes),
            lambda c: body(build.mul(c, word)),
        )
        build.ret(zero)

    def _places(self, name: str, offset: Any, count: int, step: str) -> list[Any]:
        found = [_at(self.build, self.given[name], offset)]
        for _ in range(count - 1):
            found.append(_at(self.build, found[-1], self.given[step]))
        return found

    def _input(self, offset: Any) -> None:
        rows = self._places("x", offset, PATCH, "row")
        numbers = self._places("v", offset, PATCH**2, "step")
        columns = []
        for j in range(PATCH):
            columns.append(
                self._before([_load(self.build, p, 0, self.kind) for p in rows])
            )
            if j < PATCH - 1:
                rows = [_at(self.build, p, self.given["column"]) for p in rows]
        for i in range(PATCH):
            for j, value in enumerate(self._before([c[i] for c in columns])):
                self._put(value, numbers[PATCH * i + j])

    def _output(self, offset: Any) -> None:
        build = self.build
        numbers = self._places("u", offset, PATCH**2, "step")
        rows = self._places("o", offset, TILE, "row")
        columns = [
            self._after(
                [
                    _load(build, numbers[PATCH * i + j], 0, self.kind)
                    for i in range(PATCH)
                ]
            )
            for j in range(PATCH)
        ]
        bias = _load(build, self.given["b"], offset, self.kind)
        for i, place in enumerate(rows):
            for j, value in enumerate(self._after([c[i] for c in columns])):
                if j:
                    place = _at(build, place, self.given["column"])
                self._put(self._limited(build.fadd(value, bias)), place)

    def _put(self, value: Any, place: Any) -> None:
        self.build.store(value, place, align=_WORD)

    def _limited(self, value: Any) -> Any:
        for name, order in (("low", "<"), ("high", ">")):
            limit = self.given[name]
            limit = _filled(self.build, limit, self.kind)
            past = self.build.fcmp_ordered(order, value, limit)
            value = self.build.select(past, limit, value)
        return value

    def _times(self, factor: float, value: Any) -> Any:
        one = ir.Constant(_F32, factor)
        many = ir.Constant(self.kind, [one] * 4) if self.lanes > 1 else one
        return self.build.fmul(many, value)

    def _before(self, d: list[Any]) -> list[Any]:
        """Bᵀ d."""
        add, sub, times = self.build.fadd, self.build.fsub, self._times
        even, odd = sub(d[4], times(4, d[2])), sub(d[3], times(4, d[1]))
        near, far = sub(d[4], d[2]), times(2, sub(d[3], d[1]))
        first = add(sub(times(4, d[0]), times(5, d[2])), d[4])
        last = add(sub(times(4, d[1]), times(5, d[3])), d[5])
        sums = add(even, odd), sub(even, odd), add(near, far), sub(near, far)
        return [first, *sums, last]

    def _after(self, m: list[Any]) -> list[Any]:
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
