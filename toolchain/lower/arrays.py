"""Arrays: a function of an array, as LLVM IR for targets with SIMD.

An array goes through a formula in blocks, and a block through one stage of the formula
after the other (see `stages`). Where a function has a short form, its first stage also
finds whether all elements of the block are within the form's limits; if not, the block
starts anew with the full one. Vectors are whole: what is left of an array lies in a
buffer of a step.
"""

from __future__ import annotations

import math as reals
from collections.abc import Sequence
from dataclasses import dataclass

from llvmlite import ir

from toolchain.lower.expressions import resolved
from toolchain.lower.forms import Form
from toolchain.lower.signatures import define_array, folded
from toolchain.lower.stages import ELEMENT
from toolchain.micro.builder import (
    F32,
    F64,
    I1,
    I32,
    PTR,
    WORD,
    add_incoming,
    alloca,
    declared,
    gep_bytes,
    i32,
    new_blocks,
    phi_of,
    shuffle,
)
from toolchain.spec import math
from toolchain.targets import Target

_FOUR = ir.VectorType(F32, 4)
_ALIGNMENT = 16


@dataclass(frozen=True)
class _Done:
    """What a loop over a block leaves: folds of its limits, the sum of its results."""

    limits: list[ir.Value]
    sum: ir.Value | None


