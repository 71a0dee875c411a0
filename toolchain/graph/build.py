"""Build: a graph of any shape becomes a module, its weights and its manifest."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from toolchain import tuning
from toolchain.abi import ABI_VERSION_OPEN, MANIFEST, MAX_MEMORY
from toolchain.codegen.cached import Wanted, key_of, make_objects
from toolchain.codegen.descriptor import table
from toolchain.codegen.llvm import emit
from toolchain.codegen.objects import compile_for_models, compile_object, object_of
from toolchain.codegen.operators import load_operator
from toolchain.codegen.room import room
from toolchain.graph.arena import arena_bytes
from toolchain.graph.emit import WEIGHTS, Emitted, emit_model
from toolchain.graph.graph import Graph, Node, Value
from toolchain.graph.operators import file_of, has_own, made_of, operator
from toolchain.graph.passes import optimise
from toolchain.graph.rounding import tolerance
from toolchain.graph.shapes import text
from toolchain.graph.weights import Weights
from toolchain.link import clang
from toolchain.link.archive import archive
from toolchain.link.blob import data_object
from toolchain.link.link import link
from toolchain.link.manifest import check_interface
from toolchain.link.module import add_custom_section, validate, viewed
from toolchain.link.safetensors import Part, write_weights
from toolchain.process.command import tool_versions
from toolchain.records.cache import in_use
from toolchain.records.made import Made
from toolchain.records.replace import fresh, scratch, write
from toolchain.records.slices import root_in, root_of
from toolchain.targets import Target

TIMEOUT = 600.0  # seconds for the object of one operator


@dataclass(frozen=True)
class Place:
    """Where a model's files go. cache: for objects of operators.

    code: what the objects are made from, as it is found (roots of slices).
    archive: whether lib<name>.a is written too, to link into programs. name: of the
    files, where it is not the model's. ready: objects of operators that the library's
    build has already.
    """

    folder: Path
    cache: Path
    code: set[str] = field(default_factory=set)
    archive: bool = False
    name: str = ""
    ready: Mapping[str, Made] = field(default_factory=dict)


def build_graph(
    graph: Graph,
    target: Target,
    place: Place,
    runtime: Sequence[Path],
    show: Callable[[str], None] = print,
    external: bool = False,
    by_winograd: bool = False,
) -> dict[str, Any]:
    """Write <name>.wasm, weights where external, <name>.manifest.json; the latter.

    by_winograd: see passes.optimise.

    Errors: SpecError for what cannot be built.
    """
    allowed = tolerance(graph, by_winograd)
    optimise(graph, by_winograd)
    emitted = emit_model(graph, external)
    out = place.folder / f"{place.name or graph.name}.wasm"
    with in_use(place.cache), scratch(place.cache) as own, fresh(out) as wasm:
        library = library_of(graph, emitted, target, place, runtime, show, own)
        if place.archive:
            with fresh(place.folder / f"lib{out.stem}.a") as kept:
                shutil.copyfile(library, kept)
        show(f"link {graph.name}.wasm")
        link(library, wasm, MAX_MEMORY, flat=True)
        with viewed(wasm) as data:
            check_interface(data, target.name)
        manifest = manifest_of(graph, emitted, target) | {"tolerance": allowed}
        if external:
            path = out.with_suffix(".safetensors")
            manifest["weights"] = _write_weights(emitted.weights, path)
        content = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
        add_custom_section(wasm, MANIFEST, content.encode())
        validate(wasm.read_bytes(), str(out))
        long = manifest | _artifacts(wasm, out, emitted)
        content = json.dumps(long, indent=1, sort_keys=True)
        write(out.with_suffix(".manifest.json"), content.encode() + b"\n")
    return long


def library_of(
    graph: Graph,
    emitted: Emitted,
    target: Target,
    place: Place,
    runtime: Sequence[Path],
    show: Callable[[str], None],
    own: Path,
) -> Path:
    """The archive of a model, its operators, weights and the runtime, in a folder."""
    library = own / f"lib{graph.name}.a"
    members = operator_objects(_nodes(graph), target, place, show)
    members.append(_model_object(graph, emitted, target, own))
    if not emitted.external:
        block, weights = own / f"{WEIGHTS}.o", emitted.weights
        members.append(data_object(WEIGHTS, weights.size, weights.block(), block))
    archive([*members, *runtime], library)
    return library


def _nodes(graph: Graph) -> Iterable[Node]:
    """Nodes of a graph and of its regions."""
    for node in graph.nodes:
        yield node
        for region in node.regions:
            yield from _nodes(region)


def _model_object(graph: Graph, emitted: Emitted, target: Target, own: Path) -> Path:
    """The object of the model's data, without its weights."""
    texts = [emitted.text, table([graph.name]), room([emitted.room])]
    model = own / f"model_{graph.name}.o"
    model.write_bytes(emit(texts, target))
    return model


