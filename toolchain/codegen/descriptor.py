"""Descriptor: the constant data by which the runtime knows an operator.

Emits, as LLVM IR text, the structs of runtime_stub/operator.h as toolchain/layout.py
has them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from toolchain import abi, layout
from toolchain.abi import (
    MAX_ATTRIBUTES,
    MAX_AXES,
    MAX_INPUTS,
    MAX_MODEL_TENSORS,
    MAX_NAME,
    MAX_OUTPUTS,
    MAX_RANK,
    MAX_SIZES,
    MAX_SLOTS,
    MAX_SYMBOLS,
    MAX_TENSORS,
    MAX_VALUES,
    Attr,
    AttrFlag,
    Param,
)
from toolchain.spec import (
    COLLAPSES,
    DTYPES,
    Attribute,
    Input,
    Operator,
    Output,
    SpecError,
    kernel_name,
    tensor_dtype,
)

# Collapses that take tensors of which there is one for each unit.
_VARIADIC = ("concat.axis", "view.split")
# Slots beside tensors, sizes and attributes: of matmul's two dtypes.
_MORE_SLOTS = 2
_PREFIX = "ops_"
# Parts of the runtime that only some operators need: runtime_stub/attribute.c and
# optional.c. A pointer after the family's fields, which nothing reads, links them.
PARTS = {
    "ops_check_attributes": "i32 @ops_check_attributes(ptr, ptr)",
    "ops_fill": "i64 @ops_fill(ptr, ptr)",
}


@dataclass
class _Data:
    """Constants under construction; equal strings are stored once."""

    lines: list[str] = field(default_factory=list)
    strings: dict[str, str] = field(default_factory=dict)

    def text(self, value: str) -> str:
        """A pointer to a NUL-terminated string."""
        if value not in self.strings:
            raw = value.encode() + b"\0"
            name = f"@.text{len(self.strings)}"
            self.strings[value] = name
            escaped = "".join(f"\\{b:02X}" for b in raw)
            self.lines.append(
                f"{name} = private unnamed_addr constant [{len(raw)} x i8] "
                f'c"{escaped}", align 1'
            )
        return self.strings[value]

    def array(self, name: str, kind: str, items: Iterable[str]) -> str:
        """A pointer to a private array; null for an empty one."""
        entries = list(items)
        if not entries:
            return "null"
        body = ", ".join(f"{kind} {e}" for e in entries)
        self.lines.append(
            f"@.{name} = private unnamed_addr constant "
            f"[{len(entries)} x {kind}] [{body}]"
        )
        return f"@.{name}"


def _double(value: float) -> str:
    import struct

    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


def _param(data: _Data, tensor: Input | Output, dims: list[int]) -> str:
    optional = isinstance(tensor, Input) and tensor.optional
    fill = tensor.fill if isinstance(tensor, Input) else 0.0
    flags = Param.OPTIONAL * optional + Param.VARIADIC * tensor.variadic
    return layout.PARAM.constant(
        name=data.text(tensor.name),
        flags=flags,
        rank=len(dims),
        dims=f"[{', '.join(f'i8 {d}' for d in dims + [0] * (MAX_AXES - len(dims)))}]",
        fill=_double(fill),
    )


def _limits(attribute: Attribute) -> tuple[float, float]:
    if attribute.choices:
        return 0.0, float(len(attribute.choices) - 1)
    wide = attribute.kind == "float" or attribute.unbounded
    low, high = (-float("inf"), float("inf")) if wide else (-(2.0**31), 2.0**31 - 1)
    return (
        low if attribute.minimum is None else attribute.minimum,
        high if attribute.maximum is None else attribute.maximum,
    )


def _attribute(data: _Data, attribute: Attribute) -> str:
    choices = [data.text(c) for c in attribute.choices]
    listed = data.array(f"choices_{attribute.name}", "ptr", [*choices, "null"])
    low, high = _limits(attribute)
    required = attribute.default is None
    return layout.ATTRIBUTE.constant(
        name=data.text(attribute.name),
        choices=listed if choices else "null",
        preset=_double(attribute.default or 0.0),
        minimum=_double(low),
        maximum=_double(high),
        kind=Attr[attribute.kind.upper()].value,
        flags=AttrFlag.REQUIRED * required + AttrFlag.RAW * attribute.unbounded,
        per_unit=attribute.per_unit,
        slots=attribute.slots,
    )


def _add_family(data: _Data, family: str, parts: list[str]) -> None:
    """Add the family, with pointers to parts of the runtime behind it."""
    kind = f"{{ {layout.FAMILY.llvm}, [{len(parts)} x ptr] }}"
    pointers = ", ".join(f"ptr @{part}" for part in parts)
    data.lines += [f"declare {PARTS[part]}" for part in parts]
    data.lines.append(
        f"@.family = private unnamed_addr constant {kind} {{ {layout.FAMILY.llvm} "
        f"{family}, [{len(parts)} x ptr] {f'[{pointers}]' if parts else '[]'} }}"
    )


def _parts(operator: Operator) -> list[str]:
    optional = any(i.optional for i in operator.inputs)
    needed = {"ops_check_attributes": operator.attributes, "ops_fill": optional}
    return [part for part in PARTS if needed[part]]


def _check_limits(name: str, operator: Operator, output_dims: list[list[int]]) -> None:
    """SpecError where a call could need more than the runtime's arrays hold."""
    units, tensors = operator.max_units(), operator.tensors()
    variadic = any(t.variadic for t in tensors)
    collapse = operator.collapse.partition(".")[0]
    axes = [len(i.dims.split()) for i in operator.inputs] + [*map(len, output_dims)]
    values = sum(a.per_unit * max(units, 1) or 1 for a in operator.attributes)
    slots = len(tensors) + len(operator.symbols()) + _MORE_SLOTS
    slots += sum(a.slots for a in operator.attributes)
    many = sum(units if t.variadic else 1 for t in tensors)
    if variadic and operator.collapse not in _VARIADIC:
        raise SpecError(
            f"{name}: {operator.collapse} takes no variadic tensors; use "
            f"{' or '.join(_VARIADIC)}"
        )
    lower = "lower units= of the operator"
    for count, what, limit, advice in (
        (many, "tensors", MAX_TENSORS, lower),
        (values, "attribute values", MAX_VALUES, lower),
        (0 if variadic else units, "units", MAX_RANK, lower),
        (len(operator.attributes), "attributes", MAX_ATTRIBUTES, "join some"),
        (max(axes, default=0), "axes in a tensor", MAX_AXES, "join some"),
        (len(operator.symbols()), "sizes", MAX_SYMBOLS, "share some"),
        (sum(map(len, output_dims)), "sizes of outputs", MAX_SIZES, "split it"),
        (slots, "arguments of its kernel", MAX_SLOTS, "split it"),
        (
            len(operator.inputs) if collapse == "elementwise" else 0,
            "elementwise inputs",
            MAX_INPUTS,
            "split it",
        ),
        (
            len(operator.outputs) if collapse == "rows" else 0,
            "outputs of rows",
            MAX_OUTPUTS,
            "split it",
        ),
    ):
        if count > limit:
            raise SpecError(
                f"{name}: a call may have {count} {what}, but the runtime takes "
                f"{limit}; {advice}"
            )


