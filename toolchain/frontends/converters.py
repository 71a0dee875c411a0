"""Converters: ONNX operators in Relax, where TVM's importer falls short.

Each takes a Call (see importer.py) and gives a Relax expression, numpy, or a list of
them. The files onnx_*.py hold them.
Source: ONNX operators as of opset 23.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.frontends.importer import Array, Call

Converter = Callable[[Call], Any]
CONVERTERS: dict[tuple[str, str], Converter] = {}


@cache
def converters() -> Mapping[tuple[str, str], Converter]:
    """All converters, by domain and operator."""
    for file in sorted(Path(__file__).parent.glob("onnx_*.py")):
        import_module(f"{__package__}.{file.stem}")
    return CONVERTERS


def converter(*names: str, domain: str = "") -> Callable[[Converter], Converter]:
    """Register a converter for operators of a domain."""

    def register(function: Converter) -> Converter:
        CONVERTERS.update({(domain, name): function for name in names})
        return function

    return register


def relax_ops() -> Any:
    """Relax's operators."""
    from tvm import relax

    return relax.op


def const(value: Any, dtype: Any) -> Any:
    """A constant of a dtype."""
    from tvm import relax

    return relax.const(np.asarray(value, str(dtype)), str(dtype))


def dtype_of(x: Any) -> str:
    """The dtype of a Relax expression."""
    return str(x.ty.dtype)


def sizes_of(x: Any) -> tuple[int, ...]:
    """Its sizes."""
    return tuple(int(n) for n in x.ty.shape)


def constant_of(value: Any) -> Array | None:
    """A value's elements, where they are known."""
    return value if isinstance(value, np.ndarray) else None


def polynomial(c: Call, x: Any, coefficients: Sequence[float]) -> Any:
    """Horner's rule, from the constant on."""
    op, dtype = relax_ops(), dtype_of(x)
    total = const(coefficients[-1], dtype)
    for k in coefficients[-2::-1]:
        total = c.emit(op.add(c.emit(op.multiply(total, x)), const(k, dtype)))
    return total
