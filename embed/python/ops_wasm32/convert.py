"""Conversion: Python numbers and nested lists to arrays, never changing a value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ops_wasm32.errors import ArgumentError
from ops_wasm32.tables import MAX_MEMORY

# Halfway from the largest float to the next power of two: what rounds to inf.
_OVER = {"float32": 2.0**128 - 2.0**103, "float16": 65520.0, "float64": np.inf}
_MAX_DEPTH = 32  # far more axes than a tensor may have, less than Python recurses

Array = NDArray[Any]  # of any dtype: calls decide it while they run


def compact(array: Array, dtype: str, what: str) -> Array:
    """Make a compact little-endian array. what: whose values, for the message."""
    if array.nbytes >= MAX_MEMORY:  # of a broadcast view, say: copy none of it
        raise ArgumentError(
            f"{what} has {array.nbytes} bytes; a module's memory has less than "
            f"{MAX_MEMORY}"
        )
    return np.asarray(array, dtype=np.dtype(dtype).newbyteorder("<"), order="C")


def to_array(values: object, dtype: str, what: str) -> Array:
    """Make an array of nested lists of numbers, or of an array of Python objects.

    Floats round to the nearest of dtype; any other value that dtype cannot hold is
    an ArgumentError that names it. what: whose values, for the message.
    """
    if isinstance(values, np.ndarray):
        shape, flat = values.shape, values.ravel().tolist()
    else:
        shape = _shape(values, what)
        flat = list(_flatten(values, len(shape)))
    for value in flat:
        if problem := _problem(value, dtype):
            raise ArgumentError(f"{what}: {value!r} {problem}")
    with np.errstate(over="ignore"):
        return np.array(flat, dtype).reshape(shape)


def _shape(values: object, what: str, depth: int = 0) -> tuple[int, ...]:
    if depth > _MAX_DEPTH:
        raise ArgumentError(f"{what}: its lists are nested too deeply")
    if not isinstance(values, (list, tuple)):
        return ()
    shapes = {_shape(v, what, depth + 1) for v in values}
    if len(shapes) > 1:
        raise ArgumentError(f"{what}: its rows differ in length; make them equal")
    return (len(values), *(shapes.pop() if shapes else ()))


def _flatten(values: Any, depth: int) -> Iterator[object]:
    if depth == 0:
        yield values
    else:
        for value in values:
            yield from _flatten(value, depth - 1)


def _problem(value: object, dtype: str) -> str | None:
    """Why dtype cannot hold a value, or None."""
    if dtype == "bool":
        if isinstance(value, (bool, int, float, np.bool_)) and value in (0, 1):
            return None
        return "is no bool; use true, false, 0 or 1"
    if isinstance(value, (bool, np.bool_)):
        return f"is a bool, but the dtype is {dtype}; use a number"
    if not isinstance(value, (int, float, np.integer, np.floating)):
        return "is not a number"
    if dtype in _OVER:
        size: Any = abs(value)
        over = size != np.inf and size >= _OVER[dtype]
        return f"is too large for {dtype}" if over else None
    if value != value or value in (np.inf, -np.inf) or int(value) != value:
        return f"is no whole number, but the dtype is {dtype}"
    limits = np.iinfo(dtype)
    if limits.min <= int(value) <= limits.max:
        return None
    return f"does not fit {dtype}; it holds {limits.min} to {limits.max}"
