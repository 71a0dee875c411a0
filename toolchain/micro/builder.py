"""Micro-kernels: the innermost tiles, as LLVM IR from one description per family.

A kernel's loop nest calls them by name (`micro_<family>_...`, see
toolchain/spec/panels.py) and codegen links those that its IR names. The name says
the shape, the target what a step is made of. Bodies are `linkonce_odr`: an archive's
members carry a copy each, a linked module one.

Names: each family's module says which it has; those of this one are
- `micro_gemm_<f32|i32>_<form>_<rows>x<columns>[_dense]`: a tile of a product; form is
  one of spread, shuffle, load and rows (see Tile), columns is half a panel or whole
  ones; dense: units of the right panel lie side by side. A tile of one row by one panel
  is `f32_rows_1x8_dense`, with SIMD.
- `micro_pack_<1|2|4>_<width>`: so many lines into a panel with so many in a unit.
- `micro_spread_<lines>`: a panel's lines, each unit repeated over a register.
Other names are refused. tests/test_microkernel*.py run every name that a kernel asks
for by itself; a test there fails for one that has none.

What makes a tile fast, and which tile where: toolchain/micro/microkernels.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

from llvmlite import ir

from toolchain.lower.rewrite import exactly, rewrite
from toolchain.spec import SpecError
from toolchain.targets import Target

_I1, _I8, _I16, _I32 = (ir.IntType(bits) for bits in (1, 8, 16, 32))
_PTR, _F32 = ir.PointerType(), ir.FloatType()
WIDTH = 8  # columns of a panel
_WORD = 4  # bytes of a panel's unit: a float32 or an int32
_GEMM = r"micro_gemm_(f32|i32)_(spread|shuffle|load|rows)_(\d+)x(\d+)(_dense)?"
_NAME = re.compile(r"@(micro_\w+)")
# What emits a family, by the first word of its names; a module that only its users'
# objects follow from.
_FAMILIES = {
    **{w: f"builder:{w}" for w in ("gemm", "pack", "spread")},
    **{w: f"{w}:emit" for w in ("dot", "double", "first", "fold", "halve")},
    **{w: f"{w}:emit" for w in ("pool", "rows", "slide", "winograd")},
    **{w: f"{w}:emit" for w in ("position", "transpose", "wide")},
    "touch": "slide:emit",
    "columns": "rows:emit",
    "find": "position:emit",
    "copy": "transpose:emit",
}


def used(text: str) -> list[str]:
    """Names of the micro-kernels that an IR text calls."""
    return sorted(set(_NAME.findall(text)))


def source(name: str) -> str:
    """What emits the micro-kernel of that name: "module:function". Errors: SpecError.

    It is looked up by that text alone, so that an edit of a family is none of others.
    """
    if family := _FAMILIES.get(name.split("_")[1]):
        return f"toolchain.micro.{family}"
    raise SpecError(
        f"micro-kernel {name!r} is unknown; use micro_<{'|'.join(_FAMILIES)}>_..."
    )


def micro_kernel(name: str, target: Target) -> str:
    """IR of the micro-kernel of that name. Errors: SpecError for an unknown one."""
    module = ir.Module(name)
    where, _, emit = source(name).partition(":")
    getattr(import_module(where), emit)(module, name, target)
    shared = "define linkonce_odr hidden "
    count = sum(not f.is_declaration for f in module.functions)
    text = rewrite(str(module), "a function", "^define ", shared, exactly(count))
    return rewrite(text, "a target", r"^target \w+ = .*$", "", exactly(2))


def check_name(name: str, *rules: tuple[bool, str]) -> None:
    """SpecError where a rule does not hold: (whether it does, what to do)."""
    for holds, text in rules:
        if not holds:
            raise SpecError(f"micro-kernel {name!r} is none: {text}")


def gemm(module: Any, name: str, target: Target) -> None:
    """Emit micro_gemm_<f32|i32>_<form>_<rows>x<columns>[_dense]."""
    shown = "micro_gemm_<f32|i32>_<spread|shuffle|load|rows>_<rows>x<columns>[_dense]"
    kind, form, rows, columns, dense = _parts(_GEMM, name, shown)
    tile = Tile(kind, form, int(rows), int(columns), target, bool(dense))
    check_name(name, *tile.rules())
    _Gemm(module, name, tile).emit()


def pack(module: Any, name: str, target: Target) -> None:
    """Emit micro_pack_<1|2|4>_<width>."""
    del target
    shown = "micro_pack_<1|2|4>_<width>"
    lines, width = map(int, _parts(r"micro_pack_(1|2|4)_(\d+)", name, shown))
    fits = (lines <= width, f"a panel of {width} has no {lines} lines; use fewer")
    check_name(name, fits)
    _pack(module, name, lines, width)


def spread(module: Any, name: str, target: Target) -> None:
    """Emit micro_spread_<lines>."""
    del target
    (lines,) = _parts(r"micro_spread_([1-9]\d*)", name, "micro_spread_<lines>")
    _spread(module, name, int(lines))


def _parts(pattern: str, name: str, shown: str) -> tuple[str, ...]:
    """Groups of a name. shown: the pattern, for people."""
    match = re.fullmatch(pattern, name)
    if match is None:
        raise SpecError(f"micro-kernel {name!r} is unknown; use {shown}")
    return match.groups()


@dataclass(frozen=True)
class Tile:
    """kind: f32 or i32.

    form: how a unit of the left panel comes into every lane of a register: "spread"
    (the panel holds it in every lane), "shuffle" (from a register with those of four
    rows), "load" (each by itself), "rows" (likewise, of rows that are not packed).
    """

    kind: str
    form: str
    rows: int
    columns: int
    target: Target
    dense: bool = False

    def rules(self) -> tuple[tuple[bool, str], ...]:
        """What a tile must fulfil, for `check_name`."""
        whole = self.columns % WIDTH == 0 or self.columns == WIDTH // 2
        shuffled = self.form != "shuffle" or self.rows % self.lanes == 0
        phased = (self.kind, self.form, self.dense) == ("f32", "rows", True)
        return (
            (self.rows > 0, "it has no rows; use 1 or more"),
            (
                whole and self.columns > 0,
                f"columns must be {WIDTH // 2}, {WIDTH} or a multiple of {WIDTH}",
            ),
            (shuffled, f"rows must fill registers; use a multiple of {self.lanes}"),
            (
                self.phases == 1 or phased,
                "one row by one panel has several sums for each element; use "
                f"micro_gemm_f32_rows_1x{WIDTH}_dense",
            ),
        )

    @property
    def lanes(self) -> int:
        """Units in a register."""
        return self.target.lanes()

    @property
    def panels(self) -> int:
        """Panels of the right factor side by side."""
        return max(self.columns // WIDTH, 1)

    @property
    def unroll(self) -> int:
        """Steps between two updates of the pointers."""
        if not self.target.has("simd128"):
            return 1
        if self.pause:
            return 3  # from 4 on cranelift spills sums
        return 8 if self.kind == "f32" and self.form == "spread" else 4

    @property
    def phases(self) -> int:
        """Sums of an element, each of every so many units: where chains would wait."""
        return 4 if self.rows * self.columns == WIDTH and self.lanes > 1 else 1

    @property
    def pause(self) -> int:
        """Products of a step that are done before the loads of the others; 0: all."""
        halved = self.kind == "f32" and self.form == "shuffle"
        halved = halved and self.target.overwrites_factor
        return self.rows * self.columns // self.lanes // 2 if halved else 0

    @property
    def unit(self) -> Any:
        """Type of a register: a vector, or a scalar without SIMD."""
        return (
            self.scalar if self.lanes == 1 else ir.VectorType(self.scalar, self.lanes)
        )

    @property
    def scalar(self) -> Any:
        """Type of an element of the result."""
        return _F32 if self.kind == "f32" else _I32

    @property
    def left_bytes(self) -> int:
        """Bytes of a step in the left panel, or in a row."""
        if self.form == "rows":
            return _WORD
        return self.rows * _WORD * (self.lanes if self.form == "spread" else 1)


def _function(module: Any, name: str, arguments: tuple[str, ...]) -> Any:
    """A function over pointers (one letter), int32 values (a word), limits."""
    types = [
        _PTR if len(a) == 1 else _F32 if a in ("low", "high") else _I32
        for a in arguments
    ]
    function = ir.Function(module, ir.FunctionType(_I32, types), name)
    function.attributes.add("noinline")
    # LLVM would make copies for constant arguments: of a known depth it drops the
    # exits between unrolled steps.
    function.attributes.add("noduplicate")
    function.attributes.add("nounwind")
    for argument, word in zip(function.args, arguments, strict=True):
        argument.name = word
    return function


def _i32(value: int) -> Any:
    return ir.Constant(_I32, value)


def _at(builder: Any, pointer: Any, offset: Any) -> Any:
    """Pointer + offset bytes; a constant becomes part of the load, as it is inside."""
    inside = isinstance(offset, int)
    if inside:
        offset = _i32(offset)
    return builder.gep(pointer, [offset], inbounds=inside, source_etype=_I8)


def _load(builder: Any, pointer: Any, offset: Any, kind: Any) -> Any:
    value = builder.load(_at(builder, pointer, offset), typ=kind)
    value.align = _WORD
    return value


def _store(builder: Any, value: Any, pointer: Any, offset: Any) -> None:
    builder.store(value, _at(builder, pointer, offset), align=_WORD)


class _Gemm:
    """i32 (ptr a, b, c, s, i32 mode, depth, ..., float low, high).

    c[i, j] = min(max(s[i, j] + sum_k a[i, k] * b[k, j], low), high) for a block of
    `rows` by `columns`, any numbers from 1: tile after tile, those at the edges too.
    a: packed panels, a_panel bytes apart, [depth][tile.rows]; or rows that far apart.
    b: panels b_panel bytes apart, of rows b_step bytes apart, that may be read to the
    tile's width.
    c: rows c_step bytes apart. mode: 0: from zero, without s, low and high; 1: from s;
    2: from c, for s. s lies s_step bytes from a row to the next and s_vector from one
    vector of columns to the next (a bias of the columns: 0 and 16; values spread over
    vectors for each row: 16 and 0). low and high are for f32 alone; a NaN passes them.
    Depth 0 gives s.
    """

    ARGUMENTS = (
        *("a", "b", "c", "s", "mode", "depth", "rows", "columns"),
        *("a_panel", "b_panel", "b_step", "c_step", "s_step", "s_vector"),
    )

    def __init__(self, module: Any, name: str, tile: Tile) -> None:
        self.tile = tile
        self.vectors = tile.columns // tile.lanes
        self.bytes = tile.lanes * _WORD
        limits = ("low", "high") if tile.kind == "f32" else ()
        self.function = _function(module, name, (*self.ARGUMENTS, *limits))
        self.builder = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.argument = {a.name: a for a in self.function.args}

    def emit(self) -> None:
        """The tiles of a panel of b, one below the other; then the next panel."""
        given, tile, build = self.argument, self.tile, self.builder
        again = build.icmp_signed("==", given["mode"], _i32(2))
        vector = _i32(self.bytes)
        given |= {
            "s": build.select(again, given["c"], given["s"]),
            "s_step": build.select(again, given["c_step"], given["s_step"]),
            "s_vector": build.select(again, vector, given["s_vector"]),
        }
        self.plain = build.icmp_signed("==", given["mode"], _i32(0))
        # What is left of the depth is never negative; LLVM does not know.
        self.beyond = build.sub(given["mode"], _i32(8))
        # Where a tile that the block cuts lies until what is valid is taken out.
        whole = ir.ArrayType(tile.unit, tile.rows * self.vectors)
        self.cut = build.alloca(whole)
        self.cut.type = _PTR  # llvmlite gives it a type of its own
        lines = tile.rows if tile.form == "rows" else 1
        down = _Repeat(
            self.function,
            self.builder,
            *(given["rows"], tile.rows),
            {
                "a": (given["a"], self._times(given["a_panel"], lines)),
                "c": (given["c"], self._times(given["c_step"], tile.rows)),
                "s": (given["s"], self._times(given["s_step"], tile.rows)),
            },
        )
        across = _Repeat(
            self.function,
            self.builder,
            *(given["columns"], tile.columns),
            {
                "b": (given["b"], self._times(given["b_panel"], tile.panels)),
                "c": (down.at["c"], _i32(tile.columns * _WORD)),
                "s": (down.at["s"], self._times(given["s_vector"], self.vectors)),
            },
        )
        sums = self._sum(self._left(down), self._panels(across))
        self._finish(sums, down.left, across)
        across.close()
        down.close()
        self.builder.ret(_i32(0))

    def _times(self, value: Any, factor: int) -> Any:
        return self.builder.mul(value, _i32(factor))

    def _panels(self, across: Any) -> list[Any]:
        """Where the tile's panels of b are; the last stands in for those past it."""
        build, panels = self.builder, [across.at["b"]]
        for i in range(1, self.tile.panels):
            inside = build.icmp_signed(">", across.left, _i32(i * WIDTH))
            following = _at(build, panels[-1], self.argument["b_panel"])
            panels.append(build.select(inside, following, panels[-1]))
        return panels

    def _left(self, down: Any) -> list[Any]:
        """Where the left panel is, or its rows; the last stands in for others."""
        build, lines = self.builder, [down.at["a"]]
        for i in range(1, self.tile.rows if self.tile.form == "rows" else 1):
            inside = build.icmp_signed(">", down.left, _i32(i))
            following = _at(build, lines[-1], self.argument["a_panel"])
            lines.append(build.select(inside, following, lines[-1]))
        return lines

    def _sum(self, a: list[Any], b: list[Any]) -> list[Any]:
        """Loop over k; the tile's sums, row by row."""
        if self.tile.phases > 1:
            return self._sum_phases(a[0], b[0])
        entry, build, tile = self.builder.block, self.builder, self.tile
        depth, step = self.argument["depth"], self.argument["b_step"]
        loop = self.function.append_basic_block("loop")
        done = self.function.append_basic_block("done")
        sums = [ir.Constant(tile.unit, None)] * (tile.rows * self.vectors)
        build.cbranch(build.icmp_signed(">", depth, _i32(0)), loop, done)
        build.position_at_end(loop)
        first = [depth, *a, *b, *sums]
        phis = [build.phi(value.type) for value in first]
        exits, state = [(entry, sums)], phis
        for phi, value in zip(phis, first, strict=True):
            phi.add_incoming(value, entry)
        for unrolled in range(tile.unroll):
            left, rest = state[0], state[1 + len(a) :]
            a, b, sums = state[1:][: len(a)], rest[: tile.panels], rest[tile.panels :]
            sums = self._step(a, b, unrolled, sums, (left, done, exits))
            left = build.sub(left, _i32(1))
            last = unrolled == tile.unroll - 1
            if not tile.dense:
                b = [_at(build, panel, step) for panel in b]
            elif last:
                b = [_at(build, panel, tile.unroll * WIDTH * _WORD) for panel in b]
            if last:
                a = [_at(build, x, tile.unroll * tile.left_bytes) for x in a]
            state = [left, *a, *b, *sums]
            exits.append((build.block, sums))
            following = loop if last else self.function.append_basic_block("step")
            if last:
                for phi, value in zip(phis, state, strict=True):
                    phi.add_incoming(value, build.block)
            over = build.icmp_signed("==", left, _i32(0))
            build.cbranch(over, done, following)
            build.position_at_end(done if last else following)
        return self._left_with(exits)

    def _left_with(self, exits: list[tuple[Any, list[Any]]]) -> list[Any]:
        """The sums of the block by which the loop was left."""
        blocks, sums = zip(*exits, strict=True)
        columns = zip(*sums, strict=True)
        joined = partial(_joined, self.builder)
        return [joined([*zip(blocks, c, strict=True)]) for c in columns]

    def _sum_phases(self, a: Any, b: Any) -> list[Any]:
        """Sums of one row by one panel: a register of units at a time, then the rest.

        After each unit there is an exit that is never taken (see _pause).
        """
        build, tile, count = self.builder, self.tile, self.tile.phases
        depth, unit = self.argument["depth"], WIDTH * _WORD
        entry, done = build.block, self.function.append_basic_block("done")
        loop = self.function.append_basic_block("loop")
        whole = build.and_(depth, _i32(-count))
        first = [ir.Constant(tile.unit, None)] * (count * self.vectors)
        exits = [(entry, first)]
        build.cbranch(build.icmp_signed(">", whole, _i32(0)), loop, done)
        build.position_at_end(loop)
        values = [whole, a, b, *first]
        phis = [build.phi(value.type) for value in values]
        left, rows, panel, *sums = phis
        units = _load(build, rows, 0, tile.unit)
        for u in range(count):
            self._pause([*sums], left, done, exits, u)
            factor = _splat(build, units, u)
            for v in range(self.vectors):
                i = u * self.vectors + v
                column = _load(build, panel, u * unit + v * self.bytes, tile.unit)
                sums[i] = self._multiply_add(factor, column, sums[i], v)
        following = [
            build.sub(left, _i32(count)),
            _at(build, rows, count * _WORD),
            _at(build, panel, count * unit),
        ]
        for phi, before, after in zip(phis, values, [*following, *sums], strict=True):
            phi.add_incoming(before, entry)
            phi.add_incoming(after, build.block)
        exits.append((build.block, sums))
        more = build.icmp_signed(">", following[0], _i32(0))
        build.cbranch(more, loop, done)
        build.position_at_end(done)
        sums = self._left_with(exits)
        while len(sums) > self.vectors:
            half = len(sums) // 2
            pairs = zip(sums[:half], sums[half:], strict=True)
            sums = [build.fadd(x, y) for x, y in pairs]
        return self._sum_rest(a, b, whole, sums)

    def _sum_rest(self, a: Any, b: Any, start: Any, sums: list[Any]) -> list[Any]:
        """Units from `start` on, one by one."""
        build, depth = self.builder, self.argument["depth"]
        before, head, rest, after = (
            build.block,
            *(self.function.append_basic_block(n) for n in ("head", "rest", "after")),
        )
        build.branch(head)
        build.position_at_end(head)
        k, *totals = phis = [build.phi(v.type) for v in (start, *sums)]
        for phi, value in zip(phis, (start, *sums), strict=True):
            phi.add_incoming(value, before)
        build.cbranch(build.icmp_signed("<", k, depth), rest, after)
        build.position_at_end(rest)
        row = _at(build, a, build.mul(k, _i32(_WORD)))
        panel = _at(build, b, build.mul(k, _i32(WIDTH * _WORD)))
        factor = _filled(build, _load(build, row, 0, self.tile.scalar), self.tile.unit)
        more = [build.add(k, _i32(1))]
        for v, total in enumerate(totals):
            column = _load(build, panel, v * self.bytes, self.tile.unit)
            more.append(self._multiply_add(factor, column, total, v))
        for phi, value in zip(phis, more, strict=True):
            phi.add_incoming(value, build.block)
        build.branch(head)
        build.position_at_end(after)
        return totals

    def _step(
        self, a: list[Any], b: list[Any], step: int, sums: list[Any], way_out: Any
    ) -> list[Any]:
        build, tile = self.builder, self.tile
        skipped = step * WIDTH * _WORD if tile.dense else 0
        columns: dict[int, Any] = {}
        result: list[Any] = []
        rows = None
        for row in range(tile.rows):
            factor = None
            for v in range(self.vectors):
                if len(result) == tile.pause > 0:
                    self._pause([*result, *sums[len(result) :]], *way_out)
                if v not in columns:
                    panel, at = divmod(v, self.vectors // tile.panels)
                    at = skipped + at * self.bytes
                    columns[v] = _load(build, b[panel], at, tile.unit)
                if factor is None:
                    factor, rows = self._factor(a, step, row, rows)
                total = sums[len(result)]
                result.append(self._multiply_add(factor, columns[v], total, v))
        return result

    def _factor(self, a: list[Any], step: int, row: int, rows: Any) -> tuple[Any, Any]:
        """A unit of the left panel in every lane; rows: a register with four."""
        build, tile = self.builder, self.tile
        at = step * tile.rows + row
        if tile.form == "spread":
            return _load(build, a[0], at * self.bytes, tile.unit), None
        if tile.form == "rows":
            a, at = a[row:], step
        if tile.form != "shuffle" or tile.lanes == 1:
            factor = _load(build, a[0], at * _WORD, tile.scalar)
            return _filled(build, factor, tile.unit), None
        if row % tile.lanes == 0:
            rows = _load(build, a[0], at * _WORD, tile.unit)
        return _splat(build, rows, row % tile.lanes), rows

    def _pause(
        self, sums: list[Any], left: Any, done: Any, exits: Any, number: int = 0
    ) -> None:
        """An exit that is never taken: cranelift computes the sums before it.

        number: of those of a step, which differ, as LLVM would keep the first alone.
        """
        build = self.builder
        beyond = build.sub(self.beyond, _i32(number)) if number else self.beyond
        never = build.icmp_signed("==", left, beyond)
        exits.append((build.block, sums))
        following = self.function.append_basic_block("half")
        build.cbranch(never, done, following)
        build.position_at_end(following)

    def _multiply_add(self, x: Any, y: Any, total: Any, vector: int) -> Any:
        build, kind = self.builder, self.tile.kind
        if kind == "i32":
            return build.add(total, build.mul(x, y))
        tile = self.tile
        # cranelift's FMA overwrites its first factor, best the row's unit after its
        # last product. Beside spread panels mul+add in the others is faster than FMA.
        last = vector == self.vectors - 1 and not tile.target.accumulating
        if tile.target.contract and (last or tile.form != "spread"):
            return _fused(build, *((x, y) if last else (y, x)), total)
        return build.fadd(build.fmul(x, y), total)

    def _finish(self, sums: list[Any], rows: Any, across: Any) -> None:
        """Store a tile: plain, from its start and limited, or the part inside."""
        build, tile = self.builder, self.tile
        cut, whole, plain, started, after = (
            self.function.append_basic_block(n)
            for n in ("cut", "whole", "plain", "started", "after")
        )
        fits = build.icmp_signed(">=", across.left, _i32(tile.columns))
        build.cbranch(fits, whole, cut)
        build.position_at_end(cut)
        for i, value in enumerate(sums):
            _store(build, value, self.cut, i * self.bytes)
        self._finish_cut(rows, across)
        build.branch(after)
        build.position_at_end(whole)
        c = self._lines(rows, across.at["c"], "c_step")
        s = self._lines(rows, across.at["s"], "s_step")
        build.cbranch(self.plain, plain, started)
        for block in (plain, started):
            build.position_at_end(block)
            # Row by row: loads of all starts ahead of the stores would spill sums.
            for i, value in enumerate(sums):
                row, v = divmod(i, self.vectors)
                if block is started:
                    at = _at(build, s[row], self._times(self.argument["s_vector"], v))
                    value = self._ended(_load(build, at, 0, tile.unit), value)
                _store(build, value, c[row], v * self.bytes)
            build.branch(after)
        build.position_at_end(after)

    def _lines(self, left: Any, first: Any, step: str) -> list[Any]:
        """Where each row is; those past the last are in the buffer."""
        build, lines = self.builder, [first]
        for _ in range(1, self.tile.rows):
            lines.append(_at(build, lines[-1], self.argument[step]))
        return [
            build.select(build.icmp_signed(">", left, _i32(i)), line, self.cut)
            if i
            else line
            for i, line in enumerate(lines)
        ]

    def _ended(self, start: Any, total: Any) -> Any:
        """min(max(start + total, low), high)."""
        build = self.builder
        if self.tile.kind != "f32":
            return build.add(start, total)
        total = build.fadd(start, total)
        for name, order in (("low", "<"), ("high", ">")):
            limit = _filled(build, self.argument[name], total.type)
            past = build.fcmp_ordered(order, total, limit)
            total = build.select(past, limit, total)
        return total

    def _finish_cut(self, left: Any, across: Any) -> None:
        """By vectors, and past the last whole one by elements."""
        build, tile, given = self.builder, self.tile, self.argument
        most = _i32(tile.rows)
        more = build.icmp_signed("<", left, most)
        rows = _Repeat(
            self.function,
            build,
            *(build.select(more, left, most), 1),
            {
                "t": (self.cut, _i32(tile.columns * _WORD)),
                "c": (across.at["c"], given["c_step"]),
                "s": (across.at["s"], given["s_step"]),
            },
        )
        vectors = self._repeated(rows.at, across.left, tile.lanes, given["s_vector"])
        if tile.lanes == 1:
            self._put(vectors.at, tile.unit)
        else:
            vector, part, after = (
                self.function.append_basic_block(n) for n in ("vector", "part", "after")
            )
            whole = build.icmp_signed(">=", vectors.left, _i32(tile.lanes))
            build.cbranch(whole, vector, part)
            build.position_at_end(vector)
            self._put(vectors.at, tile.unit)
            build.branch(after)
            build.position_at_end(part)
            elements = self._repeated(vectors.at, vectors.left, 1, _i32(_WORD))
            self._put(elements.at, tile.scalar)
            elements.close()
            build.branch(after)
            build.position_at_end(after)
        vectors.close()
        rows.close()

    def _repeated(self, at: dict[str, Any], count: Any, size: int, step: Any) -> Any:
        """A loop along a row of the tile, of the result and of its start."""
        bytes_ = _i32(size * _WORD)
        steps = {"t": bytes_, "c": bytes_, "s": step}
        moving = {name: (at[name], step) for name, step in steps.items()}
        return _Repeat(self.function, self.builder, count, size, moving)

    def _put(self, at: dict[str, Any], kind: Any) -> None:
        """Store a part of the tile, from its start and limited where there is one."""
        build = self.builder
        total, before = _load(build, at["t"], 0, kind), build.block
        some, done = (self.function.append_basic_block(n) for n in ("some", "done"))
        build.cbranch(self.plain, done, some)
        build.position_at_end(some)
        ended = self._ended(_load(build, at["s"], 0, kind), total)
        build.branch(done)
        build.position_at_end(done)
        _store(build, _joined(build, [(before, total), (some, ended)]), at["c"], 0)


class _Repeat:
    """A loop over parts of `size`, at least once: {name: (pointer, bytes to add)}.

    at: the pointers of this turn. left: what is left, this turn's part included.
    """

    def __init__(
        self,
        function: Any,
        build: Any,
        count: Any,
        size: int,
        moving: dict[str, tuple[Any, Any]],
    ) -> None:
        self.build, self.moving, self.size = build, moving, size
        before, self.head = build.block, function.append_basic_block("turn")
        self.after = function.append_basic_block("after")
        build.branch(self.head)
        build.position_at_end(self.head)
        self.left = build.phi(_I32)
        self.left.add_incoming(count, before)
        self.at = {name: build.phi(_PTR) for name in moving}
        for name, (first, _) in moving.items():
            self.at[name].add_incoming(first, before)

    def close(self) -> None:
        """The end of its body."""
        build = self.build
        left = build.sub(self.left, _i32(self.size))
        self.left.add_incoming(left, build.block)
        for name, (_, step) in self.moving.items():
            self.at[name].add_incoming(_at(build, self.at[name], step), build.block)
        more = build.icmp_signed(">", left, _i32(0))
        build.cbranch(more, self.head, self.after)
        build.position_at_end(self.after)


def _joined(build: Any, values: list[tuple[Any, Any]]) -> Any:
    """The value of the block that was left."""
    phi = build.phi(values[0][1].type)
    for block, value in values:
        phi.add_incoming(value, block)
    return phi


def _fused(build: Any, x: Any, y: Any, total: Any) -> Any:
    """Vectors x * y + total, rounded once where the target may."""
    name, module = "llvm.fmuladd.v4f32", build.module
    signature = ir.FunctionType(x.type, [x.type] * 3)
    function = module.globals.get(name) or ir.Function(module, signature, name)
    return build.call(function, [x, y, total])


def _filled(build: Any, value: Any, kind: Any) -> Any:
    """A scalar in every lane of a vector; itself where `kind` is a scalar's."""
    if not isinstance(kind, ir.VectorType):
        return value
    empty = ir.Constant(kind, ir.Undefined)
    return _splat(build, build.insert_element(empty, value, _i32(0)), 0)


def _splat(build: Any, vector: Any, lane: int) -> Any:
    """A lane in every lane."""
    count = vector.type.count
    mask = ir.Constant(ir.VectorType(_I32, count), [lane] * count)
    return build.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)


