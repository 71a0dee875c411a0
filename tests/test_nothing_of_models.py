"""Nodes of models that fold nothing: sums are 0, maxima -inf; no memory is unset."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from onnx import helper
from ops_wasm32.convert import Array
from test_inside import Net, run

INF = float("inf")
BIAS = np.array([1, -2, 3, 4], "f4")
ONES = np.ones((2, 3), "f4")


class Nothing(NamedTuple):
    """A node. last: how many of its inputs are constants; want: a value, or results."""

    op: str
    inputs: list[Array]
    want: Array | float
    last: int = 0
    attributes: dict[str, Any] = {}  # noqa: RUF012 - none is ever changed


def _none(*shape: int, dtype: str = "f4") -> Array:
    return np.zeros(shape, dtype)


def _reduced(op: str, want: float, *dtypes: str) -> dict[str, Nothing]:
    return {
        f"{op}_{dtype}_{axis}": Nothing(
            op, [_none(*shape, dtype=dtype), np.array([axis])], want, 1
        )
        for dtype in dtypes
        for axis, shape in ((1, (2, 0)), (0, (0, 3)))
    }


def _product(
    op: str, x: Array, w: Array, *rest: Array, want: Any
) -> dict[str, Nothing]:
    """With weights, and with an input instead."""
    return {
        f"{op}_{x.dtype}_{x.ndim}_{w.ndim}_{last}": Nothing(
            op, [x, w, *rest], want, last
        )
        for last in (0, 1 + len(rest))
    }


CASES = {
    **_reduced("ReduceSum", 0, "f4", "i4", "i8"),
    **_reduced("ReduceProd", 1, "f4", "i4"),
    **_reduced("ReduceMax", -INF, "f4"),
    **_reduced("ReduceMax", -128, "i1"),
    **_reduced("ReduceMax", 0, "u1", "?"),
    **_reduced("ReduceMin", INF, "f4"),
    **_reduced("ReduceMin", 127, "i1"),
    **_reduced("ReduceMin", 255, "u1"),
    **_reduced("ReduceMin", 1, "?"),
    **_reduced("ReduceMean", np.nan, "f4"),
    **_reduced("ReduceL1", 0, "f4"),
    **_reduced("ReduceL2", 0, "f4"),
    **_reduced("ReduceLogSum", -INF, "f4"),
    **_reduced("ReduceLogSumExp", -INF, "f4"),
    **_reduced("ReduceSumSquare", 0, "f4"),
    **_product("MatMul", _none(2, 0), _none(0, 3), want=0),
    **_product("MatMul", _none(4, 2, 0), _none(4, 0, 3), want=0),
    **_product("MatMul", _none(4, 1, 2, 0), _none(5, 0, 3), want=0),
    **_product("MatMul", _none(0), _none(0), want=0),
    **_product("MatMul", _none(2, 0, dtype="i4"), _none(0, 3, dtype="i4"), want=0),
    **_product(
        "MatMulInteger", _none(2, 0, dtype="u1"), _none(0, 3, dtype="i1"), want=0
    ),
    **_product("Gemm", _none(2, 0), _none(0, 4), BIAS, want=BIAS),
    **_product(
        "Conv", _none(1, 0, 5, 5), _none(4, 0, 3, 3), BIAS, want=BIAS[:, None, None]
    ),
    **_product("Conv", _none(1, 0, 5), _none(4, 0, 3), BIAS, want=BIAS[:, None]),
    **_product("Conv", _none(1, 0, 5, 5, 5), _none(4, 0, 3, 3, 3), want=0),
    **_product(
        "ConvTranspose",
        _none(1, 0, 3, 3),
        _none(0, 4, 3, 3),
        BIAS,
        want=BIAS[:, None, None],
    ),
    **_product(
        "ConvInteger",
        _none(1, 0, 5, 5, dtype="u1"),
        _none(4, 0, 3, 3, dtype="u1"),
        want=0,
    ),
    "GlobalMaxPool": Nothing("GlobalMaxPool", [_none(1, 2, 0, 3)], -INF),
    "GlobalAveragePool": Nothing("GlobalAveragePool", [_none(1, 2, 0, 3)], np.nan),
    "MaxPool": Nothing(
        "MaxPool",
        [_none(1, 2, 0, 3)],
        -INF,
        attributes={"kernel_shape": [3, 3], "pads": [2] * 4},
    ),
    "Einsum": Nothing(
        "Einsum",
        [_none(4, 2, 0), _none(4, 0, 3)],
        0,
        attributes={"equation": "bij,bjk->bik"},
    ),
    "ScatterElements": Nothing(
        "ScatterElements", [ONES, _none(0, 3, dtype="i8"), _none(0, 3)], ONES
    ),
    "ScatterND": Nothing(
        "ScatterND", [ONES, _none(0, 1, dtype="i8"), _none(0, 3)], ONES
    ),
}


def test_what_is_folded_from_nothing(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    net = Net()
    for name, case in CASES.items():
        names = [f"{name}_{i}" for i in range(len(case.inputs))]
        free = len(names) - case.last
        net.inputs |= dict(zip(names[:free], case.inputs, strict=False))
        for given, value in zip(names[free:], case.inputs[free:], strict=True):
            net.constant(value, given)
        net.node(case.op, names, name, **case.attributes)
        first = str(case.inputs[0].dtype)
        dtype = np.dtype("i4" if case.op.endswith("Integer") else first)
        kind = helper.np_dtype_to_tensor_dtype(dtype)
        net.outputs.append(helper.make_tensor_value_info(name, kind, None))
    found = run(net, tmp_path, pytestconfig.getoption("--profile-file"))
    wrong = {
        name: got.tolist()
        for (name, case), got in zip(CASES.items(), found, strict=True)
        if not got.size
        or not np.array_equal(got, _like(got, case.want), equal_nan=True)
    }
    assert wrong == {}


def _like(got: Array, want: Array | float) -> Array:
    return np.broadcast_to(np.asarray(want), got.shape).astype("f8")
