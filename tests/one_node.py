"""Cases of the library's operators as models of one node, and what differs.

python tests/one_node.py [--build FOLDER] [--target NAME] [--path NAME] [--workers N]
    [--few] [OPERATOR...]

Each case of an operator that ONNX names becomes a node of a model, many cases one
model, as long as nodes do not meet. The model must give the bits that the library
gives, NaN included. A model takes one of the two paths of ARCHITECTURE.md: `static`,
where FUSED lists operators that may differ; or that of models of any shape, where none
may: `known`, its inputs' sizes given, and `open`, none of them.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import ops_wasm32
from one_node_forms import FORMS, FUSED, OPSET, attributes_of, foreign
from onnx import (
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
    numpy_helper,
)
from ops_wasm32.convert import Array
from verification import Cell, cells, check

from toolchain.codegen.operators import load_operator
from toolchain.profile import ROOT, load_profile
from toolchain.spec import SpecError
from toolchain.targets import TARGETS

IR_VERSION = 11
STATIC, KNOWN, OPEN = PATHS = ("static", "known", "open")
TENSORS = 60  # inputs and outputs of one model
TARGET = "simd128"  # what is compared unless another is asked for


@dataclass(frozen=True)
class Miss:
    """A case whose model is refused, or differs; reason: by what."""

    cell: str
    reason: str


class Batch:
    """Cases as nodes of one model."""

    def __init__(self) -> None:
        self.cells: list[Cell] = []
        self.nodes: list[NodeProto] = []
        self.inputs: dict[str, Array] = {}
        self.outputs: list[ValueInfoProto] = []
        self.settings: list[TensorProto] = []

    @property
    def tensors(self) -> int:
        """Inputs and outputs."""
        return len(self.inputs) + len(self.outputs)

    def add(self, cell: Cell, results: Sequence[Array]) -> None:
        """Add a case and what the library gives for it."""
        form, case, n = FORMS[cell.operator], cell.case, len(self.cells)
        order = []
        for i, value in enumerate(case.inputs):
            order.append("" if value is None else f"x{n}_{i}")
            if value is not None:
                self.inputs[order[-1]] = value
        attributes: dict[str, Any] = {}
        for name, value in attributes_of(cell, results).items():
            if name not in form.settings:
                attributes[name] = value
                continue
            place = form.settings[name]
            order += [""] * (place + 1 - len(order))
            order[place] = f"{name}{n}"
            self.settings.append(numpy_helper.from_array(value, order[place]))
        names = [f"y{n}_{i}" for i in range(len(results))]
        self.nodes.append(helper.make_node(form.name, order, names, **attributes))
        for name, value in zip(names, results, strict=True):
            self.outputs.append(_info(name, value))
        self.cells.append(cell)

    def model(self, path: str) -> ModelProto:
        """The model."""
        inputs = [_info(n, v, path == OPEN) for n, v in self.inputs.items()]
        outputs = [
            helper.make_tensor_value_info(o.name, o.type.tensor_type.elem_type, None)
            if path == OPEN
            else o
            for o in self.outputs
        ]
        graph = helper.make_graph(self.nodes, "batch", inputs, outputs, self.settings)
        imports = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION)


def _info(name: str, value: Array, is_open: bool = False) -> ValueInfoProto:
    number = helper.np_dtype_to_tensor_dtype(value.dtype)
    names = [f"{name}_{axis}" for axis in range(value.ndim)]
    return helper.make_tensor_value_info(
        name, number, names if is_open else value.shape
    )


def batches(wanted: Iterable[tuple[Cell, list[Array]]]) -> Iterator[Batch]:
    """Cases with their results in models of up to TENSORS inputs and outputs."""
    batch = Batch()
    for cell, results in wanted:
        count = len(results) + sum(v is not None for v in cell.case.inputs)
        if batch.cells and batch.tensors + count > TENSORS:
            yield batch
            batch = Batch()
        batch.add(cell, results)
    if batch.cells:
        yield batch


@cache
def library(build: Path, target: str) -> ops_wasm32.Library:
    """The library of a build."""
    import ops_wasm32

    return ops_wasm32.load(build / target / "ops_wasm32.wasm")


def results_of(cell: Cell, build: Path) -> list[Array]:
    """What the library gives."""
    case = cell.case
    found = library(build, cell.target).call(
        cell.kernel, *case.inputs, **case.attributes
    )
    results = found if isinstance(found, tuple) else (found,)
    return [np.asarray(r) for r in results]


def run(batch: Batch, build: Path, path: str = STATIC) -> list[Array]:
    """What the model of a batch gives. Errors: SpecError where it is refused."""
    target, proto = batch.cells[0].target, batch.model(path)
    with tempfile.TemporaryDirectory(prefix="ops_one_node_") as name:
        file = Path(name) / "batch.onnx"
        file.write_bytes(proto.SerializeToString())
        made = _static if path == STATIC else _any_shape
        module = ops_wasm32.load(made(file, target, build))
        found = module.call("batch", *batch.inputs.values())
    return list(found) if isinstance(found, tuple) else [found]


def _static(file: Path, target: str, build: Path) -> Path:
    from abi import runtime_objects

    from toolchain.graph.build import Place
    from toolchain.model.build import Options, build_model

    place = Place(file.parent, ROOT / "build" / "cache" / target)
    runtime = runtime_objects(target, build)
    build_model(file, Options(target), place, runtime, lambda _: None)
    return file.with_suffix(".wasm")


def _any_shape(file: Path, target: str, _build: Path) -> Path:
    from graph_building import module_of

    from toolchain.frontends import Given
    from toolchain.frontends.graphs import read_graph

    return module_of(read_graph(file, Given()).graph, file.parent, target)


def difference(got: Array, want: Array) -> str:
    """How two tensors differ; nothing where their bits are the same."""
    if (got.shape, got.dtype) != (want.shape, want.dtype):
        return f"{got.dtype}{got.shape} for {want.dtype}{want.shape}"
    word = f"u{want.itemsize}"
    a, b = (np.ascontiguousarray(v).reshape(-1).view(word) for v in (got, want))
    other = np.flatnonzero(a != b)
    if not other.size:
        return ""
    at = other[0]
    pair = f"{got.reshape(-1)[at]!r} for {want.reshape(-1)[at]!r}"
    if np.isnan(got.reshape(-1)[at]) and np.isnan(want.reshape(-1)[at]):
        pair += f" ({a[at]:x} for {b[at]:x})"
    return f"{other.size} of {a.size} elements differ, first [{at}]: {pair}"


def misses(batch: Batch, build: Path, path: str = STATIC) -> list[Miss]:
    """Cases of a batch that differ; a refused batch is halved until one case is."""
    results = [results_of(cell, build) for cell in batch.cells]
    try:
        found = run(batch, build, path)
    except Exception as error:  # whatever: it is what the case shows
        if len(batch.cells) == 1:
            text = str(error) if isinstance(error, SpecError) else repr(error)
            return [Miss(str(batch.cells[0]), " ".join(text.split())[-300:])]
        half = len(batch.cells) // 2
        lost: list[Miss] = []
        for part in (slice(half), slice(half, None)):
            pairs = zip(batch.cells[part], results[part], strict=True)
            for smaller in batches(pairs):
                lost += misses(smaller, build, path)
        return lost
    lost = []
    for cell, wanted in zip(batch.cells, results, strict=True):
        got, found = found[: len(wanted)], found[len(wanted) :]
        both = zip(got, wanted, strict=True)
        reasons = [d for g, w in both if (d := difference(g, w))]
        if reasons and not (path == STATIC and _near(cell, got)):
            lost.append(Miss(str(cell), reasons[0]))
    return lost


def _near(cell: Cell, got: list[Array]) -> bool:
    """Whether a bound is what a case is held to, and its results are within it."""
    if cell.operator not in FUSED or not TARGETS[cell.target].contract:
        return False
    try:
        check(cell, load_operator(ROOT / "kernels" / f"{cell.operator}.py"), got)
    except AssertionError:
        return False
    return True


def wanted_cells(
    operator: str, few: bool = False, target: str = TARGET
) -> Iterator[Cell]:
    """Cases of an operator that ONNX has nodes for.

    few: of each kernel the cases with special values, and one more of each set of
    attributes, of words among their values, of lists with a 0 and of inputs, with
    elements and without.
    """
    profile = replace(load_profile(None), targets=(target,))
    seen: set[object] = set()
    for cell in cells(profile, operator):
        if foreign(cell):
            continue
        plain = not cell.case.name.startswith(("special", "extreme"))
        sizes = tuple(-1 if v is None else np.size(v) > 0 for v in cell.case.inputs)
        given = sorted(cell.case.attributes.items())
        kind = (cell.kernel, *(f"{n}={_word(v)}" for n, v in given), *sizes[:3])
        if few and plain and kind in seen:
            continue
        if plain:
            seen.add(kind)
        yield cell


def _word(value: object) -> object:
    """What counts of an attribute's value: all of a word, the zeros of a list."""
    if isinstance(value, str):
        return value
    return isinstance(value, (tuple, list)) and 0 in value


