"""Rules of operators that draw numbers, by the generator of operators/random.h."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from toolchain.frontends.nodes.elements import filled
from toolchain.frontends.nodes.rules import (
    Call,
    dtype_of_number,
    inner,
    plain_numbers,
    rule,
)
from toolchain.graph.graph import Value

_LIMITS = {
    "uniform": {"low": 0.0, "high": 1.0},
    "normal": {"mean": 0.0, "scale": 1.0},
}


def drawn(c: Call, like: Value, kind: str, **given: float) -> Value:
    """Random float32 in the shape of a value, by the node's seed."""
    shape: Any = plain_numbers(c.builder.shape_of(like))
    limits = {n: float(given.get(n, v)) for n, v in _LIMITS[kind].items()}
    seed = int(c.get("seed", 0) or 0)
    return c.call(
        f"random_{kind}", dtypes=("float32",), shape=shape, seed=seed, **limits
    )


@rule("RandomUniformLike", "RandomNormalLike")
def like(c: Call) -> Value:
    """Random numbers in the shape of x."""
    kind = "uniform" if "Uniform" in c.name else "normal"
    found = drawn(c, c[0], kind, **{n: c.get(n) for n in _LIMITS[kind]})
    number = c.get("dtype")
    return c.cast(found, inner(dtype_of_number(number)) if number else c[0].dtype)


@rule("Bernoulli")
def bernoulli(c: Call) -> Value:
    """1 with the probability of x, else 0."""
    number, seed = c.get("dtype"), int(c.get("seed", 0) or 0)
    to = inner(dtype_of_number(number)) if number else c[0].dtype
    own = "float32" if to == "float64" else to
    x = c.cast(c[0], "float32")
    return c.cast(c.call("bernoulli", x, dtypes=("float32", own), seed=seed), to)


@rule("Dropout")
def dropout(c: Call) -> Sequence[Value | None]:
    """In training x without some elements, and the others larger; which they are."""
    x, training = c[0], c.setting(2, default=0)
    ratio = c.setting(1, default=0.5) if c.opset >= 12 else 0
    if training == 0 or ratio == 0:
        if not c.wants(1):
            return [x]
        dtype = "bool" if c.opset >= 10 else x.dtype
        shape = plain_numbers(c.builder.shape_of(x))
        return [x, filled(c, c.constant(1, dtype), shape)]
    share = c.cast(ratio, x.dtype) if isinstance(ratio, Value) else ratio
    limit = c.cast(ratio, "float32") if isinstance(ratio, Value) else float(ratio)
    kept = c.call("greater_or_equal", drawn(c, x, "uniform"), limit)
    if isinstance(training, Value):
        kept = c.call("logical_or", kept, c.call("logical_not", training))
        one = c.constant(1, x.dtype)
        rest = c.call("where", training, c.call("sub", one, share), one)
    else:
        rest = c.call("sub", c.constant(1, x.dtype), share)
    zero = c.constant(0, x.dtype)
    # Where all are dropped, what is divided by 0 is not taken.
    found = c.call("where", kept, c.call("div", x, rest), zero)
    return [found, c.cast(kept, "bool")]
