"""Limits: what no call of an operator or of a model may exceed."""

from __future__ import annotations

import math

import numpy as np

from toolchain.abi import (
    MAX_ATTRIBUTES,
    MAX_AXES,
    MAX_INPUTS,
    MAX_MODEL_TENSORS,
    MAX_OUTPUTS,
    MAX_RANK,
    MAX_SIZES,
    MAX_SLOTS,
    MAX_SYMBOLS,
    MAX_TENSORS,
    MAX_VALUES,
)
from toolchain.spec import Operator, SpecError

# Collapses that take tensors of which there is one for each unit.
_VARIADIC = ("concat.axis", "view.split")
# Slots beside tensors, sizes and attributes: of matmul's two dtypes.
_MORE_SLOTS = 2
# A tensor of a model: name, dtype, shape.
Fixed = tuple[str, str, tuple[int, ...]]


def check_fixed(name: str, tensors: list[Fixed]) -> None:
    """SpecError where no call could pass these tensors."""
    if len(tensors) > MAX_MODEL_TENSORS:
        raise SpecError(
            f"{name}: has {len(tensors)} inputs and outputs, but a module takes "
            f"{MAX_MODEL_TENSORS}; join some of them into one tensor (Concat, Split), "
            "or split the model in two"
        )
    for tensor, dtype, shape in tensors:
        if len(shape) > MAX_RANK:
            raise SpecError(
                f"{name}: {tensor} has {len(shape)} axes, but a tensor has at most "
                f"{MAX_RANK}; join some of them (Reshape)"
            )
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if size >= 1 << 31 or max(shape, default=0) >= 1 << 31:
            sizes = "x".join(map(str, shape))
            raise SpecError(
                f"{name}: {tensor}, {dtype} {sizes}, takes 2^31 bytes or more; make "
                "it smaller, or split it"
            )


def check_limits(name: str, operator: Operator, output_dims: list[list[int]]) -> None:
    """SpecError where a call could need more than the runtime's arrays hold."""
    units, tensors = operator.max_units(), operator.tensors()
    variadic = any(t.variadic for t in tensors)
    collapse = operator.collapse.partition(".")[0]
    axes = [len(i.dims.split()) for i in operator.inputs] + [*map(len, output_dims)]
    values = sum(a.per_unit * max(units, 1) or 1 for a in operator.attributes)
    slots = len(tensors) + len(operator.symbols()) + _MORE_SLOTS
    slots += sum(a.slots for a in operator.attributes)
    many = sum(units if t.variadic else 1 for t in tensors)
    if variadic and operator.collapse not in _VARIADIC:
        raise SpecError(
            f"{name}: {operator.collapse} takes no variadic tensors; use "
            f"{' or '.join(_VARIADIC)}"
        )
    lower = "lower units= of the operator"
    for count, what, limit, advice in (
        (many, "tensors", MAX_TENSORS, lower),
        (values, "attribute values", MAX_VALUES, lower),
        (0 if variadic else units, "units", MAX_RANK, lower),
        (len(operator.attributes), "attributes", MAX_ATTRIBUTES, "join some"),
        (max(axes, default=0), "axes in a tensor", MAX_AXES, "join some"),
        (len(operator.symbols()), "sizes", MAX_SYMBOLS, "share some"),
        (sum(map(len, output_dims)), "sizes of outputs", MAX_SIZES, "split it"),
        (slots, "arguments of its kernel", MAX_SLOTS, "split it"),
        (
            len(operator.inputs) if collapse == "elementwise" else 0,
            "elementwise inputs",
            MAX_INPUTS,
            "split it",
        ),
        (
            len(operator.outputs) if collapse == "rows" else 0,
            "outputs of rows",
            MAX_OUTPUTS,
            "split it",
        ),
    ):
        if count > limit:
            raise SpecError(
                f"{name}: a call may have {count} {what}, but the runtime takes "
                f"{limit}; {advice}"
            )
