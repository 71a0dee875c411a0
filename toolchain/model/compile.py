"""Compile: a graph whose nodes are kernels becomes a standalone module."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.archive import archive
from toolchain.child import Job, in_children, write
from toolchain.codegen import emit
from toolchain.command import run, tool, tool_versions
from toolchain.descriptor import table
from toolchain.link import link
from toolchain.microkernel import micro_kernel, used
from toolchain.model.emit import WEIGHTS, Program, model_descriptor, model_function
from toolchain.model.graph import KERNEL, VIEW, Graph, Node, Value
from toolchain.model.kernels import Copy
from toolchain.model.plan import aligned, plan, root
from toolchain.spec import SpecError
from toolchain.targets import Target

TOOLCHAIN = Path(__file__).parents[1]
KERNEL_TIMEOUT = 300.0  # seconds for one kernel; most take under one


@dataclass(frozen=True)
class Place:
    """Where a model's files go. cache: for objects of kernels, by content."""

    folder: Path
    cache: Path


def program_of(graph: Graph, external: bool) -> Program:
    """Leave out views, order the weights and plan the arena."""
    aliases = {n.output: n.inputs[0] for n in graph.nodes if n.op == VIEW}
    graph.nodes = [n for n in graph.nodes if n.op == KERNEL]
    _copy_outputs(graph, aliases)
    offsets: dict[Value, int] = {}
    size = 0
    for node in graph.nodes:
        for value in node.inputs:
            base = root(value, aliases)
            if base.data is not None and base not in offsets:
                offsets[base] = size
                size += aligned(base.bytes)
    names = [n.attributes["kernel"].name for n in graph.nodes]
    return Program(graph, names, aliases, plan(graph, aliases), offsets, size, external)


def _copy_outputs(graph: Graph, aliases: dict[Value, Value]) -> None:
    """Give each output memory of its own: no input's, weight's or other output's."""
    taken = set(graph.inputs)
    for i, value in enumerate(graph.outputs):
        base = root(value, aliases)
        if base.data is not None or base in taken:
            copy = Value(value.name, value.shape, value.dtype)
            kernel = {"kernel": Copy(value.bytes)}
            graph.nodes.append(Node(KERNEL, [value], [copy], kernel))
            graph.outputs[i] = base = copy
        taken.add(base)


def compile_program(
    program: Program,
    target: Target,
    place: Place,
    runtime: list[Path],
    show: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Write <folder>/<name>.wasm; what each kernel is and how often it is called.

    runtime: objects of the C runtime. Errors: SpecError with every kernel that fails.
    """
    place.folder.mkdir(parents=True, exist_ok=True)
    kernels = {
        n.attributes["kernel"].name: n.attributes["kernel"] for n in program.graph.nodes
    }
    objects = _objects(kernels, target, place.cache, show)
    name = program.graph.name
    texts = [
        model_function(program),
        model_descriptor(program),
        table([name]),
    ]
    model = place.folder / f"model_{name}.o"
    write(model, emit(texts, target))
    members = [*objects.values(), model]
    if not program.external:
        members.append(_data_object(program, place.folder / "model_weights.o"))
    library = place.folder / f"lib{name}.a"
    archive([*members, *runtime], library)
    show(f"link {name}.wasm")
    link(library, place.folder / f"{name}.wasm", 1 << 32)
    for path in (library, *members[len(objects) :]):
        path.unlink()
    calls = Counter(program.kernels)
    return [
        {"name": k, "calls": calls[k], "bytes": objects[k].stat().st_size}
        for k in sorted(objects)
    ]


def _objects(
    kernels: dict[str, Any], target: Target, cache: Path, show: Callable[[str], None]
) -> dict[str, Path]:
    """The object of each kernel, from the cache where it is there."""
    cache.mkdir(parents=True, exist_ok=True)
    sources = _fingerprint(target)
    paths = {
        name: cache
        / f"{name}-{hashlib.sha256((sources + name).encode()).hexdigest()[:16]}.o"
        for name in kernels
    }
    missing = [n for n in kernels if not paths[n].exists()]
    jobs = [
        Job(Path(n), partial(_compile, kernels[n], target, paths[n]), KERNEL_TIMEOUT)
        for n in missing
    ]
    failed = []
    workers = os.cpu_count() or 1
    for i, (job, reason) in enumerate(in_children(jobs, workers), 1):
        show(f"kernel {i}/{len(jobs)} {job.label}")
        if reason is not None:
            failed.append(reason)
    if failed:
        raise SpecError("\n".join(sorted(failed)))
    return paths


def _fingerprint(target: Target) -> str:
    """A text that changes with anything that a kernel's object is made by."""
    folders = (
        TOOLCHAIN,
        TOOLCHAIN / "spec",
        TOOLCHAIN / "model",
        TOOLCHAIN / "model" / "operators",
        TOOLCHAIN.parent / "kernels",
    )
    digest = hashlib.sha256(repr((target, tool_versions())).encode())
    for path in sorted(p for folder in folders for p in folder.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _compile(kernel: Any, target: Target, out: Path) -> None:
    texts = kernel.texts(target)
    texts += [micro_kernel(s, target) for s in used("".join(texts))]
    write(out, emit(texts, target))


def weights_blob(program: Program) -> bytes:
    """All constants, each at its offset."""
    blob = bytearray(program.weight_bytes)
    for value, at in program.weights.items():
        assert value.data is not None
        blob[at : at + value.bytes] = np.ascontiguousarray(value.data).tobytes()
    return bytes(blob)


def _data_object(program: Program, out: Path) -> Path:
    """An object that holds the weights."""
    data, source = out.with_suffix(".bin"), out.with_suffix(".s")
    data.write_bytes(weights_blob(program) or bytes(1))
    source.write_text(
        f'.section .rodata.{WEIGHTS},"",@\n.globl {WEIGHTS}\n.hidden {WEIGHTS}\n'
        f'.p2align 6\n{WEIGHTS}:\n.incbin "{data}"\n'
        f".size {WEIGHTS}, {data.stat().st_size}\n"
    )
    run([*tool("CLANG"), "-target", "wasm32-freestanding", "-c", source, "-o", out])
    data.unlink()
    source.unlink()
    return out
