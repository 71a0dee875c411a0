"""Types inside a model: float64 is computed as float64, integers as they are.

Each rule of toolchain/model has a node here, with float64 between casts. Two float32
outputs hold the result: its rounding, and the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import ops_wasm32
import pytest
from abi import runtime_objects
from one_node import TARGET
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from ops_wasm32.convert import Array

from toolchain.graph.build import Place
from toolchain.model.build import Options, build_model
from toolchain.profile import ROOT, load_profile

EXACT, FUNCTION = 1e-12, 1e-6  # of the largest result: sums in another order; float32
RNG = np.random.default_rng(64)


def _w(*shape: int) -> Array:
    return RNG.normal(size=shape)


# By name: operator, the input's shape, constant inputs, attributes, bound.
IMAGE = (1, 3, 8, 8)
CASES: dict[str, tuple[str, tuple[int, ...], list[Array], dict[str, Any], float]] = {
    "conv": ("Conv", IMAGE, [_w(4, 3, 3, 3), _w(4)], {"pads": [1] * 4}, EXACT),
    "groups": ("Conv", IMAGE, [_w(3, 1, 3, 3)], {"group": 3}, EXACT),
    "gemm": ("Gemm", (2, 8), [_w(4, 8), _w(4)], {"transB": 1}, EXACT),
    "matmul": ("MatMul", (3, 8), [_w(8, 4)], {}, EXACT),
    "batches": ("MatMul", (2, 3, 8), [_w(2, 8, 4)], {}, EXACT),
    "softmax": ("Softmax", (3, 40), [], {}, FUNCTION),
    "columns": ("Softmax", (3, 5, 8), [], {"axis": 1}, FUNCTION),
    "log_softmax": ("LogSoftmax", (3, 40), [], {}, FUNCTION),
    "layer_norm": ("LayerNormalization", (3, 8), [_w(8), _w(8)], {}, EXACT),
    "rms_norm": ("RMSNormalization", (3, 8), [_w(8)], {}, EXACT),
    "mean": ("ReduceMean", (3, 8, 4), [np.array([1])], {}, EXACT),
    "sum": ("ReduceSum", (3, 8, 4), [np.array([0, 2])], {}, EXACT),
    "max": ("ReduceMax", (3, 8), [np.array([1])], {}, 0),
    "min": ("ReduceMin", (3, 8), [np.array([0])], {}, 0),
    "prod": ("ReduceProd", (3, 8), [np.array([1])], {}, EXACT),
    "norm": ("ReduceL2", (3, 8), [np.array([1])], {}, EXACT),
    "max_pool": ("MaxPool", IMAGE, [], {"kernel_shape": [3, 3]}, 0),
    "average_pool": ("AveragePool", IMAGE, [], {"kernel_shape": [2, 2]}, EXACT),
    "line": ("MaxPool", (1, 2, 9), [], {"kernel_shape": [3]}, 0),
    "global": ("GlobalAveragePool", IMAGE, [], {}, EXACT),
    "cum_sum": ("CumSum", (3, 8), [np.array(1)], {}, EXACT),
    "concat": ("Concat", (3, 8), [_w(3, 8)], {"axis": 1}, 0),
    "transpose": ("Transpose", (70, 80), [], {}, 0),
    "relu": ("Relu", (3, 8), [], {}, 0),
    "clip": ("Clip", (3, 8), [np.array(-0.3), np.array(0.7)], {}, 0),
    "minimum": ("Min", (3, 8), [_w(8)], {}, 0),
    "leaky": ("LeakyRelu", (3, 8), [], {"alpha": 0.1}, FUNCTION),
    "sign": ("Sign", (3, 8), [], {}, 0),
    "elu": ("Elu", (3, 8), [], {}, FUNCTION),
    "tanh": ("Tanh", (3, 8), [], {}, FUNCTION),
    "abs": ("Abs", (3, 8), [], {}, 0),
    "divide": ("Div", (3, 8), [np.array(1.4142)], {}, EXACT),
    "square": ("Pow", (3, 8), [np.array(2.0)], {}, EXACT),
}

Show = Callable[[str], None]


def _quiet(text: str) -> None:
    del text


class Net:
    """Nodes of all cases, with their inputs and outputs."""

    def __init__(self, opset: int = 23, ir_version: int = 10) -> None:
        self.opset, self.ir_version = opset, ir_version
        self.nodes: list[onnx.NodeProto] = []
        self.inputs: dict[str, Array] = {}
        self.outputs: list[onnx.ValueInfoProto] = []
        self.constants: list[onnx.TensorProto] = []

    def node(self, op: str, inputs: list[str], out: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [out], **attributes))
        return out

    def constant(self, value: Array | float, name: str) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def model(self) -> onnx.ModelProto:
        infos = [
            helper.make_tensor_value_info(
                n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape
            )
            for n, v in self.inputs.items()
        ]
        graph = helper.make_graph(
            self.nodes, "inside", infos, self.outputs, self.constants
        )
        imports = [helper.make_opsetid("", self.opset)]
        return helper.make_model(
            graph, opset_imports=imports, ir_version=self.ir_version
        )


def build(net: Net, folder: Path, file: str | None, show: Show = _quiet) -> Path:
    """The model's module."""
    profile = load_profile(Path(file) if file else None)
    target = TARGET if TARGET in profile.targets else profile.targets[0]
    runtime = runtime_objects(target, profile.folder)
    path = folder / "inside.onnx"
    onnx.save(net.model(), path)
    place = Place(folder, ROOT / "build" / "cache" / target)
    build_model(path, Options(target), place, runtime, show)
    return folder / "inside.wasm"


def run(net: Net, folder: Path, file: str | None, show: Show = _quiet) -> list[Array]:
    """What the model gives."""
    module = ops_wasm32.load(build(net, folder, file, show))
    found = module.call("inside", *net.inputs.values())
    return list(found) if isinstance(found, tuple) else [found]


def test_float64_inside(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """Errors of float32 would be a thousand times the bounds."""
    net = Net()
    wide, narrow = TensorProto.DOUBLE, TensorProto.FLOAT
    for name, (op, shape, given, attributes, _) in CASES.items():
        net.inputs[name] = _w(*shape).astype("f4")
        x = net.node("Cast", [name], f"{name}_x", to=wide)
        # Digits that float32 has not.
        part = net.constant(1 + 2.0**-40, f"{name}_part")
        x = net.node("Mul", [x, part], f"{name}_scaled")
        rest = [net.constant(v, f"{name}_{i}") for i, v in enumerate(given)]
        y = net.node(op, [x, *rest], f"{name}_y", **attributes)
        high = net.node("Cast", [y], f"{name}_high", to=narrow)
        back = net.node("Cast", [high], f"{name}_back", to=wide)
        low = net.node("Sub", [y, back], f"{name}_rest")
        low = net.node("Cast", [low], f"{name}_low", to=narrow)
        net.outputs += [
            helper.make_tensor_value_info(n, narrow, None) for n in (high, low)
        ]
    found = run(net, tmp_path, pytestconfig.getoption("--profile-file"))
    with np.errstate(all="ignore"):
        wanted = list(ReferenceEvaluator(net.model()).run(None, net.inputs))
    wrong = {}
    for i, (name, (*_, bound)) in enumerate(CASES.items()):
        got, want = (
            np.add(*(part.astype("f8") for part in results[2 * i : 2 * i + 2]))
            for results in (found, wanted)
        )
        assert got.shape == want.shape, name
        error = np.abs(got - want).max() / np.abs(want).max()
        # What two float32 hold.
        if not error <= max(bound, 2.0**-47):
            wrong[name] = float(error)
    assert wrong == {}
