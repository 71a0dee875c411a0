"""Models of any shape with other sizes and elements: each call returns, as before.

A seed is one of ONNX's node cases with open sizes, built as a model. A call may fail,
with a text; it may not trap, take longer than its bytes do, change its inputs, keep
memory, or give other bits the second time.
"""

from __future__ import annotations

import random
import struct
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import wasmtime
from abi import TENSOR_BYTES, Arg, Module
from graph_building import module_of
from graph_cases import OPEN, prepared
from node_cases import node_cases
from ops_wasm32.convert import Array

from fuzz import targets
from fuzz.calls import FUEL, NUMBERS
from toolchain.frontends import Given
from toolchain.frontends.graphs import graph_of
from toolchain.graph.graph import Graph
from toolchain.spec import SpecError

CALLS = 40  # of each model
AGAIN = 30  # times, for what a call may keep
MEMORY = 1 << 26  # bytes of a module
SIZES = (0, 1, 1, 2, 3, 4, 5, 8, 17)
MOST = 4096  # elements of an input
SMALL = range(-3, 9)
INTEGERS = (0, 1, -1, 2, 8, 100, 2**31 - 1, -(2**31), 2**31, 2**62, 2**63 - 1, -(2**63))
# Cases that may run as long as their inputs say.
ENDLESS = ("loop", "sequence_map", "range_")


def run(seeds: Iterable[int], build: Path) -> Iterator[tuple[int, str]]:
    """Build and call a model for each seed, on the targets by turns."""
    names = targets(build)
    for seed in seeds:
        rng = random.Random(seed)
        name, graph, inputs = _model(rng)
        try:
            with tempfile.TemporaryDirectory(prefix="ops_fuzz_") as folder:
                file = module_of(graph, Path(folder), names[seed % len(names)])
                _Calls(file, graph, rng).check(inputs)
        except (AssertionError, wasmtime.WasmtimeError, wasmtime.Trap) as error:
            yield seed, f"{name}: {str(error).strip().splitlines()[-1]}"


@cache
def _cases() -> list[Any]:
    with warnings.catch_warnings(action="ignore"):  # of numpy, as they are made
        cases = node_cases().items()
    return [case for name, case in cases if not any(e in name for e in ENDLESS)]


def _model(rng: random.Random) -> tuple[str, Graph, list[Array]]:
    """The next case that is no refusal, its graph and its inputs."""
    while True:
        case = rng.choice(_cases())
        proto, inputs = prepared(case, OPEN)
        try:
            graph = graph_of(proto, "model", Given(), "file").graph
        except SpecError:
            continue
        if graph.inputs and graph.outputs:
            return case.name, graph, [np.asarray(x) for x in inputs]


class _Calls:
    """A module, and calls of it whose inputs are variations of right ones."""

    def __init__(self, file: Path, graph: Graph, rng: random.Random) -> None:
        self.module, self.graph, self.rng = Module(file, FUEL), graph, rng
        self.module.store.set_limits(memory_size=MEMORY)

    def check(self, inputs: list[Array]) -> None:
        """Errors: AssertionError, Trap for what may not be."""
        blocks = self.module.blocks
        for i in range(CALLS):
            given = [self._varied(x) for x in inputs] if i else inputs
            args = [self._tensor(x) for x in given]
            first = self._called(args)
            assert first == self._called(args), f"{first[:2]} once, then another"
            for arg, x in zip(args, given, strict=True):
                found = self.module.read(self.module.data(arg), x.nbytes)
                assert found == x.tobytes(), "an input is changed"
            size = self._size()
            for _ in range(AGAIN if i % 8 == 0 else 0):
                self._called(args)
            assert self._size() == size, "a call keeps memory"
            self.module.free_all(blocks)

    def _size(self) -> int:
        return self.module.memory.data_len(self.module.store)

    def _tensor(self, x: Array) -> Arg:
        data = self.module.store_bytes(x.tobytes())
        return self.module.tensor(list(x.shape), str(x.dtype), data=data)

    def _called(self, args: list[Arg]) -> tuple[int, str, list[bytes]]:
        """Code, text and results of a call, whose blocks are freed."""
        module = self.module
        blocks = module.blocks
        outputs = [module.tensor([0] * 8, data=0) for _ in self.graph.outputs]
        code = module.call("model", *args, *outputs)
        assert 0 <= code <= 7, f"code {code}"
        text = module.error() if code else ""
        assert not code or text.startswith("model"), text
        results = [self._result(out) for out in outputs if not code]
        module.free_all(blocks)
        return code, text, results

    def _result(self, output: Arg) -> bytes:
        """Dtype, shape and elements of a result."""
        module, shape = self.module, self.module.shape(output)
        head = module.read(struct.unpack("<I", output.value[:4])[0], TENSOR_BYTES)
        data, bits = module.data(output), head[17]
        block = module.read(data, bits // 8 * int(np.prod(shape)))
        assert module.run("ops_free", data) == 0
        return head[16:18] + repr(shape).encode() + block

    def _varied(self, x: Array) -> Array:
        """Other sizes, other elements, or both; mostly of the same rank."""
        rng, shape = self.rng, list(x.shape)
        for axis in range(x.ndim):
            if rng.random() < 0.3:
                shape[axis] = rng.choice(SIZES)
        if rng.random() < 0.03:
            shape = shape[1:] if rng.random() < 0.5 else [*shape, 1]
        if np.prod(shape) > MOST:
            shape = list(x.shape)
        if tuple(shape) == x.shape and rng.random() < 0.5:
            return x
        return self._elements(x.dtype, int(np.prod(shape))).reshape(shape)

    def _elements(self, dtype: np.dtype[Any], count: int) -> Array:
        rng = self.rng
        if dtype.kind == "b":
            return np.array(rng.choices((False, True), k=count), dtype)
        if dtype.kind == "f":
            if rng.random() < 0.3:
                with np.errstate(over="ignore"):
                    return np.array(rng.choices(NUMBERS, k=count)).astype(dtype)
            return np.array([rng.gauss(0, 1) for _ in range(count)], dtype)
        words = SMALL if rng.random() < 0.7 else INTEGERS
        wide = np.array(rng.choices(words, k=count), np.int64)
        return wide.astype(dtype)
