"""The commands list and info: what a module holds."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ops_wasm32.command_run import UserError
from ops_wasm32.library import Library
from ops_wasm32.locate import load
from ops_wasm32.model import Model, Tensor, model_of
from ops_wasm32.module import Manifest, count_entries, read_manifest, read_module
from ops_wasm32.signature import Attribute, Signature, split_kernel
from ops_wasm32.sizes import bounds_text, shape_text
from ops_wasm32.tables import DTYPES

_MOST = 1 << 32  # bytes of memory, for modules that say no less


def show_list(path: Path | None, as_json: bool) -> None:
    """Print a table of operators, their dtypes and attributes."""
    library = load(path)
    if library.model:
        raise UserError(
            f"{path}: holds the model {library.model.name}, which is no library of "
            f"operators; `ops-wasm32 info {path}` shows its inputs and outputs"
        )
    if as_json:
        found = {
            n: [_kernel(s) for s in library.signatures(n)] for n in library.operators()
        }
        print_json({"target": library.target, "operators": found})
        return
    rows = [("operator", "dtypes", "attributes")]
    rows += [_row(library, name) for name in library.operators()]
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    for first, second, third in rows:
        print(f"{first:{widths[0]}}  {second:{widths[1]}}  {third}".rstrip())


Json = dict[str, Any]


def print_json(value: object) -> None:
    """Print a value for programs; NaN and infinities, which JSON lacks, as texts."""
    print(json.dumps(_plain(value), indent=1))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(v) for name, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    finite = not isinstance(value, float) or math.isfinite(value)
    return value if finite else str(value)


def _kernel(signature: Signature) -> Json:
    """What a kernel takes and gives."""
    parts = asdict(signature)
    del parts["index"]
    return parts


def _row(library: Library, operator: str) -> tuple[str, str, str]:
    signatures = library.signatures(operator)
    dtypes = _dtypes([s.name for s in signatures])
    attributes = ", ".join(_attribute(a) for a in signatures[0].attributes)
    return operator, dtypes, attributes


def _dtypes(kernels: list[str]) -> str:
    """Dtypes of kernels; "a b -> c d" where two vary."""
    tuples = [split_kernel(kernel)[1] for kernel in kernels]
    sets = [{t[i] for t in tuples if len(t) > i} for i in range(max(map(len, tuples)))]
    return " -> ".join(" ".join(d for d in DTYPES if d in s) for s in sets)


def _attribute(attribute: Attribute) -> str:
    mark = "[]" if attribute.per_unit else ""
    if attribute.default is None:
        return f"{attribute.name}{mark}"
    value = f"{attribute.default:g}"
    if attribute.choices:
        value = attribute.choices[int(attribute.default)]
    return f"{attribute.name}{mark}={value}"


def show_info(path: Path, as_json: bool) -> None:
    """Print what a module says of itself."""
    data = read_module(path)
    manifest = read_manifest(data, str(path))
    model = model_of(manifest, str(path))
    entries = count_entries(data, str(path))
    if as_json:
        sizes = {n: entries[n] for n in ("file", "code", "data")}
        rest = {n: entries[n] for n in ("imports", "exports")}
        found = {"path": str(path), "bytes": sizes, **rest, "manifest": manifest}
        print_json(found)
        return
    operators = manifest.get("operators", {})
    kernels = sum(len(names) for names in operators.values())
    tools = manifest.get("tools", {})
    lines = {
        "file": path,
        "target": manifest.get("target"),
        "features": " ".join(manifest.get("features", [])) or "none",
        "ABI version": manifest.get("abi_version"),
        "size": f"{entries['file']} bytes: {entries['code']} of code, "
        f"{entries['data']} of data",
        "max memory": f"{manifest.get('max_memory', _MOST)} bytes",
        "imports": entries["imports"],
        "exports": entries["exports"],
        "tools": ", ".join(f"{name} {v}" for name, v in tools.items()),
    }
    if model:
        lines |= _model_lines(model, manifest)
    else:
        lines["operators"] = f"{len(operators)}, {kernels} kernels"
    for name, value in lines.items():
        print(f"{name + ':':13}{value}")
    if model:
        _show_tensors("in", model.inputs)
        _show_tensors("out", model.outputs)
    width = max(map(len, operators), default=0)
    for name, names in sorted(operators.items()):
        print(f"  {name:{width}}  {_dtypes(names)}".rstrip())


def _model_lines(model: Model, manifest: Manifest) -> dict[str, str]:
    memory = manifest.get("memory", {})
    weights = f"{memory.get('weights')} bytes, in the module"
    if model.weights:
        weights = f"{model.weights.bytes} bytes, in {model.weights.file}"
    arena = "as large as the sizes of each call make it"
    if memory.get("arena") is not None:
        arena = f"{memory['arena']} bytes"
        if memory.get("lower_bound") is not None:
            arena += f"; the largest live set is {memory['lower_bound']}"
    lines = {"model": model.name, "weights": weights, "arena": arena}
    if model.sizes:
        texts = [f"{name}: {bounds_text(b)}" for name, b in model.sizes.items()]
        lines["sizes"] = "; ".join(texts)
    return lines


def _show_tensors(kind: str, tensors: tuple[Tensor, ...]) -> None:
    width = max((len(t.name) for t in tensors), default=0)
    for t in tensors:
        print(f"  {kind:3}  {t.name:{width}}  {t.dtype} {shape_text(t.shape)}")
