"""How ONNX writes the library's operators: names, and attributes that are inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import defs, helper
from ops_wasm32.convert import Array
from verification import Cell

from toolchain.spec import Case

OPSET = 24


@dataclass(frozen=True)
class Form:
    """How ONNX writes an operator.

    settings: attributes of ours that are inputs there, by their place.
    """

    name: str
    settings: dict[str, int] = field(default_factory=dict)


_AXES = {"axes": 1}
FORMS = {
    **{
        ours: Form("".join(w.capitalize() for w in ours.split("_")))
        for ours in (
            *("abs", "add", "arg_max", "arg_min", "average_pool", "cast", "ceil"),
            *("batch_normalization", "concat", "conv", "cos", "dequantize_linear"),
            *("div", "elu", "equal", "erf", "exp", "floor", "gather", "gelu", "gemm"),
            *("global_average_pool", "greater", "greater_or_equal", "hard_sigmoid"),
            *("hard_swish", "identity", "layer_normalization", "leaky_relu", "less"),
            *("less_or_equal", "log", "log_softmax", "max_pool", "mod", "mul", "neg"),
            *("pow", "quantize_linear", "reciprocal", "relu", "round", "sigmoid"),
            *("sign", "sin", "softmax", "softplus", "sqrt", "sub", "tanh"),
            *("transpose", "where"),
        )
    },
    **{
        ours: Form(f"Reduce{ours.removeprefix('reduce_').capitalize()}", _AXES)
        for ours in (
            *("reduce_l2", "reduce_max", "reduce_mean", "reduce_min"),
            *("reduce_prod", "reduce_sum"),
        )
    },
    "clip": Form("Clip"),
    "cum_sum": Form("CumSum", {"axis": 1}),
    "expand": Form("Expand", {"shape": 1}),
    "logical_and": Form("And"),
    "logical_not": Form("Not"),
    "logical_or": Form("Or"),
    "logical_xor": Form("Xor"),
    "matmul": Form("MatMul"),
    "matmul_integer": Form("MatMulInteger"),
    "maximum": Form("Max"),
    "minimum": Form("Min"),
    "pad": Form("Pad", {"pads": 1, "value": 2}),
    "reshape": Form("Reshape", {"shape": 1}),
    "resize": Form("Resize", {"sizes": 3}),
    "rms_normalization": Form("RMSNormalization"),
    "silu": Form("Swish"),
    "slice": Form("Slice", {"starts": 1, "ends": 2, "axes": 3, "steps": 4}),
    "split": Form("Split", {"split": 1}),
    "tile": Form("Tile", {"repeats": 1}),
}
# Operators without a node in ONNX.
NO_NODE = {
    "conv_pack": "packs weights",
    "conv_packed": "a convolution with packed weights, as models call it",
    "depthwise_packed": "a convolution with packed weights, as models call it",
    "equal_count": "counts equal elements, for measures of accuracy",
    "matmul_pack": "packs weights",
    "matmul_packed": "a product with packed weights, as models call it",
}


# Operators whose models, on targets that fuse multiply-adds, are held to the operator's
# bound instead of the library's bits, and a case that shows why. LLVM fuses them in
# vectors alone, and with constants for sizes takes other elements as vectors.
FUSED = {
    "batch_normalization": "5x7",
    "conv": "huge-stride-depthwise",
    "gemm": "c()",
    "hard_sigmoid": "15",
    "resize": "linear-align_corners-10x14",
}


def foreign(cell: Cell) -> str:
    """Why ONNX has no node for a case; empty where it has a node."""
    if cell.operator in NO_NODE:
        return NO_NODE[cell.operator]
    form, case = FORMS[cell.operator], cell.case
    schema = defs.get_schema(form.name, OPSET)
    for i, value in enumerate(case.inputs):
        parameter = schema.inputs[min(i, len(schema.inputs) - 1)]
        if value is not None and _type(value) not in parameter.types:
            return f"{form.name} takes no {value.dtype} as {parameter.name}"
    if cell.operator == "clip" and any(np.ndim(v) for v in case.inputs[1:]):
        return "Clip takes scalars for limits"
    if cell.operator == "mod" and _floats(case) and not case.attributes.get("fmod"):
        return "Mod takes floats only with fmod"
    return ""


def _type(value: Array) -> str:
    name = {"float32": "float", "float64": "double"}.get(str(value.dtype))
    return f"tensor({name or value.dtype})"


def _floats(case: Case) -> bool:
    return bool(case.inputs[0].dtype.kind == "f")


def attributes_of(cell: Cell, results: Sequence[Array]) -> dict[str, Any]:
    """Attributes as ONNX has them; arrays where ONNX has inputs."""
    form, given = FORMS[cell.operator], dict(cell.case.attributes)
    x = cell.case.inputs[0]
    if cell.operator == "cast":
        given["to"] = helper.np_dtype_to_tensor_dtype(np.dtype(cell.dtypes[1]))
    zeros = cell.case.inputs[2:]  # of quantize_linear: they say its dtype
    if cell.operator == "quantize_linear" and all(v is None for v in zeros):
        given["output_dtype"] = helper.np_dtype_to_tensor_dtype(results[0].dtype)
    if cell.operator == "resize":
        given["axes"] = range(2, np.ndim(x))  # of an image, whatever its sizes
    if "perm" in given:  # ONNX has no axes below 0 there, and no empty lists
        perm = [axis % np.ndim(x) for axis in given.pop("perm")]
        given |= {"perm": perm} if perm else {}
    for name in set(given).intersection(form.settings):
        dtype = x.dtype if name == "value" else np.int64
        given[name] = np.array(given[name], dtype)
    return given
