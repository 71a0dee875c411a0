"""Binding: the arguments of a Python call become arguments of a kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ops_wasm32.convert import Array, compact, to_array
from ops_wasm32.errors import ArgumentError, listed
from ops_wasm32.selection import SELECTORS, choose_kernel, dtype_of
from ops_wasm32.signature import Attribute, Param, Signature, expand

_Value = int | float | None
_MOST_OUTPUTS = 1 << 16  # the module takes fewer and says how many


@dataclass(frozen=True)
class Resident:
    """A tensor that is in the module's memory already, at an address."""

    address: int
    dtype: str
    shape: tuple[int, ...]

    @property
    def ndim(self) -> int:
        """Axes, as of an array."""
        return len(self.shape)


@dataclass(frozen=True)
class Bound:
    """A call ready to be made.

    attributes: flattened; None stands for the default. is_open: whether the module
    allocates the outputs, as version 2 of the ABI has it.
    """

    kernel: Signature
    inputs: tuple[Array | Resident | None, ...]
    outputs: tuple[Param, ...]
    attributes: tuple[_Value, ...]
    is_open: bool = False


def bind(
    operator: str,
    kernels: Sequence[Signature],
    positional: Sequence[object],
    named: Mapping[str, object],
    data_dtype: str | None = None,
) -> Bound:
    """Choose the kernel for a call and put its arguments in order.

    kernels: of a single operator; they differ in dtypes only. data_dtype: only
    kernels of that first dtype.
    """
    tensors, attributes, options = _sort_names(operator, kernels[0], named)
    given = [_as_typed(v) for v in _inputs(operator, kernels[0], positional, tensors)]
    params = expand(kernels[0].inputs, len(given))
    _check_given(operator, kernels[0], params, given)
    kernel = choose_kernel(operator, kernels, params, given, options, data_dtype)
    count = options.get("num_outputs")
    units = _units(operator, kernel, len(given), attributes, count)
    return Bound(
        kernel,
        tuple(
            None if value is None else _ready(operator, param, value)
            for param, value in zip(
                expand(kernel.inputs, len(given)), given, strict=True
            )
        ),
        expand(kernel.outputs, len(kernel.outputs) - 1 + units),
        tuple(
            value
            for attribute in kernel.attributes
            for value in _attribute(operator, attribute, attributes, units)
        ),
    )


def _sort_names(
    operator: str, kernel: Signature, named: Mapping[str, object]
) -> tuple[dict[str, object], dict[str, object], dict[str, object]]:
    """Keywords by what they name: inputs, attributes, options of the call."""
    inputs = [p.name for p in kernel.inputs]
    attributes = [a.name for a in kernel.attributes]
    options = [s for s in SELECTORS if s not in attributes]
    if any(p.variadic for p in kernel.outputs) and "num_outputs" not in attributes:
        options.append("num_outputs")
    for name in named:
        if name not in (*inputs, *attributes, *options):
            import difflib  # few names are wrong

            close = difflib.get_close_matches(name, (*inputs, *attributes, *options), 1)
            advice = f"did you mean {close[0]}? " if close else ""
            raise ArgumentError(
                f"{operator}: argument {name!r} is unknown; {advice}inputs: "
                f"{listed(inputs)}; attributes: {listed(attributes)}; "
                f"options: {listed(options)}"
            )
    first, second, third = (
        {n: v for n, v in named.items() if n in names}
        for names in (inputs, attributes, options)
    )
    return first, second, third


def _inputs(
    operator: str,
    kernel: Signature,
    positional: Sequence[object],
    named: Mapping[str, object],
) -> list[object]:
    """A value for each input; a variadic input has its values one after the other."""
    params = list(kernel.inputs)
    rest = list(positional)
    values: list[object] = []
    for param in params:
        if param.name in named:
            value = named[param.name]
            if rest:
                raise ArgumentError(
                    f"{operator}: input {param.name} is given by its position and by "
                    "its name; give it once"
                )
        elif param.variadic:
            single = len(rest) == 1 and isinstance(rest[0], (list, tuple))
            value, rest = (rest[0] if single else rest), []
        else:
            value = rest.pop(0) if rest else None
        values += _sequence(operator, param, value) if param.variadic else [value]
    if rest:
        names = [p.name for p in params]
        raise ArgumentError(
            f"{operator}: got {len(positional)} inputs; it takes {len(params)}: "
            f"{listed(names)}. Attributes go by keyword"
        )
    return values


def _sequence(operator: str, param: Param, value: object) -> list[object]:
    if isinstance(value, (list, tuple)):
        return list(value)
    raise ArgumentError(
        f"{operator}: input {param.name} takes a list of arrays, got "
        f"{type(value).__name__}"
    )


def _as_typed(value: object) -> object:
    """Make an array of a value that has a dtype of its own."""
    return np.asarray(value) if hasattr(value, "__array__") else value


