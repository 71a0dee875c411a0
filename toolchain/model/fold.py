"""Fold: what depends on constants alone is computed now, by numpy.

An operation that has no function here, such as a convolution, stays in the graph with
what depends on it, and is computed in every call. Sums and functions are computed in
float64 and rounded once; additions, products and quotients have one rounding anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.model.graph import Graph, Node, Value

Array = NDArray[Any]
# From a node and its inputs to its only result; None: it is left to the call.
Function = Callable[[Node, list[Array]], Array | None]


def fold_constants(graph: Graph) -> None:
    """Replace nodes over constants by their results, and those without any element."""
    known: dict[Value, Array] = {}
    empty: dict[Value, Array] = {}
    left = []
    with np.errstate(all="ignore"):
        for node in graph.nodes:
            if not any(v.count for v in node.outputs):
                empty |= {v: np.empty(v.shape, v.dtype) for v in node.outputs}
                continue
            result = _evaluate(node, known)
            if result is None:
                left.append(node)
            else:
                known[node.output] = result
    graph.nodes = left
    known |= empty
    for value in {*graph.outputs, *(v for n in left for v in n.inputs)}:
        if value in known:
            value.data = known[value]
    graph.remove_dead()


def _evaluate(node: Node, known: dict[Value, Array]) -> Array | None:
    """The result of a node; None where it is not known now."""
    function = FUNCTIONS.get(node.op)
    if function is None:
        return None
    inputs = [v.data if v.data is not None else known.get(v) for v in node.inputs]
    if any(x is None for x in inputs):
        return None
    result = function(node, [x for x in inputs if x is not None])
    if result is None:
        return None
    assert result.shape == node.output.shape, f"{node.op}: {result.shape}"
    return np.ascontiguousarray(_cast(result, node.output.dtype)).reshape(result.shape)


def _cast(x: Array, dtype: str) -> Array:
    """Elements as another type; floats go to integers as kernels/cast.py has them."""
    kind = np.dtype(dtype)
    if x.dtype.kind != "f" or kind.kind not in "iu":
        return x.astype(kind)
    ends = np.iinfo(kind)
    inside = (x > ends.min) & (x < float(ends.max))
    cut = np.where(inside, x, 0).astype(kind)
    cut[x <= ends.min] = ends.min
    cut[x >= float(ends.max)] = ends.max
    return cut


def _wide(x: Array) -> Array:
    return x.astype("float64") if x.dtype.kind == "f" else x


def _plain(function: Callable[..., Array]) -> Function:
    """Of elements that have one rounding at most."""
    return lambda node, inputs: function(*inputs)


def _rounded(function: Callable[..., Array]) -> Function:
    """Of elements, in float64 where they are floats."""
    return lambda node, inputs: function(*map(_wide, inputs))


def _divide(node: Node, inputs: list[Array]) -> Array | None:
    """Integers towards 0; a division by 0 is left to the call."""
    a, b = inputs
    if a.dtype.kind == "f":
        return np.divide(a, b)
    if not b.all():
        return None
    rounded_down = (a % b != 0) & ((a < 0) != (b < 0))
    return np.asarray(a // b + rounded_down)


def _clip(node: Node, inputs: list[Array]) -> Array:
    low, high = node.attributes["min"], node.attributes["max"]
    return np.clip(inputs[0], low, high)


def _cast_to(node: Node, inputs: list[Array]) -> Array:
    return _cast(inputs[0], node.output.dtype)


def _reduce(function: Any) -> Function:
    """Along axes (None: all)."""

    def reduced(node: Node, inputs: list[Array]) -> Array | None:
        (x,), axes = inputs, node.attributes["axis"]
        if x.size == 0:
            return None
        axis = None if axes is None else tuple(axes)
        keep = bool(node.attributes["keepdims"])
        return np.asarray(function(_wide(x), axis=axis, keepdims=keep))

    return reduced


def _reshape(node: Node, inputs: list[Array]) -> Array:
    return inputs[0].reshape(node.output.shape)


def _permute(node: Node, inputs: list[Array]) -> Array:
    return inputs[0].transpose(node.attributes["axes"])


def _broadcast(node: Node, inputs: list[Array]) -> Array:
    return np.broadcast_to(inputs[0], node.output.shape)


def _filled(value: int) -> Function:
    return lambda node, inputs: np.full(node.output.shape, value, node.output.dtype)


def _concat(node: Node, inputs: list[Array]) -> Array:
    return np.concatenate(inputs, axis=node.attributes["axis"] or 0)


def _slice(node: Node, inputs: list[Array]) -> Array | None:
    """From begins to before ends, in steps."""
    (x,), (axes, begins, ends, *steps) = inputs, node.numbers
    where = [slice(None)] * x.ndim
    for i, axis in enumerate(axes):
        where[axis] = slice(begins[i], ends[i], steps[0][i] if steps else 1)
    found = x[tuple(where)]
    return found if found.shape == node.output.shape else None


def _take(node: Node, inputs: list[Array]) -> Array | None:
    """Elements at indices, all of which lie inside."""
    x, indices = inputs
    axis = node.attributes["axis"]
    size = x.size if axis is None else x.shape[axis]
    if indices.size and not 0 <= indices.min() <= indices.max() < size:
        return None
    return np.take(x, indices, axis)


def _matmul(node: Node, inputs: list[Array]) -> Array:
    a, b = (_wide(x) if x.dtype.kind == "f" else x.astype("int64") for x in inputs)
    return np.asarray(np.matmul(a, b))


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


FUNCTIONS: dict[str, Function] = {
    "add": _plain(np.add),
    "subtract": _plain(np.subtract),
    "multiply": _plain(np.multiply),
    "divide": _divide,
    "maximum": _plain(np.maximum),
    "minimum": _plain(np.minimum),
    "abs": _plain(np.abs),
    "negative": _plain(np.negative),
    "floor": _plain(np.floor),
    "ceil": _plain(np.ceil),
    "round": _plain(np.rint),
    "sqrt": _rounded(np.sqrt),
    "rsqrt": _rounded(lambda x: 1 / np.sqrt(x)),
    "exp": _rounded(np.exp),
    "log": _rounded(np.log),
    "tanh": _rounded(np.tanh),
    "sigmoid": _rounded(_sigmoid),
    "nn.relu": _plain(lambda x: np.maximum(x, 0)),
    "clip": _clip,
    "astype": _cast_to,
    "where": _plain(np.where),
    "equal": _plain(np.equal),
    "not_equal": _plain(np.not_equal),
    "less": _plain(np.less),
    "less_equal": _plain(np.less_equal),
    "greater": _plain(np.greater),
    "greater_equal": _plain(np.greater_equal),
    "logical_and": _plain(np.logical_and),
    "logical_or": _plain(np.logical_or),
    "logical_not": _plain(np.logical_not),
    "sum": _reduce(np.sum),
    "mean": _reduce(np.mean),
    "max": _reduce(np.max),
    "min": _reduce(np.min),
    "reshape": _reshape,
    "expand_dims": _reshape,
    "squeeze": _reshape,
    "flatten": _reshape,
    "permute_dims": _permute,
    "broadcast_to": _broadcast,
    "zeros": _filled(0),
    "ones": _filled(1),
    "zeros_like": _filled(0),
    "ones_like": _filled(1),
    "concat": _concat,
    "strided_slice": _slice,
    "take": _take,
    "matmul": _matmul,
}
