"""Trace: a module whose steps can be timed each, and what each step is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from toolchain.graph.build import Place
from toolchain.model.build import Options, read_program
from toolchain.model.compile import compile_program
from toolchain.model.emit import Program
from toolchain.model.graph import Node, Value
from toolchain.model.kernels import Batched, Instance
from toolchain.model.plan import root
from toolchain.records.replace import fresh, write

# Operations of one element of the result, from the constants of an instance.
_OPERATIONS: dict[str, Callable[[dict[str, float]], float]] = {
    "conv": lambda c: 2 * c["D"] * c["R"] * c["S"],
    "conv_packed": lambda c: 2 * c["K"],
    "depthwise_packed": lambda c: 2 * c["R"] * c["S"],
    "matmul": lambda c: 2 * c["K"],
    "matmul_packed": lambda c: 2 * c["K"],
    # Of its 36 products, for each of 16 pixels; its transforms are not counted.
    "winograd_conv": lambda c: 2 * c["C"] * 36 / 16,
}


def build_trace(
    path: Path,
    options: Options,
    place: Place,
    runtime: list[Path],
    show: Callable[[str], None] = print,
) -> Path:
    """Write the traced module of a model and trace.json beside it; the latter."""
    program = replace(read_program(path, options, show, runtime), traced=True)
    target, out = options.built_for(), place.folder / "trace.json"
    with fresh(place.folder / f"{program.graph.name}.wasm") as wasm:
        kernels = compile_program(program, target, place, runtime, wasm, show)
    sizes = {k["name"]: k["bytes"] for k in kernels}
    text = json.dumps(describe(program, options.target, sizes), indent=1)
    write(out, text.encode() + b"\n")
    return out


def describe(program: Program, target: str, sizes: dict[str, int]) -> dict[str, Any]:
    """Steps, tensors and memory plan of a program. sizes: of its kernels' objects."""
    graph = program.graph
    made: dict[Value, int] = {}
    steps = []
    for i, node in enumerate(graph.nodes):
        kernel = node.attributes["kernel"]
        steps.append(
            {
                "kernel": kernel.name,
                "label": _label(kernel),
                "code": sizes[kernel.name],
                "inputs": [_operand(v, program, made) for v in node.inputs],
                "outputs": [_tensor(v) for v in node.outputs],
                "operations": operations(node),
                "traffic": sum(v.bytes for v in (*node.inputs, *node.outputs)),
                "live": program.plan.live[i],
            }
        )
        for value in node.outputs:
            made[root(value, program.aliases)] = i
    return {
        "model": graph.name,
        "target": target,
        "inputs": [_tensor(v) for v in graph.inputs],
        "outputs": [_tensor(v) for v in graph.outputs],
        "steps": steps,
        "arena": program.plan.size,
        "lower_bound": program.plan.lower_bound,
        "weight_bytes": program.weight_bytes,
        "blocks": _blocks(program),
    }


def operations(node: Node) -> float | None:
    """Multiplications and additions of a product; None where none are counted."""
    kernel = node.attributes["kernel"]
    instance = kernel
    while isinstance(instance, Batched):
        instance = instance.kernel
    if not isinstance(instance, Instance) or instance.operator not in _OPERATIONS:
        return None
    each = _OPERATIONS[instance.operator](dict(instance.constants))
    return each * node.outputs[0].count


def _label(kernel: Any) -> str:
    """What a kernel does, without the numbers that make its name its own."""
    if isinstance(kernel, Batched):
        return f"{kernel.count} × {_label(kernel.kernel)}"
    name: str = kernel.name
    return re.sub(r"(?<=[a-z])\d+(?=_|$)", "", name.rpartition("_")[0])


def _tensor(value: Value) -> dict[str, Any]:
    return {"name": value.name, "dtype": value.dtype, "shape": list(value.shape)}


def _operand(value: Value, program: Program, made: dict[Value, int]) -> dict[str, Any]:
    """An input of a step; from: the step that made it, "input" or "weights"."""
    base = root(value, program.aliases)
    source: int | str = "weights" if base.data is not None else "input"
    return _tensor(value) | {"from": made.get(base, source)}


def _blocks(program: Program) -> list[dict[str, Any]]:
    """Where each intermediate lies, from which step to which."""
    lives: dict[Value, list[int]] = {}
    for i, node in enumerate(program.graph.nodes):
        for value in (*node.inputs, *node.outputs):
            base = root(value, program.aliases)
            if base in program.plan.offsets:
                lives.setdefault(base, [i, i])[1] = i
    return [
        _tensor(v)
        | {"offset": program.plan.offsets[v], "bytes": v.bytes, "first": a, "last": b}
        for v, (a, b) in lives.items()
    ]
