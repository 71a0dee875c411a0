"""ONNX operators that kernels/ has, as calls of its operators."""

from __future__ import annotations

from typing import Any

import numpy as np

from toolchain.frontends.converters import (
    const,
    converter,
    dtype_of,
    relax_ops,
    softplus_of,
)
from toolchain.frontends.importer import Call
from toolchain.frontends.library import has, library_call
from toolchain.spec import SpecError

# Of elements, with one input: our name and the attributes that both have.
_UNARY: dict[str, tuple[str, tuple[str, ...]]] = {
    "HardSigmoid": ("hard_sigmoid", ("alpha", "beta")),
    "HardSwish": ("hard_swish", ()),
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


@converter("Softplus")
def softplus(c: Call) -> Any:
    """log(1 + exp(X))."""
    return softplus_of(c.emit, c[0])


@converter("ArgMax", "ArgMin")
def position(c: Call) -> Any:
    """The place of the largest or smallest along an axis."""
    name = {"ArgMax": "arg_max", "ArgMin": "arg_min"}[c.node.op_type]
    x, shape = c[0], list(c.shape(0))
    axis = c.get("axis", 0) % len(shape)
    if not shape[axis]:
        raise SpecError("looks along an axis of size 0; it has no first element")
    if not has(name, dtype_of(x)):
        name, x = "arg_max", _marked(c, name, x, axis)
    sizes = shape[:axis] + ([1] if c.get("keepdims", 1) else []) + shape[axis + 1 :]
    last = c.get("select_last_index", 0)
    return library_call(name, [x], sizes, "int64", axis=axis, select_last_index=last)


def _marked(c: Call, name: str, x: Any, axis: int) -> Any:
    """1 where an element is its row's largest or smallest, or NaN; of any dtype."""
    op = relax_ops()
    fold = op.max if name == "arg_max" else op.min
    hit = c.emit(op.equal(x, c.emit(fold(x, axis, keepdims=True))))
    if dtype_of(x).startswith("float"):
        hit = c.emit(op.logical_or(hit, c.emit(op.isnan(x))))
    return c.emit(op.astype(hit, "int8"))


@converter("ReduceMax", "ReduceMin")
def extreme(c: Call) -> Any:
    """TVM's; of bool as bytes, whose largest of none is 0 and whose least is not."""
    c.constant(1, "axes")
    if dtype_of(c[0]) != "bool":
        return c.importer.by_tvm(c)
    op = relax_ops()
    c.inputs[0] = c.emit(op.astype(c[0], "uint8"))
    return op.astype(c.emit(c.importer.by_tvm(c)), "bool")


@converter("ReduceL2")
def norm(c: Call) -> Any:
    """The root of the sum of squares."""
    x, shape = c[0], c.shape(0)
    if not has("reduce_l2", dtype_of(x)):
        return c.importer.by_tvm(c)
    axes = c.constant(1, "axes") if len(c.inputs) > 1 else c.get("axes")
    axes = [] if axes is None else [int(a) % len(shape) for a in axes]
    none = c.get("noop_with_empty_axes", 0)
    gone = set(axes) if axes or none else set(range(len(shape)))
    kept = c.get("keepdims", 1)
    sizes = [
        1 if i in gone else n for i, n in enumerate(shape) if kept or i not in gone
    ]
    given = {"axes": axes, "noop_with_empty_axes": none}
    return library_call("reduce_l2", [x], sizes, dtype_of(x), **given)


@converter("RMSNormalization")
def rms_normalization(c: Call) -> Any:
    """Rows over their root mean square; a broadcast scale is multiplied apart."""
    op, x, scale, shape = relax_ops(), c[0], c[1], c.shape(0)
    axis = c.get("axis", -1) % max(len(shape), 1)
    epsilon, dtype = c.get("epsilon", 1e-5), dtype_of(x)
    if not has("rms_normalization", dtype) or dtype_of(scale) != dtype:
        axes = list(range(axis, len(shape)))
        square = c.emit(op.mean(c.emit(op.multiply(x, x)), axes, keepdims=True))
        return op.multiply(_scaled(c, x, square, epsilon)[0], scale)
    given = {"axis": axis, "epsilon": epsilon}
    row = shape[axis:]
    if c.shape(1) == row:
        return library_call("rms_normalization", [x, scale], shape, dtype, **given)
    ones = const(np.ones(row), dtype)
    found = library_call("rms_normalization", [x, ones], shape, dtype, **given)
    return op.multiply(c.emit(found), scale)


def _scaled(c: Call, x: Any, square: Any, epsilon: float) -> tuple[Any, Any]:
    """X / sqrt(square + epsilon), and the factor."""
    op, dtype = relax_ops(), dtype_of(x)
    root = c.emit(op.sqrt(c.emit(op.add(square, const(epsilon, dtype)))))
    inverse = c.emit(op.divide(const(1, dtype), root))
    return c.emit(op.multiply(x, inverse)), inverse


@converter("LayerNormalization")
def layer_normalization(c: Call) -> Any:
    """Relax's for float32 alone; else, and for the statistics too, step by step."""
    op, x, scale, shape = relax_ops(), c[0], c[1], c.shape(0)
    if dtype_of(x) == "float32" and not any(c.node.output[1:]):
        return c.importer.by_tvm(c).fields[0]
    axes = list(range(c.get("axis", -1) % len(shape), len(shape)))
    mean = c.emit(op.mean(x, axes, keepdims=True))
    centred = c.emit(op.subtract(x, mean))
    square = c.emit(op.mean(c.emit(op.multiply(centred, centred)), axes, keepdims=True))
    normal, inverse = _scaled(c, centred, square, c.get("epsilon", 1e-5))
    result = c.emit(op.multiply(normal, scale))
    if c[2] is not None:
        result = c.emit(op.add(result, c[2]))
    return [result, mean, inverse]


@converter("Gemm")
def gemm(c: Call) -> Any:
    """The library's; a product with weights by TVM, for those are packed."""
    dtype = dtype_of(c[0])
    if not has("gemm", dtype) or c.is_weight(1):
        return c.importer.by_tvm(c)
    rows = c.shape(0)[1 if c.get("transA", 0) else 0]
    columns = c.shape(1)[0 if c.get("transB", 0) else 1]
    given = {n: c.get(n) for n in _GEMM if c.get(n) is not None}
    inputs = [c[0], c[1], const(0, dtype) if c[2] is None else c[2]]
    return library_call("gemm", inputs, (rows, columns), dtype, **given)


_GEMM = ("alpha", "beta", "transA", "transB")
