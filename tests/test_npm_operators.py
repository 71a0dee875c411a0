"""The npm package: every kernel by its method in JavaScript, against its reference."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from npm_package import install, needs_node
from ops_wasm32.convert import Array
from verification import Cell, check

from toolchain.codegen.operators import load_operator
from toolchain.link.description import LibraryKernel
from toolchain.link.typescript import camel_case
from toolchain.profile import load_profile
from toolchain.spec import Case, kernel_name

LARGEST = 4096  # elements of a case
SCRIPT = Path(__file__).with_name("npm_calls.mjs")


def small(cases: Iterable[Case]) -> Case:
    """The first of the first cases that has some elements, and not many."""
    found = [*islice(cases, 40)]
    for case in found:
        sizes = [x.size for x in case.inputs if x is not None]
        if all(sizes) and sum(sizes) <= LARGEST:
            return case
    return found[0]


def chosen() -> Iterator[Cell]:
    for name, path in load_profile(None).operators.items():
        operator = load_operator(path)
        for dtypes in operator.variants():
            case = small(operator.cases(dtypes, np.random.default_rng(1)))
            yield Cell(name, kernel_name(name, dtypes), dtypes, "simd128", case)


def described(cell: Cell, kernel: LibraryKernel, data: bytearray) -> dict[str, object]:
    """A call as npm_calls.mjs takes it; elements go into data."""
    words: list[object] = [
        None if x is None else placed(np.asarray(x), data) for x in cell.case.inputs
    ]
    params = kernel["inputs"]
    if params[-1]["variadic"]:
        words = [*words[: len(params) - 1], words[len(params) - 1 :]]
    attributes = {
        camel_case(name): written(np.asarray(value).tolist())
        for name, value in cell.case.attributes.items()
    }
    return {
        "method": camel_case(cell.operator),
        "operator": cell.operator,
        "words": words,
        "attributes": attributes | {"to": kernel["outputs"][0]["dtype"]},
    }


def written(value: object) -> object:
    """A value for JSON, which has no infinities."""
    return str(value) if value in (np.inf, -np.inf) else value


def placed(array: Array, data: bytearray) -> dict[str, object]:
    start = len(data)
    data += array.tobytes()
    shape, dtype = list(array.shape), array.dtype.name
    return {"dtype": dtype, "shape": shape, "at": start, "size": array.nbytes}


@needs_node
def test_every_kernel_matches_its_reference(tmp_path: Path) -> None:
    package = install(tmp_path)
    profile = load_profile(None)
    manifest = json.loads((profile.folder / "simd128" / "manifest.json").read_text())
    made, data = list(chosen()), bytearray()
    assert manifest["kernels"].keys() == {cell.kernel for cell in made}
    calls = [described(c, manifest["kernels"][c.kernel], data) for c in made]
    files = [tmp_path / name for name in ("cases.json", "inputs", "outputs")]
    files[0].write_text(json.dumps(calls))
    files[1].write_bytes(data)
    done = subprocess.run(
        ["node", SCRIPT, package, *files], check=False, capture_output=True, text=True
    )
    assert (0, "") == (done.returncode, done.stderr)
    given, at = files[2].read_bytes(), 0
    for cell, found in zip(made, json.loads(done.stdout), strict=True):
        assert found["described"] == found["results"], cell
        results = []
        for result in found["results"]:
            shape, dtype = tuple(result["shape"]), np.dtype(result["dtype"])
            size = int(np.prod(shape))
            results.append(np.frombuffer(given, dtype, size, at).reshape(shape))
            at += results[-1].nbytes
        check(cell, load_operator(profile.operators[cell.operator]), results)
    assert len(given) == at
