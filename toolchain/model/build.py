"""Build: a model file becomes a module, its weights and its manifest."""

from __future__ import annotations

import glob
import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from toolchain.abi import ABI_VERSION, MANIFEST, MAX_MEMORY
from toolchain.codegen.operators import loaded_operators
from toolchain.frontends import Dim, Given, read_model
from toolchain.graph.build import Place
from toolchain.graph.graph import Graph
from toolchain.graph.operators import Made, add_chain, made_of
from toolchain.graph.passes import optimise
from toolchain.graph.rounding import tolerance as graph_tolerance
from toolchain.link.manifest import check_interface
from toolchain.link.module import add_custom_section, validate
from toolchain.link.safetensors import Part, write_weights
from toolchain.model.compile import compile_program, program_of, weights_block
from toolchain.model.emit import Program
from toolchain.model.fixed import OpenError, check_fixed
from toolchain.model.fixed import to_kernels as kernels_of
from toolchain.model.graph import Value, from_relax
from toolchain.model.kernels import FOLDERS
from toolchain.model.passes import to_kernels
from toolchain.model.read import operator_roots, read
from toolchain.model.rounding import tolerance
from toolchain.process import confined
from toolchain.process.command import tool_versions
from toolchain.records.replace import fresh, write
from toolchain.records.slices import root_in
from toolchain.spec import SpecError
from toolchain.targets import TARGETS, Target

# Memory for reading a file and rewriting its graph, where the machine has it: of TVM
# and its compilers, with the constants that may be computed (importer.CONSTANTS), and
# for each byte of the file. Networks that people ship take up to 60 times their size.
_MEMORY, _TIMES = 10 << 30, 64
_REST = 1 << 20  # bytes of a module's memory for its stack and books


@dataclass(frozen=True)
class Options:
    """How a model is built. shapes, dims, values: what frontends.Given has.

    external: weights in a .safetensors file beside the module instead of inside it.
    winograd: 3 x 3 convolutions of stride 1 by a quarter of the multiplications; their
    weights take four times the memory, their rounding errors are about ten times as
    large. timeout: seconds for reading the file and rewriting its graph.
    """

    target: str
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    external: bool = False
    winograd: bool = False
    dims: Mapping[str, Dim] = field(default_factory=dict)
    values: Mapping[str, Sequence[str]] = field(default_factory=dict)
    timeout: float = 600.0
    numbers: Mapping[str, int] = field(default_factory=dict)

    def built_for(self) -> Target:
        """The target, with its numbers."""
        return TARGETS[self.target].with_tuning(self.numbers)


