"""Compile: a graph whose nodes are kernels becomes a standalone module."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from toolchain import tuning
from toolchain.abi import MAX_MEMORY
from toolchain.codegen.cached import Wanted, key_of, make_objects
from toolchain.codegen.descriptor import table
from toolchain.codegen.llvm import emit
from toolchain.codegen.objects import by_name
from toolchain.codegen.operators import loaded_operators
from toolchain.graph.build import Place, operator_objects
from toolchain.graph.graph import Node as Called
from toolchain.link.archive import archive
from toolchain.link.blob import data_object
from toolchain.link.link import link
from toolchain.link.module import Buffer
from toolchain.micro.registry import micro_kernel, used
from toolchain.model.emit import WEIGHTS, Program, model_descriptor, model_function
from toolchain.model.graph import KERNEL, VIEW, Graph, Node, Value
from toolchain.model.kernels import FOLDERS, Copy
from toolchain.model.plan import aligned, plan, root
from toolchain.model.planned import Planned
from toolchain.process.command import tool_versions
from toolchain.records.cache import in_use
from toolchain.records.made import Made
from toolchain.records.replace import scratch, write
from toolchain.records.slices import root_in, root_of
from toolchain.targets import Target

KERNEL_TIMEOUT = 300.0  # seconds for one kernel; most take under one


def program_of(graph: Graph, external: bool) -> Program:
    """Leave out views, order the weights and plan the arena."""
    aliases: dict[Value, Value] = {}
    for node in graph.nodes:
        if node.op == VIEW:
            aliases[node.output] = root(node.inputs[0], aliases)
    graph.nodes = [n for n in graph.nodes if n.op == KERNEL]
    _copy_outputs(graph, aliases)
    offsets: dict[Value, int] = {}
    known: dict[bytes, Value] = {}
    size = 0
    for node in graph.nodes:
        for value in node.inputs:
            base = root(value, aliases)
            if base.data is None or base in offsets:
                continue
            first = known.setdefault(_digest(base), base)
            if first is not base:  # one copy of equal bytes
                aliases[base] = first
                continue
            offsets[base] = size
            size += aligned(base.bytes)
    names = [n.attributes["kernel"].name for n in graph.nodes]
    return Program(graph, names, aliases, plan(graph, aliases), offsets, size, external)


def _digest(value: Value) -> bytes:
    """A hash of a constant's bytes."""
    assert value.data is not None
    return hashlib.sha256(np.ascontiguousarray(value.data).tobytes()).digest()


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
    out: Path,
    show: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Write the module; what each kernel is and how often it is called.

    runtime: objects of the C runtime. Errors: SpecError with every kernel that fails.
    """
    name = program.graph.name
    texts = [
        *model_descriptor(program),  # first: it says what is too much for a module
        model_function(program),
        table([name]),
    ]
    place.code.update(program.code)
    with in_use(place.cache), scratch(place.cache) as own:
        objects = _objects(program, target, place, show)
        model, library = own / f"model_{name}.o", own / f"lib{name}.a"
        model.write_bytes(emit(texts, target))
        members = [*objects.values(), model]
        members += operator_objects(_called(program), target, place, show)
        if not program.external:
            members.append(
                data_object(
                    WEIGHTS,
                    program.weight_bytes,
                    weights_block(program),
                    own / "model_weights.o",
                )
            )
        archive([*members, *runtime], library)
        if place.archive:
            kept = place.folder / f"lib{place.name or name}.a"
            write(kept, library.read_bytes())
        show(f"link {name}.wasm")
        link(library, out, MAX_MEMORY)
        calls = Counter(program.kernels)
        return [
            {"name": k, "calls": calls[k], "bytes": objects[k].stat().st_size}
            for k in sorted(objects)
        ]


def _called(program: Program) -> Iterator[Called]:
    """Calls of operators whose own objects are linked."""
    for node in program.graph.nodes:
        kernel = node.attributes["kernel"]
        if isinstance(kernel, Planned):
            yield Called(kernel.operator, [], [], {}, kernel.dtypes)


def _objects(
    program: Program, target: Target, place: Place, show: Callable[[str], None]
) -> dict[str, Path]:
    """The object of each kernel, from the cache where it is there and whole."""
    users: dict[str, list[Node]] = {}
    for node in program.graph.nodes:
        users.setdefault(node.attributes["kernel"].name, []).append(node)
    kernels = {name: n[0].attributes["kernel"] for name, n in users.items()}
    made = {name: _made(k, target, place.cache) for name, k in kernels.items()}
    wanted = [
        Wanted(
            *(name, m, partial(_compile, kernels[name], target, m.outputs[0])),
            *(f"kernel {name}", [p for n in users[name] for p in n.places]),
            [f"{v.dtype}{list(v.shape)}" for v in users[name][0].inputs],
        )
        for name, m in made.items()
    ]
    make_objects(wanted, "kernel", KERNEL_TIMEOUT, show)
    for one in made.values():
        place.code.update(one.code, one.found() or ())
    return {name: one.outputs[0] for name, one in made.items()}


def _made(kernel: Any, target: Target, cache: Path) -> Made:
    """The object of a kernel; its name says what is known before it is compiled."""
    code = (root_of(_compile), root_of(type(kernel)))
    settings = [kernel.name, asdict(target), tool_versions()]
    out = cache / f"{kernel.name}-{key_of(code, settings)}.o"
    numbers = tuning.roots(target.name, dict(target.tuned))
    return Made((out,), code, settings=settings, named=numbers)


def _compile(kernel: Any, target: Target, out: Path) -> list[str]:
    """Write a kernel's object; roots of what it names at run time."""
    with tuning.noted() as asked:
        texts = kernel.texts(target)
        chosen = by_name("".join(texts))
        texts += [micro_kernel(s, target) for s in used("".join(texts))]
        write(out, emit(texts, target))
    chosen += map(tuning.root, sorted(asked))
    return [*chosen, *(root_in(f, "KERNEL") for f in loaded_operators(FOLDERS))]


def weights_block(program: Program) -> Iterator[Buffer]:
    """All constants, each at its offset, part by part."""
    for value in program.weights:
        assert value.data is not None
        plain = np.ascontiguousarray(value.data).reshape(-1)
        yield plain.view(np.uint8).data
        yield bytes(aligned(value.bytes) - value.bytes)