@dataclass(frozen=True)
class _Part:
    """An operator, or (own) its dtypes that models alone have."""

    name: str
    own: bool

    @staticmethod
    def of(node: Node) -> _Part:
        return _Part(node.op, has_own(node.op, node.dtypes))


def operator_objects(
    nodes: Iterable[Node],
    target: Target,
    place: Place,
    show: Callable[[str], None],
) -> list[Path]:
    """The object of each operator of nodes, from the cache where it is whole.

    Errors: SpecError with every operator that cannot be compiled.
    """
    users: dict[_Part, list[Node]] = {}
    for node in nodes:
        if node.dtypes:
            users.setdefault(_Part.of(node), []).append(node)
    there = [p for p in users if p.name in place.ready and not p.own]
    ready = [place.ready[p.name] for p in there]
    parts = [p for p in users if p not in there]
    made = [_made(p, target, place.cache) for p in parts]
    wanted = [
        Wanted(
            *(p.name, m, partial(_compile, p, target, m.outputs[0]), p.name),
            [n.place for n in users[p]],
            [f"{v.dtype}{text(v.shape)}" for v in users[p][0].inputs if v is not None],
        )
        for p, m in zip(parts, made, strict=True)
    ]
    make_objects(wanted, "operator", TIMEOUT, show)
    for one in (*ready, *made):
        place.code.update(one.code, one.found() or ())
    return [one.outputs[0] for one in (*ready, *made)]


def _made(part: _Part, target: Target, cache: Path) -> Made:
    """The object of an operator, which its name and that of its parts decide."""
    name, made = part.name, made_of(part.name)
    parts = [name] if made is None else made.operators()
    for one in parts:
        operator(one)
    code = (root_of(_compile), *(root_in(file_of(p), "KERNEL") for p in parts))
    settings = [name, part.own, asdict(target), tool_versions()]
    key = key_of(code, settings)
    numbers = tuning.roots(target.name, dict(target.tuned))
    out = cache / f"operator_{name}-{key}.o"
    files = () if made else tuple(clang.sources(_source_of(part)))
    return Made((out,), code, files, settings, numbers)


def _source_of(part: _Part) -> Path:
    """The C file that an operator has, if it has one."""
    path = file_of(part.name)
    own = load_operator(path).models_source if part.own else None
    return path.with_name(own) if own else path.with_suffix(".c")


def _compile(part: _Part, target: Target, out: Path) -> Iterable[str]:
    """Write an operator's object; roots of what it names at run time."""
    name, made = part.name, made_of(part.name)
    if part.own:
        data, code = compile_for_models(file_of(name), target)
        write(out, data)
        return code
    if made is None:
        path, numbers = file_of(name), dict(target.tuned)
        data, description = compile_object(path, target.name, None, numbers)
        write(out, data)
        return description["code"]
    with tuning.noted() as asked:
        found = made.operator()
        data, chosen = object_of(name, found, found.variants(), target)
    write(out, data)
    return [*chosen, *map(tuning.root, sorted(asked))]


def _write_weights(weights: Weights, path: Path) -> dict[str, Any]:
    """Write the block of constants beside the module; the manifest's entry."""
    pairs = zip(weights.parts, weights.offsets, strict=True)
    parts = [
        Part(str(i), str(part.dtype), part.shape, at)
        for i, (part, at) in enumerate(pairs)
    ]
    return write_weights(path, parts, weights.size, weights.block())


def _shape(value: Value) -> list[int | str] | None:
    """Sizes as the manifest has them: numbers, expressions, or "?".

    None where the rank is unknown.
    """
    known = value.shape
    if known is None:
        return None
    return [n if isinstance(n, int) else "?" if n is None else str(n) for n in known]


def _tensors(values: Sequence[Value]) -> list[Mapping[str, Any]]:
    return [{"name": v.name, "dtype": v.dtype, "shape": _shape(v)} for v in values]


def manifest_of(graph: Graph, emitted: Emitted, target: Target) -> dict[str, Any]:
    """What stands in the module."""
    return {
        "abi_version": ABI_VERSION_OPEN,
        "target": target.name,
        "features": list(target.features),
        "model": graph.name,
        "inputs": _tensors(graph.inputs),
        "outputs": _tensors(graph.outputs),
        "sizes": {n: list(bounds) for n, bounds in graph.sizes.items()},
        "memory": _memory(graph, emitted),
        "tools": tool_versions(),
    }


def _memory(graph: Graph, emitted: Emitted) -> dict[str, int]:
    """Bytes of weights, and of the arena of the largest sizes where that is known."""
    found = {"weights": emitted.weights.size}
    arena = arena_bytes(graph)
    return found if arena is None else found | {"arena": arena}


def _artifacts(wasm: Path, out: Path, emitted: Emitted) -> dict[str, Any]:
    size = wasm.stat().st_size
    with wasm.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    return {
        "kernels": emitted.kernels,
        "steps": emitted.steps,
        "artifacts": {
            out.name: {
                "bytes": size,
                "bytes_without_weights": size - emitted.weights.size,
                "sha256": digest.hexdigest(),
            }
        },
    }
