"""Micro-kernels that fold columns: blocks of their rows in registers, then in L1.

Few rows at a time, in the order of memory, are faster only where x is in L3 and rows
are short (100 columns: by a third), and slower by a fifth where it is in L2.
"""

from __future__ import annotations

from functools import partial

from llvmlite import ir

from toolchain.micro.builder import F32, gep_bytes, i32, select_signed
from toolchain.micro.reductions import Fold, Writer
from toolchain.micro.registry import emits
from toolchain.spec.microkernels import COLUMNS
from toolchain.targets import Target


@emits(COLUMNS)
def columns(
    module: ir.Module, name: str, target: Target, kind: str, element: str
) -> None:
    """i32 (x, o, outer, depth, width, stride, extra): o[i, j] = the fold of x[i, r, j].

    Over r < depth, for j < width, which fills a vector; rows of x lie `stride` elements
    apart. A strip of columns has its results in L1, by tiles, wide ones where there are
    so many columns. The last tile of a row is moved back to end with it: its columns
    are done twice, in places of their own.
    """
    _Columns(module, name, Fold(kind, element, target)).emit()


class _Columns(Writer):
    sizes = ("outer", "depth", "width", "stride")

    def emit(self) -> None:
        """A loop over strips of columns."""
        build, fold = self.build, self.fold
        floats = fold.element == "f32" and self.lanes > 1
        self.vectors = fold.target.tuning("reduce.vectors") if floats else 1
        self.rows = fold.target.tuning("reduce.rows")
        size = self.strip + self.vectors * self.lanes
        self.totals = self.variable(ir.ArrayType(fold.total, size))
        outer, width = self.argument["outer"], self.argument["width"]
        self.loop(i32(0), outer, 1, self._matrix)
        self._again(build.mul(outer, width))
        build.ret(i32(0))

    def _again(self, count: ir.Value) -> None:
        """What left float32; noted after all, that it takes no register before."""
        build, kind = self.build, self.kind(F32, self.lanes)
        if not self.fold.overflows:
            return

        last = build.sub(count, i32(self.lanes))

        def note(at: ir.Value) -> None:
            place = build.mul(select_signed(build, "<", at, last), i32(4))
            out = gep_bytes(build, self.argument["o"], place)
            self.note(build.load(out, typ=kind, align=4))

        self.loop(i32(0), count, self.lanes, note)
        sizes = (self.argument[a] for a in ("width", "depth", "stride"))
        self.again_widely(count, *sizes)

    def _matrix(self, i: ir.Value) -> None:
        build, width = self.build, self.argument["width"]
        wide = self.vectors * self.lanes

        def strip(first: ir.Value) -> None:
            enough = build.icmp_signed(">=", width, i32(wide))
            tile = build.select(enough, i32(wide), i32(self.lanes))
            # By whole tiles: narrow tiles then meet all columns that wide tiles met.
            last = build.sub(width, tile)
            first = select_signed(build, "<", first, last)
            left = select_signed(build, "<", build.sub(width, first), i32(self.strip))
            narrow = i32(self.lanes)
            self.with_retry(tile, narrow, partial(self._strip, i, first, left))

        self.loop(i32(0), width, self.strip, strip)

    def _place(self, first: ir.Value, at: ir.Value, tile: ir.Value) -> ir.Value:
        """The first column of the tile at a place of the strip."""
        build = self.build
        last = build.sub(self.argument["width"], tile)
        return select_signed(build, "<", build.add(first, at), last)

    def _total(self, at: ir.Value) -> ir.Value:
        size = 4 if self.fold.element == "f32" else self.fold.total.width // 8
        return gep_bytes(self.build, self.totals, self.build.mul(at, i32(size)))

    def _element(
        self, pointer: str, step: str, row: ir.Value, column: ir.Value
    ) -> ir.Value:
        build = self.build
        place = build.add(build.mul(row, self.argument[step]), column)
        place = build.mul(place, i32(self.fold.bytes))
        return gep_bytes(build, self.argument[pointer], place)

    def _strip(
        self,
        i: ir.Value,
        first: ir.Value,
        count: ir.Value,
        tile: ir.Value,
        nan: ir.Value,
    ) -> None:
        """The results of `count` columns, in tiles of so many."""
        build, fold, n = self.build, self.fold, self.argument["depth"]
        wide = self.vectors * self.lanes
        whole = build.add(count, build.sub(tile, i32(1)))
        whole = build.and_(whole, build.neg(tile))

        def clear(at: ir.Value) -> None:
            empty = self.splat(fold.empty, self.lanes)
            build.store(empty, self._total(at), align=fold.bytes)

        def block(b: ir.Value) -> None:
            rows = select_signed(build, "<", build.sub(n, b), i32(self.rows))
            row = build.add(build.mul(i, n), b)

            def tiles(vectors: int) -> None:
                def one(at: ir.Value) -> None:
                    place = self._place(first, at, i32(vectors * self.lanes))
                    source = self._element("x", "stride", row, place)
                    self._tile(source, rows, at, vectors, nan)

                self.loop(i32(0), count, vectors * self.lanes, one)

            if self.vectors == 1:
                return tiles(1)
            is_wide = build.icmp_signed("==", tile, i32(wide))
            with build.if_else(is_wide) as (then, otherwise):
                with then:
                    tiles(self.vectors)
                with otherwise:
                    tiles(1)
            return None

        self.loop(i32(0), whole, self.lanes, clear)
        self.loop(i32(0), n, self.rows, block)
        self.loop(i32(0), whole, self.lanes, partial(self._write, i, first, tile))

    def _tile(
        self, source: ir.Value, rows: ir.Value, at: ir.Value, count: int, nan: ir.Value
    ) -> None:
        build, fold, lanes = self.build, self.fold, self.lanes
        exact = partial(fold.of, build)
        quick = nan is not None and count > 1
        choose = partial(fold.choice, build) if quick else exact
        kind = self.kind(fold.total, lanes)
        sums = [self.variable(kind) for _ in range(count)]
        pointer = self.variable(source.type)
        empty = self.splat(fold.empty, lanes)
        build.store(source, pointer)
        for place in sums:
            build.store(empty, place)
        step = build.mul(self.argument["stride"], i32(fold.bytes))

        def row(_: ir.Value) -> None:
            here = build.load(pointer, typ=source.type)
            build.store(gep_bytes(build, here, step), pointer)
            terms = [self.load(here, v * lanes, lanes) for v in range(count)]
            if quick:
                self.sum_for_nan(nan, terms)
            for place, term in zip(sums, terms, strict=True):
                build.store(choose(build.load(place, typ=kind), term), place)

        self.loop(i32(0), rows, 1, row)
        size = lanes * (4 if fold.element == "f32" else fold.total.width // 8)
        for v, place in enumerate(sums):
            total = gep_bytes(build, self._total(at), v * size)
            before = build.load(total, typ=kind, align=fold.bytes)
            seen = choose(before, build.load(place, typ=kind))
            build.store(seen, total, align=fold.bytes)

    def _write(
        self, i: ir.Value, first: ir.Value, tile: ir.Value, at: ir.Value
    ) -> None:
        build, fold = self.build, self.fold
        start = build.and_(at, build.neg(tile))
        place = build.add(self._place(first, start, tile), build.sub(at, start))
        out = self._element("o", "width", i, place)
        if fold.kind == "sum" and fold.element != "f32":

            def single(lane: ir.Value) -> None:  # there is no division of vectors
                total = self._total(build.add(at, lane))
                value = self.result(build.load(total, typ=fold.total))
                place = gep_bytes(build, out, build.mul(lane, i32(fold.bytes)))
                build.store(value, place, align=fold.bytes)

            self.loop(i32(0), i32(self.lanes), 1, single)
            return
        kind = self.kind(fold.total, self.lanes)
        value = self.result(build.load(self._total(at), typ=kind, align=fold.bytes))
        build.store(value, out, align=fold.bytes)
