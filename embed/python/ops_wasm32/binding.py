"""Binding: the arguments of a Python call become those of one kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ops_wasm32.convert import to_array
from ops_wasm32.errors import ArgumentError
from ops_wasm32.signature import DTYPES, Attribute, Param, Signature, split_kernel

# Keywords of a call that are neither an input nor an attribute of its kernel.
_SELECTORS = ("to", "dtype")
_Value = int | float | None


@dataclass(frozen=True)
class Bound:
    """A call ready to be made. attributes: flattened; None stands for the default."""

    kernel: Signature
    inputs: tuple[NDArray[Any] | None, ...]
    outputs: tuple[Param, ...]
    attributes: tuple[_Value, ...]


def bind(
    operator: str,
    kernels: Sequence[Signature],
    positional: Sequence[object],
    named: Mapping[str, object],
    data_dtype: str | None = None,
) -> Bound:
    """Choose the kernel for a call and put its arguments in order.

    kernels: those of one operator; they differ in dtypes only. data_dtype: only
    kernels of that first dtype.
    """
    tensors, attributes, options = _sort_names(operator, kernels[0], named)
    given = [_as_typed(v) for v in _inputs(operator, kernels[0], positional, tensors)]
    params = _expand(kernels[0].inputs, len(given))
    _check_given(operator, kernels[0], params, given)
    kernel = _choose(operator, kernels, params, given, options, data_dtype)
    count = options.get("num_outputs")
    units = _units(operator, kernel, len(given), attributes, count)
    return Bound(
        kernel,
        tuple(
            None if value is None else _ready(operator, param, value)
            for param, value in zip(
                _expand(kernel.inputs, len(given)), given, strict=True
            )
        ),
        _expand(kernel.outputs, len(kernel.outputs) - 1 + units),
        tuple(
            value
            for attribute in kernel.attributes
            for value in _attribute(operator, attribute, attributes, units)
        ),
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _sort_names(
    operator: str, kernel: Signature, named: Mapping[str, object]
) -> tuple[dict[str, object], dict[str, object], dict[str, object]]:
    """Keywords by what they name: inputs, attributes, options of the call."""
    inputs = [p.name for p in kernel.inputs]
    attributes = [a.name for a in kernel.attributes]
    options = [s for s in _SELECTORS if s not in attributes]
    if any(p.variadic for p in kernel.outputs) and "num_outputs" not in attributes:
        options.append("num_outputs")
    for name in named:
        if name not in (*inputs, *attributes, *options):
            raise ArgumentError(
                f"{operator}: argument {name!r} is unknown; inputs: "
                f"{_listed(inputs)}; attributes: {_listed(attributes)}; "
                f"options: {_listed(options)}"
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
    """One value for each input, those of a variadic one after the other."""
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
            f"{_listed(names)}. Attributes go by keyword"
        )
    return values


def _sequence(operator: str, param: Param, value: object) -> list[object]:
    if isinstance(value, (list, tuple)):
        return list(value)
    raise ArgumentError(
        f"{operator}: input {param.name} takes a list of arrays, got "
        f"{type(value).__name__}"
    )


def _expand(params: tuple[Param, ...], count: int) -> tuple[Param, ...]:
    """Params with the variadic last one repeated, to count of them."""
    if not params or not params[-1].variadic:
        return params
    fixed = params[:-1]
    return (*fixed, *([params[-1]] * (count - len(fixed))))


def _as_typed(value: object) -> object:
    """Make an array of a value that has a dtype of its own."""
    return np.asarray(value) if hasattr(value, "__array__") else value


def _check_given(
    operator: str, kernel: Signature, params: Sequence[Param], given: Sequence[object]
) -> None:
    for param, value in zip(params, given, strict=True):
        if value is None and not param.optional:
            names = [p.name + "?" * p.optional for p in kernel.inputs]
            raise ArgumentError(
                f"{operator}: input {param.name} is missing; it takes {_listed(names)}"
            )
        if not isinstance(value, (type(None), np.ndarray, list, tuple, int, float)):
            raise ArgumentError(
                f"{operator}: input {param.name} is a {type(value).__name__}; give a "
                "numpy array, a number or nested lists of numbers"
            )


def _dtype(value: object) -> str | None:
    """Name of the dtype of an array; None for what has none of its own."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        return str(value.dtype.name)
    return None


