"""Descriptor: the constant data by which the runtime knows an operator.

Emits the structs of runtime_stub/operator.h as toolchain/layout.py has them.
"""

from __future__ import annotations

from llvmlite import ir

from toolchain import layout
from toolchain.abi import MAX_AXES, MAX_NAME, Attr, AttrFlag, Param
from toolchain.codegen.data import NULL, Data, struct_constant, struct_type
from toolchain.codegen.limits import Fixed, check_fixed, check_limits
from toolchain.codegen.room import argument_counts
from toolchain.dtypes import number
from toolchain.micro.builder import I8, I32, I64, PTR
from toolchain.spec import (
    COLLAPSES,
    Attribute,
    Input,
    Operator,
    Output,
    SpecError,
    kernel_name,
    tensor_dtype,
)

_PREFIX = "ops_"
# Parts of the runtime that only some operators need: runtime_stub/attribute.c and
# optional.c. A pointer after the family's fields, which nothing reads, links them.
PARTS = ("ops_check_attributes", "ops_fill")


def descriptor(
    name: str,
    operator: Operator,
    variants: list[tuple[str, ...]],
    requirements: list[str],
    output_dims: list[list[int]],
    has_infer: bool,
    has_kernels: bool = True,
) -> str:
    """IR of every `ops_<kernel>` of an operator; kernels are `kernel_<kernel>`.

    output_dims: see toolchain.lower.infer. has_kernels: whether there are any: an
    operator with a collapse of its own may do without.
    """
    check_limits(name, operator, output_dims)
    data = Data(name)
    tensors, symbols = operator.tensors(), operator.symbols()
    collapse, _, rule = operator.collapse.partition(".")
    fixed, each = argument_counts(operator)
    family = _add_family(
        data,
        _parts(operator),
        collapse=_collapse(name, operator),
        params=_params(data, operator, output_dims),
        attributes=_attributes(data, operator),
        requirements=_texts(data, "requirements", requirements),
        name=data.text(name),
        infer=data.function(f"infer_{name}", I32, 1) if has_infer else NULL,
        inputs=len(operator.inputs),
        outputs=len(operator.outputs),
        fixed=fixed,
        each=each,
        units=operator.max_units(),
        attribute_count=len(operator.attributes),
        symbols=len(symbols),
        rule=COLLAPSES[collapse].index(rule),
    )
    for variant in variants:
        kernel, body = kernel_name(name, variant), operator.body(name, variant)
        codes = [number(tensor_dtype(t, variant)) for t in tensors]
        dtypes = data.numbers(f"dtypes_{kernel}", I8, codes)
        run = data.function(f"kernel_{body}", I32, 1) if has_kernels else NULL
        columns = NULL
        if operator.columns:
            columns = data.function(f"columns_{body}", I32, 1)
        _add_operator(data, kernel, family, dtypes, run, columns)
    return str(data.module)


def _collapse(name: str, operator: Operator) -> str:
    """What the symbol of its collapse ends with."""
    if not operator.own:
        return "unary" if operator.unary else operator.collapse.partition(".")[0]
    if name in (*COLLAPSES, "unary", "fixed"):
        raise SpecError(
            f"{name}: the runtime has a collapse of that name; rename the operator"
        )
    return name


def _params(data: Data, operator: Operator, output_dims: list[list[int]]) -> ir.Value:
    symbols = operator.symbols()
    dims = [[symbols.index(w) for w in i.dims.split()] for i in operator.inputs]
    pairs = zip(operator.tensors(), dims + output_dims, strict=True)
    params = [_param(data, tensor, d) for tensor, d in pairs]
    return data.array("params", struct_type(layout.PARAM), params)


def _param(data: Data, tensor: Input | Output, dims: list[int]) -> ir.Constant:
    optional = isinstance(tensor, Input) and tensor.optional
    late = isinstance(tensor, Output) and tensor.late
    flags = Param.OPTIONAL * optional + Param.VARIADIC * tensor.variadic
    return struct_constant(
        layout.PARAM,
        name=data.text(tensor.name),
        flags=flags + Param.LATE * late,
        rank=len(dims),
        dims=dims + [0] * (MAX_AXES - len(dims)),
        fill=tensor.fill if isinstance(tensor, Input) else 0.0,
    )


def _texts(data: Data, name: str, texts: list[str]) -> ir.Value:
    """A pointer to pointers to texts, with null at their end; null where none is."""
    pointers = [data.text(text) for text in texts]
    return data.array(name, PTR, [*pointers, NULL] if pointers else [])


def _attributes(data: Data, operator: Operator) -> ir.Value:
    attributes = [_attribute(data, a) for a in operator.attributes]
    return data.array("attributes", struct_type(layout.ATTRIBUTE), attributes)


