"""Sizes: what the user says of an ONNX model's inputs becomes part of the model.

A size of the file is a number, a name that stands for one size wherever it occurs, or
nothing. Exporters write the last as no number, as -1 and as "?".
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from keyword import kwlist
from math import prod
from typing import Any

import numpy as np

from toolchain.frontends import Given, OpenSizesError, plain, unique
from toolchain.frontends.standard import excess
from toolchain.frontends.suggestions import likely_size, sizes_by_name, sizes_by_weights
from toolchain.spec import SpecError

# Names that mean something else in an expression of sizes.
_RESERVED = (*kwlist, "min", "max")
_SHOWN = 3  # inputs that a text lists


def inputs_of(proto: Any) -> list[Any]:
    """Inputs that are no weights."""
    weights = {w.name for w in proto.graph.initializer}
    weights |= {w.values.name for w in proto.graph.sparse_initializer}
    return [i for i in proto.graph.input if i.name not in weights]


def name_of(dim: Any) -> str:
    """The name of an open size; "" where it has none."""
    name = str(dim.dim_param).strip()
    known = name not in ("", "?", "None") and not name.lstrip("-").isdecimal()
    return name if known and not dim.HasField("dim_value") else ""


def number_of(dim: Any) -> int | None:
    """A size that the file gives."""
    if dim.HasField("dim_value"):
        return int(dim.dim_value) if dim.dim_value >= 0 else None
    text = str(dim.dim_param).strip()
    return int(text) if text.isascii() and text.isdecimal() else None


def names_of(inputs: Sequence[Any]) -> dict[str, list[str]]:
    """Names of the inputs' open sizes, by input; "" for sizes that are numbers.

    An open size without a name of the file's is called by input and axis: x.0.
    """
    known = unique([i.name for i in inputs])
    return {
        value.name: [
            "" if number_of(d) is not None else name_of(d) or f"{name}.{axis}"
            for axis, d in enumerate(value.type.tensor_type.shape.dim)
        ]
        for value, name in zip(inputs, known, strict=True)
    }


def called(names: Iterable[Sequence[str]]) -> dict[str, str]:
    """How modules call the sizes of names_of: as expressions take a name."""
    said = list(dict.fromkeys(n for some in names for n in some if n))
    plain_ = [f"{plain(n)}{'_' * (plain(n) in _RESERVED)}" for n in said]
    return dict(zip(said, unique(plain_), strict=True))


def by_file(given: Given, inputs: Sequence[Any]) -> Given:
    """What the user says, with sizes by names_of; modules' own names are taken too."""
    names = {new: name for name, new in called(names_of(inputs).values()).items()}
    known = set(names.values())
    dims = {n if n in known else names.get(n, n): d for n, d in given.dims.items()}
    return replace(given, dims=dims)


def with_values(proto: Any, given: Given, where: str) -> Any:
    """The model with the inputs that are given as constants; changed in place."""
    from onnx import numpy_helper

    errors = []
    by_name = _by_name(inputs_of(proto))
    for name, texts in given.values.items():
        if name not in by_name:
            errors.append(_unknown(name, "--value", inputs_of(proto)))
            continue
        value = by_name[name]
        try:
            data = _constant(value, texts, given)
        except ValueError as error:
            errors.append(f"--value {name}={','.join(texts)}: {error}")
        else:
            weight = numpy_helper.from_array(data, value.name)
            proto.graph.initializer.append(weight)
    if errors:
        raise SpecError("\n".join(f"{where}: {e}" for e in errors))
    return proto


def _constant(value: Any, texts: Sequence[str], given: Given) -> Any:
    """Elements of an input. Errors: ValueError."""
    from onnx import helper

    kind = value.type.tensor_type
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type))
    if not kind.HasField("shape"):
        return elements(texts, dtype, () if len(texts) == 1 else (len(texts),))
    sizes = given.sizes()
    shape = given.shapes.get(value.name) or tuple(
        sizes.get(name_of(d), -1) if (n := number_of(d)) is None else n
        for d in kind.shape.dim
    )
    if len(shape) == 1 and shape[0] < 0:
        shape = (len(texts),)
    if min(shape, default=0) < 0:
        raise ValueError(
            f"sizes of the input, {_pattern(value)}, are open; give them with --shape"
        )
    return elements(texts, dtype, shape)


def elements(texts: Sequence[str], dtype: Any, shape: tuple[int, ...]) -> Any:
    """An array of numbers, each of its own or all one. Errors: ValueError."""
    if dtype.kind not in "fiub":
        raise ValueError(f"the input is of {dtype}; only numbers can be given")
    if wrong := excess(shape, str(dtype)):
        raise ValueError(f"the input {wrong}")
    if len(texts) not in (1, prod(shape)):
        raise ValueError(
            f"the input's shape is {list(shape)}; give 1 or {prod(shape)} numbers"
        )
    numbers = [_number(t, dtype) for t in texts]
    data = np.array(numbers, dtype)
    return np.full(shape, data[0]) if len(texts) == 1 else data.reshape(shape)