class ArrayFunction:
    """Writes `i32 ops_math_array_<name>`; summed: its results are added up too."""

    def __init__(
        self, module: ir.Module, symbol: str, name: str, target: Target, summed: bool
    ) -> None:
        self.short, self.summed = math.has_short(name), summed
        self.forms = [Form(name, target, self.short, main=True)]
        if self.short:
            self.forms.append(Form(name, target, short=False, main=False))
        self.form = self.forms[0]
        self.step = self.form.lanes * self.form.together
        self.build, self.given = define_array(module, symbol, self.form.scalars, summed)

    def emit(self) -> None:
        """Before the loops; then block after block, and in it stage after stage."""
        build = self.build
        self.entry = build.block
        constant = [form.before(build, self.given) for form in self.forms]
        self._allocate()
        names = ("block", "in", "inner", "begin")
        self.block, self.edge_in, self.inner, self.begin = new_blocks(build, *names)
        for form in self.forms:
            form.blocks = new_blocks(build, *[form.name] * len(form.stages))
        limited = bool(self.form.limits)
        self.check, self.past = (
            new_blocks(build, name)[0] if wanted else None
            for name, wanted in (
                ("check", limited),
                ("past", limited and not self.short),
            )
        )
        self.end, self.last, self.back, self.done = new_blocks(
            build, "end", "last", "back", "done"
        )
        self._begin()
        ends = [
            self._loops(form, *values)
            for form, values in zip(self.forms, constant, strict=True)
        ]
        if self.check:
            self._check()
        if self.past:
            build.position_at_end(self.past)
            infinity = ir.Constant(F32, reals.inf)
            build.store(infinity, self.given["to_total"])
            build.ret(i32(0))
        self._end(ends)

    def _allocate(self) -> None:
        """Buffers between stages, and of a step for what is left of an array."""
        count = max(len(form.buffers) for form in self.forms)
        self.buffers: dict[str, ir.Value] = {}
        for name, kind in (("narrow", F32), ("wide", F64)):
            rows = ir.ArrayType(ir.ArrayType(kind, self.form.block), count)
            self.buffers[name] = self._aligned(rows)
        self.rest = self._aligned(ir.ArrayType(F32, self.step))

    def _aligned(self, kind: ir.Type) -> ir.Value:
        place = alloca(self.build, kind)
        place.align = _ALIGNMENT
        return place

    def _copy(self, to: ir.Value, source: ir.Value, size: ir.Value) -> None:
        memcpy = declared(
            self.build.module,
            "llvm.memcpy.p0.p0.i32",
            ir.VoidType(),
            [PTR, PTR, I32, I1],
        )
        self.build.call(memcpy, [to, source, size, ir.Constant(I1, 0)])

    def _begin(self) -> None:
        """The next block: `size` elements at `from`, whose results go to `to`.

        Where less than a step is left, both are a buffer, with zeros after the rest.
        """
        build, given = self.build, self.given
        build.branch(self.block)
        build.position_at_end(self.block)
        first = [given["from_x"], given["to_out"], given["n"]]
        if self.summed:
            first.append(ir.Constant(_FOUR, None))
        self.phis = [build.phi(value.type) for value in first]
        add_incoming(self.phis, first, self.entry)
        x, out, left, *_ = self.phis
        self.edge = build.icmp_signed("<", left, i32(self.step))
        build.cbranch(self.edge, self.edge_in, self.inner)
        build.position_at_end(self.edge_in)
        size = build.shl(left, i32(2))
        zeros = ir.Constant(ir.ArrayType(F32, self.step), None)
        build.store(zeros, self.rest)
        self._copy(self.rest, x, size)
        build.branch(self.begin)
        build.position_at_end(self.inner)
        steps = build.and_(left, i32(-self.step))
        smin = declared(build.module, "llvm.smin.i32", I32, [I32, I32])
        most = build.call(smin, [steps, i32(self.form.block)])
        build.branch(self.begin)
        build.position_at_end(self.begin)
        self.size, source, to = (
            phi_of(build, [(self.edge_in, a), (self.inner, b)])
            for a, b in ((i32(self.step), most), (self.rest, x), (self.rest, out))
        )
        self.buffers |= {"from": source, "to": to}
        build.branch(self.form.blocks[0])

    def _loops(
        self, form: Form, constant: dict[int, ir.Value], scalars: dict[str, ir.Value]
    ) -> _Done:
        """All stages of a form; what the last one leaves."""
        before = self.begin if form is self.form else self.check
        for stage, block in enumerate(form.blocks):
            following = [*form.blocks, self.end][stage + 1]
            if form.limits and stage == 0:
                following = self.check
            loop = _Loop(self, form, stage, constant, scalars)
            assert before
            assert following
            done = loop.emit(before, following)
            if form.limits and stage == 0:
                self.limits = done.limits
            before = block if following is not self.check else self.check
        return done

    def _check(self) -> None:
        """After the first stage: on with the second one, or beyond its limits."""
        build, form = self.build, self.form
        build.position_at_end(self.check)
        kind = ir.VectorType(I32, form.lanes)
        last = ir.Constant(kind, None)
        for folds, (_, limit) in zip(self.limits, form.limits, strict=True):
            bound, free = form.formula.constant(I32, limit.bound), limit.free
            bits = build.xor(folds, bound)
            off = build.lshr(bits, form.formula.constant(I32, free))
            last = build.or_(last, off)
        anytrue = declared(build.module, "llvm.wasm.anytrue.v4i32", I32, [kind])
        beyond = build.icmp_signed("!=", build.call(anytrue, [last]), i32(0))
        full = self.forms[-1].blocks[0] if self.short else self.past
        build.cbranch(beyond, full, form.blocks[1])

    def _end(self, ends: Sequence[_Done]) -> None:
        """After a block: the next one, or the end."""
        build = self.build
        x, out, left, *_ = self.phis
        build.position_at_end(self.end)
        following = self._sum(ends) if self.summed else []
        moved = [build.gep(p, [self.size], source_etype=F32) for p in (x, out)]
        more = build.sub(left, self.size)
        add_incoming(self.phis, [*moved, more, *following], self.end)
        again = build.icmp_signed(">", more, i32(0))
        build.cbranch(again, self.block, self.last)
        build.position_at_end(self.last)
        build.cbranch(self.edge, self.back, self.done)
        build.position_at_end(self.back)
        self._copy(out, self.rest, build.shl(left, i32(2)))
        build.branch(self.done)
        build.position_at_end(self.done)
        for total in following:
            self._total(total, left)
        build.ret(i32(0))

    def _sum(self, ends: Sequence[_Done]) -> list[ir.Value]:
        """The sum of a block's results, which starts from zero, and of earlier blocks.

        What is left of an array is added up without what stands behind it.
        """
        build = self.build
        blocks = [form.blocks[-1] for form in self.forms]
        sums = [(b, done.sum) for b, done in zip(blocks, ends, strict=True)]
        summed, zero = phi_of(build, sums), ir.Constant(_FOUR, None)
        counted = build.select(self.edge, zero, summed)
        return [build.fadd(self.phis[3], counted)]

    def _total(self, lanes: ir.Value, left: ir.Value) -> None:
        """Store the sum of all lanes, and of the elements that were left over."""
        build = self.build
        halves = build.fadd(lanes, shuffle(build, lanes, lanes, [2, 3, 2, 3]))
        pair = [build.extract_element(halves, i32(i)) for i in (0, 1)]
        whole = build.fadd(*pair)
        count = build.select(self.edge, left, i32(0))
        head, add, store = new_blocks(build, "left", "add", "store")
        build.branch(head)
        build.position_at_end(head)
        total, i = phis = [build.phi(F32), build.phi(I32)]
        add_incoming(phis, [whole, i32(0)], self.done)
        build.cbranch(build.icmp_signed("<", i, count), add, store)
        build.position_at_end(add)
        at = build.gep(self.rest, [i], inbounds=True, source_etype=F32)
        element = build.load(at, typ=F32)
        following = [build.fadd(total, element), build.add(i, i32(1))]
        add_incoming(phis, following, add)
        build.branch(head)
        build.position_at_end(store)
        build.store(total, self.given["to_total"])


