"""Compile: a graph becomes a standalone module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from toolchain.archive import archive
from toolchain.codegen import emit
from toolchain.command import run, tool
from toolchain.descriptor import table
from toolchain.link import link
from toolchain.microkernel import micro_kernel, used
from toolchain.model.emit import WEIGHTS, Program, model_descriptor, model_function
from toolchain.model.graph import Graph, Value
from toolchain.model.plan import aligned, plan, root
from toolchain.model.relaxed import KERNEL, VIEW
from toolchain.targets import TARGETS


def compile_graph(
    graph: Graph, target_name: str, out: Path, runtime: list[Path], external: bool
) -> Program:
    """Write <out>/<name>.wasm (and its weights). runtime: objects of the runtime."""
    target = TARGETS[target_name]
    aliases = {n.output: n.inputs[0] for n in graph.nodes if n.op == VIEW}
    graph.nodes = [n for n in graph.nodes if n.op == KERNEL]
    constants = dict.fromkeys(
        root(v, aliases)
        for v in (*(v for n in graph.nodes for v in n.inputs), *graph.outputs)
        if root(v, aliases).data is not None
    )
    offsets: dict[Value, int] = {}
    size = 0
    for value in constants:
        offsets[value] = size
        size += aligned(value.bytes)
    out.mkdir(parents=True, exist_ok=True)
    blob = bytearray(size)
    for value, at in offsets.items():
        assert value.data is not None
        blob[at : at + value.bytes] = np.ascontiguousarray(value.data).tobytes()
    (out / "weights.bin").write_bytes(blob)
    kernels = [n.attributes["kernel"] for n in graph.nodes]
    program = Program(
        graph, [k.name for k in kernels], aliases, plan(graph, aliases), offsets, external
    )
    members = []
    for kernel in dict.fromkeys(kernels):
        texts = kernel.texts(target)
        texts += [micro_kernel(s, target) for s in used("".join(texts))]
        members.append(out / f"{kernel.name}.o")
        members[-1].write_bytes(emit(texts, target))
    members.append(out / f"model_{graph.name}.o")
    members[-1].write_bytes(
        emit(
            [model_function(program), model_descriptor(program, size), table([graph.name])],
            target,
        )
    )
    if not external:
        members.append(out / "weights.o")
        _data_object(out / "weights.bin", members[-1])
    archive([*members, *runtime], out / "libmodel.a")
    link(out / "libmodel.a", out / f"{graph.name}.wasm", 2**32)
    return program


def _data_object(data: Path, out: Path) -> None:
    source = out.with_suffix(".s")
    source.write_text(
        f'.section .rodata.{WEIGHTS},"",@\n.globl {WEIGHTS}\n.hidden {WEIGHTS}\n'
        f".p2align 6\n{WEIGHTS}:\n.incbin \"{data}\"\n.size {WEIGHTS}, "
        f"{max(1, data.stat().st_size)}\n"
    )
    run([*tool("CLANG"), "-target", "wasm32-freestanding", "-c", source, "-o", out])
