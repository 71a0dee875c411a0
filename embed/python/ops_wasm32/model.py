"""Model: what a module that holds a whole model says of it, and its weights."""

from __future__ import annotations

import hashlib
import math
from collections import namedtuple
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ops_wasm32.convert import Array, compact, to_array
from ops_wasm32.errors import ArgumentError, ModuleError, listed
from ops_wasm32.module import Manifest
from ops_wasm32.signature import Signature
from ops_wasm32.sizes import (
    Bounds,
    Shape,
    bind_sizes,
    fits,
    known_shape,
    shape_text,
)
from ops_wasm32.tables import (
    ABI_VERSION_OPEN,
    DTYPES,
    MAX_MEMORY,
    MAX_RANK,
    MAX_SIZE,
)

_LONGEST_NAME = 4096


@dataclass(frozen=True)
class Tensor:
    """An input or output; its shape may have names of sizes in it."""

    name: str
    dtype: str
    shape: Shape

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype} {shape_text(self.shape)}"

    def numbers(self) -> tuple[int, ...]:
        """The shape. Errors: ArgumentError, where sizes are open."""
        known = known_shape(self.shape)
        if known is None:
            raise ArgumentError(f"{self} has open sizes; a call decides them")
        return known


@dataclass(frozen=True)
class Weights:
    """A .safetensors file beside the module. bytes: of its data alone."""

    file: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Model:
    """A model; its inputs and outputs are as callers see them.

    tolerance: how far its results may be from results by another order of sums,
    relative to an element or the mean of its output; None where the manifest says none.
    sizes: least and greatest of each named size. is_open: whether the module allocates
    the outputs, whose shapes follow in the call.
    """

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    weights: Weights | None
    tolerance: float | None = None
    sizes: Bounds = field(default_factory=dict)
    is_open: bool = False

    def arrays(
        self, positional: Sequence[object], named: Mapping[str, object]
    ) -> list[Array]:
        """The inputs of a call, in order. Errors: ArgumentError."""
        names = dict.fromkeys(t.name for t in self.inputs)
        if len(positional) > len(names):
            raise ArgumentError(
                f"{self.name}: got {len(positional)} inputs; it takes {len(names)}: "
                f"{listed([*names])}"
            )
        given = dict(zip(names, positional, strict=False))
        for name, value in named.items():
            if name not in names:
                raise ArgumentError(
                    f"{self.name}: input {name!r} is unknown; use {listed([*names])}"
                )
            if name in given:
                raise ArgumentError(
                    f"{self.name}: input {name} is given by its position and by its "
                    "name; give it once"
                )
            given[name] = value
        if missing := [str(t) for t in self.inputs if given.get(t.name) is None]:
            raise ArgumentError(f"{self.name}: inputs are missing: {listed(missing)}")
        arrays = [self._array(t, given[t.name]) for t in self.inputs]
        if self.is_open:
            self.bind(arrays)
        return arrays

    def bind(self, arrays: Sequence[Array]) -> dict[str, int]:
        """Named sizes, from the inputs. Errors: ArgumentError."""
        pairs = zip(self.inputs, arrays, strict=True)
        shapes = [(t.name, t.shape, array.shape) for t, array in pairs]
        return bind_sizes(shapes, self.sizes, self.name)

    def _array(self, tensor: Tensor, value: object) -> Array:
        what = f"{self.name}: input {tensor.name}"
        if hasattr(value, "__array__"):
            value = np.asarray(value)
        if not isinstance(value, (np.ndarray, list, tuple, int, float)):
            raise ArgumentError(
                f"{what} is a {type(value).__name__}; give a numpy array, a number or "
                "nested lists of numbers"
            )
        if not isinstance(value, np.ndarray) or value.dtype == object:
            value = to_array(value, tensor.dtype, what)
        if value.dtype.name != tensor.dtype:
            raise ArgumentError(
                f"{what} has dtype {value.dtype.name}; it takes {tensor.dtype}. "
                f'Convert it first: {tensor.name}.astype("{tensor.dtype}")'
            )
        known = known_shape(tensor.shape)
        if known not in (None, value.shape):
            raise ArgumentError(
                f"{what} has shape {value.shape}; it takes {known}, the one "
                "that the model is compiled for"
            )
        return compact(value, tensor.dtype, what)

    def results(self, arrays: Sequence[Array]) -> Any:
        """What a call returns: the array, or a named tuple of several.

        Errors: ModuleError, where the manifest says other shapes.
        """
        for tensor, array in zip(self.outputs, arrays, strict=True):
            if self.is_open and not fits(tensor.shape, array.shape):
                raise ModuleError(
                    f"{self.name}: its manifest does not fit its results: "
                    f"{tensor.name} has shape {array.shape} instead of "
                    f"{shape_text(tensor.shape)}; build the module anew"
                )
        if len(arrays) == 1:
            return arrays[0]
        make: Any = namedtuple  # mypy takes only names that are written out
        names = [t.name for t in self.outputs]
        return make("Outputs", names, rename=True)(*arrays)

    def check(self, signature: Signature, what: str) -> None:
        """Raise ModuleError where the manifest does not fit the module's kernel."""
        inputs = [(t.name, t.dtype) for t in self.inputs]
        if self.weights:
            inputs.append(("weights", "uint8"))
        outputs = [(t.name, t.dtype) for t in self.outputs]
        found = [
            [(p.name, p.dtype) for p in s]
            for s in (signature.inputs, signature.outputs)
        ]
        if [inputs, outputs] != found or signature.attributes:
            raise ModuleError(
                f"{what}: its manifest does not fit its signature {signature.name}; "
                "build the module anew"
            )


