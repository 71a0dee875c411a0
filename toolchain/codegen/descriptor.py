"""Descriptor: the constant data by which the runtime knows an operator.

Emits, as LLVM IR text, the structs of runtime_stub/operator.h as toolchain/layout.py
has them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from toolchain import abi, layout
from toolchain.abi import (
    MAX_AXES,
    MAX_NAME,
    Attr,
    AttrFlag,
    Param,
)
from toolchain.codegen.limits import Fixed, check_fixed, check_limits, limits_of
from toolchain.codegen.room import argument_counts
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

_PREFIX = "ops_"
# Parts of the runtime that only some operators need: runtime_stub/attribute.c and
# optional.c. A pointer after the family's fields, which nothing reads, links them.
PARTS = ("ops_check_attributes", "ops_fill")


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


def _attribute(data: _Data, attribute: Attribute) -> str:
    choices = [data.text(c) for c in attribute.choices]
    listed = data.array(f"choices_{attribute.name}", "ptr", [*choices, "null"])
    low, high = limits_of(attribute)
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
    data.lines += [abi.declaration(part) for part in parts]
    data.lines.append(
        f"@.family = private unnamed_addr constant {kind} {{ {layout.FAMILY.llvm} "
        f"{family}, [{len(parts)} x ptr] {f'[{pointers}]' if parts else '[]'} }}"
    )


def _parts(operator: Operator) -> list[str]:
    optional = any(i.optional for i in operator.inputs)
    needed = {"ops_check_attributes": operator.attributes, "ops_fill": optional}
    return [part for part in PARTS if needed[part]]


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
    check_limits(name, operator, output_dims)
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
    fixed, each = argument_counts(operator)
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


def fixed_descriptor(name: str, inputs: list[Fixed], outputs: list[Fixed]) -> str:
    """IR of the `ops_<name>` whose tensors have one dtype and shape each.

    inputs, outputs: name, dtype and shape of each. Errors: SpecError where they are
    more or larger than a call can pass.
    """
    data = _Data()
    tensors = [*inputs, *outputs]
    check_fixed(name, tensors)
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
