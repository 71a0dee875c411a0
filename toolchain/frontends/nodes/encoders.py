"""Rules of ai.onnx.ml's encoders of numbers: tables, and columns for categories."""

from __future__ import annotations

from typing import Any

import numpy as np

from toolchain.frontends.load import array
from toolchain.frontends.nodes.learning import ML
from toolchain.frontends.nodes.rules import Call, rule
from toolchain.graph.graph import Value
from toolchain.spec import SpecError

_KINDS = {"int64s": "int64", "floats": "float32"}


def _refused(c: Call, what: str) -> SpecError:
    return SpecError(
        f"has texts for {what}, which no tensor of a module holds; encode them before "
        f"the model, and leave {c.name} out"
    )


def _side(c: Call, name: str) -> tuple[Any, str]:
    """Keys or values, and their dtype. Errors: SpecError for texts."""
    for suffix, dtype in _KINDS.items():
        if found := c.get(f"{name}_{suffix}"):
            return found, dtype
    tensor = c.attributes.get(f"{name}_tensor")
    data = None if tensor is None else array(tensor)
    if data is None or data.dtype.kind not in "if":
        raise _refused(c, name)
    return data.tolist(), str(data.dtype)


def _default(c: Call, dtype: str) -> float:
    tensor = c.attributes.get("default_tensor")
    if tensor is not None:
        return float(array(tensor).ravel()[0])
    if dtype == "float32":
        return float(c.get("default_float", -0.0))
    return int(c.get("default_int64", -1))


@rule("LabelEncoder", domain=ML)
def label_encoder(c: Call) -> Value:
    """The value of each key, or the default."""
    (keys, _), (values, dtype) = _side(c, "keys"), _side(c, "values")
    some, place = _places(c, _hits(c, c[0], keys, nan=c.opset >= 4))
    found = c.call("gather", c.constant(values, dtype), place, axis=0)
    return c.call("where", some, found, c.constant(_default(c, dtype), dtype))


def _places(c: Call, hit: Value) -> tuple[Value, Value]:
    """Whether any is true along the last axis, and the first that is."""
    ones = c.cast(hit, "int8")
    some = c.cast(c.call("reduce_max", ones, axes=[-1], keepdims=0), "bool")
    return some, c.call("arg_max", ones, axis=-1, keepdims=0)


def _hits(c: Call, x: Value, keys: Any, nan: bool = False) -> Value:
    """Which of some keys each element is, along a new last axis. nan: NaN is NaN."""
    if x.dtype not in ("float32", "float64", "int32", "int64"):
        x = c.cast(x, "int64")
    wide = c.builder.unsqueeze(x, [-1])
    hit = c.call("equal", wide, c.constant(keys, x.dtype))
    if nan and x.dtype.startswith("float") and np.isnan(keys).any():
        same = c.call("logical_not", c.call("equal", wide, wide))
        missing = c.constant(np.isnan(keys), "bool")
        hit = c.call("logical_or", hit, c.call("logical_and", same, missing))
    return hit


@rule("OneHotEncoder", domain=ML)
def one_hot_encoder(c: Call) -> Value:
    """A column for each category, 1 where x is it; zeros, or an error, for others."""
    categories = c.get("cats_int64s")
    if not categories:
        raise _refused(c, "categories")
    hit = _hits(c, c[0], categories)
    if c.get("zeros", 1):
        return c.cast(hit, "float32")
    some, place = _places(c, hit)
    place = c.call("where", some, place, c.constant(len(categories), "int64"))
    rows = c.constant(np.eye(len(categories)), "float32")
    return c.call("gather_nd", rows, c.builder.unsqueeze(place, [-1]))
