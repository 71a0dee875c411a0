"""Slices: what an output's hash covers is what making it runs, and no more."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from toolchain.codegen import compile_object, load_operator
from toolchain.profile import ROOT
from toolchain.slices import root_in, sources

# Of functions of tables, micro-kernels, C, windows and 8-bit products.
OPERATORS = ("tanh", "softmax", "matmul_integer", "max_pool", "identity", "slice")


@cache
def spans(file: str) -> list[tuple[int, int, str]]:
    """First and last line and name of what a source defines at its top level."""
    found = []
    for node in ast.parse(Path(file).read_text()).body:
        names = [n.id for n in ast.walk(node) if isinstance(n, ast.Name)]
        name = getattr(node, "name", names[0] if names else "")
        first = min(
            [node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))]
        )
        found.append((first, node.end_lineno or first, name))
    return found


def executed(action: Callable[[], Any]) -> tuple[Any, set[tuple[str, str]]]:
    """What the action gives, and which of the project's definitions ran."""
    codes = set()

    def seen(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            codes.add(frame.f_code)

    sys.setprofile(seen)
    try:
        result = action()
    finally:
        sys.setprofile(None)
    found = set()
    for code in codes:
        path = Path(code.co_filename)
        if path.is_relative_to(ROOT / "toolchain") or path.is_relative_to(
            ROOT / "kernels"
        ):
            if code.co_name == "<module>":
                continue
            for first, last, name in spans(str(path)):
                if first <= code.co_firstlineno <= last:
                    found.add((str(path.relative_to(ROOT)), name))
    return result, found


def covered(roots: list[str]) -> set[tuple[str, str]]:
    """Files and names of all definitions in slices."""
    found = set()
    for root in roots:
        for module, name in sources().slice(root):
            file = (
                module if module.endswith(".py") else module.replace(".", "/") + ".py"
            )
            if not (ROOT / file).exists():
                file = module.replace(".", "/") + "/__init__.py"
            found.add((file, name))
    return found


@pytest.mark.parametrize("operator", OPERATORS)
def test_what_a_compilation_runs_is_covered(operator: str) -> None:
    path = ROOT / "kernels" / f"{operator}.py"
    load_operator(path)  # what runs on import is not told apart from the rest
    (_, description), ran = executed(lambda: compile_object(path, "simd128"))
    roots = ["toolchain.codegen:compile_object", root_in(path, "KERNEL")]
    roots += description["code"]
    assert len(ran) > 20
    assert ran - covered(roots) == set()
