"""The same bits in another engine: every float operator's special cases in V8."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import ops_wasm32
import pytest

from bench.library import Node, NodeProcess, make_call
from bench.row import Ours
from toolchain.codegen.operators import load_operator
from toolchain.profile import load_profile
from toolchain.spec import Case, kernel_name
from toolchain.spec.cases_extremes import every_case

PROFILE = load_profile(None)
MODULE = PROFILE.folder / "simd128" / "ops_wasm32.wasm"
WORDS = ("extremes", "special")


def kernels() -> Iterator[tuple[str, Path, tuple[str, ...]]]:
    for name, path in PROFILE.operators.items():
        for dtypes in load_operator(path).variants():
            if "float32" in dtypes:
                yield kernel_name(name, dtypes), path, dtypes


def cases(path: Path, dtypes: tuple[str, ...]) -> Iterator[Case]:
    operator = load_operator(path)
    rng = np.random.default_rng(zlib.crc32(path.stem.encode()))
    for case in every_case(operator, dtypes, rng):
        if case.name.startswith(WORDS):
            yield case


@pytest.fixture(scope="module", params=["--liftoff-only", "--no-liftoff"])
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    """V8 with one of its two compilers alone."""
    process = NodeProcess(["node", request.param], "library.mjs")
    yield Node(process, MODULE)
    process.close()


@pytest.fixture(scope="module")
def library() -> ops_wasm32.Library:
    return ops_wasm32.load(MODULE)


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
@pytest.mark.parametrize(
    ("kernel", "path", "dtypes"), [pytest.param(*k, id=k[0]) for k in kernels()]
)
def test_v8_gives_wasmtimes_bits_and_nan_too(
    kernel: str,
    path: Path,
    dtypes: tuple[str, ...],
    node: Node,
    library: ops_wasm32.Library,
) -> None:
    """NaN go in with payloads and both signs.

    Which of several a sum keeps is the engine's: that of partial sums is not compared.
    """
    alike = bool(load_operator(path).narrow)
    for case in cases(path, dtypes):
        result = library.call(kernel, *case.inputs, **case.attributes)
        wants = list(result) if isinstance(result, tuple) else [result]
        given = Ours(kernel, case.inputs, dict(case.attributes))
        node.prepare(make_call(library, given))
        for want, got in zip(wants, node.results(), strict=True):
            same = np.array_equal(_bits(want, alike), _bits(got, alike))
            assert same, f"{case.name}: {want} in wasmtime, {got} in V8"


def _bits(x: Any, alike: bool) -> Any:
    """Elements as unsigned integers, every NaN alike or not."""
    found = np.asarray(x)
    if alike and found.dtype == np.float32:
        found = np.where(np.isnan(found), np.float32(np.nan), found)
    return found.view(f"u{found.itemsize}")
