"""Library: calls in Relax of the operators of kernels/ that Relax has no name for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from toolchain.codegen.operators import load_operator
from toolchain.profile import KERNELS
from toolchain.spec import Operator

PREFIX = "library."  # and an operator's name: a node's kind
KEPT = "ops_wasm32.kept"  # annotates tables of a tensor expression: not to be inlined


@cache
def operator(name: str) -> Operator:
    """An operator of the library."""
    return load_operator(KERNELS / f"{name}.py")


def has(name: str, *dtypes: str) -> bool:
    """Whether an operator of the library has a variant."""
    return dtypes in operator(name).variants()


def library_call(
    name: str, inputs: list[Any], shape: Sequence[int], dtype: str, **attributes: Any
) -> Any:
    """A call of an operator; attributes: by name, as the operator has them."""
    from tvm import relax

    symbol = f"{PREFIX}{name} {json.dumps(attributes, sort_keys=True)}"
    return relax.call_dps_packed(symbol, inputs, relax.TensorType(list(shape), dtype))


def read_call(symbol: str) -> tuple[str, dict[str, Any]] | None:
    """Kind and attributes of such a call; None for another one."""
    if not symbol.startswith(PREFIX):
        return None
    kind, _, attributes = symbol.partition(" ")
    return kind, json.loads(attributes)