def _add_operator(
    data: _Data, name: str, dtypes: str, kernel: str, columns: str = "null"
) -> None:
    """Add `ops_<name>`, of the family that is there."""
    value = layout.OPERATOR.constant(
        name=data.text(name),
        family="@.family",
        dtypes=dtypes,
        kernel=kernel,
        columns=columns,
    )
    data.lines.append(f"@{_PREFIX}{name} = constant {layout.OPERATOR.llvm} {value}")


def descriptor(
    name: str,
    operator: Operator,
    variants: list[tuple[str, ...]],
    requirements: list[str],
    output_dims: list[list[int]],
    has_infer: bool,
) -> str:
    """IR of every `ops_<kernel>` of an operator; kernels are `kernel_<kernel>`.

    output_dims: see toolchain.lower.infer.
    """
    _check_limits(name, operator, output_dims)
    data = _Data()
    tensors = operator.tensors()
    symbols = operator.symbols()
    collapse, _, rule = operator.collapse.partition(".")
    function = f"ops_collapse_{'unary' if operator.unary else collapse}"
    dims = [[symbols.index(w) for w in i.dims.split()] for i in operator.inputs]
    pairs = zip(tensors, dims + output_dims, strict=True)
    params = [_param(data, t, d) for t, d in pairs]
    params_at = data.array("params", layout.PARAM.llvm, params)
    attributes = [_attribute(data, a) for a in operator.attributes]
    attributes_at = data.array("attributes", layout.ATTRIBUTE.llvm, attributes)
    texts = [data.text(r) for r in requirements]
    texts_at = data.array("requirements", "ptr", [*texts, "null"] if texts else [])
    fixed, each = _argument_counts(operator)
    family = layout.FAMILY.constant(
        name=data.text(name),
        collapse=f"@{function}",
        params=params_at,
        attributes=attributes_at,
        requirements=texts_at,
        infer=f"@infer_{name}" if has_infer else "null",
        inputs=len(operator.inputs),
        outputs=len(operator.outputs),
        fixed=fixed,
        each=each,
        units=operator.max_units(),
        attribute_count=len(operator.attributes),
        symbols=len(symbols),
        rule=COLLAPSES[collapse].index(rule),
    )
    _add_family(data, family, _parts(operator))
    for variant in variants:
        kernel = kernel_name(name, variant)
        codes = [str(DTYPES.index(tensor_dtype(t, variant))) for t in tensors]
        dtypes = data.array(f"dtypes_{kernel}", "i8", codes)
        body = operator.body(name, variant)
        columns = f"@columns_{body}" if operator.columns else "null"
        _add_operator(data, kernel, dtypes, f"@kernel_{body}", columns)
    for body in dict.fromkeys(operator.body(name, v) for v in variants):
        data.lines.append(f"declare i32 @kernel_{body}(ptr)")
        if operator.columns:
            data.lines.append(f"declare i32 @columns_{body}(ptr)")
    if has_infer:
        data.lines.append(f"declare i32 @infer_{name}(ptr)")
    data.lines.append(f"@{function} = external constant {layout.COLLAPSE.llvm}")
    return "\n".join(data.lines) + "\n"


