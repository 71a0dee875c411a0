"""Library: the operators of one loaded module, called with numpy arrays."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from threading import RLock
from typing import Any

from ops_wasm32.binding import Bound, Resident, bind
from ops_wasm32.cache import kept_module
from ops_wasm32.discovery import check_version, discover
from ops_wasm32.errors import ArgumentError, ModuleError, unknown
from ops_wasm32.instance import Instance
from ops_wasm32.model import Model, Tensor, model_of, read_weights
from ops_wasm32.module import (
    Manifest,
    ModuleFile,
    has_manifest,
    kernels_of,
    read_manifest,
    without_manifest,
)
from ops_wasm32.signature import Signature, parse_signature, split_kernel
from ops_wasm32.sizes import Bounds


class Library:
    """The operators of a module, or its one model; load() makes one.

    That of a model is called itself: library(image), or library(image=image).

    Loading reads what the file says and runs none of its code, but for a module whose
    manifest was stripped: that one may run so many instructions. A call runs the
    module's code for as long as it takes; what is not trusted to end belongs into a
    process that may be ended.

    All calls share one block of linear memory, which grows to the largest call and
    is kept. Several threads may use it, one call at a time; for calls side by side,
    each thread takes a `clone`. Pickled, it is its path: who unpickles it loads the
    module from there.
    """

    def __init__(
        self, file: ModuleFile, path: Path, bundled: str | None = None
    ) -> None:
        """Load a module. bundled: the target of one that the package has."""
        self.path = path
        self._bundled = bundled
        self._module = kept_module(file, str(path))
        self._signatures: dict[str, Signature] = {}
        self._discovered: list[Signature] | None = None
        self._manifest: Manifest | None = None
        if has_manifest(file, str(path)):
            self._manifest = read_manifest(file, str(path))
            check_version(self._manifest.get("abi_version"), str(path))
        else:
            texts = discover(file[:], str(path))
            self._discovered = [parse_signature(t, i) for i, t in enumerate(texts)]
        self._start()

    def _start(self) -> None:
        """Make an instance, with memory of its own."""
        self._lock = RLock()
        self._instance = Instance(self._module, str(self.path))
        self._weights: tuple[Resident, ...] = ()
        self._block: memoryview | None = None
        if self.model and self.model.weights:
            self._block = read_weights(self.model.weights, self.path)

    def clone(self) -> Library:
        """The same module with memory of its own, for another thread.

        It is compiled once for all of them.
        """
        other = object.__new__(Library)
        with self._lock:
            other.__dict__.update(self.__dict__)
            other._signatures = dict(self._signatures)
        other._start()
        return other

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the path, or the target of a module that the package has."""
        where = (None, self._bundled) if self._bundled else (self.path.absolute(),)
        return importlib.import_module("ops_wasm32.locate").load, where

    def __repr__(self) -> str:
        return f"<ops_wasm32.Library {self.path}>"

    @property
    def manifest(self) -> Manifest:
        """What the module says of itself: target, features, aliases, tools.

        Errors: ModuleError, where its manifest was stripped.
        """
        if self._manifest is None:
            raise without_manifest(str(self.path))
        return self._manifest

    @cached_property
    def model(self) -> Model | None:
        """The model of the module; None where it holds operators."""
        if self._discovered is not None:
            return None  # a stripped module: its model is one more operator
        return model_of(self.manifest, str(self.path))

    @property
    def target(self) -> str:
        """Target that the module was built for."""
        return str(self.manifest.get("target"))

    @cached_property
    def _names(self) -> list[str]:
        """Names of the kernels, by index."""
        if self._discovered is not None:
            return [kernel.name for kernel in self._discovered]
        if self.model:
            return [self.model.name]
        return kernels_of(self.manifest, str(self.path))

    @cached_property
    def _families(self) -> dict[str, list[str]]:
        families: dict[str, list[str]] = {}
        for name in self._names:
            # A model's name is whole, also where it ends as kernels' do: net_int8.
            whole = self.model is not None and name == self.model.name
            operator = name if whole else split_kernel(name)[0]
            families.setdefault(operator, []).append(name)
        return families

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Inputs of the module's model: name, dtype and shape of each."""
        return self._called.inputs

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """Outputs of the module's model: name, dtype and shape of each."""
        return self._called.outputs

    @property
    def sizes(self) -> Bounds:
        """Least and greatest of each named size in the shapes of the model."""
        return self._called.sizes

    @property
    def _called(self) -> Model:
        """The model. Errors: ArgumentError, where the module holds operators."""
        if self.model is None:
            raise ArgumentError(
                f"{self.path}: holds no model to call; call an operator by its name: "
                f'library.call("{next(iter(self.operators()), "add")}", ...)'
            )
        return self.model

    def ops(self) -> list[str]:
        """Names of the kernels, such as softmax_float32, sorted."""
        return sorted(self._names)

    def operators(self) -> list[str]:
        """Names of the operators, such as softmax, sorted."""
        return sorted(self._families)

    def signature(self, name: str) -> Signature:
        """Parse what a kernel takes and gives."""
        if name not in self._signatures:
            if name not in self._names:
                raise ArgumentError(unknown("kernel", name, self._names))
            self._signatures[name] = self._read_signature(name)
        return self._signatures[name]

    def _read_signature(self, name: str) -> Signature:
        """Signature of a kernel. Errors: ModuleError, where the manifest is wrong."""
        index = self._names.index(name)
        if self._discovered is not None:
            return self._discovered[index]
        found = parse_signature(self._instance.signature(index), index)
        if found.name != name:
            raise ModuleError(
                f"{self.path}: its manifest does not fit its kernels: {name} is "
                f"{found.name}; build the module anew"
            )
        if self.model:
            self.model.check(found, str(self.path))
        return found

    def signatures(self, operator: str) -> list[Signature]:
        """Signatures of all kernels of an operator, or of the kernel so named."""
        name = self.resolve(operator)
        return [self.signature(n) for n in self._families.get(name, [name])]

    def resolve(self, operator: str) -> str:
        """The own name of an operator or a kernel: MatMul is matmul, in any case.

        operator: its own name, or ONNX's or MindSpore's. Errors: ArgumentError.
        """
        if operator in self._families or operator in self._names:
            return operator
        if _fold(operator) not in self._spellings:
            if not self._names:
                raise ModuleError("the module holds no operator")
            names = self.operators(), self._aliases
            raise ArgumentError(unknown("operator", operator, *names))
        return self._spellings[_fold(operator)]

    @property
    def _aliases(self) -> dict[str, str]:
        """Operators by what ONNX and MindSpore call them, if the manifest says."""
        aliases = (self._manifest or {}).get("aliases")
        pairs = aliases.items() if isinstance(aliases, dict) else ()
        return {str(a): o for a, o in pairs if o in self._families}

    @cached_property
    def _spellings(self) -> dict[str, str]:
        """Kernels and operators by their names without _ and case; own names win."""
        names = {_fold(alias): name for alias, name in self._aliases.items()}
        names |= {_fold(kernel): kernel for kernel in self._names}
        return names | {_fold(name): name for name in self._families}

    def __call__(self, /, *inputs: object, **named: object) -> Any:
        """Run the module's model: an array, or a named tuple of several.

        inputs: in order; by keyword too, by the names that the model gives them. Open
        sizes are those of the inputs, and may differ from call to call.

        Errors: ArgumentError for a wrong name, count, dtype or shape; OpsError.
        """
        return self.call(self._called.name, *inputs, **named)

    # Any: an array, or a tuple of them where the operator has several outputs; a
    # union would make every caller of a one-output operator narrow it.
    def call(self, operator: str, /, *inputs: object, **named: object) -> Any:
        """Run an operator: an array, or a tuple of arrays for several outputs.

        operator: its name, ONNX's or MindSpore's, or that of a kernel. inputs: numpy
        arrays in order; lists and numbers where only one dtype is possible; None where
        absent; by keyword too. Attributes go by keyword. to: the output's dtype, where
        the inputs leave it open. num_outputs: for split.

        Errors: ArgumentError, before the module is asked; OpsError, from it.
        """
        return self.run(self.bind(operator, inputs, named))

    def infer(
        self, operator: str, /, *inputs: object, **named: object
    ) -> list[tuple[tuple[int, ...], str]]:
        """Shape and dtype of each output of a call, without running it."""
        with self._lock:
            bound = self.bind(operator, inputs, named)
            shapes = self._instance.infer(bound)
        return [(s, p.dtype) for s, p in zip(shapes, bound.outputs, strict=True)]

    def bind(
        self,
        operator: str,
        inputs: Sequence[object],
        named: dict[str, object],
        data_dtype: str | None = None,
    ) -> Bound:
        """Choose the kernel of a call and check its arguments; see call()."""
        with self._lock:  # signatures are read from the module at first use
            signatures = self.signatures(operator)
            operator = self.resolve(operator)
        if self.model and operator == self.model.name:
            arrays = self.model.arrays(inputs, named)
            (kernel,) = signatures
            weights = self._resident_weights()
            is_open = self.model.is_open
            return Bound(kernel, (*arrays, *weights), kernel.outputs, (), is_open)
        return bind(operator, signatures, inputs, named, data_dtype)

    def _resident_weights(self) -> tuple[Resident, ...]:
        """The weights beside the module, which the first call puts into its memory."""
        with self._lock:
            if self._block is not None:
                self._weights = (self._instance.keep(self._block),)
                self._block = None
            return self._weights

    def run(self, bound: Bound) -> Any:
        """Make a bound call; see call()."""
        with self._lock:
            results = self._instance.call(bound)
        if self.model and bound.kernel.name == self.model.name:
            return self.model.results(results)
        several = len(results) != 1 or bound.kernel.outputs[-1].variadic
        return tuple(results) if several else results[0]


def _fold(name: str) -> str:
    return name.replace("_", "").lower()
