"""Signatures: the text of ops_signature(), parsed strictly.

softmax_float32(x: float32) -> (out: float32); axis: int = -1
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ops_wasm32.errors import ModuleError
from ops_wasm32.tables import DTYPES

_NAME = r"[A-Za-z_]\w*"
_NUMBER = r"[+-]?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|inf|nan)"
_HEAD = re.compile(rf"({_NAME})\(([^()]*)\) -> \(([^()]*)\)")
_PARAM = re.compile(rf"({_NAME})(\.\.\.|\?)?: ({'|'.join(DTYPES)})")
_ATTRIBUTE = re.compile(
    rf"({_NAME}): (int|float)(?:\[([1-9])\])?(?:\{{([^{{}}]+)\}})?"
    rf"(?: = ({_NUMBER}))?(?: >= ({_NUMBER}))?(?: <= ({_NUMBER}))?"
)
_CHOICE = re.compile(rf"({_NAME})=(\d+)")


@dataclass(frozen=True)
class Param:
    """A tensor. variadic: one for each unit of the call; optional: may be None."""

    name: str
    dtype: str
    optional: bool = False
    variadic: bool = False


@dataclass(frozen=True)
class Attribute:
    """An argument that is not a tensor.

    kind: "int" or "float". per_unit: 0 for one value, k for a list of k entries
    per unit. default: None where it is required.
    """

    name: str
    kind: str
    per_unit: int = 0
    choices: tuple[str, ...] = ()
    default: float | None = None
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True)
class Signature:
    """What one kernel takes and gives. index: its number in the module."""

    name: str
    inputs: tuple[Param, ...]
    outputs: tuple[Param, ...]
    attributes: tuple[Attribute, ...]
    index: int = -1

    def tensors_text(self) -> str:
        """Name and inputs, for messages: `add_int8(a: int8, b: int8)`."""
        inputs = ", ".join(f"{p.name}: {p.dtype}" for p in self.inputs)
        return f"{self.name}({inputs})"


def split_kernel(name: str) -> tuple[str, tuple[str, ...]]:
    """Operator and dtypes of a kernel: cast_float32_int8 -> cast, (float32, int8)."""
    words = name.split("_")
    dtypes: list[str] = []
    while len(words) > 1 and words[-1] in DTYPES:
        dtypes.insert(0, words.pop())
    return "_".join(words), tuple(dtypes)


def expand(params: tuple[Param, ...], count: int) -> tuple[Param, ...]:
    """Params with the variadic last one repeated, to count of them."""
    if not params or not params[-1].variadic:
        return params
    fixed = params[:-1]
    return (*fixed, *([params[-1]] * (count - len(fixed))))


def parse_signature(text: str, index: int = -1) -> Signature:
    """Parse a signature; ModuleError where it is not in the grammar."""
    head, *attributes = text.split("; ")
    match = _HEAD.fullmatch(head)
    if not match:
        raise ModuleError(f"signature {text!r} is not in the form name(...) -> (...)")
    parsed = tuple(_attribute(part, text) for part in attributes)
    inputs, outputs = _params(match[2], text), _params(match[3], text)
    return Signature(match[1], inputs, outputs, parsed, index)


def _params(part: str, text: str) -> tuple[Param, ...]:
    params = []
    for word in part.split(", ") if part else []:
        match = _PARAM.fullmatch(word)
        if not match:
            raise ModuleError(f"signature {text!r}: cannot read tensor {word!r}")
        mark = match[2]
        params.append(Param(match[1], match[3], mark == "?", mark == "..."))
    if any(p.variadic for p in params[:-1]):
        raise ModuleError(f"signature {text!r}: only the last tensor may be variadic")
    return tuple(params)


def _attribute(part: str, text: str) -> Attribute:
    match = _ATTRIBUTE.fullmatch(part)
    if not match:
        raise ModuleError(f"signature {text!r}: cannot read attribute {part!r}")
    name, kind, per_unit, choices, *numbers = match.groups()
    default, minimum, maximum = (None if n is None else float(n) for n in numbers)
    return Attribute(
        name,
        kind,
        int(per_unit or 0),
        _choices(choices, text) if choices else (),
        default,
        minimum,
        maximum,
    )


def _choices(part: str, text: str) -> tuple[str, ...]:
    pairs = [_CHOICE.fullmatch(word) for word in part.split(",")]
    names = tuple(p[1] for i, p in enumerate(pairs) if p and int(p[2]) == i)
    if len(names) != len(pairs):
        raise ModuleError(f"signature {text!r}: cannot read choices {part!r}")
    return names
