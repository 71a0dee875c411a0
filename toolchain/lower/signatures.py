"""Signatures: what functions of toolchain.spec.math take, and how limits are folded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llvmlite import ir

from toolchain.micro.builder import F32, I32, PTR, declared, entry_builder
from toolchain.spec import math


def define_inlined(
    module: ir.Module, symbol: str, types: Mapping[str, ir.Type]
) -> tuple[ir.IRBuilder, dict[str, ir.Value]]:
    """`float <symbol>(...)`, always inlined: its builder and its parameters.

    types: of parameters, by their names.
    """
    function = ir.Function(module, ir.FunctionType(F32, types.values()), symbol)
    function.linkage = "linkonce_odr hidden"
    function.attributes.add("alwaysinline")
    function.attributes.add("nounwind")
    return entry_builder(function), _named(function, [*types])


def define_array(
    module: ir.Module, symbol: str, scalars: Sequence[str], summed: bool
) -> tuple[ir.IRBuilder, dict[str, ir.Value]]:
    """`i32 <symbol>(ptr x, ptr out, i32 n, float, ..., ptr total)`, as define_inlined.

    summed: whether there is a total.
    """
    types = [PTR, PTR, I32, *[F32] * len(scalars), *[PTR] * summed]
    function = ir.Function(module, ir.FunctionType(I32, types), symbol)
    function.linkage = "linkonce_odr hidden"
    function.attributes.add("noinline")
    function.attributes.add("nounwind")
    for pointer in function.args[:2]:
        pointer.add_attribute("noalias")
    names = ["from_x", "to_out", "n", *scalars, *["to_total"] * summed]
    return entry_builder(function), _named(function, names)


def _named(function: ir.Function, names: Sequence[str]) -> dict[str, ir.Value]:
    for argument, name in zip(function.args, names, strict=True):
        argument.name = name
    return dict(zip(names, function.args, strict=True))


def folded(
    build: ir.IRBuilder, limit: math.Limit, a: ir.Value, b: ir.Value
) -> ir.Value:
    """The fold of two int32, or of vectors of them."""
    if limit.fold == "or":
        return build.or_(a, b)
    if limit.fold == "and":
        return build.and_(a, b)
    kind = "i32" if a.type == I32 else "v4i32"
    name = f"llvm.{limit.fold}.{kind}"
    return build.call(declared(build.module, name, a.type, [a.type] * 2), [a, b])
