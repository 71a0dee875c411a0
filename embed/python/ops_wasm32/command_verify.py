"""The command verify: a model beside ONNX Runtime on the file that it was made of."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ops_wasm32.command_info import Json, print_json
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
    report = _Report(library.model, options.json)
    tries = _inputs(options, library.model)
    bound = library.model.tolerance if options.bound is None else options.bound
    bound = BOUND if bound is None else bound
    original = _Original(options.against, library.model, options.values)
    refused: list[_RefusedError] = []
    for arrays in tries:
        try:
            wanted = original.run(arrays)
        except _RefusedError as error:
            refused.append(error)
            continue
        if not report.calls:
            report.begin(original.setting, bound)
        report.add(arrays, _results(library, arrays), wanted, bound)
    if not report.calls:
        raise UserError(f"{refused[-1]}{_OTHERS * bool(library.model.sizes)}")
    return report.end([str(refusal) for refusal in refused])


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


def _results(library: Library, arrays: list[Array]) -> tuple[Array, ...]:
    result = library(*arrays)
    return result if isinstance(result, tuple) else (result,)


class _Report:
    """What is found, as lines or at the end as JSON."""

    def __init__(self, model: Model, as_json: bool) -> None:
        self._model, self._json = model, as_json
        self.calls: list[Json] = []
        self._head: Json = {}

    def _say(self, text: str) -> None:
        if not self._json:
            print(text)

    def begin(self, setting: str, bound: float) -> None:
        """The first call was made."""
        self._head = {"setting": setting, "bound": bound}
        self._say(f"against ONNX Runtime, {setting}; bound {bound:.3g}")

    def add(
        self,
        arrays: list[Array],
        found: tuple[Array, ...],
        wanted: list[Array],
        bound: float,
    ) -> None:
        """The results of a call, in a line for each output."""
        sizes = self._model.bind(arrays)
        if sizes:
            self._say(" ".join(f"{name}={n}" for name, n in sizes.items()))
        width = max(len(t.name) for t in self._model.outputs)
        self._say(f"{'output':{width}}  {'max error':>10}  {'relative':>10}")
        outputs = []
        for tensor, a, b in zip(self._model.outputs, found, wanted, strict=True):
            entry, text = _entry(a, b, bound)
            outputs.append({"output": tensor.name, **entry})
            self._say(f"{tensor.name:{width}}  {text}")
        self.calls.append({"sizes": dict(sizes), "outputs": outputs})

    def end(self, refused: list[str]) -> bool:
        """Whether all passes. refused: what could not be compared, and why."""
        for text in refused:
            self._say(f"not compared: {text}")
        passes = all(o["passes"] for call in self.calls for o in call["outputs"])
        if self._json:
            rest = {"calls": self.calls, "not_compared": refused}
            print_json({"passes": passes, **self._head, **rest})
        return passes


def _entry(a: Array, b: Array, bound: float) -> tuple[Json, str]:
    """How an output differs from the one that is wanted, and a line about it."""
    if a.shape != b.shape:
        shapes = {"shape": list(a.shape), "wanted_shape": list(b.shape)}
        text = f"FAIL (shape {a.shape} instead of {b.shape})"
        return {"passes": False, **shapes}, text
    error, share = compare(a, b)
    passes = share <= bound
    verdict = "pass" if passes else f"FAIL (bound {bound:.3g})"
    found = {"passes": passes, "max_error": error, "relative_error": share}
    return found, f"{error:10.3g}  {share:10.3g}  {verdict}"


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
            outputs = [_plain(o) for o in self._session.run(None, feeds)]
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


def _plain(output: Any) -> Array:
    """An output as an array: maps of classes, which ZipMap makes, in their order."""
    if isinstance(output, list) and all(isinstance(row, dict) for row in output):
        return np.array([list(row.values()) for row in output], np.float32)
    return np.asarray(output)


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
            f"give those that were made constants as the compiler got them, --value "
            f"NAME=NUMBERS; inputs: {', '.join(names)}"
        )
    return text + "is it another model?"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