def _attribute(data: Data, attribute: Attribute) -> ir.Constant:
    choices = _texts(data, f"choices_{attribute.name}", list(attribute.choices))
    low, high = attribute.limits()
    required = attribute.default is None
    return struct_constant(
        layout.ATTRIBUTE,
        name=data.text(attribute.name),
        choices=choices,
        preset=attribute.default or 0.0,
        minimum=low,
        maximum=high,
        kind=Attr[attribute.kind.upper()].value,
        flags=AttrFlag.REQUIRED * required + AttrFlag.RAW * attribute.unbounded,
        per_unit=attribute.per_unit,
        slots=attribute.slots,
    )


def _parts(operator: Operator) -> list[str]:
    optional = any(i.optional for i in operator.inputs) and not operator.own
    needed = {"ops_check_attributes": operator.attributes, "ops_fill": optional}
    return [part for part in PARTS if needed[part]]


def _add_family(
    data: Data, parts: list[str], collapse: str, **fields: int | ir.Value
) -> ir.Value:
    """Add the family, with pointers to parts of the runtime behind it."""
    function = data.external(f"ops_collapse_{collapse}", struct_type(layout.COLLAPSE))
    family = struct_constant(layout.FAMILY, collapse=function, **fields)
    linked = ir.ArrayType(PTR, len(parts))
    pointers = ir.Constant(linked, [data.called(part) for part in parts])
    kind = ir.LiteralStructType([family.type, linked])
    return data.private("family", ir.Constant(kind, [family, pointers]))


def _add_operator(
    data: Data,
    name: str,
    family: ir.Value,
    dtypes: ir.Value,
    kernel: ir.Value,
    columns: ir.Value = NULL,
) -> None:
    """Add `ops_<name>`."""
    value = struct_constant(
        layout.OPERATOR,
        name=data.text(name),
        family=family,
        dtypes=dtypes,
        kernel=kernel,
        columns=columns,
    )
    data.constant(f"{_PREFIX}{name}", value)


def table(kernels: list[str]) -> str:
    """IR of the static operator table; a missing operator is a link error."""
    names = sorted(kernels)
    for name in names:
        if len(name) >= MAX_NAME:
            raise SpecError(
                f"{name[:60]}...: its name has {len(name)} characters, but ops_find "
                f"takes {MAX_NAME - 1}; rename it"
            )
    data, kind = Data("table"), struct_type(layout.OPERATOR)
    entries = [data.external(f"{_PREFIX}{n}", kind) for n in names]
    data.constant("ops_table", ir.Constant(ir.ArrayType(PTR, len(names)), entries))
    data.constant("ops_table_count", ir.Constant(I32, len(names)))
    return str(data.module)


def fixed_descriptor(name: str, inputs: list[Fixed], outputs: list[Fixed]) -> str:
    """IR of the `ops_<name>` whose tensors have one dtype and shape each.

    inputs, outputs: name, dtype and shape of each. Errors: SpecError where they are
    more or larger than a call can pass.
    """
    data, tensors = Data(name), [*inputs, *outputs]
    check_fixed(name, tensors)
    params = [
        struct_constant(
            layout.PARAM,
            name=data.text(n),
            flags=0,
            rank=len(shape),
            dims=[0] * MAX_AXES,
            fill=0.0,
        )
        for n, _, shape in tensors
    ]
    params_at = data.array("params", struct_type(layout.PARAM), params)
    codes = data.numbers("dtypes", I8, [number(d) for _, d, _ in tensors])
    family = _add_family(
        data,
        [],
        collapse="fixed",
        params=params_at,
        infer=data.numbers("sizes", I64, [n for _, _, s in tensors for n in s]),
        name=data.text(name),
        inputs=len(inputs),
        outputs=len(outputs),
        fixed=len(tensors),
        **dict.fromkeys(("attributes", "requirements"), NULL),
        **dict.fromkeys(("each", "units", "attribute_count", "symbols", "rule"), 0),
    )
    _add_operator(data, name, family, codes, data.function(f"kernel_{name}", I32, 1))
    return str(data.module)


def add_model(
    data: Data,
    name: str,
    tensors: list[tuple[str, str, int, int]],
    inputs: int,
    model: ir.Value,
    regions: bool,
) -> None:
    """Add the `ops_<name>` of a model of any shape.

    tensors: name, dtype, rank and flags of each, inputs first. model: its ops_model.
    regions: whether steps of it have regions.
    """
    params = [
        struct_constant(
            layout.PARAM,
            name=data.text(n),
            flags=flags,
            rank=rank,
            dims=[0] * MAX_AXES,
            fill=0.0,
        )
        for n, _, rank, flags in tensors
    ]
    family = _add_family(
        data,
        ["ops_step_control"] if regions else [],
        collapse="graph",
        params=data.array("params", struct_type(layout.PARAM), params),
        infer=model,
        name=data.text(name),
        inputs=inputs,
        outputs=len(tensors) - inputs,
        fixed=len(tensors),
        **dict.fromkeys(("attributes", "requirements"), NULL),
        **dict.fromkeys(("each", "units", "attribute_count", "symbols", "rule"), 0),
    )
    codes = data.numbers("dtypes", I8, [number(d) for _, d, _, _ in tensors])
    _add_operator(data, name, family, codes, NULL)