def model_of(manifest: Manifest, what: str) -> Model | None:
    """The model that a manifest describes; None for a library of operators.

    Errors: ModuleError, where the description is damaged.
    """
    if "model" not in manifest:
        return None
    try:
        weights = manifest.get("weights")
        is_open = manifest.get("abi_version") == ABI_VERSION_OPEN
        return Model(
            _text(manifest["model"]),
            _tensors(manifest["inputs"], is_open),
            _tensors(manifest["outputs"], is_open),
            _weights(weights) if weights is not None else None,
            _tolerance(manifest.get("tolerance")),
            _sizes(manifest.get("sizes", {})) if is_open else {},
            is_open,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModuleError(f"{what}: its manifest is damaged: {error!r}") from None


def _text(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_NAME:
        raise ValueError(f"{str(value)[:80]!r} is no name")
    return value


def _size(value: object) -> int:
    if type(value) is not int or not 0 <= value < MAX_MEMORY:
        raise ValueError(f"{value!r} is no size")
    return value


def _sizes(entries: Mapping[str, Sequence[object]]) -> Bounds:
    sizes = {_text(name): _bounds(*pair) for name, pair in entries.items()}
    return MappingProxyType(sizes)


def _bounds(low: object, high: object) -> tuple[int, int]:
    if not _size(low) <= _size(high) <= MAX_SIZE:
        raise ValueError(f"a size of {low} to {high} is none that a tensor can have")
    return _size(low), _size(high)


def _tensors(entries: Sequence[Manifest], is_open: bool) -> tuple[Tensor, ...]:
    tensors = tuple(_tensor(entry, is_open) for entry in entries)
    if len({t.name for t in tensors}) < len(tensors):
        raise ValueError("two tensors have one name")
    known = [(t.dtype, known_shape(t.shape)) for t in tensors]
    size = sum(np.dtype(d).itemsize * math.prod(s) for d, s in known if s is not None)
    if size >= MAX_MEMORY:
        raise ValueError(f"tensors of {size} bytes are more than a module can have")
    return tensors


def _tolerance(value: object) -> float | None:
    if value is None:
        return None
    if not isinstance(value, float) or not 0 < value < 1:
        raise ValueError(f"{value!r} is no tolerance")
    return value


def _tensor(entry: Manifest, is_open: bool) -> Tensor:
    if entry["dtype"] not in DTYPES:
        raise ValueError(f"{entry['dtype']!r} is no dtype")
    name, shape = _text(entry["name"]), entry["shape"]
    if is_open and shape is None:
        return Tensor(name, entry["dtype"], None)
    text = str if is_open else ()  # what a size may be beside a number
    sizes = tuple(_text(n) if isinstance(n, text) else _size(n) for n in shape)
    if len(sizes) > MAX_RANK:
        raise ValueError(f"a shape of {len(sizes)} axes has more than {MAX_RANK}")
    return Tensor(name, entry["dtype"], sizes)


def _weights(entry: Manifest) -> Weights:
    file = _text(entry["file"])
    if Path(file).name != file:  # it may not lead out of the module's folder
        raise ValueError(f"{file!r} is no name of a file beside the module")
    return Weights(file, _size(entry["bytes"]), _text(entry["sha256"]))


def read_weights(weights: Weights, module: Path) -> memoryview:
    """The data of the file of weights beside a module.

    Errors: ModuleError for a file that is missing, cut off or another one.
    """
    path = module.with_name(weights.file)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = 8 + int.from_bytes(file.read(8), "little")
            if size - start != weights.bytes:
                raise ModuleError(
                    f"{path}: holds {max(0, size - start)} bytes of weights; {module} "
                    f"takes {weights.bytes}"
                )
            file.seek(0)
            data = file.read()
    except FileNotFoundError:
        raise ModuleError(
            f"{module}: its weights {path} are missing; put the file that was built "
            "with the module beside it"
        ) from None
    except OSError as error:
        raise ModuleError(f"{path}: cannot be read: {error.strerror}") from None
    found = hashlib.sha256(data).hexdigest()
    if found != weights.sha256:
        raise ModuleError(
            f"{path}: has sha256 {found}, but {module} was built with "
            f"{weights.sha256}; take the file that belongs to the module"
        )
    return memoryview(data)[start:]
