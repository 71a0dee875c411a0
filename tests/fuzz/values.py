"""The same calls in wasmtime and in Node: the same bits.

On simd128 those of NaN too, but for partial sums; mvp leaves the sign and the payload
of a NaN that an instruction makes to the engine, as WebAssembly does.
"""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import ops_wasm32
from abi import DTYPES, FLOAT, INT, NONE
from ops_wasm32.convert import Array
from verification import Cell

from fuzz import library, targets
from fuzz.valid import valid_cell
from toolchain.codegen.operators import load_operator
from toolchain.profile import load_profile
from toolchain.targets import by_preference

# Targets whose bits are the same on every engine: none that fuses multiply-adds.
EXACT = tuple(t.name for t in by_preference() if not t.contract)
SCRIPT = Path(__file__).with_name("values.mjs")


@dataclass(frozen=True)
class Made:
    """A call that wasmtime has made, and what it gave."""

    seed: int
    cell: Cell
    target: str
    results: list[Array]


def run(seeds: Iterable[int], build: Path) -> Iterator[tuple[int, str]]:
    """Call for each seed, on the targets by turns; those whose bits differ."""
    if shutil.which("node") is None:
        print("values: Node is not installed; nothing is compared")
        return
    made: list[Made] = []
    names = [name for name in targets(build) if name in EXACT]
    for seed in seeds:
        cell, target = valid_cell(seed), names[seed % len(names)]
        module = _loaded(library(build, target))
        if cell.kernel not in module.ops():
            continue  # the build of a profile has fewer
        try:
            made.append(Made(seed, cell, target, _call(module, cell)))
        except ops_wasm32.OpsError as error:
            if "divi" not in error.text:  # by a zero among the values
                yield seed, f"{cell}: a valid call is refused: {error.text}"
    for target in names:
        calls = [m for m in made if m.target == target]
        yield from _compare(calls, library(build, target), target)


@cache
def _loaded(wasm: Path) -> ops_wasm32.Library:
    return ops_wasm32.load(wasm)


def _call(module: ops_wasm32.Library, cell: Cell) -> list[Array]:
    found = module.call(cell.kernel, *cell.case.inputs, **cell.case.attributes)
    return list(found) if isinstance(found, tuple) else [np.asarray(found)]


def _compare(made: list[Made], wasm: Path, target: str) -> Iterator[tuple[int, str]]:
    with tempfile.TemporaryDirectory() as name:
        files = [Path(name) / n for n in ("cases.json", "inputs", "outputs")]
        data = bytearray()
        cases = [_described(_loaded(wasm), call, data) for call in made]
        files[0].write_text(json.dumps(cases))
        files[1].write_bytes(data)
        subprocess.run(["node", str(SCRIPT), str(wasm), *map(str, files)], check=True)
        given = files[2].read_bytes()
    at = 0
    for call in made:
        code, at = given[at], at + 1
        texts = [f"code {code} in V8, 0 in wasmtime"] if code else []
        for result in call.results:
            found = np.frombuffer(given, result.dtype, result.size, at)
            at += result.nbytes
            nan = target == "simd128" and not _narrow(call.cell.operator)
            texts += _difference(result.ravel(), found, nan)
        if texts:
            yield call.seed, f"{call.cell} on {target}: {texts[0]}"


def _described(
    module: ops_wasm32.Library, call: Made, data: bytearray
) -> dict[str, Any]:
    """A call as values.mjs takes it; elements go into data."""
    case = call.cell.case
    bound = module.bind(call.cell.kernel, case.inputs, dict(case.attributes))
    inputs: list[Any] = []
    for array in bound.inputs:
        if array is None:
            inputs.append(None)
            continue
        assert isinstance(array, np.ndarray)  # no array stays in the module
        inputs.append(_tensor(array) | {"at": len(data)})
        data += array.tobytes()
    return {
        "index": bound.kernel.index,
        "inputs": inputs,
        "outputs": [_tensor(r) for r in call.results],
        "attributes": [_attribute(v).hex() for v in bound.attributes],
    }


def _tensor(array: Array) -> dict[str, Any]:
    code, bits = DTYPES[array.dtype.name]
    shape, size = list(array.shape), array.nbytes
    return {"code": code, "bits": bits, "shape": shape, "bytes": size}


def _attribute(value: int | float | None) -> bytes:
    """An attribute as a TVMFFIAny."""
    if value is None:
        return struct.pack("<iiq", NONE, 0, 0)
    if isinstance(value, int):
        return struct.pack("<iiq", INT, 0, value)
    return struct.pack("<iid", FLOAT, 0, value)


def _narrow(operator: str) -> bool:
    """Whether an operator adds up partial sums."""
    return bool(load_operator(load_profile(None).operators[operator]).narrow)


def _difference(here: Array, there: Array, nan: bool) -> list[str]:
    """Where bits of wasmtime and V8 differ. nan: whether bits of NaN count too."""
    kind = f"u{here.dtype.itemsize}"
    bits, others = here.view(kind), there.view(kind)
    apart = bits != others
    if not nan:
        apart &= (here == here) | (there == there)
    differ = np.flatnonzero(apart)
    if not differ.size:
        return []
    i = int(differ[0])
    return [
        f"{differ.size} of {here.size} elements differ; [{i}] is {here[i]} "
        f"(0x{bits[i]:x}) in wasmtime and {there[i]} (0x{others[i]:x}) in V8"
    ]
