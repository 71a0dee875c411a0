"""The command verify: a model beside ONNX Runtime on the file that it was made of."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ops_wasm32.command_run import UserError, read_inputs
from ops_wasm32.locate import load
from ops_wasm32.model import Model, Tensor

BOUND = 1e-4  # of an output's range: float32 sums in another order stay far below


def verify(options: argparse.Namespace) -> bool:
    """Print the error of each output; whether all are within options.bound."""
    library = load(options.file)
    model = library.model
    if model is None:
        raise UserError(f"{options.file}: holds no model; verify compares models")
    if options.inputs:
        arrays = model.arrays(*read_inputs(options.inputs))
    else:
        arrays = random_inputs(model, options.seed, options.max_int)
    wanted = _reference(options.against, model, arrays)
    result = library(*arrays)
    found = result if isinstance(result, tuple) else (result,)
    width = max(len(t.name) for t in model.outputs)
    print(f"{'output':{width}}  {'max error':>10}  {'of range':>10}")
    good = True
    for tensor, a, b in zip(model.outputs, found, wanted, strict=True):
        error, share = compare(a, b)
        passes = share <= options.bound
        good = good and passes
        verdict = "pass" if passes else f"FAIL (bound {options.bound:g})"
        print(f"{tensor.name:{width}}  {error:10.3g}  {share:10.3g}  {verdict}")
    return good


def random_inputs(model: Model, seed: int, max_int: int) -> list[NDArray[Any]]:
    """Normally distributed floats, integers of 0 to max_int."""
    rng = np.random.default_rng(seed)

    def draw(tensor: Tensor) -> NDArray[Any]:
        if tensor.dtype == "float32":
            return rng.standard_normal(tensor.shape, np.float32)
        most = 1 if tensor.dtype == "bool" else max_int
        if tensor.dtype != "bool" and not 0 <= most <= np.iinfo(tensor.dtype).max:
            raise UserError(
                f"--max-int {most}: input {tensor.name} is {tensor.dtype}; give 0 to "
                f"{np.iinfo(tensor.dtype).max}"
            )
        return rng.integers(0, most, tensor.shape, endpoint=True).astype(tensor.dtype)

    return [draw(t) for t in model.inputs]


def compare(found: NDArray[Any], wanted: NDArray[Any]) -> tuple[float, float]:
    """The largest absolute error, and its share of the range of what is wanted.

    The same NaN or infinity on both sides is no error; on one side it is infinite.
    """
    a, b = found.astype(np.float64), wanted.astype(np.float64)
    differ = ~((a == b) | (np.isnan(a) & np.isnan(b)))
    if not differ.any():
        return 0.0, 0.0
    with np.errstate(invalid="ignore"):
        error = float(np.nan_to_num(np.abs(a - b)[differ], nan=np.inf).max())
    finite = b[np.isfinite(b)]
    span = float(np.ptp(finite)) if finite.size else 0.0
    return error, error / span if span else np.inf


def _reference(
    path: Path, model: Model, arrays: list[NDArray[Any]]
) -> list[NDArray[Any]]:
    """What ONNX Runtime gives; its names match the model's by their order."""
    try:
        import onnxruntime
    except ImportError:
        raise UserError(
            "verify needs ONNX Runtime, which is not installed; run: "
            "pip install onnxruntime"
        ) from None
    if not path.is_file():
        raise UserError(f"--against {path}: there is no such file")
    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            str(path), quiet, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its classes are private, and differ by version
        raise UserError(f"--against {path}: {_line(error)}") from None
    names = [i.name for i in session.get_inputs()]
    counts = (len(names), len(session.get_outputs()))
    if counts != (len(model.inputs), len(model.outputs)):
        raise UserError(
            f"--against {path}: has {counts[0]} inputs and {counts[1]} outputs, the "
            f"module {len(model.inputs)} and {len(model.outputs)}; is it another model?"
        )
    try:
        outputs = session.run(None, dict(zip(names, arrays, strict=True)))
    except Exception as error:  # the same
        raise UserError(f"--against {path}: {_line(error)}") from None
    for tensor, array in zip(model.outputs, outputs, strict=True):
        if array.shape != tensor.shape:
            raise UserError(
                f"--against {path}: output {tensor.name} has shape {array.shape}, the "
                f"module's has {tensor.shape}; is it another model?"
            )
    return list(outputs)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
