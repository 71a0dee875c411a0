"""Micro-kernels of pooling: every window of a plane, folded.

A row of windows is folded down its rows of taps first, into a line with the pads'
columns, then along that line. Strides 1 and 2 along the line take registers; other
strides, and rows shorter than a register, take elements.

With SIMD, maxima of floats have a second function, `micro_pool_max_f32_nan`, for planes
with a NaN.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from toolchain.micro.builder import (
    F32,
    I8,
    I32,
    WORD,
    across_lanes,
    add_incoming,
    alloca,
    define_function,
    entry_builder,
    for_overlapping,
    gep_bytes,
    i32,
    load_at,
    new_blocks,
    phi_of,
    shuffle,
    vector,
)
from toolchain.micro.registry import emits
from toolchain.spec.microkernels import POOL
from toolchain.spec.windows import TABLE
from toolchain.targets import Target

_ELEMENTS = {"f32": F32, "i8": I8, "u8": I8}
_BYTES = {"f32": 4, "i8": 1, "u8": 1}


@emits(POOL)
def pool(module: ir.Module, name: str, target: Target, kind: str, element: str) -> None:
    """i32 (x, o, l, t): o[i, j] = fold of the taps of window i, j of a plane x.

    t: the table, in words; down, across, begin and blank in bytes: from a tap to the
    next one, in x and in the line, from the line to x's first column in it, and to a
    row of `width` elements of which none counts; then for each row of windows where
    its first tap inside x lies and how many taps are inside. l: the line, two
    registers longer than what windows reach; its pads are set.
    """
    lanes = target.lanes(8 * _BYTES[element])
    exact = None
    if kind == "max" and element == "f32" and lanes > 1:
        exact = _Pool(module, f"{name}_nan", kind, element, target).emit(None)
    _Pool(module, name, kind, element, target).emit(exact)


class _Pool:
    def __init__(
        self, module: ir.Module, name: str, kind: str, element: str, target: Target
    ) -> None:
        self.kind, self.element, self.target = kind, element, target
        self.scalar = _ELEMENTS[element]
        self.bytes = _BYTES[element]
        self.lanes = target.lanes(8 * self.bytes)
        self.function = define_function(module, name, tuple("xolt"))
        self.build = entry_builder(self.function)
        self.x, self.out, self.line, self.table = self.function.args

    def emit(self, exact: ir.Value) -> ir.Value:
        """The function. exact: what to call instead where a NaN may be; see `_down`."""
        build = self.build
        self.given = {
            word: load_at(build, self.table, WORD * i, I32)
            for i, word in enumerate(TABLE)
        }
        self.sums = None
        # Registers of bytes hold enough to share with; four would cost 0.7 KB each.
        floats = self.element == "f32"
        self.vectors = self.target.tuning("pool.vectors") if floats else 1
        if floats and self.kind == "max" and self.lanes > 1:
            if exact is None:
                self.vectors = 1
            else:
                kind = self._unit(self.lanes)
                self.sums = [alloca(build, kind) for _ in range(self.vectors)]
                for place in self.sums:
                    build.store(ir.Constant(kind, None), place)
        if exact is not None:
            # Sums tell of NaN in whole registers alone.
            narrow = build.icmp_signed("<", self.given["width"], i32(self.lanes))
            with build.if_then(narrow, likely=False):
                build.call(exact, self.function.args)
                build.ret(i32(0))
        for_overlapping(build, self.given["rows"], 1, self._row)
        if exact is not None:
            self._check(exact)
        build.ret(i32(0))
        return self.function

    def _check(self, exact: ir.Value) -> None:
        """Where the sum of all elements is NaN, one of them may be."""
        build, kind = self.build, self._unit(self.lanes)
        total, *rest = (build.load(s, typ=kind) for s in self.sums or [])
        for value in rest:
            total = build.fadd(total, value)
        one = across_lanes(build, total, build.fadd)
        with build.if_then(build.fcmp_unordered("uno", one, one), likely=False):
            build.call(exact, self.function.args)

    def _row(self, i: ir.Value) -> None:
        build, given = self.build, self.given
        entry = gep_bytes(
            build, self.table, build.add(build.shl(i, i32(3)), i32(4 * len(TABLE)))
        )
        first, count = (load_at(build, entry, at, I32) for at in (0, WORD))
        outside = build.icmp_signed("==", count, i32(0))
        source = build.select(
            outside,
            gep_bytes(build, self.line, given["blank"]),
            gep_bytes(build, self.x, first),
        )
        count = build.select(outside, i32(1), count)
        self._tiles(
            given["width"],
            lambda j, n, lanes: self._down(source, count, j, n, lanes),
            narrow=not self.sums,
        )
        at = build.mul(build.mul(i, given["columns"]), i32(self.bytes))
        out = gep_bytes(build, self.out, at)
        if self.lanes == 1:
            return self._across_scalars(out)

        def along(stride: int) -> None:
            self._tiles(
                given["columns"],
                lambda j, n, lanes: self._across(out, j, n, lanes, stride),
            )

        def chosen(stride: int) -> ir.Value:
            return build.icmp_signed("==", given["stride"], i32(stride))

        with build.if_else(chosen(1)) as (then, otherwise):
            with then:
                along(1)
            with otherwise:
                wide = build.icmp_signed(">=", given["columns"], i32(self.lanes))
                twice = build.and_(chosen(2), wide)
                with build.if_else(twice) as (then_two, otherwise_two):
                    with then_two:
                        along(2)
                    with otherwise_two:
                        self._across_scalars(out)
        return None

    def _across_scalars(self, out: ir.Value) -> None:
        step = self.build.mul(self.given["stride"], i32(self.bytes))
        for_overlapping(
            self.build,
            self.given["columns"],
            1,
            lambda j: self._fold_line(out, j, 1, 1, self.build.mul(j, step), 1),
        )

    def _tiles(
        self,
        count: ir.Value,
        body: Callable[[ir.Value, int, int], None],
        narrow: bool = True,
    ) -> None:
        """body(place, registers, lanes): as many at a time as count has.

        narrow: whether that may be less than a register.
        """
        build = self.build
        sizes = {(self.vectors, self.lanes): 0, (1, self.lanes): 0}
        if narrow:
            sizes[1, 1] = 0

        def some(tiles: list[tuple[int, int]]) -> None:
            (n, lanes), *rest = tiles

            def loop() -> None:
                for_overlapping(build, count, n * lanes, lambda j: body(j, n, lanes))

            if not rest:
                return loop()
            enough = build.icmp_signed(">=", count, i32(n * lanes))
            with build.if_else(enough) as (then, otherwise):
                with then:
                    loop()
                with otherwise:
                    some(rest)
            return None

        some(list(sizes))

    def _down(
        self, source: ir.Value, count: ir.Value, j: ir.Value, n: int, lanes: int
    ) -> None:
        """Columns from j on, of `count` rows, into the line.

        The larger of two registers and a check for NaN apart, by a sum, take two
        instructions, the larger that is NaN where either is takes three.
        """
        build, at = self.build, self.build.mul(j, i32(self.bytes))
        sums = self.sums if lanes > 1 else None

        def load(pointer: ir.Value) -> list[ir.Value]:
            values = self._loads(pointer, n, lanes)
            for place, value in zip(sums or [], values, strict=False):
                total = build.load(place, typ=value.type)
                build.store(build.fadd(total, value), place)
            return values

        start = gep_bytes(build, source, at)
        results = self._taps(start, count, self.given["down"], load)
        line = gep_bytes(build, gep_bytes(build, self.line, self.given["begin"]), at)
        self._stores(results, line)

    def _across(
        self, out: ir.Value, j: ir.Value, n: int, lanes: int, stride: int
    ) -> None:
        at = self.build.mul(j, i32(stride * self.bytes))
        self._fold_line(out, j, n, lanes, at, stride)

    def _fold_line(
        self, out: ir.Value, j: ir.Value, n: int, lanes: int, at: ir.Value, stride: int
    ) -> None:
        build = self.build

        def load(pointer: ir.Value) -> list[ir.Value]:
            values = self._loads(pointer, n * stride, lanes)
            if stride == 1 or lanes == 1:
                return values[::stride]
            even = [2 * lane for lane in range(lanes)]
            pairs = zip(values[::2], values[1::2], strict=True)
            return [shuffle(build, *pair, even) for pair in pairs]

        start = gep_bytes(build, self.line, at)
        results = self._taps(start, self.given["taps"], self.given["across"], load)
        self._stores(results, gep_bytes(build, out, build.mul(j, i32(self.bytes))))

    def _taps(
        self,
        start: ir.Value,
        count: ir.Value,
        step: ir.Value,
        load: Callable[[ir.Value], list[ir.Value]],
    ) -> list[ir.Value]:
        """The fold of `count` taps, `step` bytes apart."""
        build = self.build
        first = load(start)
        before = build.block
        tap, done = new_blocks(build, "tap", "done")
        alone = build.icmp_signed("==", count, i32(1))
        build.cbranch(alone, done, tap)
        build.position_at_end(tap)
        totals = [build.phi(value.type) for value in first]
        left, pointer = build.phi(I32), build.phi(start.type)
        here = gep_bytes(build, pointer, step)
        folded = [self._fold(*pair) for pair in zip(totals, load(here), strict=True)]
        rest = build.sub(left, i32(1))
        phis = (*totals, left, pointer)
        add_incoming(phis, (*first, count, start), before)
        add_incoming(phis, (*folded, rest, here), build.block)
        build.cbranch(build.icmp_signed("==", rest, i32(1)), done, tap)
        build.position_at_end(done)
        return [
            phi_of(build, [(before, begin), (tap, after)])
            for begin, after in zip(first, folded, strict=True)
        ]

    def _fold(self, x: ir.Value, y: ir.Value) -> ir.Value:
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
        bits = ir.VectorType(I32, self.lanes) if wide else I32
        parts = [
            build.bitcast(build.select(build.fcmp_ordered("<", a, b), b, a), bits)
            for a, b in ((x, y), (y, x))
        ]
        return build.bitcast(build.or_(*parts), x.type)

    def _unit(self, lanes: int) -> ir.Type:
        return vector(self.scalar, lanes)

    def _loads(self, pointer: ir.Value, n: int, lanes: int) -> list[ir.Value]:
        size, kind = lanes * self.bytes, self._unit(lanes)
        return [
            self.build.load(
                gep_bytes(self.build, pointer, i * size), typ=kind, align=self.bytes
            )
            for i in range(n)
        ]

    def _stores(self, values: list[ir.Value], pointer: ir.Value) -> None:
        for i, value in enumerate(values):
            size = 1 if not isinstance(value.type, ir.VectorType) else self.lanes
            at = gep_bytes(self.build, pointer, i * size * self.bytes)
            self.build.store(value, at, align=self.bytes)
