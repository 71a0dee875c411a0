"""Build: a model file becomes a module, its weights and its manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from toolchain.command import tool_versions
from toolchain.frontends import read_model
from toolchain.manifest import ABI_VERSION, SECTION, check_interface
from toolchain.model.compile import (
    Place,
    compile_program,
    program_of,
    weights_blob,
)
from toolchain.model.emit import Program
from toolchain.model.graph import Value, from_relax
from toolchain.model.passes import to_kernels
from toolchain.model.plan import ALIGNMENT
from toolchain.model.rounding import tolerance
from toolchain.module import add_custom_section
from toolchain.targets import TARGETS


@dataclass(frozen=True)
class Options:
    """How a model is built. shapes: of inputs by name, where the file leaves them open.

    external: weights in a .safetensors file beside the module instead of inside it.
    winograd: 3 x 3 convolutions of stride 1 by a quarter of the multiplications; their
    weights take four times the memory, their rounding errors are about ten times as
    large.
    """

    target: str
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    external: bool = False
    winograd: bool = False


def build_model(
    path: Path,
    options: Options,
    place: Place,
    runtime: list[Path],
    show: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Write <name>.wasm, its weights where external, and manifest.json; the latter.

    Errors: SpecError for a model that cannot be built, with every reason at once.
    """
    program = read_program(path, options, show)
    target = TARGETS[options.target]
    kernels = compile_program(program, target, place, runtime, show)
    wasm = place.folder / f"{program.graph.name}.wasm"
    check_interface(wasm.read_bytes(), target.name)
    return _write_manifest(program, options, wasm, kernels)


def read_program(path: Path, options: Options, show: Callable[[str], None]) -> Program:
    """A model file as kernels, weights and a plan: all but the code.

    Errors: as build_model.
    """
    show(f"read {path.name}")
    model = read_model(path, options.shapes)
    graph = from_relax(model.module, model.name, model.outputs)
    for value, name in zip(graph.inputs, model.inputs, strict=True):
        value.name = name
    allowed = tolerance(graph, options.winograd)
    graph = to_kernels(graph, model.module, options.winograd)
    return replace(program_of(graph, options.external), tolerance=allowed)


def _tensors(values: list[Value]) -> list[dict[str, Any]]:
    return [{"name": v.name, "dtype": v.dtype, "shape": list(v.shape)} for v in values]


def _write_manifest(
    program: Program, options: Options, wasm: Path, kernels: list[dict[str, Any]]
) -> dict[str, Any]:
    """The manifest inside the module, and manifest.json beside it."""
    target, graph = TARGETS[options.target], program.graph
    short: dict[str, Any] = {
        "abi_version": ABI_VERSION,
        "target": target.name,
        "features": list(target.features),
        "model": graph.name,
        "inputs": _tensors(graph.inputs),
        "outputs": _tensors(graph.outputs),
        "memory": {
            "arena": program.plan.size,
            "lower_bound": program.plan.lower_bound,
            "weights": program.weight_bytes,
        },
        "tolerance": program.tolerance,
        "tools": tool_versions(),
    }
    if program.external:
        short["weights"] = _write_weights(program, wasm.with_suffix(".safetensors"))
    text = json.dumps(short, sort_keys=True, separators=(",", ":"))
    add_custom_section(wasm, SECTION, text.encode())
    data = wasm.read_bytes()
    code = len(data) - (0 if program.external else program.weight_bytes)
    full = short | {
        "kernels": kernels,
        "artifacts": {
            wasm.name: {
                "bytes": len(data),
                "bytes_without_weights": code,
                "sha256": hashlib.sha256(data).hexdigest(),
            }
        },
    }
    path = wasm.with_name("manifest.json")
    path.write_text(json.dumps(full, indent=1, sort_keys=True) + "\n")
    return full


_SAFETENSORS = {
    "float32": "F32",
    "int32": "I32",
    "int8": "I8",
    "uint8": "U8",
    "int64": "I64",
    "bool": "BOOL",
}


def _write_weights(program: Program, path: Path) -> dict[str, Any]:
    """A .safetensors file, whose data is the block that the module takes."""
    entries: dict[str, Any] = {}
    blob = weights_blob(program)
    end = 0
    for i, (value, at) in enumerate(program.weights.items()):
        if at > end:  # the format allows no holes
            entries[f"padding.{i}"] = _entry("uint8", (at - end,), end, at)
        end = at + value.bytes
        entries[f"{i}.{value.name}"] = _entry(value.dtype, value.shape, at, end)
    if end < len(blob):
        entries["padding"] = _entry("uint8", (len(blob) - end,), end, len(blob))
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-(len(header) + 8) % ALIGNMENT)
    data = len(header).to_bytes(8, "little") + header + blob
    path.write_bytes(data)
    return {
        "file": path.name,
        "bytes": len(blob),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def _entry(dtype: str, shape: tuple[int, ...], start: int, end: int) -> dict[str, Any]:
    return {
        "dtype": _SAFETENSORS[dtype],
        "shape": list(shape),
        "data_offsets": [start, end],
    }