def build_model(
    path: Path,
    options: Options,
    place: Place,
    runtime: list[Path],
    show: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Write <name>.wasm, weights where external, <name>.manifest.json; the latter.

    Errors: SpecError for a model that cannot be built, with every reason at once.
    """
    program = read_program(path, options, show, runtime)
    return write_model(program, path, options, place, runtime, show)


def build_fixed(
    path: Path,
    options: Options,
    place: Place,
    runtime: list[Path],
    show: Callable[[str], None] = print,
) -> dict[str, Any]:
    """The same by the nodes of toolchain/graph/, of a file of ONNX or MindIR.

    Errors: OpenError where some size or node is for the runtime to plan, too.
    """
    program = fixed_program(path, options, runtime, show)
    return write_model(program, path, options, place, runtime, show)


def write_model(
    program: Program,
    path: Path,
    options: Options,
    place: Place,
    runtime: list[Path],
    show: Callable[[str], None],
) -> dict[str, Any]:
    """Write the files of build_model for a program. path: what errors call it."""
    target = options.built_for()
    out = place.folder / f"{place.name or program.graph.name}.wasm"
    with fresh(out) as wasm:
        try:
            kernels = compile_program(program, target, place, runtime, wasm, show)
        except SpecError as error:
            raise SpecError(f"{path}: {error}") from None
        check_interface(wasm.read_bytes(), target.name)
        manifest = _add_manifest(program, options, wasm, out, kernels)
        validate(wasm.read_bytes(), str(out))
        text = json.dumps(manifest, indent=1, sort_keys=True)
        write(out.with_suffix(".manifest.json"), text.encode() + b"\n")
    return manifest


def read_program(
    path: Path,
    options: Options,
    show: Callable[[str], None],
    runtime: Sequence[Path] = (),
) -> Program:
    """A model file as kernels, weights and a plan: all but the code.

    A file may hold anything, so that a process of its own reads it: see confined.
    runtime: objects of the C runtime; without them, and where fixed_program does not
    take the file, it goes through Relax. Errors: as build_model.
    """
    if path.suffix == ".mindir":
        return fixed_program(path, options, runtime, show)
    if runtime:
        try:
            return fixed_program(path, options, runtime, show)
        except confined.LimitError:
            raise
        except SpecError:
            pass  # what takes the other way says what is wrong
    # Before the fork, so that they are imported once.
    import tvm.relax.frontend.onnx  # noqa: F401

    show(f"read {path.name}")
    limits = limits_for(path, options)
    program = confined.run(str(path), partial(_program, path, options), limits)
    for note in program.notes:
        show(note)
    return program


def fixed_program(
    path: Path, options: Options, runtime: Sequence[Path], show: Callable[[str], None]
) -> Program:
    """A file as kernels, all of whose sizes are known. Errors: as build_fixed."""
    import tvm  # noqa: F401  # before the fork, so that it is imported once

    show(f"read {path.name}")
    given = Given(options.shapes, options.dims, options.values)
    limits = limits_for(path, options)
    model = confined.run(
        str(path), partial(_read_fixed, path, given, options.winograd), limits
    )
    for note in model.notes:
        show(note)
    for made in model.made:
        add_chain(made)
    try:
        with tempfile.TemporaryDirectory() as folder:
            graph = kernels_of(model.graph, runtime, Path(folder))
        program = replace(
            program_of(graph, options.external),
            tolerance=model.tolerance,
            notes=model.notes,
            code=tuple(dict.fromkeys((*model.code, *operator_roots()))),
        )
        _check_memory(program, path)
    except OpenError:
        raise
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None
    return program


@dataclass(frozen=True)
class _Fixed:
    """A graph after all passes, what they made, and what is known before them.

    code: roots of the operators that were asked.
    """

    graph: Graph
    made: list[Made]
    tolerance: float
    notes: tuple[str, ...]
    code: tuple[str, ...]


# Whose networks toolchain/model/quantized.py finds.
_QUANTIZED = ("quantize_linear", "dequantize_linear", "matmul_integer")


def _read_fixed(path: Path, given: Given, winograd: bool) -> _Fixed:
    model, _ = read(path, given)
    check_fixed(model.graph)
    if any(n.op in _QUANTIZED for n in model.graph.nodes):
        raise OpenError("products of 8 bits go through Relax")
    allowed = graph_tolerance(model.graph, winograd)
    optimise(model.graph, winograd)
    check_fixed(model.graph)
    names = dict.fromkeys(n.op for n in model.graph.nodes)
    made = [one for one in map(made_of, names) if one is not None]
    return _Fixed(model.graph, made, allowed, model.notes, operator_roots())


def limits_for(path: Path, options: Options) -> confined.Limits:
    """What reading a model may take."""
    return confined.Limits(options.timeout, _MEMORY + _TIMES * _size(path))


def _size(path: Path) -> int:
    """Bytes of a model, with the weights that may lie beside it."""
    names = [path, *path.parent.glob(f"{glob.escape(path.stem)}*")]
    return sum(p.stat().st_size for p in set(names) if p.is_file())


def _program(path: Path, options: Options) -> Program:
    model = read_model(path, options.shapes, options.dims, options.values)
    confined.at("the graph as a whole")
    graph = from_relax(model.module, model.name, model.outputs)
    for value, name in zip(graph.inputs, model.inputs, strict=True):
        value.name = name
    allowed = tolerance(graph, options.winograd)
    try:
        target = TARGETS[options.target]
        graph = to_kernels(graph, model.module, target, options.winograd, model.places)
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None
    program = replace(
        program_of(graph, options.external),
        tolerance=allowed,
        notes=model.notes,
        code=tuple(root_in(file, "KERNEL") for file in loaded_operators(FOLDERS)),
    )
    for node in program.graph.nodes:
        node.build = None  # what only passes need
    _check_memory(program, path)
    return program


def _check_memory(program: Program, path: Path) -> None:
    """Refuse a model whose tensors cannot be in memory together."""
    graph = program.graph
    parts = {
        "weights": program.weight_bytes,
        "intermediates": program.plan.size,
        "inputs and outputs": sum(v.bytes for v in (*graph.inputs, *graph.outputs)),
    }
    total = sum(parts.values())
    if total + _REST >= MAX_MEMORY:
        texts = ", ".join(f"{n} {k}" for k, n in parts.items())
        raise confined.LimitError(
            f"{path}: takes {total} bytes ({texts}), and wasm32 addresses "
            f"{MAX_MEMORY}; give smaller shapes, or cut the model in parts"
        )


def tensors(values: list[Value]) -> list[dict[str, Any]]:
    """Names, dtypes and shapes, as a manifest has them."""
    return [{"name": v.name, "dtype": v.dtype, "shape": list(v.shape)} for v in values]


def _add_manifest(
    program: Program,
    options: Options,
    wasm: Path,
    out: Path,
    kernels: list[dict[str, Any]],
) -> dict[str, Any]:
    """Add the manifest to the module, and write its weights; the longer manifest.

    out: where the module will be.
    """
    target, graph = options.built_for(), program.graph
    short: dict[str, Any] = {
        "abi_version": ABI_VERSION,
        "target": target.name,
        "features": list(target.features),
        "model": graph.name,
        "inputs": tensors(graph.inputs),
        "outputs": tensors(graph.outputs),
        "memory": {
            "arena": program.plan.size,
            "lower_bound": program.plan.lower_bound,
            "weights": program.weight_bytes,
        },
        "tolerance": program.tolerance,
        "tools": tool_versions(),
    }
    if program.external:
        parts = [
            Part(f"{i}.{value.name}", value.dtype, value.shape, at)
            for i, (value, at) in enumerate(program.weights.items())
        ]
        path = out.with_suffix(".safetensors")
        short["weights"] = write_weights(
            path, parts, program.weight_bytes, weights_block(program)
        )
    text = json.dumps(short, sort_keys=True, separators=(",", ":"))
    add_custom_section(wasm, MANIFEST, text.encode())
    data = wasm.read_bytes()
    code = len(data) - (0 if program.external else program.weight_bytes)
    return short | {
        "kernels": kernels,
        "artifacts": {
            out.name: {
                "bytes": len(data),
                "bytes_without_weights": code,
                "sha256": hashlib.sha256(data).hexdigest(),
            }
        },
    }
