"""References: what an operator's file gives for arrays, by its numpy function."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from types import FunctionType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.graph.graph import PREFIX, Attribute, Node, Value
from toolchain.graph.operators import operator
from toolchain.spec import Operator

# Elements that are computed while building: more would only make the module larger.
FOLDED = 1 << 20


def folded(node: Node) -> list[Value] | None:
    """Constants in place of the outputs, where all inputs are constants."""
    if any(v.data is None for v in node.reads()):
        return None
    arrays = [None if v is None else v.data for v in node.inputs]
    if not arrays or node.op.startswith(PREFIX):
        return None
    if sum(a.size for a in arrays if a is not None) > FOLDED:
        return None
    results = computed(node, arrays)
    if sum(r.size for r in results) > FOLDED:
        return None
    pairs = zip(node.outputs, results, strict=True)
    return [Value.constant(v.name, r) for v, r in pairs]


def computed(node: Node, arrays: Sequence[NDArray[Any] | None]) -> list[NDArray[Any]]:
    """What an operator gives for arrays: its file's reference, rounded once."""
    return [
        np.asarray(r).astype(v.dtype)
        for r, v in zip(referred(node, arrays), node.outputs, strict=False)
    ]


def referred(node: Node, arrays: Sequence[NDArray[Any] | None]) -> list[Any]:
    """What the reference gives, floats in float64. arrays: may hold objects."""
    found = operator(node.op)
    given = _attributes(found, node)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # "Mean of empty slice"
        wide = [
            a.astype("float64") if a is not None and a.dtype.kind == "f" else a
            for a in arrays
        ]
        result = found.reference(*wide, **given)
    return list(result) if isinstance(result, (list, tuple)) else [result]


def _attributes(found: Operator, node: Node) -> dict[str, Any]:
    """What a reference takes by name: attributes, with defaults, and what it asks."""
    given: dict[str, Any] = {}
    for a in found.attributes:
        if not a.per_unit and a.default is not None:
            given[a.name] = a.choices[int(a.default)] if a.choices else a.default
    given |= {n: number_of(v) for n, v in node.attributes.items()}
    for a in found.attributes:
        if not a.per_unit and isinstance(given.get(a.name), list):
            (given[a.name],) = given[a.name]  # a tensor of one element
    if not isinstance(found.reference, FunctionType):
        return given  # a function of numpy has no signature
    asked = inspect.signature(found.reference).parameters
    if "dtypes" in asked:
        given["dtypes"] = node.dtypes
    if "num_outputs" in asked:
        given["num_outputs"] = len(node.outputs)
    return given


def number_of(value: Attribute) -> Any:
    """An attribute as numbers, where it is a constant."""
    return (
        value.data.tolist()
        if isinstance(value, Value) and value.data is not None
        else value
    )