def table(kernels: list[str]) -> str:
    """IR of the static operator table; a missing operator is a link error."""
    names = sorted(kernels)
    for name in names:
        if len(name) >= MAX_NAME:
            raise SpecError(
                f"{name[:60]}...: its name has {len(name)} characters, but ops_find "
                f"takes {MAX_NAME - 1}; rename it"
            )
    lines = [f"@{_PREFIX}{n} = external constant {layout.OPERATOR.llvm}" for n in names]
    entries = ", ".join(f"ptr @{_PREFIX}{n}" for n in names)
    lines += [
        f"@ops_table = constant [{len(names)} x ptr] [{entries}]",
        f"@ops_table_count = constant i32 {len(names)}",
    ]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Room:
    """What the calls of an operator need, and its signature.

    arguments: of a call, at most. text: bytes of the signature, at most.
    """

    arguments: int
    text: int


def operator_room(operator: Operator, kernels: Iterable[str]) -> Room:
    """The room that an operator needs for its kernels of those names."""
    arguments, each = _argument_counts(operator)
    text = max(map(len, kernels), default=0)
    text += sum(_tensor_text(t.name) for t in operator.tensors())
    text += sum(_attribute_text(a) for a in operator.attributes)
    return Room(arguments + each * operator.max_units(), text + _AROUND)


def _argument_counts(operator: Operator) -> tuple[int, int]:
    """Arguments of a call that come once, and those that come for each unit."""
    tensors, attributes = operator.tensors(), operator.attributes
    return (
        sum(not t.variadic for t in tensors) + sum(not a.per_unit for a in attributes),
        sum(t.variadic for t in tensors) + sum(a.per_unit for a in attributes),
    )


# Of a signature (runtime_stub/signature.c), beside its parts: "() -> ()", the end.
_AROUND = 9


def _tensor_text(name: str) -> int:
    """The most bytes of ", <name>...: float32"."""
    return len(name.encode()) + len(", ...: ") + max(map(len, DTYPES))