def _pack(module: Any, name: str, lines: int, width: int) -> None:
    """i32 (ptr s, ptr d, i32 depth, runs, jump, at1, ...): transpose 1, 2 or 4 lines.

    Depth is not negative, runs are at least 1.
    d[r * depth + k, i] = s[k] of the place at_i + r * jump, for i < lines, k < depth
    and r < runs; at_0 is 0, places are in bytes. d has `width` units in a row.
    """

    def some(build: Any, rows: list[Any], out: Any, k: Any, units: int) -> None:
        out = _at(build, out, build.mul(k, _i32(width * _WORD)))
        source = build.mul(k, _i32(_WORD))
        if units == 4:
            _tile(build, rows, out, source, width)
            return
        for i, row in enumerate(rows):
            _store(build, _load(build, row, source, _I32), out, i * _WORD)

    _lines(module, name, lines, width * _WORD, some, together=lines > 1)


def _spread(module: Any, name: str, lines: int) -> None:
    """i32 (ptr s, ptr d, i32 depth, runs, jump, at1, ...): each unit over a vector.

    As micro_pack, with d[r * depth + k, i, 0..4].
    """
    four = ir.VectorType(_I32, 4)

    def some(build: Any, rows: list[Any], out: Any, k: Any, units: int) -> None:
        out = _at(build, out, build.mul(k, _i32(lines * 16)))
        source = build.mul(k, _i32(_WORD))
        for i, row in enumerate(rows):
            if units == 4:
                value = _load(build, row, source, four)
            else:
                value = _load(build, row, source, _I32)
                value = _filled(build, value, four)
            for u in range(units):
                _store(build, _splat(build, value, u), out, (u * lines + i) * 16)

    _lines(module, name, lines, lines * 16, some)


