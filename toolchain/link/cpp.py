"""C++: ops_wasm32.hpp, each operator as a function for each of its dtypes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from toolchain.abi import MAX_RANK, MAX_TENSORS, MAX_VALUES
from toolchain.dtypes import BOOL, DTYPES
from toolchain.link.description import (
    DescribedAttribute,
    DescribedTensor,
    Description,
)
from toolchain.records.replace import write

_FIXED = Path(__file__).parents[2] / "embed" / "c" / "ops_wasm32.hpp"
_MARK = "/* Operators. */\n"
_KINDS = {"int": "int64_t", "float": "double"}


def write_cpp(descriptions: Mapping[str, Description], folder: Path) -> None:
    """Write ops_wasm32.hpp into a folder that has ops_kernels.h."""
    head, mark, tail = _FIXED.read_text().partition(_MARK)
    parts = [p for d in descriptions.values() for p in _operator(d)]
    text = "".join([head, _traits(), mark, *parts, tail])
    write(folder / _FIXED.name, text.encode())


def _traits() -> str:
    """What each type of element is to DLPack."""
    lines = (
        f"template <> struct dtype_of<{_element(d.name)}> {{\n"
        f"  static constexpr DLDataType value{{{d.code}, {d.bits}, 1}};\n}};\n"
        for d in DTYPES.values()
        if d.library
    )
    return "namespace detail {\n" + "".join(lines) + "} // namespace detail\n\n"


def _element(dtype: str) -> str:
    """C++'s type of an element: a bool is its own there, of one byte too."""
    found = DTYPES[dtype]
    return "bool" if found.code == BOOL else found.c


def _operator(description: Description) -> Iterator[str]:
    name, attributes = description["operator"], description["attributes"]
    yield f"\n/* {description['formula'].replace('*/', '* /')} */\n"
    yield from (_choices(name, a) for a in attributes if a["choices"])
    if attributes:
        most = MAX_TENSORS if _is_variadic(description) else MAX_RANK
        fields = "".join(f"  {_field(name, a, most)};\n" for a in attributes)
        yield f"struct {name}_attributes {{\n{fields}}};\n"
    for kernel, tensors in description["kernels"].items():
        both = tensors["inputs"], tensors["outputs"]
        yield _function(name, kernel, *both, attributes, infer=False)
        if not tensors["outputs"][-1]["variadic"]:
            yield _function(name, kernel, *both, attributes, infer=True)


def _is_variadic(description: Description) -> bool:
    """Whether an operator takes or gives any number of tensors."""
    kernels = description["kernels"].values()
    return any(t["variadic"] for k in kernels for t in (*k["inputs"], *k["outputs"]))


def _choices(operator: str, attribute: DescribedAttribute) -> str:
    listed = ", ".join(attribute["choices"])
    return f"enum class {operator}_{attribute['name']} : int64_t {{ {listed} }};\n"


def _field(operator: str, attribute: DescribedAttribute, most: int) -> str:
    """A member; most: how many axes or tensors a list is for."""
    name, default = attribute["name"], attribute["default"]
    kind = _KINDS[attribute["kind"]]
    if attribute["per_unit"]:
        kind = f"values<{kind}, {most * attribute['per_unit']}>"
        return f"required<{kind}> {name}" if default is None else f"{kind} {name}{{}}"
    if attribute["choices"]:
        kind = f"{operator}_{name}"
    if default is None:
        return f"required<{kind}> {name}"
    if attribute["choices"]:
        return f"{kind} {name} = {kind}::{attribute['choices'][int(default)]}"
    return f"{kind} {name} = {_number(default)}"


def _number(value: float) -> str:
    text = f"{value!r}" if isinstance(value, float) else str(value)
    return text.replace("inf", "__builtin_inf()")


def _function(
    name: str,
    kernel: str,
    inputs: Sequence[DescribedTensor],
    outputs: Sequence[DescribedTensor],
    attributes: Sequence[DescribedAttribute],
    *,
    infer: bool,
) -> str:
    """An overload that runs a kernel, or that finds the shapes of its outputs."""
    words = [_parameter(t, "const ") for t in inputs]
    words += [_parameter(t, "", "&" if infer else "") for t in outputs]
    if attributes:
        required = any(a["default"] is None for a in attributes)
        default = "" if required else " = {}"
        words.append(f"const {name}_attributes &attributes{default}")
    lists = [a for a in attributes if a["per_unit"]]
    steps = [f"call.input({t['name']})" for t in inputs]
    steps += [f"call.output({t['name']})" for t in outputs]
    steps += [f"call.unit(attributes.{a['name']}, {a['per_unit']})" for a in lists]
    steps += [f"call.value(attributes.{a['name']}{_per_unit(a)})" for a in attributes]
    end = "infer()" if infer else "run()"
    if infer:
        end = f"infer({', '.join(t['name'] for t in outputs)})"
    both = [*inputs, *outputs]
    tensors = "OPS_MAX_TENSORS" if any(t["variadic"] for t in both) else str(len(both))
    values = str(MAX_VALUES) if lists else str(len(attributes))
    body = "".join(f"  {step};\n" for step in steps)
    head = f"inline error {'infer_' * infer}{name}({', '.join(words)}) {{\n"
    made = f"  detail::call<{tensors}, {values}> call(&ops_{kernel});\n"
    return f"{head}{made}{body}  return call.{end};\n}}\n"


def _per_unit(attribute: DescribedAttribute) -> str:
    return f", {attribute['per_unit']}" if attribute["per_unit"] else ""


def _parameter(tensor: DescribedTensor, const: str, reference: str = "") -> str:
    kind = f"tensor<{const}{_element(tensor['dtype'])}>"
    kind = f"list<{kind}>" if tensor["variadic"] else kind
    return f"{kind} {reference}{tensor['name']}"
