"""Converters: ONNX operators in Relax, where TVM's importer falls short.

Each takes a Call (see importer.py) and gives a Relax expression, numpy, or a list of
them. The files onnx_*.py hold them.
Source: ONNX operators as of opset 23.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.frontends.importer import Array, Call
from toolchain.frontends.library import has, library_call

Converter = Callable[[Call], Any]
CONVERTERS: dict[tuple[str, str], Converter] = {}


@cache
def converters() -> Mapping[tuple[str, str], Converter]:
    """All converters, by domain and operator."""
    for file in sorted(Path(__file__).parent.glob("onnx_*.py")):
        import_module(f"{__package__}.{file.stem}")
    return CONVERTERS


def converter(*names: str, domain: str = "") -> Callable[[Converter], Converter]:
    """Register a converter for operators of a domain."""

    def register(function: Converter) -> Converter:
        CONVERTERS.update({(domain, name): function for name in names})
        return function

    return register


def relax_ops() -> Any:
    """Relax's operators."""
    from tvm import relax

    return relax.op


def const(value: Any, dtype: Any) -> Any:
    """A constant of a dtype."""
    from tvm import relax

    return relax.const(np.asarray(value, str(dtype)), str(dtype))


def dtype_of(x: Any) -> str:
    """The dtype of a Relax expression."""
    return str(x.ty.dtype)


def sizes_of(x: Any) -> tuple[int, ...]:
    """Its sizes."""
    return tuple(int(n) for n in x.ty.shape)


def constant_of(value: Any) -> Array | None:
    """A value's elements, where they are known."""
    return value if isinstance(value, np.ndarray) else None


def polynomial(c: Call, x: Any, coefficients: Sequence[float]) -> Any:
    """Horner's rule, from the constant on."""
    op, dtype = relax_ops(), dtype_of(x)
    total = const(coefficients[-1], dtype)
    for k in coefficients[-2::-1]:
        total = c.emit(op.add(c.emit(op.multiply(total, x)), const(k, dtype)))
    return total


Emit = Callable[[Any], Any]


def elu_of(emit: Emit, x: Any, alpha: float) -> Any:
    """Alpha (exp(x) - 1) below 0; by the library where it has the dtype."""
    op, dtype = relax_ops(), dtype_of(x)
    if has("elu", dtype):
        return emit(library_call("elu", [x], sizes_of(x), dtype, alpha=alpha))
    zero = const(0, dtype)
    power = emit(op.exp(emit(op.minimum(x, zero))))
    less = emit(op.subtract(power, const(1, dtype)))
    below = emit(op.multiply(less, const(alpha, dtype)))
    return emit(op.where(emit(op.less(x, zero)), below, x))


def celu_of(emit: Emit, x: Any, alpha: float) -> Any:
    """Alpha (exp(x / alpha) - 1) below 0."""
    op, dtype = relax_ops(), dtype_of(x)
    factor = const(alpha, dtype)
    inner = elu_of(emit, emit(op.divide(x, factor)), 1.0)
    below = emit(op.less(x, const(0, dtype)))
    return emit(op.where(below, emit(op.multiply(inner, factor)), x))


def softplus_of(emit: Emit, x: Any) -> Any:
    """log(1 + exp(x)), which overflows nowhere; by the library as elu_of."""
    op, dtype = relax_ops(), dtype_of(x)
    if has("softplus", dtype):
        return emit(library_call("softplus", [x], sizes_of(x), dtype))
    power = emit(op.exp(emit(op.negative(emit(op.abs(x))))))
    rest = emit(op.log(emit(op.add(power, const(1, dtype)))))
    return emit(op.add(emit(op.maximum(x, const(0, dtype))), rest))


def power_of(emit: Emit, x: Any, exponent: Any) -> Any:
    """X to an exponent of any dtype, as x's dtype.

    Integers multiply and wrap, in int64 where the exponent's dtype has larger numbers;
    floats are powers as float32 has them, in float64 where the exponent's dtype has
    numbers that theirs has not. An integer's power by a float that is whole is one by
    an integer, others are cut.
    """
    op, dtype, by = relax_ops(), dtype_of(x), dtype_of(exponent)
    if dtype.startswith("float"):
        kind = dtype if np.can_cast(by, dtype) else "float64"
        base, count = (emit(op.astype(v, kind)) for v in (x, exponent))
        return emit(op.astype(emit(op.power(base, count)), dtype))
    if by.startswith("float"):
        whole = emit(op.floor(exponent))
        exact = power_of(emit, x, emit(cast_to(emit, whole, "int64")))
        real = emit(op.power(emit(op.astype(x, "float32")), _narrow(emit, exponent)))
        cut = emit(cast_to(emit, real, dtype))
        return emit(op.where(emit(op.equal(whole, exponent)), exact, cut))
    short = has("pow", dtype) and np.can_cast(by, dtype)
    kind = dtype if short else "int64"
    count = _cycled(emit, exponent) if by == "uint64" else exponent
    wide, count = (emit(op.astype(v, kind)) for v in (x, count))
    return emit(op.astype(emit(op.power(wide, count)), dtype))


def _narrow(emit: Emit, x: Any) -> Any:
    return emit(relax_ops().astype(x, "float32"))


def _cycled(emit: Emit, count: Any) -> Any:
    """An exponent of 2^63 or more, which int64 does not have, as a smaller one.

    Powers of odd numbers repeat every 2^62, of even ones all from the 64th on are 0.
    """
    op, half = relax_ops(), const(2**62, "uint64")
    rest = emit(op.bitwise_and(count, const(2**62 - 1, "uint64")))
    small = emit(op.bitwise_or(rest, half))
    return emit(op.where(emit(op.less(count, half)), count, small))


def cast_to(emit: Emit, x: Any, to: str) -> Any:
    """A tensor as another dtype; floats to integers saturate, and NaN gives 0."""
    op, dtype = relax_ops(), dtype_of(x)
    exact = not dtype.startswith("float") or to.startswith("float")
    if exact or has("cast", dtype, to):
        return op.astype(x, to)
    if to == "bool":  # NaN is not 0, which TVM says of x != 0
        none = emit(op.equal(x, const(0, dtype)))
        return op.astype(emit(op.where(none, const(0, "int8"), const(1, "int8"))), to)
    ends = np.iinfo(to)
    # The last float that is no larger than the largest integer.
    last = np.dtype(dtype).type(ends.max)
    if int(last) > ends.max:
        last = np.nextafter(last, np.dtype(dtype).type(0))
    number = emit(op.where(emit(op.isnan(x)), const(0, dtype), x))
    below = emit(op.minimum(number, const(last, dtype)))
    inside = emit(op.maximum(below, const(ends.min, dtype)))
    whole = emit(op.astype(inside, to))
    past = emit(op.greater(x, const(last, dtype)))
    return op.where(past, const(ends.max, to), whole)
