"""Standard: what ONNX says of one node, by its schemas.

Each node is checked when it is converted, where the shapes of all its inputs and the
elements of the constant ones are known: so what contradicts is found, however it was
computed, and named with its node. Operators without a schema pass.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from functools import cache
from math import prod
from typing import Any

import numpy as np

from toolchain.process.confined import short
from toolchain.spec import SpecError

RANK = 8  # of a tensor, at most: the runtime's
BYTES = 1 << 31  # of a tensor, less than this: the runtime's
_SMALL = 1 << 12  # elements of a constant that a shape may depend on

_PREFIX = re.compile(r"^(\[\w+\] *)+")  # of ONNX's words: the kind of error
# An input: its TypeProto, and its elements where they are constant; None: absent.
Given = tuple[Any, Any] | None
# What a node makes: shapes (None: unknown rank; inside, None: unknown size) and dtypes.
Kinds = list[tuple[tuple[int | None, ...] | None, str]]
# The same with sizes that have names.
NamedKinds = list[tuple[tuple[int | str | None, ...] | None, str]]


def schema_of(name: str, domain: str, opset: int) -> Any:
    """An operator's schema; None where the standard has none.

    Where it is newer than the opset, its first version: ONNX Runtime's optimiser
    writes such files, and runs them.
    """
    return _schema(name, domain, opset)


@cache
def _schema(name: str, domain: str, opset: int) -> Any:
    from onnx import defs

    try:
        return defs.get_schema(name, opset, domain)
    except defs.SchemaError:
        found = [
            s
            for s in _history().get((domain, name), [])
            if s.since_version > opset and not s.deprecated
        ]
        return min(found, key=lambda s: int(s.since_version), default=None)


@cache
def _history() -> dict[tuple[str, str], list[Any]]:
    from onnx import defs

    found: dict[tuple[str, str], list[Any]] = {}
    for schema in defs.get_all_schemas_with_history():
        found.setdefault((schema.domain, schema.name), []).append(schema)
    return found


def size_of(shape: Any, dtype: str) -> int:
    """Bytes of a tensor; 0 where numpy has no such dtype, which is refused later."""
    try:
        return int(prod(shape)) * np.dtype(dtype).itemsize
    except TypeError:
        return 0


def excess(shape: Any, dtype: str) -> str:
    """What of a tensor the runtime cannot hold; nothing where it can."""
    if len(shape) > RANK:
        return f"has rank {len(shape)}; use up to {RANK}"
    if any(n is None for n in shape):
        return ""
    size = size_of(shape, dtype)
    if size >= BYTES:
        sizes = ", ".join(map(str, shape))
        return f"is {dtype}[{sizes}], {size} bytes; a tensor must be under 2 GiB"
    return ""


def kinds(
    node: Any, inputs: Sequence[Given], opsets: dict[str, int], domain: str
) -> Kinds:
    """As named_kinds, for shapes without named sizes."""
    return [
        (None if shape is None else tuple(map(_number, shape)), dtype)
        for shape, dtype in named_kinds(node, inputs, opsets, domain)
    ]


def _number(size: int | str | None) -> int | None:
    return size if isinstance(size, int) else None


def named_kinds(
    node: Any, inputs: Sequence[Given], opsets: dict[str, int], domain: str
) -> NamedKinds:
    """What a node makes of inputs; [] where the standard does not say.

    Errors: SpecError with what contradicts.
    """
    schema = schema_of(node.op_type, domain, opsets.get(domain, 1))
    if schema is None:
        return []
    versions = opsets | {domain: max(opsets.get(domain, 1), schema.since_version)}
    try:
        return _inferred(node, inputs, schema, versions)
    except SpecError:
        # Engines take a vector of one number for a scalar.
        alone = [_scalar(given) for given in inputs]
        if all(a is b for a, b in zip(alone, inputs, strict=True)):
            raise
        with contextlib.suppress(SpecError):
            return _inferred(node, alone, schema, versions)
        raise


def _scalar(given: Given) -> Given:
    if given is None or given[1] is None or given[1].shape != (1,):
        return given
    return type_of((), str(given[1].dtype)), given[1].reshape(())


def _inferred(
    node: Any, inputs: Sequence[Given], schema: Any, versions: dict[str, int]
) -> NamedKinds:
    from onnx import NodeProto, checker, helper, numpy_helper, shape_inference

    plain = NodeProto(op_type=node.op_type, domain=schema.domain)
    plain.attribute.extend(node.attribute)
    types, data = {}, {}
    for i, given in enumerate(inputs):
        plain.input.append("" if given is None else f"i{i}")
        if given is None:
            continue
        types[f"i{i}"], value = given
        if value is not None and value.size <= _SMALL and value.dtype.kind in "iufb":
            whole = np.ascontiguousarray(value).reshape(value.shape)
            data[f"i{i}"] = numpy_helper.from_array(whole)
    plain.output.extend(f"o{i}" if o else "" for i, o in enumerate(node.output))
    imports = [helper.make_opsetid(d, v) for d, v in versions.items()]
    try:
        found = shape_inference.infer_node_outputs(
            schema, plain, types, data, opset_imports=imports
        )
    except (checker.ValidationError, shape_inference.InferenceError) as error:
        text = _PREFIX.sub("", short(str(error)))
        raise SpecError(f"the ONNX standard has no such node: {text}") from None
    return [
        _kind(found[f"o{i}"]) if o and f"o{i}" in found else (None, "")
        for i, o in enumerate(node.output)
    ]


@cache
def type_of(shape: tuple[int | str | None, ...] | None, dtype: str) -> Any:
    """A tensor's TypeProto; None for what is unknown of its shape."""
    from onnx import helper

    number = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_type_proto(number, shape)


def _kind(found: Any) -> tuple[tuple[int | str | None, ...] | None, str]:
    from onnx import helper

    kind = found.tensor_type
    dtype = ""
    if kind.elem_type:
        dtype = str(helper.tensor_dtype_to_np_dtype(kind.elem_type))
    if not kind.HasField("shape"):
        return None, dtype
    return tuple(
        d.dim_value if d.HasField("dim_value") else str(d.dim_param) or None
        for d in kind.shape.dim
    ), dtype