def _choose(
    operator: str,
    kernels: Sequence[Signature],
    params: Sequence[Param],
    given: Sequence[object],
    options: Mapping[str, object],
    data_dtype: str | None,
) -> Signature:
    """Find the one kernel that takes the dtypes of the inputs as they are."""
    wanted = [_dtype(value) for value in given]
    kernels = _selected(operator, kernels, options, data_dtype)
    fitting = [
        kernel
        for kernel in kernels
        if all(
            dtype in (None, param.dtype)
            for dtype, param in zip(
                wanted, _expand(kernel.inputs, len(given)), strict=True
            )
        )
    ]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise ArgumentError(_no_kernel(operator, kernels, params, wanted))
    outputs = list(dict.fromkeys(k.outputs[0].dtype for k in fitting))
    choose = f"to= ({', '.join(outputs)}) or " if len(outputs) == len(fitting) else ""
    raise ArgumentError(
        f"{operator}: the inputs fit {_listed([k.name for k in fitting])}; choose by "
        f"{choose}arrays that have a dtype, or call the kernel by its name"
    )


def _selected(
    operator: str,
    kernels: Sequence[Signature],
    options: Mapping[str, object],
    data_dtype: str | None,
) -> Sequence[Signature]:
    """Kernels of the output dtype and the data dtype that are asked for."""
    for option in _SELECTORS:
        if (dtype := options.get(option)) is None:
            continue
        name = dtype if isinstance(dtype, str) else np.dtype(dtype).name  # type: ignore[call-overload] # anything numpy takes
        outputs = list(dict.fromkeys(k.outputs[0].dtype for k in kernels))
        kernels = [k for k in kernels if k.outputs[0].dtype == name]
        if not kernels:
            raise ArgumentError(
                f"{operator}: {option}={name!r} is not an output dtype of it; use "
                f"{_listed(outputs)}"
            )
    if data_dtype is None:
        return kernels
    known = [k for k in kernels if (split_kernel(k.name)[1] or ("",))[0] == data_dtype]
    if not known:
        firsts = dict.fromkeys(d for k in kernels for d in split_kernel(k.name)[1][:1])
        raise ArgumentError(
            f"{operator}: there is no kernel for {data_dtype}; use {_listed([*firsts])}"
        )
    return known


def _no_kernel(
    operator: str,
    kernels: Sequence[Signature],
    params: Sequence[Param],
    wanted: Sequence[str | None],
) -> str:
    for i, (param, dtype) in enumerate(zip(params, wanted, strict=True)):
        accepted = {_expand(k.inputs, len(wanted))[i].dtype for k in kernels}
        if dtype is not None and dtype not in accepted:
            names = [d for d in DTYPES if d in accepted]
            return (
                f"{operator}: input {param.name} has dtype {dtype}; it takes "
                f"{_listed(names)}. Convert it first: "
                f'{param.name}.astype("{names[0]}")'
            )
    got = ", ".join(
        f"{p.name}: {d}" for p, d in zip(params, wanted, strict=True) if d is not None
    )
    known = _listed([k.tensors_text() for k in kernels])
    return f"{operator}: no kernel takes ({got}); there are {known}"


def _ready(operator: str, param: Param, value: object) -> NDArray[Any]:
    """Make a compact little-endian array of the parameter's dtype."""
    if _dtype(value) is None:
        value = to_array(value, param.dtype, f"{operator}: input {param.name}")
    dtype = np.dtype(param.dtype).newbyteorder("<")
    return np.asarray(value, dtype=dtype, order="C")


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
        if isinstance(num_outputs, bool) or not isinstance(num_outputs, int):
            raise ArgumentError(f"{operator}: num_outputs is {num_outputs!r}, no int")
        found["num_outputs"] = num_outputs
    for attribute in kernel.attributes:
        if attribute.per_unit and attributes.get(attribute.name) is not None:
            values = _as_list(operator, attribute, attributes[attribute.name])
            attributes[attribute.name] = values
            found[attribute.name] = len(values) // attribute.per_unit
    if len(set(found.values())) > 1:
        counts = _listed([f"{name} for {count}" for name, count in found.items()])
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
        if attribute.default is None:
            raise ArgumentError(
                f"{operator}: attribute {attribute.name} is required; give "
                f"{attribute.name}="
            )
        return [None] * (attribute.per_unit * units if attribute.per_unit else 1)
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
            raise ArgumentError(f"{what}; use {_listed(attribute.choices)}")
        return attribute.choices.index(value)
    if isinstance(value, (bool, int, np.bool_, np.integer)):
        if not -(2**63) <= int(value) < 2**63:
            raise ArgumentError(f"{what}; it does not fit 64 bits")
        return int(value)
    if attribute.kind == "float" and isinstance(value, (float, np.floating)):
        return float(value)
    wanted = f"one of {_listed(attribute.choices)}" if attribute.choices else ""
    raise ArgumentError(f"{what}; give {wanted or f'one {attribute.kind}'}")
