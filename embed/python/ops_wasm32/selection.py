"""Selection: which kernel of an operator takes the inputs of a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ops_wasm32.errors import ArgumentError, listed
from ops_wasm32.signature import Param, Signature, expand, split_kernel
from ops_wasm32.tables import DTYPES

# Keywords of a call that name the dtype of its output.
SELECTORS = ("to", "dtype")


def dtype_of(value: object) -> str | None:
    """Name of the dtype of an array; None for what has none of its own."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        return str(value.dtype.name)
    return None


def choose_kernel(
    operator: str,
    kernels: Sequence[Signature],
    params: Sequence[Param],
    given: Sequence[object],
    options: Mapping[str, object],
    data_dtype: str | None,
) -> Signature:
    """Find the kernel that takes the dtypes of the inputs as they are."""
    wanted = [dtype_of(value) for value in given]
    kernels = _selected(operator, kernels, options, data_dtype)
    fitting = [
        kernel
        for kernel in kernels
        if all(
            dtype in (None, param.dtype)
            for dtype, param in zip(
                wanted, expand(kernel.inputs, len(given)), strict=True
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
        f"{operator}: the inputs fit {listed([k.name for k in fitting])}; choose by "
        f"{choose}arrays that have a dtype, or call the kernel by its name"
    )


def _selected(
    operator: str,
    kernels: Sequence[Signature],
    options: Mapping[str, object],
    data_dtype: str | None,
) -> Sequence[Signature]:
    """Kernels of the output dtype and the data dtype that are asked for."""
    for option in SELECTORS:
        if (dtype := options.get(option)) is None:
            continue
        name = _dtype_name(operator, option, dtype)
        outputs = list(dict.fromkeys(k.outputs[0].dtype for k in kernels))
        kernels = [k for k in kernels if k.outputs[0].dtype == name]
        if not kernels:
            raise ArgumentError(
                f"{operator}: {option}={name!r} is not an output dtype of it; use "
                f"{listed(outputs)}"
            )
    if data_dtype is None:
        return kernels
    known = [k for k in kernels if (split_kernel(k.name)[1] or ("",))[0] == data_dtype]
    if not known:
        firsts = dict.fromkeys(d for k in kernels for d in split_kernel(k.name)[1][:1])
        raise ArgumentError(
            f"{operator}: there is no kernel for {data_dtype}; use {listed([*firsts])}"
        )
    return known


def _dtype_name(operator: str, option: str, dtype: Any) -> str:
    """Name of a dtype that is given as text or as numpy has it."""
    if isinstance(dtype, str):
        return dtype
    try:
        return str(np.dtype(dtype).name)
    except TypeError:
        raise ArgumentError(
            f"{operator}: {option} is {dtype!r}; give one of {listed([*DTYPES])}"
        ) from None


def _no_kernel(
    operator: str,
    kernels: Sequence[Signature],
    params: Sequence[Param],
    wanted: Sequence[str | None],
) -> str:
    for i, (param, dtype) in enumerate(zip(params, wanted, strict=True)):
        accepted = {expand(k.inputs, len(wanted))[i].dtype for k in kernels}
        if dtype is not None and dtype not in accepted:
            names = [d for d in DTYPES if d in accepted]
            return (
                f"{operator}: input {param.name} has dtype {dtype}; it takes "
                f"{listed(names)}. Convert it first: "
                f'{param.name}.astype("{names[0]}")'
            )
    got = ", ".join(
        f"{p.name}: {d}" for p, d in zip(params, wanted, strict=True) if d is not None
    )
    known = listed([k.tensors_text() for k in kernels])
    return f"{operator}: no kernel takes ({got}); there are {known}"