def _lines(
    module: Any,
    name: str,
    lines: int,
    unit: int,
    some: Callable[..., None],
    together: bool = True,
) -> None:
    """A function that packs lines: some(build, rows, out, k, units), 4 units or 1.

    unit: bytes of one in the panel. together: whether there is a way for 4.
    """
    places = tuple(f"at{i}" for i in range(1, lines))
    function = _function(module, name, ("s", "d", "depth", "runs", "jump", *places))
    build = ir.IRBuilder(function.append_basic_block("entry"))
    source, target, depth, runs, jump, *places = function.args
    moving = {"s": (source, jump), "d": (target, build.mul(depth, _i32(unit)))}
    run = _Repeat(function, build, runs, 1, moving)
    rows = [run.at["s"], *(_at(build, run.at["s"], place) for place in places)]

    def body(units: int, begin: Any) -> Callable[[Any], None]:
        return lambda k: some(build, rows, run.at["d"], build.add(begin, k), units)

    begin, left = _i32(0), depth
    if together:
        # Of less than 4 LLVM knows that there is nothing to vectorise.
        begin, left = build.and_(depth, _i32(-4)), build.and_(depth, _i32(3))
        _loop(function, build, _i32(0), begin, 4, body(4, _i32(0)))
    _loop(function, build, _i32(0), left, 1, body(1, begin))
    run.close()
    build.ret(_i32(0))


