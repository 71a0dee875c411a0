"""ONNX: a model file becomes Relax, by TVM's importer with what it lacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from toolchain.frontends import Model, plain
from toolchain.spec import SpecError

DTYPES = ("float32", "int32", "int8", "uint8", "int64", "bool")  # of the runtime
LIMIT = 1 << 32  # bytes that a module of wasm32 can address


def read(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> Model:
    """Read an ONNX file; see toolchain.frontends.read_model."""
    return convert(load(path), path.stem, shapes, str(path))


def convert(
    proto: Any, name: str, shapes: Mapping[str, tuple[int, ...]], where: str
) -> Model:
    """A checked model as Relax. where: what errors call it."""
    from toolchain.frontends.importer import Importer, prepared

    proto = prepared(_with_shapes(proto, shapes, where), where)
    weights = {w.name for w in proto.graph.initializer}
    inputs = [i.name for i in proto.graph.input if i.name not in weights]
    outputs = [o.name for o in proto.graph.output]
    return Model(
        plain(name), Importer(proto, where).module(), _names(inputs), _names(outputs)
    )


def _names(names: list[str]) -> list[str]:
    """Names that C and Python take, all different."""
    found: list[str] = []
    for name in map(plain, names):
        count, unique = 1, name
        while unique in found:
            count += 1
            unique = f"{name}_{count}"
        found.append(unique)
    return found


def load(path: Path) -> Any:
    """The ModelProto of a file that passes ONNX's checker, weights included."""
    import onnx
    from google.protobuf.message import DecodeError
    from onnx.external_data_helper import load_external_data_for_model

    if not path.is_file():
        raise SpecError(f"{path}: no such file; give the path of an ONNX file")
    _check_size(path, path.stat().st_size)
    data = path.read_bytes()
    if not data:
        raise SpecError(f"{path}: the file is empty; export the model again")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise SpecError(
            f"{path}: not an ONNX file, or one cut short ({error}); "
            "export or copy the model again"
        ) from None
    del data
    if not model.ir_version or not model.HasField("graph"):
        raise SpecError(f"{path}: not an ONNX file: it holds no graph; give a .onnx")
    if not model.graph.output:
        raise SpecError(
            f"{path}: the graph has no outputs: the file is cut short or is no "
            "model; export or copy the model again"
        )
    external = _check_external(path, model)
    check_operators(model, str(path))
    # The checker wants a shape at the boundary; here --shape may give it.
    open_ = [
        v.type.tensor_type
        for v in (*model.graph.input, *model.graph.output)
        if v.type.HasField("tensor_type") and not v.type.tensor_type.HasField("shape")
    ]
    for kind in open_:
        kind.shape.SetInParent()
    try:
        onnx.checker.check_model(model if open_ and not external else str(path))
    except (onnx.checker.ValidationError, ValueError) as error:
        text = str(error).strip().partition("\n\n")[0]
        raise SpecError(
            f"{path}: ONNX's checker refuses the model: {text}; "
            "correct or export it again"
        ) from None
    for kind in open_:
        kind.ClearField("shape")
    load_external_data_for_model(model, str(path.parent))
    return model


def _check_size(path: Path, size: int) -> None:
    if size >= LIMIT:
        raise SpecError(
            f"{path}: the model has {size} bytes of weights, more than the "
            f"{LIMIT} that wasm32 addresses; quantize it or cut it in parts"
        )


