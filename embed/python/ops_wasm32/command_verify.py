"""The command verify: a model beside ONNX Runtime on the file that it was made of."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ops_wasm32.command_run import UserError, read_inputs
from ops_wasm32.constants import constants_of
from ops_wasm32.convert import Array
from ops_wasm32.exact import exact_session
from ops_wasm32.locate import load
from ops_wasm32.model import Model, Tensor

if TYPE_CHECKING:
    import onnxruntime

BOUND = 1e-4  # for modules whose manifest says none


def verify(options: argparse.Namespace) -> bool:
    """Print the error of each output; whether all are within the bound.

    That is options.bound, or what the model's manifest says.
    """
    library = load(options.file)
    model = library.model
    if model is None:
        raise UserError(f"{options.file}: holds no model; verify compares models")
    if options.inputs:
        arrays = model.arrays(*read_inputs(options.inputs))
    else:
        arrays = random_inputs(model, options.seed, options.max_int)
    bound = model.tolerance if options.bound is None else options.bound
    bound = BOUND if bound is None else bound
    wanted, setting = _reference(options.against, model, arrays, options.values)
    print(f"against ONNX Runtime, {setting}; bound {bound:.3g}")
    result = library(*arrays)
    found = result if isinstance(result, tuple) else (result,)
    width = max(len(t.name) for t in model.outputs)
    print(f"{'output':{width}}  {'max error':>10}  {'relative':>10}")
    good = True
    for tensor, a, b in zip(model.outputs, found, wanted, strict=True):
        error, share = compare(a, b)
        passes = share <= bound
        good = good and passes
        verdict = "pass" if passes else f"FAIL (bound {bound:.3g})"
        print(f"{tensor.name:{width}}  {error:10.3g}  {share:10.3g}  {verdict}")
    return good


def random_inputs(model: Model, seed: int, max_int: int) -> list[Array]:
    """Normally distributed floats, integers of 0 to max_int; of 8 bits all of them."""
    rng = np.random.default_rng(seed)

    def draw(tensor: Tensor) -> Array:
        if tensor.dtype == "float32":
            return rng.standard_normal(tensor.shape, np.float32)
        if tensor.dtype in ("int8", "uint8"):
            ends = np.iinfo(tensor.dtype)
            return rng.integers(
                ends.min, ends.max, tensor.shape, tensor.dtype, endpoint=True
            )
        most = 1 if tensor.dtype == "bool" else max_int
        if tensor.dtype != "bool" and not 0 <= most <= np.iinfo(tensor.dtype).max:
            raise UserError(
                f"--max-int {most}: input {tensor.name} is {tensor.dtype}; give 0 to "
                f"{np.iinfo(tensor.dtype).max}"
            )
        return rng.integers(0, most, tensor.shape, endpoint=True).astype(tensor.dtype)

    return [draw(t) for t in model.inputs]


def compare(found: Array, wanted: Array) -> tuple[float, float]:
    """The largest absolute error, and the largest relative one.

    That is relative to the element that is wanted, or to the square root of the mean
    square of all where this is larger: sums that cancel have the errors of the others.
    The same NaN or infinity on both sides is no error; on one side it is infinite.
    """
    a, b = found.astype(np.float64), wanted.astype(np.float64)
    differ = ~((a == b) | (np.isnan(a) & np.isnan(b)))
    if not differ.any():
        return 0.0, 0.0
    finite = b[np.isfinite(b)]
    mean = float(np.sqrt((finite * finite).mean())) if finite.size else 0.0
    magnitudes = np.abs(b[differ])
    magnitudes[~np.isfinite(magnitudes)] = 0
    with np.errstate(invalid="ignore", divide="ignore"):
        errors = np.abs(a - b)[differ]
        errors[np.isnan(errors)] = np.inf
        shares = errors / np.maximum(magnitudes, mean)
    return float(errors.max()), float(shares.max())


def _reference(
    path: Path, model: Model, arrays: list[Array], words: list[str]
) -> tuple[list[Array], str]:
    """What ONNX Runtime gives, and by which setting.

    words: inputs of the file that are constants in the module, as name=numbers. Names
    of the others match the model's by their order.
    """
    session, setting = _session(path)
    given = session.get_inputs()
    shapes = [t.shape for t in model.inputs]
    constants = constants_of(words, given, shapes, f"--against {path}")
    names = [i.name for i in given if i.name not in constants]
    counts = (len(names), len(session.get_outputs()))
    if counts != (len(model.inputs), len(model.outputs)):
        raise UserError(_other_model(path, model, names, counts[1]))
    feeds = dict(zip(names, arrays, strict=True)) | constants
    try:
        outputs = session.run(None, feeds)
    except Exception as error:  # its classes are private, and differ by version
        raise UserError(
            f"--against {path}: ONNX Runtime cannot run it on these inputs; give "
            "others by -i, or --max-int where they are indices. It said: "
            f"{_line(error)}"
        ) from None
    for tensor, array in zip(model.outputs, outputs, strict=True):
        if array.shape != tensor.shape:
            raise UserError(
                f"--against {path}: output {tensor.name} has shape {array.shape}, the "
                f"module's has {tensor.shape}; is it another model?"
            )
    return list(outputs), setting


# What ONNX Runtime does not read, and what to give instead.
_INSTEAD = {
    ".mindir": "is MindIR, which ONNX Runtime does not read; give the same network as "
    "an .onnx file",
    ".py": "is a recipe; give the file that it writes, build/models/{0}/{0}.onnx",
}


def _session(path: Path) -> tuple[onnxruntime.InferenceSession, str]:
    """A session of ONNX Runtime on a file, and its setting."""
    if not path.is_file():
        what = "is no file" if path.exists() else "there is no such file"
        raise UserError(f"--against {path}: {what}; give the .onnx file")
    if path.suffix in _INSTEAD:
        instead = _INSTEAD[path.suffix].format(path.stem)
        raise UserError(f"--against {path}: {instead}")
    try:
        return exact_session(path)
    except ImportError:
        raise UserError(
            "verify needs ONNX Runtime, which is not installed; run: "
            "pip install onnxruntime"
        ) from None
    except Exception as error:  # its classes are private, and differ by version
        raise UserError(
            f"--against {path}: ONNX Runtime does not take it; give the .onnx file "
            f"that the module was made of. It said: {_line(error)}"
        ) from None


def _other_model(path: Path, model: Model, names: list[str], outputs: int) -> str:
    """What to do where a file has other inputs or outputs than the module."""
    text = (
        f"--against {path}: has {len(names)} inputs and {outputs} outputs, the module "
        f"{len(model.inputs)} and {len(model.outputs)}; "
    )
    if len(names) > len(model.inputs) and outputs == len(model.outputs):
        return text + (
            f"give those that `doit model` made constants as it got them, --value "
            f"NAME=NUMBERS; inputs: {', '.join(names)}"
        )
    return text + "is it another model?"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
