"""Micro-kernels: the innermost tiles, as LLVM IR from one description per family.

A kernel's loop nest calls them by name (`micro_<family>_...`, see
toolchain/spec/panels.py) and codegen links those that its IR names. The name says
the shape, the target what a step is made of. Bodies are `linkonce_odr`: an archive's
members carry a copy each, a linked module one.

What makes a tile fast in cranelift, each measured by interleaved runs: 4 rows by 2
vectors (5 and 6 rows spill); a real exit after each unrolled step, so that loads are
not hoisted across steps; rows broadcast by shuffles from one load; FMA in one column
and mul+add in the other, as its FMA overwrites a multiplicand.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from toolchain.spec import SpecError
from toolchain.targets import Target

_I1, _I8, _I16, _I32 = (ir.IntType(bits) for bits in (1, 8, 16, 32))
_PTR, _F32 = ir.PointerType(), ir.FloatType()
_WORD = 4  # bytes of a panel's unit: a float32, an int32 or two int16
UNROLL = 4  # steps between two updates of the pointers
_NAME = re.compile(r"@(micro_\w+)")


def used(text: str) -> list[str]:
    """Names of the micro-kernels that an IR text calls."""
    return sorted(set(_NAME.findall(text)))


def micro_kernel(name: str, target: Target) -> str:
    """IR of the micro-kernel of that name. Errors: SpecError for an unknown one."""
    module = ir.Module(name)
    if match := re.fullmatch(r"micro_gemm_(f32|i32|dot)_(\d+)x(\d+)", name):
        tile = Tile(match[1], int(match[2]), int(match[3]), target)
        _Gemm(module, name, tile).emit()
    elif name.startswith(("micro_fold_", "micro_split_")):
        from toolchain.microkernel_fold import emit

        emit(module, name, target)
    elif match := re.fullmatch(r"micro_pack_(\d+)", name):
        _pack(module, name, int(match[1]), 4 if target.has("simd128") else 1)
    else:
        raise SpecError(
            f"micro-kernel {name!r} is unknown; use micro_gemm_<f32|i32|dot>_"
            "<rows>x<columns> or micro_pack_<width>"
        )
    text = re.sub(r"^define ", "define linkonce_odr hidden ", str(module), flags=re.M)
    return re.sub(r"^target \w+ = .*$", "", text, flags=re.M)


@dataclass(frozen=True)
class Tile:
    """kind: f32, i32, or dot (two int16 products summed in int32)."""

    kind: str
    rows: int
    columns: int
    target: Target

    @property
    def lanes(self) -> int:
        """Units in a register."""
        return 4 if self.target.has("simd128") else 1

    @property
    def unit(self) -> Any:
        """Type of a register: a vector, or a scalar without SIMD."""
        scalar = _F32 if self.kind == "f32" else _I32
        return scalar if self.lanes == 1 else ir.VectorType(scalar, self.lanes)


def _function(module: Any, name: str, arguments: tuple[str, ...]) -> Any:
    """A function over pointers (one letter) and int32 values (a word)."""
    types = [_PTR if len(a) == 1 else _I32 for a in arguments]
    function = ir.Function(module, ir.FunctionType(_I32, types), name)
    function.attributes.add("noinline")
    function.attributes.add("nounwind")
    for argument, word in zip(function.args, arguments, strict=True):
        argument.name = word
        if len(word) == 1:
            argument.add_attribute("noalias")
    return function


def _at(builder: Any, pointer: Any, offset: Any) -> Any:
    """Pointer + offset bytes."""
    if isinstance(offset, int):
        offset = ir.Constant(_I32, offset)
    return builder.gep(pointer, [offset], source_etype=_I8)


def _load(builder: Any, pointer: Any, offset: Any, kind: Any) -> Any:
    value = builder.load(_at(builder, pointer, offset), typ=kind)
    value.align = _WORD
    return value


def _store(builder: Any, value: Any, pointer: Any, offset: Any) -> None:
    builder.store(value, _at(builder, pointer, offset), align=_WORD)


class _Gemm:
    """i32 (ptr a, ptr b, ptr c, depth, stride, add).

    c[i, j] (+)= sum_k a[k, i] * b[k, j] for i in rows, j in columns: a and b are
    packed panels, stride is the bytes from one row of c to the next, add says
    whether c is added to. Depth 0 gives 0.
    """

    def __init__(self, module: Any, name: str, tile: Tile) -> None:
        self.tile = tile
        self.vectors = tile.columns // tile.lanes
        self.function = _function(
            module, name, ("a", "b", "c", "depth", "stride", "add")
        )
        self.builder = ir.IRBuilder(self.function.append_basic_block("entry"))

    def emit(self) -> None:
        """Loop over k, then store."""
        entry, build = self.builder.block, self.builder
        a, b, _, depth, *_ = self.function.args
        loop = self.function.append_basic_block("loop")
        done = self.function.append_basic_block("done")
        zero = ir.Constant(self.tile.unit, None)
        count = self.tile.rows * self.vectors
        build.cbranch(build.icmp_signed(">", depth, ir.Constant(_I32, 0)), loop, done)
        build.position_at_end(loop)
        phis = [build.phi(kind) for kind in (_PTR, _PTR, _I32)]
        sums = [build.phi(self.tile.unit) for _ in range(count)]
        for phi, value in zip(
            (*phis, *sums), (a, b, depth, *[zero] * count), strict=True
        ):
            phi.add_incoming(value, entry)
        exits = [(entry, [zero] * count)]
        state = list(sums)
        left = phis[2]
        for step in range(UNROLL):
            state = self._step(phis[0], phis[1], step, state)
            left = build.sub(left, ir.Constant(_I32, 1))
            last = step == UNROLL - 1
            following = loop if last else self.function.append_basic_block("step")
            if last:
                ends = [
                    _at(build, phis[0], UNROLL * self.tile.rows * _WORD),
                    _at(build, phis[1], UNROLL * self.tile.columns * _WORD),
                    left,
                ]
                for phi, value in zip((*phis, *sums), (*ends, *state), strict=True):
                    phi.add_incoming(value, build.block)
            exits.append((build.block, state))
            build.cbranch(
                build.icmp_signed("==", left, ir.Constant(_I32, 0)), done, following
            )
            build.position_at_end(following if not last else done)
        self._finish(exits)

    def _step(self, a: Any, b: Any, step: int, sums: list[Any]) -> list[Any]:
        build, tile = self.builder, self.tile
        columns = [
            _load(build, b, (step * tile.columns + v * tile.lanes) * _WORD, tile.unit)
            for v in range(self.vectors)
        ]
        result = []
        for row in range(tile.rows):
            if row % tile.lanes == 0:
                rows = _load(build, a, (step * tile.rows + row) * _WORD, tile.unit)
            factor = self._broadcast(rows, row % tile.lanes)
            for v, column in enumerate(columns):
                total = sums[row * self.vectors + v]
                result.append(self._multiply_add(factor, column, total, v))
        return result

    def _broadcast(self, rows: Any, lane: int) -> Any:
        if self.tile.lanes == 1:
            return rows
        mask = ir.Constant(
            ir.VectorType(_I32, self.tile.lanes), [lane] * self.tile.lanes
        )
        return self.builder.shuffle_vector(
            rows, ir.Constant(rows.type, ir.Undefined), mask
        )

    def _multiply_add(self, x: Any, y: Any, total: Any, vector: int) -> Any:
        build, kind = self.builder, self.tile.kind
        if kind == "dot":
            return build.add(total, self._dot(x, y))
        if kind == "i32":
            return build.add(total, build.mul(x, y))
        if self.tile.target.contract and vector % 2 == 0:
            return build.call(
                self._intrinsic("llvm.fmuladd.v4f32", x, y, total), [x, y, total]
            )
        return build.fadd(build.fmul(x, y), total)

    def _dot(self, x: Any, y: Any) -> Any:
        build = self.builder
        if self.tile.lanes == 1:
            shift = ir.Constant(_I32, 16)
            low = [build.sext(build.trunc(v, _I16), _I32) for v in (x, y)]
            high = [build.ashr(v, shift) for v in (x, y)]
            return build.add(build.mul(*low), build.mul(*high))
        halves = [build.bitcast(v, ir.VectorType(_I16, 8)) for v in (x, y)]
        return build.call(self._intrinsic("llvm.wasm.dot", *halves), halves)

    def _intrinsic(self, name: str, *arguments: Any) -> Any:
        module = self.builder.module
        signature = ir.FunctionType(self.tile.unit, [a.type for a in arguments])
        return module.globals.get(name) or ir.Function(module, signature, name)

    def _finish(self, exits: list[tuple[Any, list[Any]]]) -> None:
        """Store the sums, or add them to what is there."""
        build, tile = self.builder, self.tile
        _, _, c, _, stride, add = self.function.args
        sums = []
        for i in range(tile.rows * self.vectors):
            phi = build.phi(tile.unit)
            for block, state in exits:
                phi.add_incoming(state[i], block)
            sums.append(phi)
        adding = self.function.append_basic_block("adding")
        storing = self.function.append_basic_block("storing")
        build.cbranch(
            build.icmp_signed("!=", add, ir.Constant(_I32, 0)), adding, storing
        )
        for block in (adding, storing):
            build.position_at_end(block)
            plus = build.fadd if tile.kind == "f32" else build.add
            row = c
            for i, value in enumerate(sums):
                r, v = divmod(i, self.vectors)
                if r and not v:
                    row = _at(build, row, stride)
                offset = v * tile.lanes * _WORD
                if block is adding:
                    value = plus(_load(build, row, offset, tile.unit), value)
                _store(build, value, row, offset)
            build.ret(ir.Constant(_I32, 0))


def _pack(module: Any, name: str, width: int, lanes: int) -> None:
    """i32 (ptr s, ptr d, stride, depth, valid): transpose 4 rows (without SIMD, 1).

    d[k, i] = s[min(i, valid - 1), k] for i < 4 (1) and k < depth, where d has
    `width` units in a row and stride is the bytes from one row of s to the next.
    """
    function = _function(module, name, ("s", "d", "stride", "depth", "valid"))
    build = ir.IRBuilder(function.append_basic_block("entry"))
    source, target, stride, depth, valid = function.args
    rows = [source]
    for i in range(1, lanes):
        inside = build.icmp_signed(">", valid, ir.Constant(_I32, i))
        rows.append(build.select(inside, _at(build, rows[-1], stride), rows[-1]))
    whole = build.and_(depth, ir.Constant(_I32, -lanes))
    start = ir.Constant(_I32, 0)
    if lanes == 4:
        start = _loop(
            function,
            build,
            start,
            whole,
            4,
            lambda k: _tile(build, rows, target, k, width),
        )
    _loop(
        function,
        build,
        start,
        depth,
        1,
        lambda k: _single(build, rows, target, k, width),
    )
    build.ret(ir.Constant(_I32, 0))


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
    k.add_incoming(build.add(k, ir.Constant(_I32, step)), build.block)
    build.branch(head)
    build.position_at_end(after)
    return k


def _single(build: Any, rows: list[Any], target: Any, k: Any, width: int) -> None:
    source = build.mul(k, ir.Constant(_I32, _WORD))
    out = _at(build, target, build.mul(k, ir.Constant(_I32, width * _WORD)))
    for i, row in enumerate(rows):
        _store(build, _load(build, row, source, _I32), out, i * _WORD)


def _tile(build: Any, rows: list[Any], target: Any, k: Any, width: int) -> None:
    """4 x 4 units: two levels of interleaving."""
    four = ir.VectorType(_I32, 4)
    source = build.mul(k, ir.Constant(_I32, _WORD))
    out = _at(build, target, build.mul(k, ir.Constant(_I32, width * _WORD)))
    r0, r1, r2, r3 = (_load(build, row, source, four) for row in rows)

    def mix(x: Any, y: Any, lanes: tuple[int, ...]) -> Any:
        return build.shuffle_vector(x, y, ir.Constant(four, list(lanes)))

    low, high = (0, 4, 1, 5), (2, 6, 3, 7)
    a, b = mix(r0, r2, low), mix(r0, r2, high)
    c, d = mix(r1, r3, low), mix(r1, r3, high)
    columns = (mix(a, c, low), mix(a, c, high), mix(b, d, low), mix(b, d, high))
    for i, column in enumerate(columns):
        _store(build, column, out, i * width * _WORD)
