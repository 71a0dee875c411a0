"""Views: what the graph's own operations on shapes give, in numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.graph.graph import FLATTEN, RESHAPE, SHAPE, SQUEEZE, UNSQUEEZE
from toolchain.spec import SpecError


def shape_part(shape: Sequence[Any], attributes: Mapping[str, Any]) -> Sequence[Any]:
    """The sizes that graph.shape gives: those from start to end, as ONNX's Shape."""
    return shape[slice(attributes.get("start", 0), attributes.get("end"))]


def viewed(op: str, x: NDArray[Any], attributes: Mapping[str, Any]) -> NDArray[Any]:
    """The result of graph.shape or of a view. attributes: numbers by name.

    Errors: SpecError where the shape does not take the elements or has no such axis.
    """
    try:
        return _OPERATIONS[op](x, attributes)
    except ValueError as error:
        raise SpecError(f"{op}: {error}; x has shape {list(x.shape)}") from None


def _shape(x: NDArray[Any], attributes: Mapping[str, Any]) -> NDArray[Any]:
    return np.array(shape_part(x.shape, attributes), "int64")


def _reshaped(x: NDArray[Any], attributes: Mapping[str, Any]) -> NDArray[Any]:
    wanted = [int(n) for n in attributes["shape"]]
    if not attributes.get("allowzero", 0):
        wanted = [x.shape[i] if n == 0 else n for i, n in enumerate(wanted)]
    if wanted.count(-1) == 1 and 0 not in wanted:
        wanted[wanted.index(-1)] = x.size // prod(n for n in wanted if n != -1)
    return x.reshape(wanted)


def _squeezed(x: NDArray[Any], attributes: Mapping[str, Any]) -> NDArray[Any]:
    axes = tuple(int(a) for a in attributes.get("axes") or ())
    return np.squeeze(x, axes or None)


def _unsqueezed(x: NDArray[Any], attributes: Mapping[str, Any]) -> NDArray[Any]:
    return np.expand_dims(x, tuple(int(a) for a in attributes["axes"]))


def _flat(x: NDArray[Any], attributes: Mapping[str, Any]) -> NDArray[Any]:
    axis = int(attributes["axis"])
    axis += x.ndim if axis < 0 else 0
    return x.reshape(prod(x.shape[:axis]), prod(x.shape[axis:]))


_OPERATIONS = {
    SHAPE: _shape,
    RESHAPE: _reshaped,
    SQUEEZE: _squeezed,
    UNSQUEEZE: _unsqueezed,
    FLATTEN: _flat,
}
