"""The command run: one operator, or a model, on inputs from words or files."""

from __future__ import annotations

import argparse
import json
import math
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ops_wasm32.convert import Array
from ops_wasm32.library import Library
from ops_wasm32.locate import load
from ops_wasm32.model import Model
from ops_wasm32.signature import split_kernel
from ops_wasm32.tables import DTYPES, SHORT_DTYPES

_ENTRY_KEYS = ("input-data", "dim-size", "shape")


class UserError(Exception):
    """A mistake on the command line or in a file of inputs."""


def run(options: argparse.Namespace, words: list[str]) -> None:
    """Run options.op_type and print its outputs, or write them to options.out.

    words: attributes, NAME=VALUE; a module that holds a model may stand first.
    """
    if words and words[0].endswith(".wasm") and options.module is None:
        options.module = Path(words.pop(0))
    library = load(options.module)
    if library.model:
        _run_model(library, library.model, options, words)
    else:
        _run_operator(library, options, words)


def _run_model(
    library: Library, model: Model, options: argparse.Namespace, words: list[str]
) -> None:
    if words:
        raise UserError(
            f"argument {words[0]!r}: a model takes no attributes; leave it out"
        )
    if options.data_type:
        raise UserError(
            f"-d {options.data_type}: a model takes the data types that it is compiled "
            "for; leave it out"
        )
    out = options.out
    if options.op_type and _fold(options.op_type) != _fold(model.name):
        out = Path(options.op_type)  # -o of a model names its results
        if options.out or out.suffix not in (".npy", ".npz"):
            raise UserError(
                f"-o {options.op_type}: the module holds the model {model.name} alone; "
                "leave it out, or give the .npy or .npz for the outputs"
            )
    positional: list[object] = []
    named: dict[str, object] = {}
    for is_file, text in options.inputs or []:
        if is_file and text.endswith(".npz"):
            more, by_name = read_inputs(Path(text))
            positional += more
            named |= by_name
        else:
            positional += _read_file(Path(text)) if is_file else _read_text(text)
    result = library(*positional, **named)
    outputs = result if isinstance(result, tuple) else (result,)
    names = [t.name for t in model.outputs]
    _show(dict(zip(names, outputs, strict=True)), out)


_NUMBERED = re.compile(r"arr_\d+")  # as numpy.savez names what has no name


def read_inputs(path: Path) -> tuple[list[object], dict[str, object]]:
    """Inputs of a model in a .npz: the arrays in order, and the arrays by name."""
    arrays = _read_npz(path)
    if all(map(_NUMBERED.fullmatch, arrays)):
        return list(arrays.values()), {}
    return [], dict(arrays)


def _run_operator(
    library: Library, options: argparse.Namespace, words: list[str]
) -> None:
    if options.op_type is None:
        raise UserError("give the operator: -o NAME (`ops-wasm32 list` has the names)")
    attributes: dict[str, object] = {}
    for name, value in map(_attribute, words):
        if name in attributes:
            raise UserError(f"attribute {name} is given twice; give it once")
        attributes[name] = value
    dtype = _dtype(options.data_type)
    for name in ("to", "dtype"):
        if isinstance(text := attributes.get(name), str):
            attributes[name] = SHORT_DTYPES.get(text.upper(), text)
    inputs = [
        value
        for is_file, text in options.inputs or []
        for value in (_read_file(Path(text)) if is_file else _read_text(text))
    ]
    operator = library.resolve(options.op_type)
    _check_dtype(library, operator, inputs, dtype)
    bound = library.bind(operator, inputs, attributes, dtype)
    result = library.run(bound)
    outputs = result if isinstance(result, tuple) else (result,)
    names = [p.name for p in bound.outputs]
    if len(set(names)) < len(names):  # variadic: one name for all
        names = [f"{name}_{i}" for i, name in enumerate(names)]
    _show(dict(zip(names, outputs, strict=True)), options.out)


def _show(named: dict[str, Array], out: Path | None) -> None:
    """Print outputs, or write them to a file."""
    if out:
        _write(out, named)
    elif len(named) == 1:
        print(json.dumps(_as_lists(next(iter(named.values())))))
    else:
        print(json.dumps({name: _as_lists(array) for name, array in named.items()}))


def _attribute(word: str) -> tuple[str, object]:
    name, equals, text = word.partition("=")
    if not equals or not name.isidentifier():
        raise UserError(f"{word!r} is no attribute; write NAME=VALUE, such as axis=-1")
    try:
        return name, json.loads(text)
    except ValueError:
        if text.startswith(("[", "{")):
            raise UserError(f"attribute {name}: {text!r} is no JSON list") from None
        return name, text  # the name of a choice: mode=reflect


def _dtype(text: str | None) -> str | None:
    if text is None:
        return None
    dtype = SHORT_DTYPES.get(text.upper(), text.lower())
    if dtype not in DTYPES:
        raise UserError(
            f"data type {text!r} is unknown; use {', '.join(SHORT_DTYPES)} or "
            f"{', '.join(DTYPES)}"
        )
    return dtype


