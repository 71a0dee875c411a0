"""ONNX operators that kernels/ has, as calls of those."""

from __future__ import annotations

from typing import Any

import numpy as np

from toolchain.frontends.converters import const, converter, dtype_of, relax_ops
from toolchain.frontends.importer import Call
from toolchain.frontends.library import has, library_call
from toolchain.spec import SpecError

# Of elements, with one input: our name and the attributes that both have.
_UNARY: dict[str, tuple[str, tuple[str, ...]]] = {
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


@converter("ArgMax", "ArgMin")
def position(c: Call) -> Any:
    """The place of the largest or smallest along an axis."""
    name = {"ArgMax": "arg_max", "ArgMin": "arg_min"}[c.node.op_type]
    x, shape = c[0], list(c.shape(0))
    axis = c.get("axis", 0) % len(shape)
    if not shape[axis]:
        raise SpecError("looks along an axis of size 0; it has no first element")
    if not has(name, dtype_of(x)):
        return c.importer.by_tvm(c)
    sizes = shape[:axis] + ([1] if c.get("keepdims", 1) else []) + shape[axis + 1 :]
    last = c.get("select_last_index", 0)
    return library_call(name, [x], sizes, "int64", axis=axis, select_last_index=last)


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
    if not has("rms_normalization", dtype_of(x)) or dtype_of(scale) != dtype_of(x):
        return c.importer.by_tvm(c)
    given = {"axis": axis, "epsilon": c.get("epsilon", 1e-5)}
    row = shape[axis:]
    if c.shape(1) == row:
        return library_call("rms_normalization", [x, scale], shape, "float32", **given)
    ones = const(np.ones(row), "float32")
    found = library_call("rms_normalization", [x, ones], shape, "float32", **given)
    return op.multiply(c.emit(found), scale)
