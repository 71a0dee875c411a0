"""Operators with intricate attributes against ONNX Runtime, beside our own numpy.

Each case of an operator is run as a graph of one node. The built kernel of the first
target is compared; test_operators.py holds the targets to one reference.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import helper
from ops_wasm32.convert import Array
from test_operators import library
from verification import Cell, cells, check

from toolchain.codegen.operators import load_operator
from toolchain.dtypes import DTYPES
from toolchain.profile import load_profile
from toolchain.spec import Bound, tensor_dtype

NODES = {
    "average_pool": "AveragePool",
    "conv": "Conv",
    "gemm": "Gemm",
    "matmul": "MatMul",
    "matmul_integer": "MatMulInteger",
    "max_pool": "MaxPool",
    "resize": "Resize",
}
OPSET, IR_VERSION = 22, 10
# Both sides round sums of up to 1031 products in orders of their own; ONNX Runtime
# rounds the places that resize maps to.
BOUND = Bound(ulp=32, absolute=1e-4, why="two float32 results")
# Cases that ONNX Runtime refuses, or does otherwise than the standard says.
DIFFERENT = {
    r"matmul_int8": "MatMul has no int8 in ONNX",
    r"matmul_integer_.*-(3x0-0x4|0-0)(-|$)": "leaves results unset where K is 0",
    r"matmul_integer_.*-(rows|both)-": "takes no zero point per row",
    r"max_pool_float32-(special|extremes)": "drops NaN",
    r"(max|average)_pool_\w+-(outside|overlap_line)": "takes no pads as wide as that",
    r"resize_float32-special-linear": "multiplies infinity by a weight of 0",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    file = metafunc.config.getoption("--profile-file")
    profile = load_profile(Path(file) if file else None)
    first = replace(
        profile,
        targets=profile.targets[:1],
        operators={n: p for n, p in profile.operators.items() if n in NODES},
    )
    only = metafunc.config.getoption("--operator")
    matrix = list(cells(first, only))
    metafunc.parametrize("cell", matrix, ids=[str(c) for c in matrix])


def exact_inputs(cell: Cell) -> list[Array]:
    """Inputs of the case for which ONNX Runtime is exact on every processor.

    Its product of uint8 by int8 saturates sums of two in 16 bits on x86 without VNNI;
    that of uint8 by uint8 does not. So b and its zero point move up by 128.
    """
    inputs = list(cell.case.inputs)
    if cell.operator == "matmul_integer" and cell.dtypes == ("uint8", "int8"):
        a, b, a_zero, b_zero = inputs
        zero = np.zeros((), np.int8) if b_zero is None else b_zero
        moved = (np.asarray(v.view(np.uint8) ^ 0x80) for v in (b, zero))
        inputs = [a, next(moved), a_zero, next(moved)]
    return inputs


def onnx_runtime(cell: Cell, output: str) -> Array:
    """Result of the case's node."""
    values = exact_inputs(cell)
    inputs = {
        chr(ord("a") + i): value for i, value in enumerate(values) if value is not None
    }
    names = [chr(ord("a") + i) for i in range(len(values))]
    attributes = dict(cell.case.attributes)
    order = [n if n in inputs else "" for n in names]
    if cell.operator == "resize":
        sizes = (*cell.case.inputs[0].shape[:2], *attributes.pop("sizes"))
        inputs["sizes"] = np.array(sizes, np.int64)
        order += ["", "", "sizes"]
    node = helper.make_node(NODES[cell.operator], order, ["out"], **attributes)
    given = [
        helper.make_tensor_value_info(
            n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape
        )
        for n, v in inputs.items()
    ]
    result = helper.make_tensor_value_info("out", DTYPES[output].onnx, None)
    model = helper.make_model(
        helper.make_graph([node], "case", given, [result]),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, inputs)[0])


def test_kernel_agrees_with_onnx_runtime(
    cell: Cell, request: pytest.FixtureRequest
) -> None:
    file = request.config.getoption("--profile-file")
    profile = load_profile(Path(file) if file else None)
    operator = load_operator(profile.operators[cell.operator])
    for pattern, reason in DIFFERENT.items():
        if re.match(pattern, str(cell)):
            pytest.skip(f"ONNX Runtime: {reason}")
    want = onnx_runtime(cell, tensor_dtype(operator.outputs[0], cell.dtypes))
    module = library(profile.folder / cell.target / "ops_wasm32.wasm")
    got = module.call(cell.kernel, *cell.case.inputs, **cell.case.attributes)
    peer = replace(operator, reference=lambda *_, **__: want, bound=BOUND)
    check(cell, peer, [np.asarray(got)])
