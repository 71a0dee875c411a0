"""ONNX files of single nodes, and what the frontend makes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from ops_wasm32.convert import Array

from toolchain.frontends import Model, read_model
from toolchain.spec import SpecError

FLOAT = TensorProto.FLOAT
Shapes = Mapping[str, tuple[int, ...]]
Weights = Mapping[str, Array | np.generic]
Save = Callable[[onnx.ModelProto], Path]


def info(
    name: str, shape: Sequence[str | int | None] | None = (2, 3), kind: int = FLOAT
) -> onnx.ValueInfoProto:
    """An input or output of a graph."""
    return helper.make_tensor_value_info(name, kind, shape)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto] | None = None,
    outputs: Sequence[onnx.ValueInfoProto] | None = None,
    weights: Weights | None = None,
    opset: int = 20,
) -> onnx.ModelProto:
    """A model of the nodes, from x of shape [2, 3] to y unless others are given."""
    graph = helper.make_graph(
        nodes,
        "g",
        [info("x")] if inputs is None else inputs,
        [info("y", None)] if outputs is None else outputs,
        [numpy_helper.from_array(np.asarray(v), n) for n, v in (weights or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def node(kind: str, *inputs: str, name: str = "n", **attributes: Any) -> onnx.NodeProto:
    """A node that computes y."""
    return helper.make_node(kind, list(inputs), ["y"], name=name, **attributes)


def refused(path: Path, shapes: Shapes | None = None) -> str:
    """The text with which a file is refused: it names the file."""
    with pytest.raises(SpecError) as error:
        read_model(path, shapes or {})
    text = str(error.value)
    assert str(path) in text
    assert "Traceback" not in text
    return text


def operators(found: Model) -> list[str]:
    """Relax operators of a module's main, in order."""
    bindings = [b for k in found.module["main"].body.blocks for b in k.bindings]
    return [
        b.value.op.name.removeprefix("relax.")
        for b in bindings
        if hasattr(b.value, "op")
    ]
