"""ONNX functions of elements, by the functions of toolchain.spec.math."""

from __future__ import annotations

from typing import Any

import numpy as np

from toolchain.frontends.converters import (
    const,
    converter,
    dtype_of,
    polynomial,
    relax_ops,
)
from toolchain.frontends.importer import Call


@converter("Sinh", "Cosh")
def hyperbolic(c: Call) -> Any:
    """(exp(x) - exp(-x)) / 2 or the sum; near 0 sinh by its series."""
    op, x = relax_ops(), c[0]
    dtype = dtype_of(x)
    half = const(0.5, dtype)
    up = c.emit(op.exp(x))
    down = c.emit(op.divide(const(1, dtype), up))
    if c.node.op_type == "Cosh":
        return op.multiply(c.emit(op.add(up, down)), half)
    large = c.emit(op.multiply(c.emit(op.subtract(up, down)), half))
    square = c.emit(op.multiply(x, x))
    small = polynomial(c, square, (1, 1 / 6, 1 / 120, 1 / 5040, 1 / 362880))
    near = c.emit(op.less(c.emit(op.abs(x)), const(1, dtype)))
    return op.where(near, c.emit(op.multiply(x, small)), large)


@converter("Tan")
def tangent(c: Call) -> Any:
    """sin(x) / cos(x)."""
    op, x = relax_ops(), c[0]
    return op.divide(c.emit(op.sin(x)), c.emit(op.cos(x)))


def _log1p(c: Call, u: Any) -> Any:
    """log(1 + u) without loss where u is small, after Kahan."""
    op, one = relax_ops(), const(1, "float32")
    w = c.emit(op.add(u, one))
    near = c.emit(op.equal(w, one))
    rest = c.emit(op.subtract(w, one))
    rest = c.emit(op.where(near, one, rest))
    ratio = c.emit(op.divide(u, rest))
    whole = c.emit(op.multiply(c.emit(op.log(w)), ratio))
    far = c.emit(op.equal(w, const(np.inf, "float32")))
    return c.emit(op.where(near, u, c.emit(op.where(far, w, whole))))


def _arctangent(c: Call, x: Any) -> Any:
    """By reduction to |x| <= tan(pi / 8) and a polynomial. Source: Cephes, atanf."""
    op = relax_ops()
    size = c.emit(op.abs(x))
    one = const(1, "float32")
    steep = c.emit(op.greater(size, one))
    r = c.emit(op.where(steep, c.emit(op.divide(one, size)), size))
    wide = c.emit(op.greater(r, const(np.tan(np.pi / 8), "float32")))
    turned = c.emit(op.divide(c.emit(op.subtract(r, one)), c.emit(op.add(r, one))))
    r = c.emit(op.where(wide, turned, r))
    z = c.emit(op.multiply(r, r))
    series = polynomial(
        c, z, (-3.33329491539e-1, 1.99777106478e-1, -1.38776856032e-1, 8.05374449538e-2)
    )
    cubic = c.emit(op.multiply(c.emit(op.multiply(series, z)), r))
    angle = c.emit(op.add(cubic, r))
    more = c.emit(op.add(angle, const(np.pi / 4, "float32")))
    angle = c.emit(op.where(wide, more, angle))
    rest = c.emit(op.subtract(const(np.pi / 2, "float32"), angle))
    angle = c.emit(op.where(steep, rest, angle))
    below = c.emit(op.less(x, const(0, "float32")))
    return c.emit(op.where(below, c.emit(op.negative(angle)), angle))


@converter("Asin", "Acos", "Atan")
def inverse_circular(c: Call) -> Any:
    """By the arc tangent."""
    op, x, name = relax_ops(), c[0], c.node.op_type
    if name == "Atan":
        return _arctangent(c, x)
    one = const(1, "float32")
    less, more = c.emit(op.subtract(one, x)), c.emit(op.add(one, x))
    if name == "Asin":
        root = c.emit(op.sqrt(c.emit(op.multiply(less, more))))
        return _arctangent(c, c.emit(op.divide(x, root)))
    root = c.emit(op.sqrt(c.emit(op.divide(less, more))))
    return op.multiply(_arctangent(c, root), const(2, "float32"))


@converter("Asinh", "Acosh", "Atanh")
def inverse_hyperbolic(c: Call) -> Any:
    """By the logarithm of 1 + u."""
    op, x, name = relax_ops(), c[0], c.node.op_type
    one = const(1, "float32")
    if name == "Atanh":
        double = c.emit(op.add(x, x))
        u = c.emit(op.divide(double, c.emit(op.subtract(one, x))))
        return op.multiply(_log1p(c, u), const(0.5, "float32"))
    if name == "Acosh":
        t = c.emit(op.subtract(x, one))
        inside = c.emit(op.add(c.emit(op.add(t, t)), c.emit(op.multiply(t, t))))
        return _log1p(c, c.emit(op.add(t, c.emit(op.sqrt(inside)))))
    size = c.emit(op.abs(x))
    square = c.emit(op.multiply(x, x))
    root = c.emit(op.sqrt(c.emit(op.add(square, one))))
    u = c.emit(op.divide(square, c.emit(op.add(root, one))))
    found = _log1p(c, c.emit(op.add(size, u)))
    # Squares overflow from 1.8e19 on, where the 1 has long gone.
    doubled = c.emit(op.add(c.emit(op.log(size)), const(np.log(2), "float32")))
    huge = c.emit(op.greater(size, const(1e9, "float32")))
    found = c.emit(op.where(huge, doubled, found))
    below = c.emit(op.less(x, const(0, "float32")))
    return op.where(below, c.emit(op.negative(found)), found)