def _number(text: str, dtype: Any) -> Any:
    """A number of a dtype. Errors: ValueError."""
    if dtype.kind == "b":
        named = {"true": True, "false": False, "1": True, "0": False}
        if text.lower() in named:
            return named[text.lower()]
        raise ValueError(f"{text!r} is no bool; give true or false")
    try:
        number = float(text) if dtype.kind == "f" else int(text)
    except ValueError:
        raise ValueError(f"{text!r} is no {dtype}") from None
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if not limits.min <= number <= limits.max:
            raise ValueError(f"{text} is outside of {dtype}")
    return number


def with_shapes(proto: Any, given: Given, where: str) -> Any:
    """The model with every input's shape known; changed in place."""
    (full, sizes), open_ = given_shapes(proto, given, where), []
    _check_library_types(proto, where)
    for value in inputs_of(proto):
        shape = full[value.name]
        if shape is None or None in shape:
            open_.append(value)
    if open_:
        raise _open(open_, sizes, sizes_by_weights(proto.graph), where)
    return _set_shapes(proto, full)


def _check_library_types(proto: Any, where: str) -> None:
    """Leave models of other dtypes to graphs, which have them."""
    from toolchain.dtypes import NAMES

    for value in (*inputs_of(proto), *proto.graph.output):
        if (name := _dtype(value)) not in NAMES:
            raise OpenSizesError(
                f"{where}: {value.name!r} is {name}; models of fixed sizes take "
                f"{', '.join(NAMES)}"
            )


def given_shapes(
    proto: Any, given: Given, where: str
) -> tuple[dict[str, tuple[int | None, ...] | None], dict[str, int]]:
    """Shapes of the inputs, and sizes, by name; None for what nobody gives.

    Errors: SpecError for types that no module takes, for names that nothing has, and
    where what is given contradicts the file.
    """
    inputs = inputs_of(proto)
    given = by_file(given, inputs)
    errors = _check_types(inputs, "input") + _check_types(proto.graph.output, "output")
    by_name = _by_name(inputs)
    shapes: dict[str, tuple[int, ...]] = {}
    for name, wanted in given.shapes.items():
        if name in by_name:
            shapes[by_name[name].name] = wanted
        elif name not in {i.name for i in proto.graph.input}:
            errors.append(_unknown(name, "--shape", inputs))
    errors += _unknown_dims(given, proto.graph.input)
    sizes, names = given.sizes(), names_of(inputs)
    for value in inputs:
        if value.name in shapes:
            errors += _contradictions(value, shapes[value.name], sizes)
    errors += _outside(given, sizes)
    full = {v.name: _shape(v, names[v.name], shapes.get(v.name), sizes) for v in inputs}
    errors += [
        f"input {v.name!r} {wrong}"
        for v in inputs
        if (wrong := excess(full[v.name] or (), _dtype(v) or "float32"))
    ]
    if errors:
        raise SpecError("\n".join(f"{where}: {e}" for e in errors))
    return full, sizes


def _by_name(inputs: list[Any]) -> dict[str, Any]:
    """Inputs by their names, and as C and Python take these."""
    return {n: i for i in inputs for n in (plain(i.name), i.name)}


def _unknown(name: str, option: str, inputs: list[Any]) -> str:
    names = ", ".join(i.name for i in inputs) or "none"
    return f"no input is named {name!r} ({option}); inputs: {names}"


def _unknown_dims(given: Given, inputs: Any) -> list[str]:
    """Where --dim names what no input has."""
    found = names_of([i for i in inputs if i.type.HasField("tensor_type")])
    known = dict.fromkeys(n for names in found.values() for n in names if n)
    return [
        f"no open size is named {name!r} (--dim); names: {', '.join(known) or 'none'}"
        for name in given.dims
        if name not in known
    ]


def _outside(given: Given, sizes: Mapping[str, int]) -> list[str]:
    """Where --shape gives a size outside of the bounds that --dim gives."""
    return [
        f"--dim {name}={dim[0]}..{dim[1]}: the shapes given have {sizes[name]}"
        for name, dim in given.dims.items()
        if isinstance(dim, tuple)
        and name in sizes
        and not dim[0] <= sizes[name] <= dim[1]
    ]


def _users(inputs: Sequence[Any]) -> dict[str, list[str]]:
    """Names of inputs by the names of their open sizes."""
    found: dict[str, list[str]] = {}
    for value in inputs:
        for dim in value.type.tensor_type.shape.dim:
            users = found.setdefault(name_of(dim), [])
            if value.name not in users:
                users.append(value.name)
    found.pop("", None)
    return found


def _dtype(value: Any) -> str:
    """The dtype of an input or output, as numpy spells it; "" where it has none."""
    from onnx import TensorProto

    try:
        name = TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower()
    except ValueError:
        return f"{value.type.tensor_type.elem_type}, which is unknown"
    return {"float": "float32", "double": "float64"}.get(str(name), str(name))


