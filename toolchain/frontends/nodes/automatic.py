"""Automatic: ONNX operators that an operator of the library has the name of.

Inputs that the library has as attributes, such as axes, become those.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from toolchain.frontends.nodes.rules import NARROW, Call, dtypes_of, has, plain_numbers
from toolchain.frontends.standard import schema_of
from toolchain.graph.graph import Attribute, Value
from toolchain.graph.operators import operator, variant_of
from toolchain.spec import Operator, SpecError

# Where words of a name are not told apart by capitals.
_NAMES = {
    "Col2Im": "col2im",
    "IsNaN": "is_nan",
    "MatMul": "matmul",
    "MatMulInteger": "matmul_integer",
}


@cache
def library_name(name: str) -> str:
    """An operator's name in the library: arg_max for ArgMax."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z\d]*", name)
    return _NAMES.get(name, "_".join(words).lower())


def is_automatic(call: Call) -> bool:
    """Whether the library has an operator that takes the node as it is."""
    name = library_name(call.name)
    if call.domain or not has(name):
        return False
    return _variant(call, name) is not None


def automatic(call: Call) -> list[Value | None]:
    """Results of the operator of the same name."""
    name = library_name(call.name)
    tensors, attributes = _sorted(call, operator(name))
    outputs = operator(name).outputs
    if len(outputs) == 1 and not outputs[0].variadic:
        return [call.exact(name, *tensors, **attributes)]
    count = len(call.node.output) if outputs[0].variadic else len(outputs)
    calls = call.builder.calls
    return [*calls(name, *tensors, dtypes=None, outputs=count, **attributes)]


def _variant(call: Call, name: str) -> tuple[str, ...] | None:
    tensors, _ = _sorted(call, operator(name))
    dtypes = dtypes_of(tensors)
    found = variant_of(name, dtypes)
    if found is None and all(d in NARROW for d in dtypes if d):
        return variant_of(name, [None if d is None else "int32" for d in dtypes])
    return found


def _sorted(
    call: Call, found: Operator
) -> tuple[list[Value | None], dict[str, Attribute]]:
    """Inputs that stay tensors, and attributes: the node's, and other inputs."""
    known = {a.name: a for a in found.attributes}
    attributes: dict[str, Any] = {
        n: v for n in known if (v := call.get(n)) is not None and v != []
    }
    names, tensors = _inputs(call), list[Value | None]()
    for i, value in enumerate(call.inputs):
        name = names[min(i, len(names) - 1)]
        lower = name if name in known else name.lower()
        if lower not in known or name in {t.name for t in found.inputs}:
            tensors.append(value)
        elif value is not None:
            attributes[lower] = plain_numbers(value)
    for n, v in attributes.items():
        if known[n].per_unit and isinstance(v, int | float):
            attributes[n] = [v]
        elif not known[n].per_unit and isinstance(v, list) and len(v) == 1:
            attributes[n] = v[0]  # a number, as the standard has it
        elif known[n].kind == "int" and isinstance(
            v, float
        ):  # the seed of random numbers
            attributes[n] = int(v)
    while tensors and tensors[-1] is None:
        tensors.pop()
    _check_choices(found, attributes)
    return tensors, attributes


def _inputs(call: Call) -> list[str]:
    """Names of the inputs, as the standard has them."""
    schema = schema_of(call.name, call.domain, call.opset)
    names = [str(i.name) for i in schema.inputs] if schema is not None else []
    return names or [""]


def _check_choices(found: Operator, attributes: dict[str, Any]) -> None:
    for a in found.attributes:
        value = attributes.get(a.name)
        if a.choices and isinstance(value, str) and value not in a.choices:
            raise SpecError(
                f"has {a.name} {value!r}; use {' or '.join(map(repr, a.choices))}"
            )
