"""Rules of products of matrices."""

from __future__ import annotations

from typing import Any

from toolchain.frontends.nodes.rules import Call, rule
from toolchain.frontends.nodes.shapes import rank_of
from toolchain.graph.graph import Value
from toolchain.graph.operators import variant_of


@rule("MatMul")
def matmul(c: Call) -> Value:
    """The matmul of numpy."""
    return product(c, c[0], c[1])


def product(c: Call, a: Value, b: Value) -> Value:
    """A product by the library, or where it has not the dtype, a sum of products."""
    if variant_of("matmul", [a.dtype, b.dtype]) is not None:
        return c.call("matmul", a, b)
    if a.dtype == "uint8":
        wide = c.call("matmul", c.cast(a, "int32"), c.cast(b, "int32"))
        return c.cast(wide, a.dtype)
    ranks = rank_of(a), rank_of(b)
    rows = a if ranks[0] > 1 else c.builder.unsqueeze(a, [0])
    columns = b if ranks[1] > 1 else c.builder.unsqueeze(b, [1])
    pairs = c.call(
        "mul", c.builder.unsqueeze(rows, [-1]), c.builder.unsqueeze(columns, [-3])
    )
    found = c.call("reduce_sum", pairs, axes=[-2], keepdims=0)
    gone = [-2] * (ranks[0] == 1) + [-1] * (ranks[1] == 1)
    return c.builder.squeeze(found, gone) if gone else found


@rule("Gemm")
def gemm(c: Call) -> Value:
    """Give alpha a b + beta c."""
    a, b, addend = c[0], c[1], c.optional(2)
    turned: dict[str, Any] = {n: c.get(n, 0) for n in ("transA", "transB")}
    factors: dict[str, Any] = {n: c.get(n, 1.0) for n in ("alpha", "beta")}
    if a.dtype == "float32":
        return c.call("gemm", a, b, addend, **turned, **factors)
    a = c.call("transpose", a, perm=[1, 0]) if turned["transA"] else a
    b = c.call("transpose", b, perm=[1, 0]) if turned["transB"] else b
    found = _times(c, product(c, a, b), factors["alpha"])
    if addend is None:
        return found
    return c.call("add", found, _times(c, addend, factors["beta"]))


def _times(c: Call, x: Value, factor: float) -> Value:
    if factor == 1:
        return x
    if x.dtype == "float64":
        return c.call("mul", x, factor)
    real = c.call("mul", c.cast(x, "float32"), factor)
    return c.cast(real, x.dtype)
