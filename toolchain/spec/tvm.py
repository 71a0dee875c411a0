"""TVM, loaded when it is first used, and the types of its objects.

To import this module loads no TVM, which takes seconds: listing tasks and running
references need none.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any


class _Lazy:
    """A module that is imported when one of its attributes is first read."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)


if TYPE_CHECKING:
    from tvm import te
    from tvm import tirx as tir
    from tvm.ir import Expr
    from tvm.s_tir import Schedule
    from tvm.te import Tensor
    from tvm.tirx import Buffer, Stmt, Var

    # Statements, for loop nests inside te.extern (see toolchain/spec/nest.py).
    from tvm.tirx.script import builder as script
else:
    te, tir = _Lazy("tvm.te"), _Lazy("tvm.tirx")
    script = _Lazy("tvm.tirx.script.builder")
    Buffer = Expr = Schedule = Stmt = Tensor = Var = Any

__all__ = [
    "Buffer",
    "Expr",
    "Schedule",
    "Stmt",
    "Tensor",
    "Var",
    "script",
    "te",
    "tir",
]
