"""Load: an ONNX file as a ModelProto whose weights and names are sound.

What ONNX's checker says of a whole model is said here, but for what ONNX Runtime
takes all the same: nodes in any order, operators that are newer than the file's
version of the standard. What it says of one node is in standard.py.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from math import prod
from pathlib import Path
from typing import Any

from toolchain.abi import MAX_MEMORY
from toolchain.spec import SpecError

NODES = 50_000  # of a model, functions inlined; most have some hundreds
_SHOWN = 5  # errors of one kind that are shown


def load(path: Path) -> Any:
    """The ModelProto of a file, weights of other files included. Errors: SpecError."""
    model = _parse(path)
    _check_versions(path, model)
    _check_count(path, model)
    _check_tensors(path, model)
    for graph in graphs(model.graph):
        _check_outputs(path, graph)
    _put_in_order(str(path), model.graph, set())
    return model


def _parse(path: Path) -> Any:
    import onnx
    from google.protobuf.message import DecodeError

    if not path.is_file():
        raise SpecError(f"{path}: no such file; give the path of an ONNX file")
    check_size(path, path.stat().st_size)
    data = path.read_bytes()
    if not data:
        raise SpecError(f"{path}: the file is empty; export the model again")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise SpecError(
            f"{path}: not an ONNX file, or one that was cut short, or that nests "
            f"graphs more than 30 deep ({error}); export or copy the model again"
        ) from None
    if not model.ir_version or not model.HasField("graph"):
        raise SpecError(f"{path}: not an ONNX file: it holds no graph; give a .onnx")
    if not model.graph.output:
        raise SpecError(
            f"{path}: the graph has no outputs: the file is cut short or is no "
            "model; export or copy the model again"
        )
    return model


def check_size(path: Path, size: int) -> None:
    """Refuse weights that no module can hold. size: their bytes."""
    if size >= MAX_MEMORY:
        raise SpecError(
            f"{path}: the model has {size} bytes of weights, more than the "
            f"{MAX_MEMORY} that wasm32 addresses; quantize it or cut it in parts"
        )


def _check_versions(path: Path, model: Any) -> None:
    """The version of the standard is one that is known."""
    from onnx import defs

    newest = defs.onnx_opset_version()
    found = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    uses = any(n.domain in ("", "ai.onnx") for n in model.graph.node)
    if (not found and uses) or any(not 1 <= v <= newest for v in found):
        what = f"is of opset {found[0]}" if found else "names no opset"
        raise SpecError(
            f"{path}: {what} of the ONNX standard; known are 1 to {newest}: export "
            f"the model with opset {newest}"
        )


def _check_count(path: Path, model: Any) -> None:
    """Bound the number of nodes, as it is after functions are inlined."""
    bodies = {(f.domain, f.name): f for f in model.functions}
    counts: dict[tuple[str, str], int] = {}
    open_: set[tuple[str, str]] = set()

    def count(nodes: Any) -> int:
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type)
            total += of_function(key) if key in bodies else 1
            total += sum(count(g.node) for g in subgraphs(node))
        return total

    def of_function(key: tuple[str, str]) -> int:
        if key in open_:
            raise SpecError(f"{path}: function {key[1]} calls itself; write it out")
        if key not in counts:
            open_.add(key)
            counts[key] = count(bodies[key].node)
            open_.remove(key)
        return counts[key]

    total = count(model.graph.node)
    if total > NODES:
        raise SpecError(
            f"{path}: the model has {total} nodes, more than the {NODES} that are "
            "compiled; cut it in parts"
        )


def subgraphs(node: Any) -> list[Any]:
    """Graphs that are attributes of a node."""
    parts = [a.g for a in node.attribute if a.HasField("g")]
    return parts + [g for a in node.attribute for g in a.graphs]


def graphs(graph: Any) -> Iterator[Any]:
    """A graph and those inside its nodes."""
    yield graph
    for node in graph.node:
        for part in subgraphs(node):
            yield from graphs(part)


def name_of(node: Any, index: int) -> str:
    """What errors call a node: its name, or its place and outputs."""
    return str(node.name) or f"{index} (of {', '.join(node.output)})"


def _tensors(model: Any) -> Iterator[Any]:
    """All tensors of a model: weights, and tensors in attributes."""
    found = list(graphs(model.graph))
    nodes = [n for g in found for n in g.node]
    nodes += [n for f in model.functions for n in f.node]
    for graph in found:
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for attribute in (a for n in nodes for a in n.attribute):
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors


def _check_tensors(path: Path, model: Any) -> None:
    """Every tensor has as much data as its shape says, all together under 4 GB.

    Data in other files are read.
    """
    from onnx import TensorProto

    errors, total, external = [], 0, []
    for tensor in _tensors(model):
        size = _bytes(tensor)
        if isinstance(size, str):
            errors.append(f"{path}: tensor {tensor.name!r} {size}")
            continue
        total += size
        if tensor.data_location == TensorProto.EXTERNAL:
            external.append((tensor, size))
        elif tensor.HasField("raw_data") and len(tensor.raw_data) != size:
            errors.append(
                f"{path}: tensor {tensor.name!r} has {len(tensor.raw_data)} bytes of "
                f"data, and its shape {list(tensor.dims)} takes {size}; export the "
                "model again"
            )
    check_size(path, total)
    for tensor, size in external:
        try:
            _read_external(path, tensor, size)
        except SpecError as error:
            errors.append(f"{path}: weight {tensor.name!r} {error}")
    raise_some(errors)


def raise_some(errors: list[str]) -> None:
    """Raise the first of the errors, and say how many more there are."""
    if errors:
        more = len(errors) - _SHOWN
        rest = [f"and {more} more like these"] if more > 0 else []
        raise SpecError("\n".join(errors[:_SHOWN] + rest))


def _bits(kind: int) -> int | None:
    """Bits of an element as raw data hold it; None for an unknown type."""
    from onnx import TensorProto, helper

    if kind == TensorProto.STRING:
        return 0
    try:
        name = TensorProto.DataType.Name(kind)
        whole = helper.tensor_dtype_to_np_dtype(kind).itemsize * 8
    except (KeyError, ValueError):
        return None
    narrow = [n for n in (2, 4) if name in (f"INT{n}", f"UINT{n}", "FLOAT4E2M1")]
    return narrow[-1] if narrow else whole


def _bytes(tensor: Any) -> int | str:
    """Bytes of a tensor's elements, or what is wrong with it."""
    if any(n < 0 for n in tensor.dims):
        return f"has shape {list(tensor.dims)}; export the model again"
    bits = _bits(tensor.data_type)
    if bits is None:
        return f"has element type {tensor.data_type}, which is unknown; use float32"
    return -(-int(prod(tensor.dims)) * bits // 8)


def _read_external(path: Path, tensor: Any, size: int) -> None:
    """Put the data of another file into a tensor. size: their bytes."""
    entries = {e.key: e.value for e in tensor.external_data}
    file = beside(path, entries.get("location", ""))
    places = [_number(entries, key) for key in ("offset", "length")]
    offset, length = places[0] or 0, size if places[1] is None else places[1]
    if length != size:
        raise SpecError(
            f"has {length} bytes in {file}, and its shape {list(tensor.dims)} takes "
            f"{size}; export the model again"
        )
    if file.stat().st_size < offset + size:
        raise SpecError(
            f"ends at byte {offset + size} of {file}, which has "
            f"{file.stat().st_size}; copy the file again"
        )
    with file.open("rb") as data:
        data.seek(offset)
        tensor.raw_data = data.read(size)
    tensor.ClearField("external_data")
    tensor.ClearField("data_location")


def beside(path: Path, location: str) -> Path:
    """A file that a model names, in the model's folder or in one below it.

    Symbolic links are followed where they lead to the folder of the model, or of what
    the model's own path links to: a cache of files has both.
    """
    file = path.parent / location
    if not location or not os.path.isfile(file):
        raise SpecError(
            f"is in file {location!r}, which is not there; put it beside the model, "
            f"at {os.fspath(file)!r}"
        )
    folders = {path.parent.resolve(), path.resolve().parent}
    if not any(file.resolve().is_relative_to(folder) for folder in folders):
        raise SpecError(
            f"is in file {location!r}, outside of the model's folder; put it beside "
            "the model, and export it with that name"
        )
    return file


def _number(entries: dict[str, str], key: str) -> int | None:
    """A number of bytes, where it is given."""
    text = entries.get(key, "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()):
        raise SpecError(f"has {key} {text!r} in its file; export the model again")
    return int(text)


def _check_outputs(path: Path, graph: Any) -> None:
    """Every name is defined once."""
    seen: dict[str, str] = {}
    errors = []
    weights = [w.name for w in graph.initializer]
    weights += [w.values.name for w in graph.sparse_initializer]
    defined = [(n, "a weight") for n in weights]
    # Inputs may have weights as their defaults.
    for name, count in Counter(i.name for i in graph.input).items():
        times = min(count, 2) - (name in weights)
        defined += [(name, "an input")] * times
    for i, node in enumerate(graph.node):
        text = f"{node.op_type}, node {name_of(node, i)}"
        defined += [(o, text) for o in node.output if o]
    for name, what in defined:
        if name in seen:
            errors.append(
                f"{path}: {name!r} is defined twice: by {seen[name]} and by {what}; "
                "give them names of their own"
            )
        seen[name] = what
    raise_some([*dict.fromkeys(errors)])


def _put_in_order(where: str, graph: Any, outer: set[str]) -> None:
    """Sort nodes so that each comes after the nodes that it reads; changed in place.

    Nodes that are sorted stay where they are. Errors: SpecError for values that
    nothing makes, and for nodes that wait for each other.
    """
    known = outer | {i.name for i in graph.input} | {w.name for w in graph.initializer}
    known |= {w.values.name for w in graph.sparse_initializer} | {""}
    makers = {o: i for i, n in enumerate(graph.node) for o in n.output if o}
    reads = [sorted(_reads(n) - known) for n in graph.node]
    errors = [
        f"{where}: {n.op_type}, node {name_of(n, i)}: reads {r!r}, which no node, "
        "input or weight gives; export the model again"
        for i, n in enumerate(graph.node)
        for r in reads[i]
        if r not in makers
    ]
    errors += [
        f"{where}: output {o.name!r} is given by no node; export the model again"
        for o in graph.output
        if o.name not in known and o.name not in makers
    ]
    raise_some(errors)
    order = _order([[makers[r] for r in names] for names in reads])
    if len(order) < len(reads):
        i = min(set(range(len(reads))) - set(order))
        raise SpecError(
            f"{where}: {graph.node[i].op_type}, node {name_of(graph.node[i], i)}: "
            "waits for its own result; export the model again"
        )
    if order != sorted(order):
        nodes = [
            type(graph.node[0]).FromString(n.SerializeToString())
            for n in (graph.node[i] for i in order)
        ]
        del graph.node[:]
        graph.node.extend(nodes)
    parts = [p for n in graph.node for p in subgraphs(n)]
    inside = known | set(makers) if parts else known
    for part in parts:
        _put_in_order(where, part, inside)


def _reads(node: Any) -> set[str]:
    """Values that a node takes from the graph that it stands in."""
    found = set(node.input)
    for part in subgraphs(node):
        inside = {i.name for i in part.input} | {w.name for w in part.initializer}
        inside |= {o for n in part.node for o in n.output}
        read = {r for n in part.node for r in _reads(n)}
        found |= (read | {o.name for o in part.output}) - inside
    return found


def _order(needs: list[list[int]]) -> list[int]:
    """Indices so that each comes after those it needs, as early as it can.

    Those that wait for each other are left out.
    """
    users: list[list[int]] = [[] for _ in needs]
    left = [len(set(n)) for n in needs]
    for i, before in enumerate(needs):
        for j in set(before):
            users[j].append(i)
    ready = [i for i, n in enumerate(left) if not n]
    heapify(ready)
    order = []
    while ready:
        i = heappop(ready)
        order.append(i)
        for j in users[i]:
            left[j] -= 1
            if not left[j]:
                heappush(ready, j)
    return order


def array(tensor: Any) -> Any:
    """Elements of a tensor. Errors: SpecError."""
    from onnx import numpy_helper

    try:
        return numpy_helper.to_array(tensor)
    except (TypeError, ValueError) as error:
        raise SpecError(
            f"tensor {tensor.name!r} of shape {list(tensor.dims)} has other data "
            f"({error}); export the model again"
        ) from None


def dense(sparse: Any) -> Any:
    """Elements of a sparse tensor, zeros included. Errors: SpecError."""
    import numpy as np

    values, places = array(sparse.values), array(sparse.indices)
    shape = tuple(sparse.dims)
    whole = np.zeros(shape, values.dtype)
    try:
        if places.ndim == 1:
            whole.reshape(-1)[places] = values
        else:
            whole[tuple(places.T)] = values
    except (IndexError, ValueError) as error:
        raise SpecError(
            f"sparse tensor {sparse.values.name!r} has places outside of its shape "
            f"{list(shape)} ({error}); export the model again"
        ) from None
    return whole
