"""ONNX's own node test cases as graphs: in numpy (see graph_reference.py), or built.

python tests/graph_cases.py [--sizes KIND[,KIND...]] [--target NAME] [PATTERN]

With --target each case is built as a model and run in wasmtime, after `doit runtime`.
KIND is how much of the inputs is known when a case is converted: `fixed` its shapes,
`open` none of its sizes, `shared` which sizes are equal, and which are 1, `frozen` also
the elements of its small inputs. The passes run too: they keep the results, and the
verifier finds no fault before or after them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import ops_wasm32
from graph_reference import run
from node_cases import (
    DTYPE,
    FAILED,
    PASSED,
    REFUSED,
    ROOT,
    WRONG,
    Outcome,
    foreign,
    frozen,
    node_cases,
    operator_of,
)
from ops_wasm32.convert import Array

from toolchain.frontends import Given
from toolchain.frontends.graphs import graph_of
from toolchain.graph.graph import Graph
from toolchain.graph.passes import optimise
from toolchain.spec import SpecError
from toolchain.targets import TARGETS

FIXED, OPEN, SHARED, FROZEN = KINDS = ("fixed", "open", "shared", "frozen")
# Cases whose results the standard leaves open: their shapes are compared.
RANDOM = (
    *("test_bernoulli", "test_bernoulli_double", "test_bernoulli_seed"),
    *("test_training_dropout", "test_training_dropout_mask"),
    *("test_training_dropout_default", "test_training_dropout_default_mask"),
)
# Cases whose expected results have rounding errors of their own, and how large.
INEXACT = {"test_dft_inverse": 4e-7, "test_dft_inverse_opset19": 4e-7}


def prepared(case: Any, sizes: str) -> tuple[onnx.ModelProto, list[Array]]:
    """The case's model and its inputs. sizes: one of KINDS."""
    model, inputs = frozen(case, sizes == FROZEN)
    inputs = [plain(a) for a in inputs]
    if sizes in (OPEN, SHARED):
        for value in model.graph.input:
            for i, dim in enumerate(value.type.tensor_type.shape.dim):
                if sizes == OPEN:
                    dim.dim_param = f"{value.name}_{i}"
                elif dim.dim_value != 1:
                    dim.dim_param = f"n{dim.dim_value}"
        for value in model.graph.output:
            value.type.tensor_type.ClearField("shape")
    return model, inputs


def plain(value: Any) -> Array:
    """An array of what a case gives."""
    tensor = isinstance(value, onnx.TensorProto)
    return onnx.numpy_helper.to_array(value) if tensor else value


def built(graph: Graph, inputs: Sequence[Array], target: str) -> list[Array]:
    """The results of a graph that is built for a target."""
    from toolchain.graph.build import Place, build_graph
    from toolchain.tasks.library import runtime_objects

    runtime = runtime_objects(ROOT / "build" / target)
    with tempfile.TemporaryDirectory(prefix="ops_case_") as folder:
        place = Place(Path(folder), ROOT / "build" / "cache" / target)
        build_graph(graph, TARGETS[target], place, runtime, lambda _: None)
        library = ops_wasm32.load(Path(folder) / f"{graph.name}.wasm")
        results = library.call(graph.name, *inputs)
    return list(results) if isinstance(results, tuple | list) else [results]


def outcome_of(case: Any, sizes: str, target: str = "") -> Outcome:
    """What becomes of a case. target: where it is built for; "": in numpy."""
    operator = operator_of(case)
    model, inputs = prepared(case, sizes)
    try:
        graph = graph_of(model, "model", Given(), "file").graph
        results = built(graph, inputs, target) if target else run(graph, inputs)
        reason = difference(case, results)
        if not reason and not target:
            optimise(graph)
            reason = difference(case, run(graph, inputs))
            reason = f"after the passes: {reason}" if reason else ""
        return Outcome(case.name, operator, WRONG if reason else PASSED, reason)
    except SpecError as error:
        text = str(error).replace("file: ", "")
        kind = DTYPE if foreign(text) else REFUSED
        return Outcome(case.name, operator, kind, text)
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        return Outcome(case.name, operator, FAILED, text)


def difference(case: Any, results: Iterable[Array]) -> str:
    """What is wrong with the results; nothing where they are right."""
    expected = case.data_sets[0][1]
    for i, (want, got) in enumerate(zip(expected, results, strict=True)):
        want = np.asarray(plain(want))
        if want.shape != got.shape:
            return f"output {i} has shape {got.shape}, expected {want.shape}"
        if case.name in RANDOM:
            continue
        absolute = max(case.atol, INEXACT.get(case.name, 0.0))
        try:
            np.testing.assert_allclose(got, want, rtol=case.rtol, atol=absolute)
        except AssertionError as error:
            return f"output {i}: " + " ".join(str(error).split())[:200]
    return ""


def main() -> int:
    """Run the cases; 1 where a result is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pattern", nargs="?", default=".")
    parser.add_argument("--sizes", default=",".join(KINDS[:3]))
    parser.add_argument("--target", default="")
    options = parser.parse_args()
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for case in node_cases(options.pattern).values():
        for sizes in options.sizes.split(","):
            found = outcome_of(case, sizes, options.target)
            counts[sizes][found.kind] += 1
            if found.kind not in (PASSED, DTYPE):
                text = f"{sizes} {found.kind} {found.case}: {found.reason[:300]}"
                print(text, flush=True)
    for sizes, count in counts.items():
        print(sizes, dict(count))
    return any(c[WRONG] + c[FAILED] for c in counts.values())


if __name__ == "__main__":
    sys.exit(main())
