"""Operators: the KERNEL of an operator's file, and what the manifest says of it."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import sys
from collections.abc import Collection
from functools import cache
from pathlib import Path
from types import ModuleType

from toolchain.codegen.room import operator_room
from toolchain.link.description import (
    DescribedAttribute,
    DescribedKernel,
    DescribedTensor,
    Description,
)
from toolchain.spec import (
    Attribute,
    Input,
    Operator,
    Output,
    SpecError,
    kernel_name,
    tensor_dtype,
)


@cache
def load_operator(path: Path) -> Operator:
    """The KERNEL of an operator file; SpecError where it has none."""
    module = _import(path)
    operator = getattr(module, "KERNEL", None)
    if not isinstance(operator, Operator):
        raise SpecError(f"{path}: sets no KERNEL = Operator(...); add one")
    if not formula(path):
        raise SpecError(
            f"{path}: has no docstring; begin the file with one whose first line is "
            'the formula, as in """out[i] = a[i] + b[i]."""'
        )
    return operator


def _import(path: Path) -> ModuleType:
    # Equal names in two folders stay apart: the module's name holds the path.
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    name = f"_operator_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise SpecError(f"{path}: is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for it
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def loaded_operators(folders: Collection[Path]) -> list[Path]:
    """Files of all operators in some folders that this process has loaded."""
    modules = sorted(name for name in sys.modules if name.startswith("_operator_"))
    files = (sys.modules[name].__file__ for name in modules)
    return [Path(file) for file in files if file and Path(file).parent in folders]


def formula(path: Path) -> str:
    """The first line of an operator file's docstring."""
    lines = (_import(path).__doc__ or "").strip().splitlines()
    return lines[0].rstrip(".") if lines else ""


def describe(
    path: Path, operator: Operator, variants: list[tuple[str, ...]]
) -> Description:
    """What the manifest says of an operator."""
    name = path.stem

    def tensors(
        group: tuple[Input | Output, ...], variant: tuple[str, ...]
    ) -> list[DescribedTensor]:
        return [
            {
                "name": t.name,
                "dtype": tensor_dtype(t, variant),
                "optional": bool(getattr(t, "optional", False)),
                "variadic": t.variadic,
            }
            for t in group
        ]

    kernels: dict[str, DescribedKernel] = {
        kernel_name(name, v): {
            "inputs": tensors(operator.inputs, v),
            "outputs": tensors(operator.outputs, v),
        }
        for v in variants
    }
    return {
        "operator": name,
        "formula": formula(path),
        "kernels": kernels,
        "room": dataclasses.asdict(operator_room(operator, kernels)),
        "attributes": [_describe_attribute(a) for a in operator.attributes],
        "aliases": list(operator.aliases),
        "absent": dict(operator.absent),
    }


def _describe_attribute(attribute: Attribute) -> DescribedAttribute:
    return {
        "name": attribute.name,
        "kind": attribute.kind,
        "default": attribute.default,
        "per_unit": attribute.per_unit,
        "choices": list(attribute.choices),
    }
