"""Micro-kernels that find where in a row its largest or smallest element stands.

Names: `micro_position_max_<f32|i8|i32|i64>` and `micro_position_min_f32`, down columns;
`micro_find_<f32|i8|i32|i64>`, where an element stands in a row.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from llvmlite import ir

from toolchain.micro.builder import _I32, _at, _blocks, _filled, _function, _i32
from toolchain.micro.rows import _I64, STRIP, Fold, _Writer
from toolchain.spec import SpecError
from toolchain.targets import Target

_NAME = r"micro_position_(?:(max)_(f32|i8|i32|i64)|(min)_(f32))"
_FIND = r"micro_find_(f32|i8|i32|i64)"
_I16 = ir.IntType(16)
BLOCK = 16  # elements that are searched together
ROWS, VECTORS = 4, 2  # of a tile of floats: what eight registers hold


def emit(module: Any, name: str, target: Target) -> None:
    """Emit the micro-kernel of that name. Errors: SpecError for an unknown one."""
    if match := re.fullmatch(_NAME, name):
        kind, element = filter(None, match.groups())
        _Position(module, name, Fold(kind, element, target)).emit()
    elif match := re.fullmatch(_FIND, name):
        _find(module, name, Fold("max", match[1], target))
    else:
        raise SpecError(
            f"micro-kernel {name!r} is unknown; use "
            "micro_<position_max|find>_<f32|i8|i32|i64> or micro_position_min_f32"
        )


def _first_of(choose: Callable[[Any, Any], Any], values: list[Any]) -> Any:
    """The best: by neighbours, so that of equal ones the first is chosen."""
    while len(values) > 1:
        values = [choose(a, b) for a, b in zip(values[::2], values[1::2], strict=True)]
    return values[0]


def _matches(build: Any, elements: Any, value: Any) -> Any:
    """A bit for each element of a block: whether it is the value."""
    wide = _filled(build, value, elements.type)
    floats = isinstance(value.type, ir.FloatType)
    compare = build.fcmp_ordered if floats else build.icmp_signed
    return build.zext(build.bitcast(compare("==", elements, wide), _I16), _I32)


def _find(module: Any, name: str, fold: Fold) -> None:
    """i32 (x, v, o, count, last): o[0] = the first i, or the last, with x[i] = v[0].

    NaN is equal to NaN; one of the elements is. o: int64.
    """
    function = _function(module, name, ("x", "v", "o", "count", "last"))
    x, v, out, count, last = function.args
    build = ir.IRBuilder(function.append_basic_block("entry"))
    head, block, hit, onward, single, more, done = (
        function.append_basic_block(label)
        for label in ("head", "block", "hit", "onward", "single", "more", "done")
    )
    entry = build.block
    backwards = build.icmp_signed("!=", last, _i32(0))
    value = build.load(v, typ=fold.scalar, align=fold.bytes)
    limit = count if fold.target.has("simd128") else _i32(0)
    if fold.element == "f32":
        nan = build.fcmp_unordered("uno", value, value)
        limit = build.select(nan, _i32(0), limit)
    build.branch(head)

    def load(i: Any, kind: Any) -> Any:
        at = _at(build, x, build.mul(i, _i32(fold.bytes)))
        return build.load(at, typ=kind, align=fold.bytes)

    def place(i: Any, size: int) -> Any:
        """Where the elements i, ... that are to be searched stand."""
        mirrored = build.sub(build.sub(count, _i32(size)), i)
        return build.select(backwards, mirrored, i)

    build.position_at_end(head)
    at = build.phi(_I32)
    at.add_incoming(_i32(0), entry)
    whole = build.sub(limit, _i32(BLOCK))
    build.cbranch(build.icmp_signed("<=", at, whole), block, single)

    build.position_at_end(block)
    first = place(at, BLOCK)
    elements = load(first, ir.VectorType(fold.scalar, BLOCK))
    bits = _matches(build, elements, value)
    build.cbranch(build.icmp_signed("==", bits, _i32(0)), onward, hit)

    build.position_at_end(onward)
    at.add_incoming(build.add(at, _i32(BLOCK)), onward)
    build.branch(head)

    build.position_at_end(hit)
    unset = ir.Constant(ir.IntType(1), 1)
    highest = build.sub(_i32(31), build.ctlz(bits, unset))
    chosen = build.select(backwards, highest, build.cttz(bits, unset))
    found = build.add(first, chosen)
    build.branch(done)

    build.position_at_end(single)
    i = build.phi(_I32)
    i.add_incoming(at, head)
    alone = place(i, 1)
    element = load(alone, fold.scalar)
    if fold.element == "f32":
        same = build.fcmp_ordered("==", element, value)
        same = build.or_(same, build.fcmp_unordered("uno", element, element))
    else:
        same = build.icmp_signed("==", element, value)
    following = build.add(i, _i32(1))
    over = build.or_(same, build.icmp_signed(">=", following, count))
    build.cbranch(over, done, more)

    build.position_at_end(more)
    i.add_incoming(following, more)
    build.branch(single)

    build.position_at_end(done)
    result = build.phi(_I32)
    result.add_incoming(found, hit)
    result.add_incoming(alone, single)
    build.store(build.sext(result, _I64), out, align=8)
    build.ret(_i32(0))


class _Position(_Writer):
    """i32 (x, o, outer, depth, width, last, extra): o[i, j] = r of the best x[i, r, j].

    Over r < depth; of equal ones the first r or, where `last` is not 0, the last one:
    rows are met from that end. width fills a vector. o: int64. A strip of columns has
    in L1 the best and the block of rows where it was met, which is searched at the end;
    blocks and tiles of columns may be met twice.
    """

    sizes = ("outer", "depth", "width", "last")

    def emit(self) -> None:
        """A loop over strips of columns."""
        build, argument, fold = self.build, self.argument, self.fold
        self.index = _I64 if fold.element == "i64" else _I32
        self.bests = self.variable(ir.ArrayType(fold.total, STRIP))
        self.steps = self.variable(ir.ArrayType(self.index, STRIP))
        depth, width = argument["depth"], argument["width"]
        self.end = build.sub(depth, _i32(1))
        self.backwards = build.icmp_signed("!=", argument["last"], _i32(0))
        row = build.mul(width, _i32(fold.bytes))
        self.row = build.select(self.backwards, build.neg(row), row)

        def strip(i: Any, first: Any) -> None:
            last = build.sub(width, _i32(self.lanes))
            fits = build.icmp_signed("<", first, last)
            self._strip(i, build.select(fits, first, last))

        def matrix(i: Any) -> None:
            self.loop(_i32(0), width, STRIP, partial(strip, i))

        self.loop(_i32(0), argument["outer"], 1, matrix)
        build.ret(_i32(0))

    def _strip(self, i: Any, first: Any) -> None:
        build, fold, argument = self.build, self.fold, self.argument
        count = build.sub(argument["width"], first)
        fits = build.icmp_signed("<", count, _i32(STRIP))
        count = build.select(fits, count, _i32(STRIP))
        row = build.mul(i, argument["depth"])
        row = build.select(self.backwards, build.add(row, self.end), row)
        at = build.add(build.mul(row, argument["width"]), first)
        source = _at(build, argument["x"], build.mul(at, _i32(fold.bytes)))
        out = build.add(build.mul(i, argument["width"]), first)
        out = _at(build, argument["o"], build.mul(out, _i32(8)))

        def attempt(quick: Any, nan: Any) -> None:
            empty = self.splat(fold.empty, self.lanes)
            zero = self.splat(ir.Constant(self.index, 0), self.lanes)

            def clear(at: Any) -> None:
                build.store(empty, self._best(at), align=fold.bytes)
                build.store(zero, self._step(at), align=4)

            _blocks(build, count, self.lanes, clear)
            if nan is None:
                self._keep(source, count, 1, 1, None)
                return self._write(source, out, count, None)
            quick = build.icmp_signed("!=", quick, _i32(0))
            with build.if_else(quick) as (then, otherwise):
                with then:
                    self._keep(source, count, ROWS, VECTORS, nan)
                with otherwise:
                    self._keep(source, count, 1, 1, None)
            return self._write(source, out, count, quick)

        wide = build.icmp_signed(">=", count, _i32(VECTORS * self.lanes))
        deep = build.icmp_signed(">=", argument["depth"], _i32(ROWS))
        quick = build.zext(build.and_(wide, deep), _I32)
        self.with_retry(quick, _i32(0), attempt)

    def _best(self, at: Any) -> Any:
        return _at(self.build, self.bests, self.build.mul(at, _i32(self.fold.bytes)))

    def _step(self, at: Any) -> Any:
        size = self.index.width // 8
        return _at(self.build, self.steps, self.build.mul(at, _i32(size)))

    def _keep(self, source: Any, count: Any, rows: int, vectors: int, nan: Any) -> None:
        """Meet all rows, in blocks of so many, by tiles of so many vectors."""
        build, fold, lanes = self.build, self.fold, self.lanes
        kind, steps = self.kind(fold.total, lanes), self.kind(self.index, lanes)

        def tile(now: Any, line: Any, at: Any) -> None:
            here = _at(build, line, build.mul(at, _i32(fold.bytes)))
            terms = []
            for _ in range(rows):
                terms.append(
                    [self.load(here, v * lanes, lanes) for v in range(vectors)]
                )
                here = _at(build, here, self.row)
            if nan is not None:
                self.sum_for_nan(nan, [x for row in terms for x in row])
            for v, column in enumerate(zip(*terms, strict=True)):
                x = _first_of(partial(fold.choice, build), list(column))
                best = _at(build, self._best(at), v * lanes * fold.bytes)
                step = _at(build, self._step(at), v * lanes * self.index.width // 8)
                before = build.load(best, typ=kind, align=fold.bytes)
                better = self._better(x, before, nan is not None)
                chosen = build.select(better, now, build.load(step, typ=steps, align=4))
                build.store(build.select(better, x, before), best, align=fold.bytes)
                build.store(chosen, step, align=4)

        def block(r: Any) -> None:
            now = self.splat(r if self.index == _I32 else build.sext(r, _I64), lanes)
            line = _at(build, source, build.mul(r, self.row))
            _blocks(build, count, vectors * lanes, partial(tile, now, line))

        _blocks(build, self.argument["depth"], rows, block)

    def _write(self, source: Any, out: Any, count: Any, quick: Any) -> None:
        """The rows of the strip's results; quick: whether steps are blocks of rows."""
        build = self.build

        def single(c: Any) -> None:
            r = build.load(self._step(c), typ=self.index, align=4)
            r = r if self.index == _I32 else build.trunc(r, _I32)
            if quick is not None:
                r = build.add(r, self._inside(source, r, c, quick))
            r = build.select(self.backwards, build.sub(self.end, r), r)
            place = _at(build, out, build.mul(c, _i32(8)))
            build.store(build.sext(r, _I64), place, align=8)

        self.loop(_i32(0), count, 1, single)

    def _inside(self, source: Any, r: Any, c: Any, quick: Any) -> Any:
        """Rows of the block from r on before the best one: bit for bit, it is there."""
        build = self.build
        best = build.load(self._best(c), typ=_I32, align=4)
        at = _at(build, source, build.mul(r, self.row))
        at = _at(build, at, build.mul(c, _i32(4)))
        before, others = _i32(0), quick
        row = build.select(quick, self.row, _i32(0))  # there may be no others
        for _ in range(ROWS - 1):
            value = build.load(at, typ=_I32, align=4)
            others = build.and_(others, build.icmp_signed("!=", value, best))
            before = build.add(before, build.zext(others, _I32))
            at = _at(build, at, row)
        return before

    def _better(self, x: Any, best: Any, quick: bool) -> Any:
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