def _graphs(graph: Any) -> Iterator[Any]:
    """A graph and those inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for part in [
                *attribute.graphs,
                *([attribute.g] if attribute.g.node else []),
            ]:
                yield from _graphs(part)


def _check_external(path: Path, model: Any) -> bool:
    """Whether weights lie in other files, which are there and long enough.

    All together must be under 4 GB.
    """
    from onnx.external_data_helper import ExternalDataInfo, uses_external_data

    total, missing, external = 0, [], False
    for tensor in (t for g in _graphs(model.graph) for t in g.initializer):
        size = _bytes(tensor)
        total += size
        if not uses_external_data(tensor):
            continue
        external, info = True, ExternalDataInfo(tensor)
        file = path.parent / info.location
        end = (info.offset or 0) + (info.length or size)
        if not info.location or not file.is_file():
            missing.append(
                f"{path}: weight {tensor.name!r} is in file {info.location!r}, which "
                f"is not there; put it beside the model, at {file}"
            )
        elif file.stat().st_size < end:
            missing.append(
                f"{path}: weight {tensor.name!r} ends at byte {end} of {file}, which "
                f"has {file.stat().st_size}; copy the file again"
            )
    _check_size(path, total)
    if missing:
        raise SpecError("\n".join(missing))
    return external


def _bytes(tensor: Any) -> int:
    from math import prod

    from onnx.helper import tensor_dtype_to_np_dtype

    try:
        size = tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except KeyError:  # the checker names it
        return 0
    return int(prod(tensor.dims)) * int(size)


def check_operators(model: Any, where: str) -> None:
    """Refuse operators that nothing here converts; all of them at once."""
    from toolchain.frontends.importer import unsupported

    found = unsupported(model)
    if found:
        lines = [f"{where}: these nodes are not supported; replace them:"]
        raise SpecError("\n  ".join(lines + found))


def _with_shapes(proto: Any, shapes: Mapping[str, tuple[int, ...]], where: str) -> Any:
    """The model with every input's shape known; changed in place."""
    weights = {w.name for w in proto.graph.initializer}
    inputs = [i for i in proto.graph.input if i.name not in weights]
    errors = _check_types(inputs, "input") + _check_types(proto.graph.output, "output")
    by_name = {n: i for i in inputs for n in (plain(i.name), i.name)}
    given: dict[str, tuple[int, ...]] = {}
    for name, shape in shapes.items():
        if name in by_name:
            given[by_name[name].name] = shape
        else:
            names = ", ".join(i.name for i in inputs)
            errors.append(f"no input is named {name!r} (--shape); inputs: {names}")
    sizes: dict[str, int] = {}  # of symbolic dimensions
    for value in inputs:
        if value.name in given:
            errors += _contradictions(value, given[value.name], sizes)
    found: dict[str, tuple[int | None, ...]] = {}
    for value in inputs:
        full = _shape(value, given.get(value.name), sizes)
        if None in full or not (
            value.name in given or value.type.tensor_type.HasField("shape")
        ):
            errors.append(_open(value))
        found[value.name] = full
    if errors:
        raise SpecError("\n".join(f"{where}: {e}" for e in errors))
    return _set_shapes(proto, found)


def _check_types(values: Any, kind: str) -> list[str]:
    from onnx import TensorProto

    errors = []
    for value in values:
        which = value.type.WhichOneof("value")
        if which != "tensor_type":
            what = (which or "of no type").replace("_type", "")
            errors.append(f"{kind} {value.name!r} is {what}; make it a tensor")
            continue
        number = value.type.tensor_type.elem_type
        name = TensorProto.DataType.Name(number).lower()
        name = {"float": "float32", "double": "float64"}.get(name, name)
        if name not in DTYPES:
            errors.append(
                f"{kind} {value.name!r} has dtype {name}; use {', '.join(DTYPES)}, "
                "with a Cast inside the model"
            )
    return errors


def _contradictions(
    value: Any, shape: tuple[int, ...], sizes: dict[str, int]
) -> list[str]:
    """Where a given shape is not one that an input can have."""
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return []
    dims = list(kind.shape.dim)
    text = ",".join(map(str, shape))
    if len(dims) != len(shape):
        return [
            f"--shape {value.name}={text} has rank {len(shape)}; the model's has "
            f"{len(dims)}: {_pattern(value)}"
        ]
    for i, (dim, size) in enumerate(zip(dims, shape, strict=True)):
        fixed = dim.HasField("dim_value")
        wanted = dim.dim_value if fixed else sizes.setdefault(dim.dim_param or "", size)
        if (fixed or dim.dim_param) and wanted != size:
            name = "" if fixed else f" ({dim.dim_param})"
            return [
                f"--shape {value.name}={text} has {size} at dimension {i}{name}, where "
                f"the model has {wanted}; give {_pattern(value)}"
            ]
    return []


def _shape(
    value: Any, given: tuple[int, ...] | None, sizes: Mapping[str, int]
) -> tuple[int | None, ...]:
    if given is not None:
        return given
    return tuple(
        d.dim_value if d.HasField("dim_value") else sizes.get(d.dim_param or " ")
        for d in value.type.tensor_type.shape.dim
    )


def _pattern(value: Any) -> str:
    """The shape with names of open dimensions, as in [batch, 3, ?, ?]."""
    dims = value.type.tensor_type.shape.dim
    words = [
        str(d.dim_value) if d.HasField("dim_value") else d.dim_param or "?"
        for d in dims
    ]
    return f"[{', '.join(words)}]"


def _open(value: Any) -> str:
    if not value.type.tensor_type.HasField("shape"):
        return (
            f"input {value.name!r} has no shape; give it, as in "
            f"--shape {value.name}=1,3,224,224"
        )
    dims = value.type.tensor_type.shape.dim
    example = ",".join(
        str(d.dim_value) if d.HasField("dim_value") else "1" for d in dims
    )
    return (
        f"input {value.name!r} has dimensions without a value, {_pattern(value)}; "
        f"give them, as in --shape {value.name}={example}"
    )


def _set_shapes(proto: Any, shapes: Mapping[str, tuple[int | None, ...]]) -> Any:
    from onnx import helper

    for value in proto.graph.input:
        if value.name in shapes:
            number = value.type.tensor_type.elem_type
            new = helper.make_tensor_value_info(value.name, number, shapes[value.name])
            value.CopyFrom(new)
    # Shapes inside may have been written for other sizes.
    del proto.graph.value_info[:]
    return proto
