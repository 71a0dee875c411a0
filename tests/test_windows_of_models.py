"""Pools inside models: what the library gives, in a time that its bytes bound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import ops_wasm32
import pytest
import wasmtime
from onnx import TensorProto, helper
from ops_wasm32.convert import Array
from ops_wasm32.instance import Instance
from test_inside import Net, build
from test_time import FIXED, PER_BYTE_OF_WINDOWS

SIDE = 24


def _along(x: Array, axis: int, fold: np.ufunc) -> Array:
    """Windows as long as the axis, pads one shorter: each prefix, then each suffix."""
    first = fold.accumulate(x, axis)
    last = np.flip(fold.accumulate(np.flip(x, axis), axis), axis)
    return np.concatenate([first, np.take(last, range(1, x.shape[axis]), axis)], axis)


def _folded(x: Array, fold: np.ufunc) -> Array:
    for axis in range(2, x.ndim):
        x = _along(x, axis, fold)
    return x


def _mean(x: Array) -> Array:
    return _folded(x.astype("f8"), np.add) / _folded(np.ones(x.shape), np.add)


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_windows_that_overlap(
    op: str, rank: int, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """Images come out of a convolution, which has them as NHWC."""
    size = (4000, 120, SIDE)[rank - 1]
    x = np.random.default_rng(rank).normal(size=(1, 2, *[size] * rank)).astype("f4")
    net = Net()
    net.inputs["x"] = x
    source = "x"
    if rank == 2:
        weights = net.constant(np.ones((2, 1, 1, 1), "f4"), "w")
        source = net.node("Conv", ["x", weights], "conv", group=2)
    window = {"kernel_shape": [size] * rank, "pads": [size - 1] * (2 * rank)}
    net.node(op, [source], "y", **window)
    net.outputs.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, None))
    path = build(net, tmp_path, pytestconfig.getoption("--profile-file"))
    config = wasmtime.Config()
    config.consume_fuel = True
    module = ops_wasm32.load(path)
    engine = wasmtime.Engine(config)
    module._instance = Instance(path.read_bytes(), str(path), engine, fuel=1 << 40)
    want = _folded(x, np.maximum) if op == "MaxPool" else _mean(x)
    allowed = FIXED + PER_BYTE_OF_WINDOWS * (x.nbytes + 4 * want.size)
    module._instance._store.set_fuel(allowed)
    found = module.call(path.stem, x)
    tolerance = 0 if op == "MaxPool" else 2e-6
    np.testing.assert_allclose(found, want, rtol=tolerance, atol=tolerance)
