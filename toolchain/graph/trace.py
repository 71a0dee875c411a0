"""Trace: a module of any sizes whose steps can be timed each, and what each step is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from toolchain.abi import MAX_MEMORY
from toolchain.graph.build import Place, library_of, manifest_of
from toolchain.graph.emit import Emitted, emit_model
from toolchain.graph.graph import VIEWS, Graph, Node, Value
from toolchain.graph.passes import optimise
from toolchain.graph.schedule import schedule
from toolchain.link.clang import compile_c
from toolchain.link.link import link
from toolchain.records.cache import in_use
from toolchain.records.replace import fresh, scratch, write
from toolchain.spec import kernel_name
from toolchain.targets import Target

SOURCE = Path(__file__).with_suffix(".c")
WRAPPED = ("ops_graph_run", "ops_step_bind", "ops_step_control")
EXPORTED = ("ops_trace_spent", "ops_trace_size", "ops_trace_offset")


def build_traced(
    graph: Graph,
    target: Target,
    place: Place,
    runtime: Sequence[Path],
    sizes: Mapping[str, int],
    by_winograd: bool = False,
    show: Callable[[str], None] = print,
) -> Path:
    """Write the traced module of a graph and trace.json beside it; the latter.

    sizes: to time it at. Errors: as build_graph.
    """
    optimise(graph, by_winograd)
    emitted = emit_model(graph)
    wasm, out = place.folder / f"{graph.name}.wasm", place.folder / "trace.json"
    with in_use(place.cache), scratch(place.cache) as own, fresh(wasm) as new:
        traced = own / "trace.o"
        compile_c(SOURCE, target, traced)
        parts = [*runtime, traced]
        library = library_of(graph, emitted, target, place, parts, show, own)
        words = [f"--wrap={n}" for n in WRAPPED if n != WRAPPED[2] or _regions(graph)]
        words += [f"--export={n}" for n in EXPORTED]
        link(library, new, MAX_MEMORY, flat=True, more=words)
    found = manifest_of(graph, emitted, target)
    found |= describe(graph, emitted) | {"at": dict(sizes)}
    write(out, json.dumps(found, indent=1).encode() + b"\n")
    return out


def _regions(graph: Graph) -> bool:
    return any(n.regions for n in graph.nodes)


def describe(graph: Graph, emitted: Emitted) -> dict[str, Any]:
    """Steps and values of a graph, by numbers; shapes are known when it has run.

    A value's `from` is the step that writes it, "input" or "weights"; `memory` the
    value whose memory it is. A step `frees` what nothing reads after it.
    """
    plan = schedule(graph)
    made = {v: i for i, n in enumerate(plan.nodes) for v in n.outputs}
    views = {n.output: n.inputs[0] for n in plan.nodes if n.op in VIEWS}
    ids, segment = emitted.ids, 0
    steps = []
    for i, node in enumerate(plan.nodes):
        segment += i >= plan.segments[segment]
        last = [ids[v] for v in plan.last.get(node, []) if v in made]
        steps.append(_step(node, ids) | {"frees": last, "segment": segment})
    values: list[dict[str, Any]] = [{}] * len(ids)
    for value, number in ids.items():
        source = made.get(value, "input" if value.data is None else "weights")
        base = views.get(value)
        values[number] = {
            "name": value.name,
            "dtype": value.dtype,
            "from": source,
            "memory": None if base is None else ids[base],
        }
    return {"steps": steps, "values": values}


def _step(node: Node, ids: Mapping[Value, int]) -> dict[str, Any]:
    reads = [ids[v] for v in node.inputs if v is not None]
    name = kernel_name(node.op, node.dtypes) if node.dtypes else node.op
    return {
        "kernel": name,
        "label": node.op,
        "node": node.place,
        "reads": reads,
        "writes": [ids[v] for v in node.outputs],
    }