def _attribute_text(attribute: Attribute) -> int:
    """The most bytes of "; <name>: float[4]{a=0,b=1} = 0.5 >= 0 <= 1"."""
    numbers = (attribute.default or 0.0, *_limits(attribute))
    return (
        len(f"; {attribute.name}: float[255]{{}} =  >=  <= ")
        + sum(len(f"{choice}={i},") for i, choice in enumerate(attribute.choices))
        + sum(map(_number_text, numbers))
    )


def _number_text(value: float) -> int:
    """The most bytes of a number: sign, 19 digits, exponent; small ones in full."""
    small = 0 < abs(value) < 1
    return 24 + (int(-math.log10(abs(value))) if small else 0)


def room(rooms: Iterable[Room]) -> str:
    """IR of a module's state (runtime_stub/state.h): room for each operator."""
    known = [Room(0, 1), *rooms]
    arguments, text = max(r.arguments for r in known), max(r.text for r in known)
    state = abi.STATE_BYTES + abi.CHECKED_TENSOR_BYTES * arguments
    size = layout.ROOM.constant(arguments=arguments, text=text)
    return (
        f"@ops_state = global [{state} x i8] zeroinitializer, align {abi.ALIGNMENT}\n"
        f"@ops_room_slots = global [{arguments} x i64] zeroinitializer, align 8\n"
        f"@ops_room_text = global [{text} x i8] zeroinitializer\n"
        f"@ops_room_size = constant {layout.ROOM.llvm} {size}\n"
    )


Fixed = tuple[str, str, tuple[int, ...]]


def _check_fixed(name: str, tensors: list[Fixed]) -> None:
    """SpecError where no call could pass these tensors."""
    if len(tensors) > MAX_MODEL_TENSORS:
        raise SpecError(
            f"{name}: has {len(tensors)} inputs and outputs, but a module takes "
            f"{MAX_MODEL_TENSORS}; join some of them into one tensor (Concat, Split), "
            "or split the model in two"
        )
    for tensor, dtype, shape in tensors:
        if len(shape) > MAX_RANK:
            raise SpecError(
                f"{name}: {tensor} has {len(shape)} axes, but a tensor has at most "
                f"{MAX_RANK}; join some of them (Reshape)"
            )
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if size >= 1 << 31 or max(shape, default=0) >= 1 << 31:
            sizes = "x".join(map(str, shape))
            raise SpecError(
                f"{name}: {tensor}, {dtype} {sizes}, takes 2^31 bytes or more; make "
                "it smaller, or split it"
            )


def fixed_room(name: str, tensors: list[Fixed]) -> Room:
    """The room that the operator of fixed_descriptor needs."""
    text = len(name) + sum(_tensor_text(n) for n, _, _ in tensors)
    return Room(len(tensors), text + _AROUND)


def fixed_descriptor(name: str, inputs: list[Fixed], outputs: list[Fixed]) -> str:
    """IR of the `ops_<name>` whose tensors have one dtype and shape each.

    inputs, outputs: name, dtype and shape of each. Errors: SpecError where they are
    more or larger than a call can pass.
    """
    data = _Data()
    tensors = [*inputs, *outputs]
    _check_fixed(name, tensors)
    params = [
        layout.PARAM.constant(
            name=data.text(n),
            flags=0,
            rank=len(shape),
            dims="zeroinitializer",
            fill=_double(0.0),
        )
        for n, _, shape in tensors
    ]
    params_at = data.array("params", layout.PARAM.llvm, params)
    codes = data.array("dtypes", "i8", [str(DTYPES.index(d)) for _, d, _ in tensors])
    sizes = data.array("sizes", "i64", [str(n) for _, _, s in tensors for n in s])
    family = layout.FAMILY.constant(
        name=data.text(name),
        collapse="@ops_collapse_fixed",
        params=params_at,
        infer=sizes,
        inputs=len(inputs),
        outputs=len(outputs),
        fixed=len(tensors),
        **dict.fromkeys(("attributes", "requirements"), "null"),
        **dict.fromkeys(("each", "units", "attribute_count", "symbols", "rule"), 0),
    )
    _add_family(data, family, [])
    _add_operator(data, name, codes, f"@kernel_{name}")
    data.lines += [
        f"declare i32 @kernel_{name}(ptr)",
        f"@ops_collapse_fixed = external constant {layout.COLLAPSE.llvm}",
    ]
    return "\n".join(data.lines) + "\n"
