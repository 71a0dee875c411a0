"""TypeScript: declarations of every operator of a library, from its manifest."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from toolchain.abi import Error
from toolchain.dtypes import DTYPES, Dtype
from toolchain.link.description import (
    DescribedAttribute,
    DescribedTensor,
    LibraryKernel,
    LibraryManifest,
)
from toolchain.targets import TARGETS

_HEAD = """\
// operators.d.mts: the operators of this package and their attributes; generated.

"""
_INPUT, _TENSOR = "Input", "Tensor"


def operators_text(manifest: LibraryManifest) -> str:
    """The file operators.d.mts. manifest: a target's manifest.json."""
    families: dict[str, list[LibraryKernel]] = {}
    for kernel in manifest["kernels"].values():
        families.setdefault(kernel["operator"], []).append(kernel)
    formulas = manifest["formulas"]
    members = [
        "\n".join(_operator(name, formulas[name], families[name]))
        for name in sorted(families)
    ]
    names = {camel_case(name) for name in families}
    for alias, name in sorted(manifest["aliases"].items()):
        if camel_case(alias) not in names:
            names.add(camel_case(alias))
            members.append(
                f"  /** {camel_case(name)}, as others call it. */\n"
                f'  {camel_case(alias)}: Operators["{camel_case(name)}"];'
            )
    attributes = (
        _interface(name, families[name][0]["attributes"]) for name in sorted(families)
    )
    return "".join(
        (
            _HEAD,
            _tables(),
            *filter(None, attributes),
            "/** The operators. An error is an OpsError. */\n",
            "export interface Operators {\n",
            "\n\n".join(members),
            "\n}\n",
        )
    )


def camel_case(name: str) -> str:
    """A name as JavaScript has it, by the rule of embed/js/names.mjs."""
    words = re.sub(r"_+(\w)", lambda m: m[1].upper(), name)
    return re.sub(
        r"^[A-Z]+(?=[A-Z][a-z])|^[A-Z]", lambda m: m[0].lower(), words, count=1
    )


def _tables() -> str:
    arrays = "".join(f"  {d.name}: {_array(d)};\n" for d in DTYPES.values())
    codes = " | ".join(f'"{e.name.lower()}"' for e in Error)
    targets = " | ".join(f'"{name}"' for name in TARGETS)
    return f"""\
import type {{ Input, Tensor }} from "./ops_wasm32.mjs";

/** Of float16: its bits, where the engine has no Float16Array. */
type Half = typeof globalThis extends {{ Float16Array: {{ prototype: infer Array }} }}
  ? Array | Uint16Array
  : Uint16Array;

/** The typed array of each dtype. */
export interface Arrays {{
{arrays}}}

/** What a call of a module may be refused for. */
export type CallErrorCode =
  {codes};

/** The targets that this package has modules for. */
export type TargetName = {targets};

"""


def _array(dtype: Dtype) -> str:
    """The typed array of a dtype, which not every version of TypeScript may know."""
    return "Half" if "??" in dtype.array else dtype.array


def _interface_name(operator: str) -> str:
    return f"{camel_case(operator)[:1].upper()}{camel_case(operator)[1:]}Attributes"


def _interface(operator: str, attributes: Sequence[DescribedAttribute]) -> str:
    """The attributes of an operator; empty where it has none."""
    if not attributes:
        return ""
    lines = "".join(f"{line}\n" for a in attributes for line in _attribute(a))
    return f"export interface {_interface_name(operator)} {{\n{lines}}}\n\n"


def _attribute(attribute: DescribedAttribute) -> Iterator[str]:
    name, default = camel_case(attribute["name"]), attribute["default"]
    choices = attribute["choices"]
    said = [] if name == attribute["name"] else [f"ONNX's `{attribute['name']}`"]
    if default is not None:
        number = f"{default:g}".replace("inf", "Infinity")
        known = json.dumps(choices[int(default)]) if choices else number
        each = " for each" if attribute["per_unit"] else ""
        said.append(f"{known}{each} where left out")
    if attribute["per_unit"] > 1:
        said.append(f"{attribute['per_unit']} for each axis")
    if said:
        yield f"  /** {'; '.join(said)}. */"
    optional = default is not None
    undefined = " | undefined" if optional else ""
    yield f"  {name}{'?' * optional}: {_kind(attribute)}{undefined};"


def _kind(attribute: DescribedAttribute) -> str:
    if attribute["choices"]:
        return " | ".join(json.dumps(choice) for choice in attribute["choices"])
    one = "number" if attribute["kind"] == "float" else "number | bigint"
    if attribute["per_unit"]:
        return f"number | ArrayLike<{one}>"
    return one if attribute["kind"] == "float" else f"{one} | boolean"


def _operator(
    name: str, formula: str, kernels: Sequence[LibraryKernel]
) -> Iterator[str]:
    """The signatures of an operator: one for each kernel and set of inputs."""
    for i, kernel in enumerate(kernels):
        for inputs in _given(kernel["inputs"]):
            if i == 0 and inputs == kernel["inputs"][: len(inputs)]:
                yield f"  /** `{formula.replace('*/', '* /')}` */"
            yield _signature(name, kernel, inputs, _needs_to(kernel, inputs, kernels))


def _given(inputs: Sequence[DescribedTensor]) -> list[Sequence[DescribedTensor]]:
    """The inputs that a call may have: optional ones may be left out from the end."""
    required = sum(not t["optional"] for t in inputs)
    return [inputs[:count] for count in range(required, len(inputs) + 1)]


def _needs_to(
    kernel: LibraryKernel,
    inputs: Sequence[DescribedTensor],
    kernels: Sequence[LibraryKernel],
) -> bool:
    """Whether other kernels take these inputs too, so that the output decides."""
    dtypes = [t["dtype"] for t in inputs]
    return any(
        [t["dtype"] for t in other["inputs"]][: len(inputs)] == dtypes
        for other in kernels
        if other is not kernel
    )


def _signature(
    name: str,
    kernel: LibraryKernel,
    inputs: Sequence[DescribedTensor],
    needs_to: bool,
) -> str:
    words = [f"{camel_case(t['name'])}: {_input(t)}" for t in inputs]
    (*_, last) = kernel["outputs"]
    result = f'{_TENSOR}<"{last["dtype"]}">{"[]" if last["variadic"] else ""}'
    attributes = kernel["attributes"]
    own = [_interface_name(name)] if attributes else []
    to = f'"{last["dtype"]}"'
    extra = [f"out?: {result} | undefined"]
    extra.append(f"to: {to}" if needs_to else f"to?: {to} | undefined")
    extra += ["numOutputs?: number | undefined"] if last["variadic"] else []
    required = needs_to or any(a["default"] is None for a in attributes)
    options = " & ".join([*own, f"{{ {'; '.join(extra)} }}"])
    words.append(f"options{'' if required else '?'}: {options}")
    return f"  {camel_case(name)}({', '.join(words)}): {result};"


def _input(tensor: DescribedTensor) -> str:
    kind = f'{_INPUT}<"{tensor["dtype"]}">'
    if tensor["variadic"]:
        return f"readonly {kind}[]"
    return f"{kind} | null | undefined" if tensor["optional"] else kind
