"""Functions: toolchain.spec.math as LLVM IR, of one element and of an array.

A function of one element is always inlined, before loops are vectorised; a function of
an array (`arrays`, or `loops` without SIMD) is one copy for all operators that have it.
"""

from __future__ import annotations

import re
from functools import cache

from llvmlite import ir

from toolchain.lower.arrays import ArrayFunction
from toolchain.lower.expressions import Formula, resolved
from toolchain.lower.loops import array_loop
from toolchain.lower.signatures import define_inlined
from toolchain.spec import math
from toolchain.targets import Target

_CALL = re.compile(rf'@"?{math.SYMBOL}(\w+)"?\(')
_ARRAY, _SUM = "array_", "sum_"


def sources(text: str) -> list[str]:
    """Roots (see slices) of the functions that an IR text calls, of arrays too."""
    found = {re.sub(f"^{_ARRAY}({_SUM})?", "", name) for name in calls(text)}
    return [f"toolchain.spec.math:{name}" for name in sorted(found)]


@cache
def function(name: str, target: Target) -> str:
    """IR of `float ops_math_<name>(...)`, whose parameters are float or double."""
    definition = math.definition(name, fused=target.contract)
    formula, module = Formula(target), ir.Module(name)
    formula.names = {v: v.name for v in definition.parameters}
    result = formula.value(definition.result)
    types = {v.name: formula.of(v) for v in definition.parameters}
    build, parameters = define_inlined(module, f"{math.SYMBOL}{name}", types)
    values = formula.emit(build, parameters)
    build.ret(resolved(result, values, parameters))
    return str(module)


def array(name: str, target: Target) -> str:
    """IR of `i32 ops_math_array_<name>(ptr x, ptr out, i32 n, float, ...)`.

    array_sum_<name> has a pointer more, to what the results add up to: infinity, and
    no results, where an element is beyond limits that the function itself has. Made
    anew in each call, as what it asks of the target's tuning is noted then.
    """
    module, symbol = ir.Module(name), f"{math.SYMBOL}{_ARRAY}{name}"
    summed, name = name.startswith(_SUM), name.removeprefix(_SUM)
    if target.vector_bits:
        ArrayFunction(module, symbol, name, target, summed).emit()
    else:
        array_loop(module, symbol, name, target, summed)
    return str(module)


def calls(text: str) -> list[str]:
    """Names of the functions of toolchain.spec.math that IR calls."""
    return sorted(set(_CALL.findall(text)))


def used(texts: list[str], target: Target) -> list[str]:
    """IR of every function of toolchain.spec.math that texts call."""
    names = [n for n in calls("".join(texts)) if n.startswith(_ARRAY)]
    arrays = [array(n.removeprefix(_ARRAY), target) for n in names]
    single = [n for n in calls("".join([*texts, *arrays])) if not n.startswith(_ARRAY)]
    return arrays + [function(n, target) for n in single]