class _Loop:
    """A stage: a loop over the vectors of a block, some of them in a step."""

    def __init__(
        self,
        function: ArrayFunction,
        form: Form,
        stage: int,
        constant: dict[int, ir.Value],
        scalars: dict[str, ir.Value],
    ) -> None:
        self.function, self.form, self.stage = function, form, stage
        self.build, self.block = function.build, form.blocks[stage]
        self.constant, self.scalars = constant, scalars
        self.body = form.stages.bodies[stage]
        self.limits = [] if stage else form.limits
        self.final = stage == len(form.stages) - 1
        numbers = form.stages.numbers
        self.stored = [v for v in form.buffers if numbers[v] == stage]
        self.arrays = self._arrays()

    def _arrays(self) -> dict[int | str, tuple[str, int, int]]:
        """What is loaded and stored: where it starts, at which byte, bytes of a vector.

        By the number of an operation; the elements by their name, the results as "out".
        """
        form, size = self.form, WORD * self.form.lanes
        taken = {v for v, loaded in self.body if loaded}
        loaded = [v for v in form.buffers if v in taken]
        arrays: dict[int | str, tuple[str, int, int]] = {
            v: form.place(v) for v in (*self.stored, *loaded)
        }
        operands = (
            o
            for v, loaded in self.body
            if not loaded
            for o in form.formula.operations[v].operands
        )
        if ELEMENT in [o for o in operands if isinstance(o, str)]:
            arrays[ELEMENT] = ("from", 0, size)
        if self.final:
            arrays["out"] = ("to", 0, size)
        return arrays

    def emit(self, before: ir.Block, after: ir.Block) -> _Done:
        """The loop, from block `before` on to block `after`."""
        build, form = self.build, self.form
        build.position_at_end(self.block)
        first = [i32(0)]
        first += [form.formula.constant(I32, x.bound) for _, x in self.limits]
        if self.function.summed and self.final:
            first.append(ir.Constant(_FOUR, None))
        phis = [build.phi(value.type) for value in first]
        add_incoming(phis, first, before)
        j, *state = phis
        bases = {}
        for start in sorted({start for start, _, _ in self.arrays.values()}):
            kind = F64 if start == "wide" else F32
            place = self.function.buffers[start]
            bases[start] = build.gep(place, [j], inbounds=True, source_etype=kind)
        for u in range(form.together):
            state = self._vector(bases, u, state)
        following = build.add(j, i32(form.lanes * form.together))
        add_incoming(phis, [following, *state], self.block)
        again = build.icmp_signed("<", following, self.function.size)
        build.cbranch(again, self.block, after)
        count = len(self.limits)
        return _Done(state[:count], state[-1] if len(state) > count else None)

    def _vector(
        self, bases: dict[str, ir.Value], u: int, state: list[ir.Value]
    ) -> list[ir.Value]:
        """Vector u of a step; the folds of the limits and the sum, with it."""
        build, form = self.build, self.form
        at = {
            array: gep_bytes(build, bases[start], offset + u * size)
            for array, (start, offset, size) in self.arrays.items()
        }
        scalars, values = dict(self.scalars), dict(self.constant)
        if ELEMENT in at:
            kind = ir.VectorType(F32, form.lanes)
            scalars[ELEMENT] = build.load(at[ELEMENT], typ=kind, align=WORD)
        for v, loaded in self.body:
            operation = form.formula.operations[v]
            if loaded:
                values[v] = build.load(at[v], typ=operation.type)
                continue
            operands = [resolved(o, values, scalars) for o in operation.operands]
            values[v] = operation.emit(build, operands)
        count = len(self.limits)
        folds = [
            folded(build, limit, before, values[v])
            for before, (v, limit) in zip(state[:count], self.limits, strict=True)
        ]
        for v in self.stored:
            build.store(values[v], at[v])
        if self.final:
            build.store(values[form.last], at["out"], align=WORD)
        return [*folds, *(build.fadd(x, values[form.last]) for x in state[count:])]