def _check_types(values: Any, kind: str) -> list[str]:
    from toolchain.dtypes import DTYPES

    errors = []
    for value in values:
        which = value.type.WhichOneof("value")
        if which != "tensor_type":
            what = (which or "of no type").replace("_type", "")
            errors.append(f"{kind} {value.name!r} is {what}; modules take tensors")
        elif (name := _dtype(value)) not in DTYPES:
            errors.append(
                f"{kind} {value.name!r} has dtype {name}; modules take "
                f"{', '.join(DTYPES)}"
            )
    return errors


def _contradictions(
    value: Any, shape: tuple[int, ...], sizes: dict[str, int]
) -> list[str]:
    """Where a given shape is not one that an input can have; sizes learns names."""
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
        wanted, name = number_of(dim), name_of(dim)
        if name:
            wanted = sizes.setdefault(name, size)
        if wanted not in (None, size):
            name = f" ({name})" if name else ""
            return [
                f"--shape {value.name}={text} has {size} at dimension {i}{name}, where "
                f"the model has {wanted}; give {_pattern(value)}"
            ]
    return []


def _shape(
    value: Any,
    names: Sequence[str],
    given: tuple[int, ...] | None,
    sizes: Mapping[str, int],
) -> tuple[int | None, ...] | None:
    """The shape of an input, None for what is not known."""
    if given is not None:
        return given
    if not value.type.tensor_type.HasField("shape"):
        return None
    dims = value.type.tensor_type.shape.dim
    return tuple(
        sizes.get(name) if name else number_of(d)
        for name, d in zip(names, dims, strict=True)
    )


def _pattern(value: Any) -> str:
    """The shape with names of open dimensions, as in [batch, 3, ?, ?]."""
    words = [
        name_of(d) or ("?" if (n := number_of(d)) is None else str(n))
        for d in value.type.tensor_type.shape.dim
    ]
    return f"[{', '.join(words)}]"


def _likely(
    values: list[Any], sizes: Mapping[str, int], weights: Mapping[tuple[str, int], int]
) -> list[list[int]]:
    """A shape for each input. weights: sizes that weights say, by input and axis."""
    wanted: dict[str, int] = {}
    shapes = []
    for value in values:
        dims = value.type.tensor_type.shape.dim
        shape = []
        for i, dim in enumerate(dims):
            ends = (weights.get((value.name, k)) for k in (i, i - len(dims)))
            said = next((n for n in ends if n is not None), None)
            likely = said or likely_size(name_of(dim), i, len(dims))
            if (name := name_of(dim)) and name not in sizes:
                wanted[name] = said or wanted.get(name, likely)
            shape.append(likely)
        shapes.append(shape)
    chosen = sizes_by_name(wanted, sizes) | dict(sizes)
    for value, shape in zip(values, shapes, strict=True):
        for i, dim in enumerate(value.type.tensor_type.shape.dim):
            known = number_of(dim)
            shape[i] = chosen.get(name_of(dim), shape[i]) if known is None else known
    return shapes


def _open(
    values: list[Any],
    sizes: Mapping[str, int],
    weights: Mapping[tuple[str, int], int],
    where: str,
) -> OpenSizesError:
    """The error for sizes that are not given: of shapes without names, then by name."""
    lines, options, named = [], [], []
    shapes = _likely(values, sizes, weights)
    by_name: dict[str, int] = {}
    for value, shape in zip(values, shapes, strict=True):
        dims = value.type.tensor_type.shape.dim
        by_name |= {name_of(d): n for d, n in zip(dims, shape, strict=True)}
        if not value.type.tensor_type.HasField("shape"):
            what, text = "no shape", "1,3,224,224"
        elif any(number_of(d) is None and not name_of(d) for d in dims):
            what, text = f"shape {_pattern(value)}", ",".join(map(str, shape))
        else:
            named.append(value)
            continue
        options.append(["--shape", f"{value.name}={text}"])
        lines.append(f"input {value.name!r} has {what}: {shlex.join(options[-1])}")
    for name, users in _users(named).items():
        if name in sizes:
            continue
        options.append(["--dim", f"{name}={by_name[name]}"])
        more = f" and {len(users) - _SHOWN} more" if len(users) > _SHOWN else ""
        lines.append(
            f"size {name!r} of {', '.join(users[:_SHOWN])}{more}: "
            f"{shlex.join(options[-1])}"
        )
    text = f"{where}: these sizes are open; give them, as in"
    return OpenSizesError(
        "\n  ".join([text, *lines]), [word for words in options for word in words]
    )


def _set_shapes(proto: Any, shapes: Mapping[str, tuple[int | None, ...] | None]) -> Any:
    from onnx import helper

    for value in proto.graph.input:
        if value.name in shapes:
            number = value.type.tensor_type.elem_type
            new = helper.make_tensor_value_info(value.name, number, shapes[value.name])
            value.CopyFrom(new)
    # Shapes inside may have been written for other sizes.
    del proto.graph.value_info[:]
    return proto
