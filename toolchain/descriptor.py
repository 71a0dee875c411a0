"""Descriptor: the constant data by which the runtime knows an operator.

Emits, as LLVM IR text, the structs of runtime_stub/operator.h, field by field.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from toolchain.spec import (
    COLLAPSES,
    DTYPES,
    MAX_TENSORS,
    Attribute,
    Input,
    Operator,
    Output,
    SpecError,
    kernel_name,
    tensor_dtype,
)

# As in runtime_stub/call.h.
MAX_VALUES = 64
MAX_ATTRIBUTES = 16
_PARAM = "{ ptr, i8, i8, [6 x i8], double }"
_ATTRIBUTE = "{ ptr, ptr, double, double, double, i8, i8, i8, i8 }"
_FAMILY = "{{ ptr, ptr, ptr, ptr, ptr, ptr, [8 x i8], [{} x ptr] }}"
_OPERATOR = "{ ptr, ptr, ptr, ptr, ptr }"
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
        return f"ptr {self.strings[value]}"

    def array(self, name: str, kind: str, items: Iterable[str]) -> str:
        """A pointer to a private array; null for an empty one."""
        entries = list(items)
        if not entries:
            return "ptr null"
        body = ", ".join(f"{kind} {e}" if kind != "ptr" else e for e in entries)
        self.lines.append(
            f"@.{name} = private unnamed_addr constant "
            f"[{len(entries)} x {kind}] [{body}]"
        )
        return f"ptr @.{name}"


def _double(value: float) -> str:
    import struct

    return f"double 0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


def _param(data: _Data, tensor: Input | Output, dims: list[int]) -> str:
    optional = isinstance(tensor, Input) and tensor.optional
    fill = tensor.fill if isinstance(tensor, Input) else 0.0
    flags = int(optional) + 2 * int(tensor.variadic)
    octets = ", ".join(f"i8 {d}" for d in dims + [0] * (6 - len(dims)))
    return (
        f"{{ {data.text(tensor.name)}, i8 {flags}, i8 {len(dims)}, "
        f"[6 x i8] [{octets}], {_double(fill)} }}"
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
    listed = data.array(f"choices_{attribute.name}", "ptr", [*choices, "ptr null"])
    low, high = _limits(attribute)
    flags = int(attribute.default is None) + 2 * int(attribute.unbounded)
    kind = ("int", "float").index(attribute.kind)
    return (
        f"{{ {data.text(attribute.name)}, {listed if choices else 'ptr null'}, "
        f"{_double(attribute.default or 0.0)}, {_double(low)}, {_double(high)}, "
        f"i8 {kind}, i8 {flags}, i8 {attribute.per_unit}, i8 {attribute.slots} }}"
    )


def _bytes(counts: Iterable[int]) -> str:
    return f"[8 x i8] [{', '.join(f'i8 {c}' for c in counts)}]"


def _parts(operator: Operator) -> list[str]:
    optional = any(i.optional for i in operator.inputs)
    needed = {"ops_check_attributes": operator.attributes, "ops_fill": optional}
    return [part for part in PARTS if needed[part]]


def _check_limits(name: str, operator: Operator) -> None:
    """SpecError where a call could pass more than the runtime has room for."""
    units, tensors = operator.max_units(), operator.tensors()
    most = sum(units if t.variadic else 1 for t in tensors)
    values = sum(a.per_unit * units or 1 for a in operator.attributes)
    for count, what, limit in (
        (most, "tensors", MAX_TENSORS),
        (values, "attribute values", MAX_VALUES),
        (len(operator.attributes), "attributes", MAX_ATTRIBUTES),
    ):
        if count > limit:
            raise SpecError(
                f"{name}: a call may have {count} {what}, but the runtime takes "
                f"{limit}; lower units= of the operator"
            )


def descriptor(
    name: str,
    operator: Operator,
    variants: list[tuple[str, ...]],
    requirements: list[str],
    output_dims: list[list[int]],
    has_infer: bool,
) -> str:
    """IR of every `ops_<kernel>` of an operator; kernels are `kernel_<kernel>`.

    output_dims: see toolchain.infer.
    """
    _check_limits(name, operator)
    data = _Data()
    tensors = operator.tensors()
    symbols = operator.symbols()
    collapse, _, rule = operator.collapse.partition(".")
    function = f"ops_collapse_{'unary' if operator.unary else collapse}"
    dims = [[symbols.index(w) for w in i.dims.split()] for i in operator.inputs]
    pairs = zip(tensors, dims + output_dims, strict=True)
    params = data.array("params", _PARAM, (_param(data, t, d) for t, d in pairs))
    attributes = data.array(
        "attributes", _ATTRIBUTE, (_attribute(data, a) for a in operator.attributes)
    )
    texts = [data.text(r) for r in requirements]
    required = data.array("requirements", "ptr", [*texts, "ptr null"] if texts else [])
    counts = (
        len(operator.inputs),
        len(operator.outputs),
        len(operator.attributes),
        len(symbols),
        COLLAPSES[collapse].index(rule),
        operator.max_units(),
        sum(not t.variadic for t in tensors)
        + sum(not a.per_unit for a in operator.attributes),
        sum(t.variadic for t in tensors) + sum(a.per_unit for a in operator.attributes),
    )
    parts = _parts(operator)
    pointers = ", ".join(f"ptr @{part}" for part in parts)
    kind = _FAMILY.format(len(parts))
    data.lines += [f"declare {PARTS[part]}" for part in parts]
    data.lines.append(
        f"@.family = private unnamed_addr constant {kind} {{ {data.text(name)}, "
        f"ptr @{function}, {params}, {attributes}, {required}, "
        f"ptr {f'@infer_{name}' if has_infer else 'null'}, {_bytes(counts)}, "
        f"[{len(parts)} x ptr] {f'[{pointers}]' if parts else 'zeroinitializer'} }}"
    )
    for variant in variants:
        kernel = kernel_name(name, variant)
        codes = [str(DTYPES.index(tensor_dtype(t, variant))) for t in tensors]
        dtypes = data.array(f"dtypes_{kernel}", "i8", codes)
        body = operator.body(name, variant)
        columns = f"@columns_{body}" if operator.columns else "null"
        data.lines.append(
            f"@{_PREFIX}{kernel} = constant {_OPERATOR} {{ {data.text(kernel)}, "
            f"ptr @.family, {dtypes}, ptr @kernel_{body}, ptr {columns} }}"
        )
    for body in dict.fromkeys(operator.body(name, v) for v in variants):
        data.lines.append(f"declare i32 @kernel_{body}(ptr)")
        if operator.columns:
            data.lines.append(f"declare i32 @columns_{body}(ptr)")
    if has_infer:
        data.lines.append(f"declare i32 @infer_{name}(ptr)")
    data.lines.append(f"@{function} = external constant {{ ptr, ptr }}")
    return "\n".join(data.lines) + "\n"


def table(kernels: list[str]) -> str:
    """IR of the static operator table; a missing operator is a link error."""
    names = sorted(kernels)
    lines = [f"@{_PREFIX}{n} = external constant {_OPERATOR}" for n in names]
    entries = ", ".join(f"ptr @{_PREFIX}{n}" for n in names)
    lines += [
        f"@ops_table = constant [{len(names)} x ptr] [{entries}]",
        f"@ops_table_count = constant i32 {len(names)}",
    ]
    return "\n".join(lines) + "\n"


Fixed = tuple[str, str, tuple[int, ...]]


def fixed_descriptor(name: str, inputs: list[Fixed], outputs: list[Fixed]) -> str:
    """IR of the `ops_<name>` whose tensors have one dtype and shape each.

    inputs, outputs: name, dtype and shape of each.
    """
    data = _Data()
    tensors = [*inputs, *outputs]
    params = data.array(
        "params",
        _PARAM,
        (
            f"{{ {data.text(n)}, i8 0, i8 {len(shape)}, [6 x i8] zeroinitializer, "
            f"{_double(0.0)} }}"
            for n, _, shape in tensors
        ),
    )
    codes = data.array("dtypes", "i8", [str(DTYPES.index(d)) for _, d, _ in tensors])
    counts = (len(inputs), len(outputs), 0, 0, 0, 0, len(tensors), 0)
    sizes = [n for _, _, shape in tensors for n in shape]
    stores = "\n".join(
        f"  %p{i} = getelementptr inbounds i64, ptr %sizes, i32 {i}\n"
        f"  store i64 {n}, ptr %p{i}"
        for i, n in enumerate(sizes)
    )
    kind = _FAMILY.format(0)
    data.lines += [
        f"define internal i32 @infer_{name}(ptr %slots) {{\n"
        f"  %sizes = load ptr, ptr %slots\n{stores}\n  ret i32 0\n}}",
        f"@.family = private unnamed_addr constant {kind} {{ {data.text(name)}, "
        f"ptr @ops_collapse_fixed, {params}, ptr null, ptr null, ptr @infer_{name}, "
        f"{_bytes(counts)}, [0 x ptr] zeroinitializer }}",
        f"@{_PREFIX}{name} = constant {_OPERATOR} {{ {data.text(name)}, "
        f"ptr @.family, {codes}, ptr @kernel_{name}, ptr null }}",
        f"declare i32 @kernel_{name}(ptr)",
        "@ops_collapse_fixed = external constant { ptr, ptr }",
    ]
    return "\n".join(data.lines) + "\n"
