"""Operators that models alone have, over the whole of float32, against numpy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from ops_wasm32.convert import Array
from test_inside import Net, run

LOWEST, INF, NAN = -3.4028235e38, np.inf, np.nan
# Of both signs: zeros, denormals, ordinary numbers, extremes, infinities; NaN.
POSITIVE = [0.0, 1e-45, 1e-40, 1e-3, 0.5, 1.0, 2.0, 30.0, 90.0, 1e10, -LOWEST, INF]
EDGE = np.array([*POSITIVE, *(-v for v in POSITIVE), NAN], "f4")
ROWS = np.array([[1, NAN, 3], [-INF, -INF, -INF], [INF, 1, -INF], [2, 2, 1]], "f4")


def _elu(x: Array, alpha: float) -> Array:
    return np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x)


def _int(low: int, high: int) -> Callable[[Array], list[int]]:
    """Floats cut to whole numbers of a range, NaN to 0."""
    return lambda x: [
        0 if v != v else low if v <= low else high if v >= high else int(v) for v in x
    ]


Case = tuple[str, list[Array], dict[str, Any], Callable[..., Any], str]
CASES: dict[str, Case] = {
    "celu": ("Celu", [EDGE], {"alpha": 2.0}, lambda x: 2 * _elu(x / 2, 1), "f4"),
    "selu": (
        "Selu",
        [EDGE],
        {},
        lambda x: 1.05070102214813232421875 * _elu(x, 1.67326319217681884765625),
        "f4",
    ),
    "thresholded": (
        "ThresholdedRelu",
        [EDGE],
        {"alpha": 0.5},
        lambda x: np.where(x > 0.5, x, 0),
        "f4",
    ),
    "shrink": (
        "Shrink",
        [EDGE],
        {"lambd": 0.75, "bias": 0.25},
        lambda x: np.where(x < -0.75, x + 0.25, np.where(x > 0.75, x - 0.25, 0)),
        "f4",
    ),
    "mish": (
        "Mish",
        [EDGE],
        {},
        lambda x: x * np.tanh(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))),
        "f4",
    ),
    "fmod": (
        "Mod",
        [
            np.array([1e9, -7, 7, INF, 1, -0.0], "f4"),
            np.array([7, 3, -3, 2, INF, 3], "f4"),
        ],
        {"fmod": 1},
        np.fmod,
        "f4",
    ),
    "int16": ("Cast", [EDGE], {"to": TensorProto.INT16}, _int(-(2**15), 2**15 - 1), ""),
    "uint32": ("Cast", [EDGE], {"to": TensorProto.UINT32}, _int(0, 2**32 - 1), ""),
    "maxima": ("Max", [ROWS, ROWS[::-1].copy()], {}, np.maximum, "f4"),
    "global": (
        "GlobalMaxPool",
        [ROWS[:, None]],
        {},
        lambda x: x.max(axis=2, keepdims=True),
        "f4",
    ),
    "hard_max": (
        "Hardmax",
        [ROWS[1:]],
        {},
        lambda x: np.eye(3)[np.argmax(x, 1)],
        "f4",
    ),
    "depth_dcr": (
        "SpaceToDepth",
        [np.arange(32, dtype="f4").reshape(1, 2, 4, 4)],
        {"blocksize": 2, "mode": "DCR"},
        lambda x: (
            x.reshape(1, 2, 2, 2, 2, 2).transpose(0, 3, 5, 1, 2, 4).reshape(1, 8, 2, 2)
        ),
        "f4",
    ),
    "depth_crd": (
        "SpaceToDepth",
        [np.arange(32, dtype="f4").reshape(1, 2, 4, 4)],
        {"blocksize": 2, "mode": "CRD"},
        lambda x: (
            x.reshape(1, 2, 2, 2, 2, 2).transpose(0, 1, 3, 5, 2, 4).reshape(1, 8, 2, 2)
        ),
        "f4",
    ),
}


def test_extremes(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    net = Net(opset=28, ir_version=13)
    wants = []
    for name, (op, inputs, attributes, reference, dtype) in CASES.items():
        names = [f"{name}_{i}" for i in range(len(inputs))]
        for n, value in zip(names, inputs, strict=True):
            if value.dtype == np.int64:  # which axes
                net.constant(value, n)
            else:
                net.inputs[n] = value
        net.node(op, names, f"{name}_y", **attributes)
        wide = [v.astype("f8") if v.dtype == "f4" else v for v in inputs]
        with np.errstate(all="ignore"):
            want = np.asarray(reference(*wide))
            wants.append(want.astype(dtype) if dtype else want)
        kind = TensorProto.FLOAT
        if not dtype:  # integers that modules do not give
            net.node("Cast", [f"{name}_y"], f"{name}_long", to=TensorProto.INT64)
            kind = TensorProto.INT64
        out = f"{name}_y" if dtype else f"{name}_long"
        net.outputs.append(helper.make_tensor_value_info(out, kind, want.shape))
    found = run(net, tmp_path, pytestconfig.getoption("--profile-file"))
    wrong = {}
    for name, got, want in zip(CASES, found, wants, strict=True):
        try:
            np.testing.assert_allclose(got, want, rtol=4e-6, atol=1e-37)
        except AssertionError as error:
            wrong[name] = str(error)
    assert wrong == {}


def _windows(x: Array) -> Any:
    """Windows of 3 x 3, 2 apart, over planes with a border of -inf."""
    wide = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-INF)
    views = np.lib.stride_tricks.sliding_window_view(wide, (3, 3), (2, 3))
    return views[:, :, ::2, ::2].max(axis=(4, 5))


def test_pools_between_convolutions(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """Images are NHWC there; the convolutions give each channel as it is."""
    x = np.random.default_rng(0).normal(size=(1, 4, 9, 8)).astype("f4")
    x[0, 0], x[0, 1, 4, 4], x[0, 2, 0, 0], x[0, 3, 8, 7] = -INF, NAN, INF, LOWEST
    net = Net()
    net.inputs["x"] = x
    # Infinity by a weight of 0 is NaN: each channel is a group of its own.
    weights = net.constant(np.ones((4, 1, 1, 1), "f4"), "w")
    net.node("Conv", ["x", weights], "a", group=4)
    pool = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4}
    net.node("MaxPool", ["a"], "b", **pool)
    net.node("Conv", ["b", weights], "y", group=4)
    net.outputs.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, None))
    (found,) = run(net, tmp_path, pytestconfig.getoption("--profile-file"))
    np.testing.assert_array_equal(found, _windows(x))


def _attention(q: Array, k: Array, v: Array, mask: Array) -> Any:
    scores = (q @ k.swapaxes(-1, -2)).astype("f8") / np.sqrt(q.shape[-1]) + mask
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True) @ v


def test_attention_over_masked_rows(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """A row of nothing but the lowest float32 gives equal shares, and no NaN."""
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(1, 2, 5, 4)).astype("f4") for _ in range(3))
    mask = np.where(np.tri(5, k=-1), 0, LOWEST).astype("f4")  # the first row is masked
    mask[3] = np.where(np.abs(np.arange(5) - 3) < 2, 0, LOWEST)  # a local window
    net = Net(opset=23)
    net.inputs |= {"q": q, "k": k, "v": v, "mask": mask}
    net.node("Attention", ["q", "k", "v", "mask"], "y")
    net.outputs.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, None))
    (found,) = run(net, tmp_path, pytestconfig.getoption("--profile-file"))
    np.testing.assert_allclose(found, _attention(q, k, v, mask), rtol=2e-6, atol=2e-6)
    np.testing.assert_allclose(found[0, :, 0], v[0].mean(axis=1), rtol=2e-6, atol=2e-6)


def test_tensors_without_elements(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """Nodes that give none need no kernel, and those between have no arena."""
    net = Net()
    net.inputs |= {"x": np.zeros((0, 3), "f4"), "z": np.ones((2, 0), "f4")}
    weights = net.constant(np.ones((3, 4), "f4"), "w")
    net.node("MatMul", ["x", weights], "a")
    net.node("Softmax", ["a"], "y", axis=-1)
    net.node("ReduceSum", ["y", net.constant(np.array([0]), "axes")], "sum")
    net.node("ReduceMax", ["z", net.constant(np.array([1]), "last")], "most")
    for name in ("y", "sum", "most"):
        kind = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        net.outputs.append(kind)
    found = run(net, tmp_path, pytestconfig.getoption("--profile-file"))
    assert [(0, 4), (1, 4), (2, 1)] == [f.shape for f in found]
    assert [[0.0] * 4] == found[1].tolist()
    assert [[-INF], [-INF]] == found[2].tolist()