def _loop(function: Any, build: Any, start: Any, end: Any, step: int, body: Any) -> Any:
    """Emit for (k = start; k < end; k += step) body(k); the last k."""
    before = build.block
    head = function.append_basic_block("head")
    inside = function.append_basic_block("body")
    after = function.append_basic_block("after")
    build.branch(head)
    build.position_at_end(head)
    k = build.phi(_I32)
    k.add_incoming(start, before)
    build.cbranch(build.icmp_signed("<", k, end), inside, after)
    build.position_at_end(inside)
    body(k)
    k.add_incoming(build.add(k, _i32(step)), build.block)
    build.branch(head)
    build.position_at_end(after)
    return k


def _blocks(build: Any, size: Any, step: int, body: Callable[[Any], None]) -> None:
    """body(k) for k = 0, step, ... < size; the last block ends at size."""
    before, function = build.block, build.function
    inside = function.append_basic_block("block")
    after = function.append_basic_block("after")
    last = build.sub(size, _i32(step))
    build.branch(inside)
    build.position_at_end(inside)
    k = build.phi(_I32)
    k.add_incoming(_i32(0), before)
    body(build.select(build.icmp_signed("<", k, last), k, last))
    following = build.add(k, _i32(step))
    k.add_incoming(following, build.block)
    build.cbranch(build.icmp_signed("<", following, size), inside, after)
    build.position_at_end(after)


def _tile(build: Any, rows: list[Any], out: Any, source: Any, width: int) -> None:
    """4 x 4 units, by two levels of interleaving; 2 x 4 by one."""
    four = ir.VectorType(_I32, 4)
    loaded = [_load(build, row, source, four) for row in rows]

    def mix(x: Any, y: Any, *lanes: int) -> Any:
        kind = ir.VectorType(_I32, len(lanes))
        return build.shuffle_vector(x, y, ir.Constant(kind, list(lanes)))

    low, high = (0, 4, 1, 5), (2, 6, 3, 7)
    if len(rows) == 2:
        columns = [mix(*loaded, i, 4 + i) for i in range(4)]
    else:
        r0, r1, r2, r3 = loaded
        a, b = mix(r0, r2, *low), mix(r0, r2, *high)
        c, d = mix(r1, r3, *low), mix(r1, r3, *high)
        columns = [mix(a, c, *low), mix(a, c, *high)]
        columns += [mix(b, d, *low), mix(b, d, *high)]
    for i, column in enumerate(columns):
        _store(build, column, out, i * width * _WORD)
