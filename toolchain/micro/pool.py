"""Micro-kernels of pooling: every window of a plane, folded.

A row of windows is folded down its rows of taps first, into a line with the pads'
columns, then along that line. Strides along the line of 1 and 2 go by registers, others
one by one, as do rows shorter than a register.

Names: `micro_pool_max_<f32|i8|u8>` and `micro_pool_sum_f32`. With SIMD, maxima of
floats have a second function, `micro_pool_max_f32_nan`, for planes with a NaN.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from llvmlite import ir

from toolchain.micro.builder import _F32, _I8, _I32, _at, _blocks, _function, _i32
from toolchain.spec import SpecError
from toolchain.spec.windows import TABLE
from toolchain.targets import Target

_ELEMENTS = {"f32": _F32, "i8": _I8, "u8": _I8}
VECTORS = 4  # registers that share what a tap costs beside its arithmetic


def emit(module: Any, name: str, target: Target) -> None:
    """Emit the micro-kernel of that name. Errors: SpecError for an unknown one."""
    match = re.fullmatch(r"micro_pool_(max|sum)_(f32|i8|u8)", name)
    if not match or (match[1] == "sum" and match[2] != "f32"):
        raise SpecError(
            f"micro-kernel {name!r} is unknown; use micro_pool_max_<f32|i8|u8> or "
            "micro_pool_sum_f32"
        )
    kind, element = match.groups()
    lanes = target.lanes(32 if element == "f32" else 8)
    exact = None
    if kind == "max" and element == "f32" and lanes > 1:
        exact = _Pool(module, f"{name}_nan", kind, element, lanes).emit(None)
    _Pool(module, name, kind, element, lanes).emit(exact)


class _Pool:
    """i32 (x, o, l, t): o[i, j] = fold of the taps of window i, j of a plane x.

    t: the table, in words; down, across, begin and blank in bytes: from a tap to the
    next one, in x and in the line, from the line to x's first column in it, and to a
    row of `width` elements of which none counts; then for each row of windows where
    its first tap inside x lies and how many taps are inside. l: the line, two
    registers longer than what windows reach; its pads are set.
    """

    def __init__(
        self, module: Any, name: str, kind: str, element: str, lanes: int
    ) -> None:
        self.kind, self.element, self.lanes = kind, element, lanes
        self.scalar = _ELEMENTS[element]
        self.bytes = 4 if element == "f32" else 1
        self.function = _function(module, name, tuple("xolt"))
        self.build = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.x, self.out, self.line, self.table = self.function.args

    def emit(self, exact: Any) -> Any:
        """The function. exact: what to call instead where a NaN may be; see `_down`."""
        build = self.build
        self.given = {
            word: build.load(_at(build, self.table, 4 * i), typ=_I32, align=4)
            for i, word in enumerate(TABLE)
        }
        self.sums = None
        # Registers of bytes hold enough to share with; four would cost 0.7 KB each.
        self.vectors = VECTORS if self.element == "f32" else 1
        if self.element == "f32" and self.kind == "max" and self.lanes > 1:
            if exact is None:
                self.vectors = 1
            else:
                kind = self._unit(self.lanes)
                self.sums = [build.alloca(kind) for _ in range(VECTORS)]
                for place in self.sums:
                    self._set(place, ir.Constant(kind, None))
        if exact is not None:
            # Sums tell of NaN in whole registers alone.
            narrow = build.icmp_signed("<", self.given["width"], _i32(self.lanes))
            with build.if_then(narrow, likely=False):
                build.call(exact, self.function.args)
                build.ret(_i32(0))
        _blocks(build, self.given["rows"], 1, self._row)
        if exact is not None:
            self._check(exact)
        build.ret(_i32(0))
        return self.function

    def _check(self, exact: Any) -> None:
        """Where the sum of all elements is NaN, one of them may be."""
        build, kind = self.build, self._unit(self.lanes)
        total, *rest = (build.load(s, typ=kind) for s in self.sums or [])
        for value in rest:
            total = build.fadd(total, value)
        lanes = [build.extract_element(total, _i32(i)) for i in range(self.lanes)]
        one, *others = lanes
        for value in others:
            one = build.fadd(one, value)
        with build.if_then(build.fcmp_unordered("uno", one, one), likely=False):
            build.call(exact, self.function.args)

    def _row(self, i: Any) -> None:
        build, given = self.build, self.given
        entry = _at(
            build, self.table, build.add(build.shl(i, _i32(3)), _i32(4 * len(TABLE)))
        )
        first, count = (
            build.load(_at(build, entry, at), typ=_I32, align=4) for at in (0, 4)
        )
        outside = build.icmp_signed("==", count, _i32(0))
        source = build.select(
            outside,
            _at(build, self.line, given["blank"]),
            _at(build, self.x, first),
        )
        count = build.select(outside, _i32(1), count)
        self._tiles(
            given["width"],
            lambda j, n, lanes: self._down(source, count, j, n, lanes),
            narrow=not self.sums,
        )
        at = build.mul(build.mul(i, given["columns"]), _i32(self.bytes))
        out = _at(build, self.out, at)
        if self.lanes == 1:
            return self._across_scalars(out)

        def along(stride: int) -> None:
            self._tiles(
                given["columns"],
                lambda j, n, lanes: self._across(out, j, n, lanes, stride),
            )

        def chosen(stride: int) -> Any:
            return build.icmp_signed("==", given["stride"], _i32(stride))

        with build.if_else(chosen(1)) as (then, otherwise):
            with then:
                along(1)
            with otherwise:
                wide = build.icmp_signed(">=", given["columns"], _i32(self.lanes))
                twice = build.and_(chosen(2), wide)
                with build.if_else(twice) as (then_two, otherwise_two):
                    with then_two:
                        along(2)
                    with otherwise_two:
                        self._across_scalars(out)
        return None

    def _across_scalars(self, out: Any) -> None:
        step = self.build.mul(self.given["stride"], _i32(self.bytes))
        _blocks(
            self.build,
            self.given["columns"],
            1,
            lambda j: self._fold_line(out, j, 1, 1, self.build.mul(j, step), 1),
        )

    def _tiles(
        self, count: Any, body: Callable[[Any, int, int], None], narrow: bool = True
    ) -> None:
        """body(place, registers, lanes): as many at a time as count has.

        narrow: whether that may be less than a register.
        """
        build = self.build
        sizes = {(self.vectors, self.lanes): 0, (1, self.lanes): 0}
        if narrow:
            sizes[1, 1] = 0

        def some(ways: list[tuple[int, int]]) -> None:
            (n, lanes), *rest = ways

            def loop() -> None:
                _blocks(build, count, n * lanes, lambda j: body(j, n, lanes))

            if not rest:
                return loop()
            enough = build.icmp_signed(">=", count, _i32(n * lanes))
            with build.if_else(enough) as (then, otherwise):
                with then:
                    loop()
                with otherwise:
                    some(rest)
            return None

        some(list(sizes))

    def _down(self, source: Any, count: Any, j: Any, n: int, lanes: int) -> None:
        """Columns from j on, of `count` rows, into the line.

        The larger of two registers and a check for NaN apart, by a sum, take two
        instructions, the larger that is NaN where either is takes three.
        """
        build, at = self.build, self.build.mul(j, _i32(self.bytes))
        sums = self.sums if lanes > 1 else None

        def load(pointer: Any) -> list[Any]:
            values = self._loads(pointer, n, lanes)
            for place, value in zip(sums or [], values, strict=False):
                total = build.load(place, typ=value.type)
                self._set(place, build.fadd(total, value))
            return values

        start = _at(build, source, at)
        results = self._taps(start, count, self.given["down"], load)
        line = _at(build, _at(build, self.line, self.given["begin"]), at)
        self._stores(results, line)

    def _across(self, out: Any, j: Any, n: int, lanes: int, stride: int) -> None:
        at = self.build.mul(j, _i32(stride * self.bytes))
        self._fold_line(out, j, n, lanes, at, stride)

    def _fold_line(
        self, out: Any, j: Any, n: int, lanes: int, at: Any, stride: int
    ) -> None:
        build = self.build

        def load(pointer: Any) -> list[Any]:
            values = self._loads(pointer, n * stride, lanes)
            if stride == 1 or lanes == 1:
                return values[::stride]
            even = ir.Constant(
                ir.VectorType(_I32, lanes), [2 * lane for lane in range(lanes)]
            )
            pairs = zip(values[::2], values[1::2], strict=True)
            return [build.shuffle_vector(*pair, even) for pair in pairs]

        start = _at(build, self.line, at)
        results = self._taps(start, self.given["taps"], self.given["across"], load)
        self._stores(results, _at(build, out, build.mul(j, _i32(self.bytes))))

    def _taps(
        self, start: Any, count: Any, step: Any, load: Callable[[Any], list[Any]]
    ) -> list[Any]:
        """The fold of `count` taps, `step` bytes apart."""
        build = self.build
        first = load(start)
        before = build.block
        tap = self.function.append_basic_block("tap")
        done = self.function.append_basic_block("done")
        alone = build.icmp_signed("==", count, _i32(1))
        build.cbranch(alone, done, tap)
        build.position_at_end(tap)
        totals = [build.phi(value.type) for value in first]
        left, pointer = build.phi(_I32), build.phi(start.type)
        here = _at(build, pointer, step)
        folded = [self._fold(*pair) for pair in zip(totals, load(here), strict=True)]
        rest = build.sub(left, _i32(1))
        for phi, begin, after in zip(
            (*totals, left, pointer),
            (*first, count, start),
            (*folded, rest, here),
            strict=True,
        ):
            phi.add_incoming(begin, before)
            phi.add_incoming(after, build.block)
        build.cbranch(build.icmp_signed("==", rest, _i32(1)), done, tap)
        build.position_at_end(done)
        results = []
        for begin, after in zip(first, folded, strict=True):
            phi = build.phi(begin.type)
            phi.add_incoming(begin, before)
            phi.add_incoming(after, tap)
            results.append(phi)
        return results

    def _fold(self, x: Any, y: Any) -> Any:
        """The sum, or the larger one.

        Each select is one instruction of x86 and passes on a NaN in its last operand
        only; or-ed, they are equal, or one is NaN and remains one. (Of two zeros of
        different signs it makes -0.) f32x4.max takes seven instructions.
        """
        build, wide = self.build, isinstance(x.type, ir.VectorType)
        if self.kind == "sum":
            return build.fadd(x, y)
        if self.element != "f32":
            signed = self.element == "i8"
            compare = build.icmp_signed if signed else build.icmp_unsigned
            return build.select(compare(">", x, y), x, y)
        if wide and self.sums:
            return build.select(build.fcmp_ordered("<", x, y), y, x)
        bits = ir.VectorType(_I32, self.lanes) if wide else _I32
        parts = [
            build.bitcast(build.select(build.fcmp_ordered("<", a, b), b, a), bits)
            for a, b in ((x, y), (y, x))
        ]
        return build.bitcast(build.or_(*parts), x.type)

    def _unit(self, lanes: int) -> Any:
        return self.scalar if lanes == 1 else ir.VectorType(self.scalar, lanes)

    def _set(self, place: Any, value: Any) -> None:
        place.type = ir.PointerType()  # llvmlite gives it a type of its own
        self.build.store(value, place)

    def _loads(self, pointer: Any, n: int, lanes: int) -> list[Any]:
        size, kind = lanes * self.bytes, self._unit(lanes)
        return [
            self.build.load(
                _at(self.build, pointer, i * size), typ=kind, align=self.bytes
            )
            for i in range(n)
        ]

    def _stores(self, values: list[Any], pointer: Any) -> None:
        for i, value in enumerate(values):
            size = 1 if not isinstance(value.type, ir.VectorType) else self.lanes
            at = _at(self.build, pointer, i * size * self.bytes)
            self.build.store(value, at, align=self.bytes)
