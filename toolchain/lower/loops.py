"""Loops: functions of arrays without SIMD, element by element.

Where a function has a short form, that is tried first for each element.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from toolchain.lower.expressions import Formula, resolved
from toolchain.lower.signatures import define_array, define_inlined, folded
from toolchain.micro.builder import (
    F32,
    F64,
    I32,
    add_incoming,
    declared,
    i32,
    new_blocks,
)
from toolchain.spec import math
from toolchain.targets import Target


def array_loop(
    module: ir.Module, symbol: str, name: str, target: Target, summed: bool
) -> None:
    """Emit the function of an array. summed: whether results are added up."""
    names = [v.name for v in math.definition(name).parameters]
    called = declared(module, f"{math.SYMBOL}{name}", F32, [F32] * len(names))
    if math.has_short(name):
        called = _short_first(module, name, called, target)
    build, given = define_array(module, symbol, names[1:], summed)
    head, loop, done = new_blocks(build, "head", "loop", "done")
    entry = build.block
    build.branch(head)
    build.position_at_end(head)
    i, total = phis = [build.phi(I32), build.phi(F64)]
    add_incoming(phis, [i32(0), ir.Constant(F64, 0.0)], entry)
    again = build.icmp_signed("<", i, given["n"])
    build.cbranch(again, loop, done)
    build.position_at_end(loop)
    source, target_ = (
        build.gep(given[p], [i], inbounds=True, source_etype=F32)
        for p in ("from_x", "to_out")
    )
    element = build.load(source, typ=F32)
    value = build.call(called, [element, *(given[n] for n in names[1:])])
    build.store(value, target_)
    added = build.fadd(total, build.fpext(value, F64))
    following = build.add(i, i32(1))
    add_incoming(phis, [following, added], loop)
    build.branch(head)
    build.position_at_end(done)
    if summed:
        build.store(build.fptrunc(total, F32), given["to_total"])
    build.ret(i32(0))


def _short_first(
    module: ir.Module, name: str, full: ir.Function, target: Target
) -> ir.Function:
    """A function of one element that tries its short form, then the full one."""
    definition = math.definition(name, True, target.contract)
    formula = Formula(target)
    names = [v.name for v in definition.parameters]
    formula.names = {v: v.name for v in definition.parameters}
    result = formula.value(definition.result)
    limits = [(formula.value(limit.value), limit) for limit in definition.limits]
    types = dict.fromkeys(names, F32)
    build, given = define_inlined(module, f"ops_short_{name}", types)
    values = formula.emit(build, given)
    checked = [(resolved(at, values, given), limit) for at, limit in limits]
    within = build.icmp_signed("==", _beyond(build, checked), i32(0))
    short, whole = new_blocks(build, "short", "full")
    build.cbranch(within, short, whole)
    build.position_at_end(short)
    build.ret(resolved(result, values, given))
    build.position_at_end(whole)
    build.ret(build.call(full, [given[n] for n in names]))
    return build.function


def _beyond(
    build: ir.IRBuilder, limits: Sequence[tuple[ir.Value, math.Limit]]
) -> ir.Value:
    """Bits of an int32 that are set where a value is beyond its limit."""
    last = i32(0)
    for value, limit in limits:
        bound = i32(limit.bound)
        bits = build.xor(folded(build, limit, value, bound), bound)
        last = build.or_(build.lshr(bits, i32(limit.free)), last)
    return last
