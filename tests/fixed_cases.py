"""Cases of operators as models whose sizes are all known, and what differs.

python tests/fixed_cases.py [--each N] [OPERATOR...]

Each case becomes a node of a graph, many cases one module. What the runtime would call
for it is recorded when the module is built: the results must be the library's, bit by
bit. `--each` takes every Nth case of each kernel.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import ops_wasm32
from ops_wasm32.convert import Array
from verification import Cell, cells

from toolchain.abi import ABI_VERSION, MANIFEST
from toolchain.graph.build import Place
from toolchain.graph.graph import Graph, Node, Value
from toolchain.link.module import add_custom_section
from toolchain.model.build import tensors
from toolchain.model.compile import compile_program, program_of
from toolchain.model.fixed import OpenError, check_fixed, to_kernels
from toolchain.profile import ROOT, full_profile
from toolchain.targets import TARGETS
from toolchain.tasks.library import runtime_objects

TARGET = "simd128"  # relaxed instructions may round otherwise in another loop
TOGETHER = 40  # cases of a module


@cache
def library() -> ops_wasm32.Library:
    """The library's module."""
    return ops_wasm32.load(ROOT / "build" / TARGET / "ops_wasm32.wasm")


def module_of(graph: Graph, folder: Path, target: str = TARGET) -> ops_wasm32.Library:
    """The module of a graph of known sizes, loaded."""
    import json

    check_fixed(graph)
    runtime = list(runtime_objects(ROOT / "build" / target))
    program = program_of(to_kernels(graph, runtime, folder), external=False)
    place = Place(folder, ROOT / "build" / "cache" / target)
    out = folder / f"{graph.name}.wasm"
    compile_program(program, TARGETS[target], place, runtime, out, lambda _: None)
    manifest = {
        "abi_version": ABI_VERSION,
        "target": target,
        "features": list(TARGETS[target].features),
        "model": graph.name,
        "inputs": tensors(program.graph.inputs),
        "outputs": tensors(program.graph.outputs),
        "memory": {"weights": program.weight_bytes},
        "tools": {},
    }
    add_custom_section(out, MANIFEST, json.dumps(manifest).encode())
    return ops_wasm32.load(out)


def wanted(cell: Cell) -> list[Array]:
    """What the library gives."""
    inputs, attributes = cell.case.inputs, cell.case.attributes
    found = library().call(cell.kernel, *inputs, **attributes)
    return list(found) if isinstance(found, tuple) else [found]


def graph_of(taken: Sequence[Cell], results: Sequence[Sequence[Array]]) -> Graph:
    """A node for each case; all its tensors are inputs and outputs of the graph."""
    graph = Graph("cases")
    for i, (cell, found) in enumerate(zip(taken, results, strict=True)):
        inputs: list[Value | None] = []
        for given in flat(cell.case.inputs):
            inputs.append(None if given is None else _value(f"x{i}", given, graph))
        outputs = [_value(f"y{i}_{k}", r, None) for k, r in enumerate(found)]
        attributes = {n: _plain(v) for n, v in cell.case.attributes.items()}
        node = Node(cell.operator, inputs, outputs, attributes, cell.dtypes)
        node.place = str(cell)
        graph.nodes.append(node)
        graph.outputs += outputs
    return graph


def flat(inputs: Iterable[Any]) -> list[Any]:
    """Inputs, those of a list one by one."""
    return [x for v in inputs for x in (v if isinstance(v, list) else [v])]


def _value(name: str, data: Array, graph: Graph | None) -> Value:
    if graph is not None:
        name = f"{name}_{len(graph.inputs)}"
    value = Value(name, str(data.dtype), data.shape)
    if graph is not None:
        graph.inputs.append(value)
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value


def is_planned(cell: Cell) -> bool:
    """Whether only the runtime plans its operator."""
    graph = graph_of([cell], [[]])
    try:
        check_fixed(graph)
    except OpenError:
        return True
    return False


def misses(taken: Sequence[Cell], folder: Path) -> Iterator[str]:
    """The cases whose bits differ, in one module."""
    results = [wanted(cell) for cell in taken]
    module = module_of(graph_of(taken, results), folder)
    given = [x for c in taken for x in flat(c.case.inputs) if x is not None]
    found = module(*given)
    left = iter(found if isinstance(found, tuple) else [found])
    for cell, results_of in zip(taken, results, strict=True):
        for want in results_of:
            got = next(left)
            same = got.shape == want.shape and got.tobytes() == want.tobytes()
            if not same:
                yield f"{cell}: {got.reshape(-1)[:4]}, not {want.reshape(-1)[:4]}"


def sample(each: int, operators: Sequence[str] = ()) -> list[Cell]:
    """Every so many-th case of each kernel that can be known beforehand."""
    seen: Counter[str] = Counter()
    found = []
    for cell in cells(full_profile()):
        if cell.target != TARGET or (operators and cell.operator not in operators):
            continue
        seen[cell.kernel] += 1
        if (seen[cell.kernel] - 1) % each or is_planned(cell):
            continue
        found.append(cell)
    return found


def main() -> int:
    """Compare cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("operators", nargs="*")
    parser.add_argument("--each", type=int, default=1)
    options = parser.parse_args()
    import tvm  # noqa: F401  # before kernels are compiled in forks

    wrong: list[str] = []
    taken = sample(options.each, options.operators)
    for at in range(0, len(taken), TOGETHER):
        part = taken[at : at + TOGETHER]
        with tempfile.TemporaryDirectory() as folder:
            wrong += misses(part, Path(folder))
        print(f"{at + len(part)} of {len(taken)}, {len(wrong)} wrong", flush=True)
    print("\n".join(wrong))
    return bool(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
