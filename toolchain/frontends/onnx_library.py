"""ONNX operators that kernels/ has, as calls of those."""

from __future__ import annotations

from typing import Any

from toolchain.frontends.converters import converter, dtype_of, relax_ops
from toolchain.frontends.importer import Call
from toolchain.frontends.library import has, library_call

# Of elements, with one input: our name and the attributes that both have.
_UNARY: dict[str, tuple[str, tuple[str, ...]]] = {
    "Elu": ("elu", ("alpha",)),
    "HardSigmoid": ("hard_sigmoid", ("alpha", "beta")),
    "HardSwish": ("hard_swish", ()),
    "Softplus": ("softplus", ()),
}


@converter(*_UNARY)
def unary(c: Call) -> Any:
    """By the library's formula; other dtypes by TVM."""
    name, known = _UNARY[c.node.op_type]
    x = c[0]
    if not has(name, dtype_of(x)):
        return c.importer.by_tvm(c)
    given = {n: c.get(n) for n in known if c.get(n) is not None}
    return library_call(name, [x], c.shape(0), dtype_of(x), **given)