def _check_dtype(
    library: Library, operator: str, inputs: list[object], dtype: str | None
) -> None:
    """Ask for -d where several kernels are possible and no input has a dtype."""
    typed = any(isinstance(x, np.ndarray) and x.dtype != object for x in inputs)
    kernels = [s.name for s in library.signatures(operator)]
    firsts = dict.fromkeys(d for k in kernels for d in split_kernel(k)[1][:1])
    if len(firsts) > 1 and inputs and not typed and dtype is None:
        raise UserError(
            f"{operator}: JSON inputs have no data type; give -d, one of "
            f"{', '.join(firsts)}"
        )


def _fold(name: str) -> str:
    return name.replace("_", "").lower()


def _read_text(text: str) -> list[object]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"input {text[:60]!r} is not JSON ({error}); write [[1, 2], [3, 4]], or "
            "use -i for a file"
        ) from None
    return _inputs(data, "input")


def _read_file(path: Path) -> list[object]:
    try:
        if path.suffix == ".npy":
            return [_loaded(path, np.load(path, allow_pickle=False))]
        if path.suffix == ".npz":
            return list(_arrays(path).values())
        data = json.loads(path.read_text())
    except _READ_ERRORS as error:
        raise _unreadable(path, error) from None
    return _inputs(data, str(path))


_READ_ERRORS = (OSError, ValueError, EOFError, RecursionError, zipfile.BadZipFile)


def _unreadable(path: Path, error: Exception) -> UserError:
    if isinstance(error, OSError):
        return UserError(f"{path}: cannot be read: {error.strerror or error}")
    kind = {".npy": "a .npy", ".npz": "a .npz"}.get(path.suffix, "a JSON")
    # numpy takes any other file for one of Python objects, and says how to read it.
    why = "it holds no arrays of numbers" if "pickle" in str(error) else error
    return UserError(f"{path}: is not {kind} file: {why}")


def _read_npz(path: Path) -> dict[str, Array]:
    try:
        return _arrays(path)
    except _READ_ERRORS as error:
        raise _unreadable(path, error) from None


def _arrays(path: Path) -> dict[str, Array]:
    """The arrays of a .npz, by name; numpy makes other things of other files."""
    found = np.load(path, allow_pickle=False)
    if isinstance(found, np.ndarray):
        raise ValueError("it holds one array; name it .npy")
    with found as arrays:
        return {name: _loaded(path, arrays[name]) for name in arrays}


def _loaded(path: Path, array: object) -> Array:
    if isinstance(array, np.ndarray):
        return array
    raise UserError(f"{path}: is not a .npy file")


def _inputs(data: object, what: str) -> list[object]:
    """Inputs in a JSON value: entries of the proof of concept, or one tensor."""
    if isinstance(data, dict):
        data = [data]
    if isinstance(data, list) and any(isinstance(entry, dict) for entry in data):
        return [_entry(e, f"{what}: entry {i}") for i, e in enumerate(data)]
    if isinstance(data, (list, int, float, type(None))):
        return [data]
    raise UserError(f"{what}: is {data!r}; give numbers in nested lists, or null")


def _entry(entry: object, what: str) -> object:
    """Read {"input-data": [1, 2, 3, 4], "dim-size": 2, "shape": [2, 2]}."""
    if not isinstance(entry, dict) or not {"input-data", "shape"} <= set(entry):
        raise UserError(
            f'{what}: needs {{"input-data": [...], "dim-size": 2, "shape": [2, 2]}}'
        )
    if unknown := sorted(set(entry) - set(_ENTRY_KEYS)):
        raise UserError(f"{what}: key {unknown[0]!r} is unknown; use {_ENTRY_KEYS}")
    shape, values = entry["shape"], entry["input-data"]
    if not isinstance(shape, list) or not all(
        type(s) is int and 0 <= s < 1 << 31 for s in shape
    ):
        raise UserError(f"{what}: shape is {shape!r}; give a list of sizes")
    if entry.get("dim-size", len(shape)) != len(shape):
        raise UserError(
            f"{what}: dim-size is {entry['dim-size']} but shape {shape} has "
            f"{len(shape)} sizes"
        )
    if not isinstance(values, list):
        raise UserError(f"{what}: input-data is {values!r}; give a list of numbers")
    array = np.empty(len(values), object)  # without a dtype until the kernel is known
    array[:] = values
    if array.size != math.prod(shape):
        raise UserError(
            f"{what}: input-data has {array.size} numbers but shape {shape} takes "
            f"{math.prod(shape)}"
        )
    return array.reshape(shape)


def _write(path: Path, named: dict[str, Array]) -> None:
    """Write .npy for one output, .npz for any number."""
    try:
        if path.suffix == ".npz":
            np.savez(path, **named)  # type: ignore[arg-type] # numpy's stub: allow_pickle
        elif path.suffix == ".npy" and len(named) == 1:
            np.save(path, next(iter(named.values())))
        else:
            wanted = ".npy or .npz" if len(named) == 1 else ".npz"
            raise UserError(
                f"--out {path}: {len(named)} output(s) go to a file named *{wanted}"
            )
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from None


def _as_lists(array: Array) -> Any:
    """Nested lists; a float gets the shortest digits that give it back."""
    if array.dtype.kind != "f":
        return array.tolist()
    digits = array.astype(str).astype(np.float64)
    return digits.tolist()
