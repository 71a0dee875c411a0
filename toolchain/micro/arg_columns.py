"""Micro-kernels that find where in a column its largest or smallest element is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from llvmlite import ir

from toolchain.micro.builder import (
    I32,
    I64,
    for_overlapping,
    gep_bytes,
    i32,
    select_signed,
)
from toolchain.micro.reductions import Fold, Writer
from toolchain.micro.registry import emits
from toolchain.spec.microkernels import ARG_COLUMNS
from toolchain.targets import Target


@emits(ARG_COLUMNS)
def arg_columns(
    module: ir.Module, name: str, target: Target, kind: str, element: str
) -> None:
    """i32 (x, o, outer, depth, width, last, extra): o[i, j] = r of the best x[i, r, j].

    Over r < depth; of equal ones the first r or, where `last` is not 0, the last one:
    rows are met from that end. width fills a vector. o: int64. A strip of columns has
    in L1 the best and the block of rows where it was met, which is searched at the end;
    blocks and tiles of columns may be met twice.
    """
    _ArgColumns(module, name, Fold(kind, element, target)).emit()


def _first_of(
    choose: Callable[[ir.Value, ir.Value], ir.Value], values: list[ir.Value]
) -> ir.Value:
    """The best: by neighbours, so that of equal ones the first is chosen."""
    while len(values) > 1:
        values = [choose(a, b) for a, b in zip(values[::2], values[1::2], strict=True)]
    return values[0]


class _ArgColumns(Writer):
    sizes = ("outer", "depth", "width", "last")

    def emit(self) -> None:
        """A loop over strips of columns."""
        build, argument, fold = self.build, self.argument, self.fold
        self.index = I64 if fold.element == "i64" else I32
        number = fold.target.tuning
        self.rows, self.vectors = number("arg.rows"), number("arg.vectors")
        self.bests = self.variable(ir.ArrayType(fold.total, self.strip))
        self.steps = self.variable(ir.ArrayType(self.index, self.strip))
        depth, width = argument["depth"], argument["width"]
        self.end = build.sub(depth, i32(1))
        self.backwards = build.icmp_signed("!=", argument["last"], i32(0))
        row = build.mul(width, i32(fold.bytes))
        self.row = build.select(self.backwards, build.neg(row), row)

        def strip(i: ir.Value, first: ir.Value) -> None:
            last = build.sub(width, i32(self.lanes))
            fits = build.icmp_signed("<", first, last)
            self._strip(i, build.select(fits, first, last))

        def matrix(i: ir.Value) -> None:
            self.loop(i32(0), width, self.strip, partial(strip, i))

        self.loop(i32(0), argument["outer"], 1, matrix)
        build.ret(i32(0))

    def _strip(self, i: ir.Value, first: ir.Value) -> None:
        build, fold, argument = self.build, self.fold, self.argument
        count = build.sub(argument["width"], first)
        count = select_signed(build, "<", count, i32(self.strip))
        row = build.mul(i, argument["depth"])
        row = build.select(self.backwards, build.add(row, self.end), row)
        at = build.add(build.mul(row, argument["width"]), first)
        source = gep_bytes(build, argument["x"], build.mul(at, i32(fold.bytes)))
        out = build.add(build.mul(i, argument["width"]), first)
        out = gep_bytes(build, argument["o"], build.mul(out, i32(8)))

        def attempt(quick: ir.Value, nan: ir.Value) -> None:
            empty = self.splat(fold.empty, self.lanes)
            zero = self.splat(ir.Constant(self.index, 0), self.lanes)

            def clear(at: ir.Value) -> None:
                build.store(empty, self._best(at), align=fold.bytes)
                build.store(zero, self._step(at), align=4)

            for_overlapping(build, count, self.lanes, clear)
            if nan is None:
                self._keep(source, count, 1, 1, None)
                return self._write(source, out, count, None)
            quick = build.icmp_signed("!=", quick, i32(0))
            with build.if_else(quick) as (then, otherwise):
                with then:
                    self._keep(source, count, self.rows, self.vectors, nan)
                with otherwise:
                    self._keep(source, count, 1, 1, None)
            return self._write(source, out, count, quick)

        wide = build.icmp_signed(">=", count, i32(self.vectors * self.lanes))
        deep = build.icmp_signed(">=", argument["depth"], i32(self.rows))
        quick = build.zext(build.and_(wide, deep), I32)
        self.with_retry(quick, i32(0), attempt)

    def _best(self, at: ir.Value) -> ir.Value:
        return gep_bytes(
            self.build, self.bests, self.build.mul(at, i32(self.fold.bytes))
        )

    def _step(self, at: ir.Value) -> ir.Value:
        size = self.index.width // 8
        return gep_bytes(self.build, self.steps, self.build.mul(at, i32(size)))

    def _keep(
        self, source: ir.Value, count: ir.Value, rows: int, vectors: int, nan: ir.Value
    ) -> None:
        """Meet all rows, in blocks of so many, by tiles of so many vectors."""
        build, fold, lanes = self.build, self.fold, self.lanes
        kind, steps = self.kind(fold.total, lanes), self.kind(self.index, lanes)

        def tile(now: ir.Value, line: ir.Value, at: ir.Value) -> None:
            here = gep_bytes(build, line, build.mul(at, i32(fold.bytes)))
            terms = []
            for _ in range(rows):
                terms.append(
                    [self.load(here, v * lanes, lanes) for v in range(vectors)]
                )
                here = gep_bytes(build, here, self.row)
            if nan is not None:
                self.sum_for_nan(nan, [x for row in terms for x in row])
            for v, column in enumerate(zip(*terms, strict=True)):
                x = _first_of(partial(fold.choice, build), list(column))
                best = gep_bytes(build, self._best(at), v * lanes * fold.bytes)
                step = gep_bytes(
                    build, self._step(at), v * lanes * self.index.width // 8
                )
                before = build.load(best, typ=kind, align=fold.bytes)
                better = self._better(x, before, nan is not None)
                chosen = build.select(better, now, build.load(step, typ=steps, align=4))
                build.store(build.select(better, x, before), best, align=fold.bytes)
                build.store(chosen, step, align=4)

        def block(r: ir.Value) -> None:
            now = self.splat(r if self.index == I32 else build.sext(r, I64), lanes)
            line = gep_bytes(build, source, build.mul(r, self.row))
            for_overlapping(build, count, vectors * lanes, partial(tile, now, line))

        for_overlapping(build, self.argument["depth"], rows, block)

    def _write(
        self, source: ir.Value, out: ir.Value, count: ir.Value, quick: ir.Value
    ) -> None:
        """The rows of the strip's results; quick: whether steps are blocks of rows."""
        build = self.build

        def single(c: ir.Value) -> None:
            r = build.load(self._step(c), typ=self.index, align=4)
            r = r if self.index == I32 else build.trunc(r, I32)
            if quick is not None:
                r = build.add(r, self._inside(source, r, c, quick))
            r = build.select(self.backwards, build.sub(self.end, r), r)
            place = gep_bytes(build, out, build.mul(c, i32(8)))
            build.store(build.sext(r, I64), place, align=8)

        self.loop(i32(0), count, 1, single)

    def _inside(
        self, source: ir.Value, r: ir.Value, c: ir.Value, quick: ir.Value
    ) -> ir.Value:
        """Rows of the block from r on before the best one: bit for bit, it is there."""
        build = self.build
        best = build.load(self._best(c), typ=I32, align=4)
        at = gep_bytes(build, source, build.mul(r, self.row))
        at = gep_bytes(build, at, build.mul(c, i32(4)))
        before, others = i32(0), quick
        row = build.select(quick, self.row, i32(0))  # there may be no others
        for _ in range(self.rows - 1):
            value = build.load(at, typ=I32, align=4)
            others = build.and_(others, build.icmp_signed("!=", value, best))
            before = build.add(before, build.zext(others, I32))
            at = gep_bytes(build, at, row)
        return before

    def _better(self, x: ir.Value, best: ir.Value, quick: bool) -> ir.Value:
        """Whether x takes the place of the best so far; quick: none is NaN."""
        build = self.build
        if self.fold.element != "f32":
            return build.icmp_signed(">", x, best)
        sign = ">" if self.fold.kind == "max" else "<"
        better = build.fcmp_ordered(sign, x, best)
        if quick:
            return better
        first_nan = build.and_(
            build.fcmp_unordered("uno", x, x), build.fcmp_ordered("ord", best, best)
        )
        return build.or_(better, first_nan)
