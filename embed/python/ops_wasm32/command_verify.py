"""The command verify: a model beside ONNX Runtime on the file that it was made of."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ops_wasm32.command_run import UserError, read_inputs
from ops_wasm32.constants import constants_of
from ops_wasm32.convert import Array
from ops_wasm32.draw import random_inputs, sizes_of, sizes_to_try
from ops_wasm32.exact import exact_session
from ops_wasm32.library import Library
from ops_wasm32.locate import load
from ops_wasm32.model import Model
from ops_wasm32.sizes import fits, shape_text

if TYPE_CHECKING:
    import onnxruntime

BOUND = 1e-4  # for modules whose manifest says none
_OTHERS = "; or give other sizes by --dim NAME=SIZE"


def verify(options: argparse.Namespace) -> bool:
    """Print the error of each output; whether all are within the bound.

    That is options.bound, or what the model's manifest says. A model with open sizes
    is compared at several.
    """
    library = load(options.file)
    if library.model is None:
        raise UserError(f"{options.file}: holds no model; verify compares models")
    tries = _inputs(options, library.model)
    bound = library.model.tolerance if options.bound is None else options.bound
    bound = BOUND if bound is None else bound
    original = _Original(options.against, library.model, options.values)
    verdicts: list[bool] = []
    refused: list[_RefusedError] = []
    for arrays in tries:
        try:
            wanted = original.run(arrays)
        except _RefusedError as error:
            refused.append(error)
            continue
        if not verdicts:
            print(f"against ONNX Runtime, {original.setting}; bound {bound:.3g}")
        print(end=_sizes_text(library.model, arrays))
        verdicts.append(_compared(library, arrays, wanted, bound))
    if not verdicts:
        raise UserError(f"{refused[-1]}{_OTHERS * bool(library.model.sizes)}")
    for refusal in refused:
        print(f"not compared: {refusal}")
    return all(verdicts)


def _inputs(options: argparse.Namespace, model: Model) -> list[list[Array]]:
    """The inputs of each call that is compared."""
    sizes = sizes_of(options.dims, model)
    if not options.inputs:
        seed, most = options.seed, options.max_int
        tries = sizes_to_try(model, sizes)
        return [random_inputs(model, seed, most, found) for found in tries]
    if sizes:
        raise UserError("--dim: the inputs given by -i say all sizes; leave it out")
    return [model.arrays(*read_inputs(options.inputs))]


def _sizes_text(model: Model, arrays: list[Array]) -> str:
    """A line with the named sizes of a call; "" without any."""
    sizes = model.bind(arrays)
    return " ".join(f"{name}={n}" for name, n in sizes.items()) + "\n" * bool(sizes)


def _compared(
    library: Library, arrays: list[Array], wanted: list[Array], bound: float
) -> bool:
    """Print a line for each output of a call; whether all are within the bound."""
    model = library.model
    assert model is not None
    result = library(*arrays)
    found = result if isinstance(result, tuple) else (result,)
    width = max(len(t.name) for t in model.outputs)
    print(f"{'output':{width}}  {'max error':>10}  {'relative':>10}")
    good = True
    for tensor, a, b in zip(model.outputs, found, wanted, strict=True):
        if a.shape != b.shape:
            good = False
            print(f"{tensor.name:{width}}  FAIL (shape {a.shape} instead of {b.shape})")
            continue
        error, share = compare(a, b)
        passes = share <= bound
        good = good and passes
        verdict = "pass" if passes else f"FAIL (bound {bound:.3g})"
        print(f"{tensor.name:{width}}  {error:10.3g}  {share:10.3g}  {verdict}")
    return good


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


class _RefusedError(UserError):
    """Inputs that ONNX Runtime does not take."""


class _Original:
    """The ONNX file beside the module. setting: of ONNX Runtime, which runs it.

    words: inputs of the file that are constants in the module, as name=numbers. Names
    of the others match the model's by their order.
    """

    def __init__(self, path: Path, model: Model, words: list[str]) -> None:
        self._session, self.setting = _session(path)
        self._path, self._model, self._words = path, model, words

    def run(self, arrays: list[Array]) -> list[Array]:
        """What ONNX Runtime gives. Errors: UserError."""
        path, model = self._path, self._model
        given = self._session.get_inputs()
        shapes = [a.shape for a in arrays]
        constants = constants_of(self._words, given, shapes, f"--against {path}")
        names = [i.name for i in given if i.name not in constants]
        counts = (len(names), len(self._session.get_outputs()))
        if counts != (len(model.inputs), len(model.outputs)):
            raise UserError(_other_model(path, model, names, counts[1]))
        feeds = dict(zip(names, arrays, strict=True)) | constants
        try:
            outputs = self._session.run(None, feeds)
        except Exception as error:  # its classes are private, and differ by version
            raise _RefusedError(
                f"--against {path}: ONNX Runtime cannot run it on these inputs; give "
                "others by -i, or --max-int where they are indices. It said: "
                f"{_line(error)}"
            ) from None
        for tensor, array in zip(model.outputs, outputs, strict=True):
            if not fits(tensor.shape, array.shape):
                raise UserError(
                    f"--against {path}: output {tensor.name} is "
                    f"{shape_text(array.shape)}, the module's is "
                    f"{shape_text(tensor.shape)}; is it another model?"
                )
        return list(outputs)


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