def reasons(operators: Iterable[str]) -> dict[str, int]:
    """Why cases have no node in ONNX, with how many."""
    profile = replace(load_profile(None), targets=(TARGET,))
    found = Counter(foreign(c) for n in operators for c in cells(profile, n))
    return {reason: count for reason, count in found.items() if reason}


def _work(
    operator: str, build: Path, few: bool, target: str, path: str
) -> tuple[str, int, list[Miss]]:
    lost: list[Miss] = []
    found = list(wanted_cells(operator, few, target))
    pairs = ((c, results_of(c, build)) for c in found)
    for batch in batches(pairs):
        with contextlib.redirect_stdout(io.StringIO()):
            lost += misses(batch, build, path)
    return operator, len(found), lost


def main() -> int:
    """Run the cases of some operators, or of all; 1 where one differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("operators", nargs="*")
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--few", action="store_true")
    parser.add_argument("--target", default=TARGET, choices=list(TARGETS))
    parser.add_argument("--path", default=STATIC, choices=PATHS)
    options = parser.parse_args()
    names = options.operators or sorted(load_profile(None).operators)
    failed = count = 0
    with ProcessPoolExecutor(options.workers, get_context("spawn")) as pool:
        jobs = [
            pool.submit(
                *(_work, n, options.build, options.few, options.target, options.path)
            )
            for n in names
        ]
        for job in jobs:
            operator, cases, lost = job.result()
            count, failed = count + cases, failed + len(lost)
            print(f"{operator}: {cases - len(lost)} of {cases}", flush=True)
            for miss in lost:
                print(f"  {miss.cell}: {miss.reason}", flush=True)
    for reason, left in sorted(reasons(names).items()):
        print(f"left out: {left} cases: {reason}")
    print(f"{count - failed} of {count} cases give the library's bits")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