def _check_given(
    operator: str, kernel: Signature, params: Sequence[Param], given: Sequence[object]
) -> None:
    if kernel.inputs and len(given) < len(kernel.inputs):
        name = kernel.inputs[-1].name
        raise ArgumentError(f"{operator}: input {name} is missing; give one or more")
    for param, value in zip(params, given, strict=True):
        if value is None and not param.optional:
            names = [p.name + "?" * p.optional for p in kernel.inputs]
            raise ArgumentError(
                f"{operator}: input {param.name} is missing; it takes {listed(names)}"
            )
        if not isinstance(value, (type(None), np.ndarray, list, tuple, int, float)):
            raise ArgumentError(
                f"{operator}: input {param.name} is a {type(value).__name__}; give a "
                "numpy array, a number or nested lists of numbers"
            )


def _ready(operator: str, param: Param, value: object) -> Array:
    """Make a compact little-endian array of the parameter's dtype."""
    what = f"{operator}: input {param.name}"
    if dtype_of(value) is None:
        value = to_array(value, param.dtype, what)
    return compact(np.asarray(value), param.dtype, what)


def _units(
    operator: str,
    kernel: Signature,
    inputs: int,
    attributes: dict[str, object],
    num_outputs: object,
) -> int:
    """How many units the call has; lists, variadic tensors must agree on it."""
    found: dict[str, int] = {}
    if kernel.inputs and kernel.inputs[-1].variadic:
        found[kernel.inputs[-1].name] = inputs - len(kernel.inputs) + 1
    if num_outputs is not None:
        if type(num_outputs) is not int or not 1 <= num_outputs <= _MOST_OUTPUTS:
            raise ArgumentError(
                f"{operator}: num_outputs is {num_outputs!r}; give an int, 1 to "
                f"{_MOST_OUTPUTS}"
            )
        found["num_outputs"] = num_outputs
    for attribute in kernel.attributes:
        if attribute.per_unit and attributes.get(attribute.name) is not None:
            values = _as_list(operator, attribute, attributes[attribute.name])
            attributes[attribute.name] = values
            found[attribute.name] = len(values) // attribute.per_unit
    if len(set(found.values())) > 1:
        counts = listed([f"{name} for {count}" for name, count in found.items()])
        raise ArgumentError(
            f"{operator}: the lengths of its lists do not agree: {counts}; give all "
            "for the same number of axes or tensors"
        )
    if not found and kernel.outputs and kernel.outputs[-1].variadic:
        lists = [f"{a.name}=[...]" for a in kernel.attributes if a.per_unit]
        ways = " or ".join([*lists, "num_outputs="])
        raise ArgumentError(f"{operator}: the number of outputs is open; give {ways}")
    return next(iter(found.values()), 0)


def _as_list(operator: str, attribute: Attribute, value: object) -> list[object]:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (int, float)):
        value = [value]
    if not isinstance(value, (list, tuple)) or len(value) % attribute.per_unit:
        many = f"{attribute.per_unit} for each axis" if attribute.per_unit > 1 else ""
        raise ArgumentError(
            f"{operator}: attribute {attribute.name} is {value!r}; give a list of "
            f"{attribute.kind}s{many and ', '}{many}"
        )
    return list(value)


def _attribute(
    operator: str, attribute: Attribute, given: Mapping[str, object], units: int
) -> list[_Value]:
    """Values of an attribute as the kernel takes them; None for the default."""
    value = given.get(attribute.name)
    if value is None:
        count = attribute.per_unit * units if attribute.per_unit else 1
        # A call without units has empty lists: reduce_sum over every axis.
        if count and attribute.default is None:
            raise ArgumentError(
                f"{operator}: attribute {attribute.name} is required; give "
                f"{attribute.name}="
            )
        return [None] * count
    if attribute.per_unit:
        assert isinstance(value, list)  # _units has made it one
        return [_number(operator, attribute, v) for v in value]
    return [_number(operator, attribute, value)]


def _number(operator: str, attribute: Attribute, value: object) -> int | float:
    what = f"{operator}: attribute {attribute.name} is {value!r}"
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if attribute.choices and isinstance(value, str):
        if value not in attribute.choices:
            raise ArgumentError(f"{what}; use {listed(attribute.choices)}")
        return attribute.choices.index(value)
    if isinstance(value, (bool, int, np.bool_, np.integer)):
        if not -(2**63) <= int(value) < 2**63:
            raise ArgumentError(f"{what}; it does not fit 64 bits")
        return int(value)
    if attribute.kind == "float" and isinstance(value, (float, np.floating)):
        return float(value)
    wanted = f"one of {listed(attribute.choices)}" if attribute.choices else ""
    raise ArgumentError(f"{what}; give {wanted or f'one {attribute.kind}'}")
