"""Operators: what a graph's nodes may be, by name and dtypes.

This folder holds the operators that models alone call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Protocol

from toolchain.codegen.operators import load_operator
from toolchain.profile import KERNELS
from toolchain.spec import Input, Operator, Output, SpecError, tensor_dtype

# Operators of the library, and those that models alone call.
FOLDERS = (KERNELS, Path(__file__).parent)


@cache
def file_of(name: str) -> Path:
    """The file of an operator. Errors: SpecError for an unknown name."""
    for folder in FOLDERS:
        if (folder / f"{name}.py").exists():
            return folder / f"{name}.py"
    raise SpecError(f"no operator {name!r}; kernels/ has none of that name")


class Made(Protocol):
    """An operator that a pass makes. name: its own, with a hash of all it does."""

    @property
    def name(self) -> str:
        """Its own name."""
        ...

    def operator(self) -> Operator:
        """The operator."""
        ...

    def operators(self) -> list[str]:
        """Names of those that it is made of."""
        ...


_MADE: dict[str, Made] = {}


def add_chain(made: Made) -> str:
    """Let a made operator be found by its name; the name."""
    _MADE[made.name] = made
    return made.name


def made_of(name: str) -> Made | None:
    """What a pass made under a name; None for an operator of FOLDERS."""
    return _MADE.get(name)


@cache
def operator(name: str) -> Operator:
    """An operator of FOLDERS, or one that a pass made. Errors: SpecError."""
    made = made_of(name)
    if made is not None:
        return made.operator()
    found = load_operator(file_of(name))
    return replace(found, dtypes=(*found.dtypes, *found.models), models=())


def has_own(name: str, variant: tuple[str, ...]) -> bool:
    """Whether the library has no kernel of a variant, since models alone do."""
    if made_of(name) is not None:
        return False
    return variant in load_operator(file_of(name)).model_variants()


def variant_of(name: str, dtypes: Sequence[str | None]) -> tuple[str, ...] | None:
    """The variant that takes inputs of those dtypes (None: absent); None without one.

    Of several variants the first: one that the inputs do not decide (cast's result) is
    the caller's to give.
    """
    found = operator(name)
    for variant in found.variants():
        wanted = [tensor_dtype(t, variant) for t in spread(found.inputs, len(dtypes))]
        pairs = zip(dtypes, wanted, strict=False)
        if all(given in (None, dtype) for given, dtype in pairs):
            return variant
    return None


def spread(tensors: Sequence[Input], count: int) -> list[Input]:
    """An input for each of `count` tensors: a variadic one is repeated."""
    found: list[Input] = []
    for tensor in tensors:
        more = count - len(tensors) + 1 if tensor.variadic else 1
        found += [tensor] * more
    return found


def output_dtypes(name: str, variant: tuple[str, ...], count: int) -> list[str]:
    """Dtypes of `count` outputs."""
    outputs: tuple[Output, ...] = operator(name).outputs
    tensors = outputs * count if outputs[0].variadic else outputs[:count]
    return [tensor_dtype(t, variant) for t in tensors]
