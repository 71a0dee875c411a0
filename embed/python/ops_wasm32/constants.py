"""Constants: inputs of an ONNX file that the compiler's --value made constant."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ops_wasm32.convert import Array, to_array
from ops_wasm32.errors import ArgumentError, listed

# ONNX Runtime's names for dtypes, where they are not numpy's.
_DTYPES = {"float": "float32", "double": "float64"}
_BOOLS = {"true": True, "false": False, "1": True, "0": False}


def constants_of(
    words: Sequence[str], inputs: Sequence[Any], shapes: Sequence[Any], where: str
) -> dict[str, Array]:
    """Arrays by the names of inputs, from texts such as rate=16000 or axes=1,2.

    inputs: of ONNX Runtime's session. shapes: of the inputs that are no
    constants, in order; they say what sizes with names are. One number fills an input.
    Errors: ArgumentError.
    """
    given = _texts(words)
    known = {i.name for i in inputs}
    by_name = {n: i for i in inputs for n in (_plain(i.name), i.name)}
    for name in given:
        if name not in by_name:
            raise ArgumentError(
                f"--value {name}: {where} has no such input; use "
                f"{listed(sorted(known))}"
            )
    chosen = {by_name[name].name: texts for name, texts in given.items()}
    sizes: dict[str, int] = {}
    free = [i for i in inputs if i.name not in chosen]
    for tensor, shape in zip(free, shapes, strict=False):
        pairs = zip(tensor.shape, shape, strict=False)
        sizes |= {name: n for name, n in pairs if isinstance(name, str)}
    return {
        i.name: _array(i, chosen[i.name], sizes) for i in inputs if i.name in chosen
    }


def _texts(words: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for word in words:
        name, _, text = word.rpartition("=")
        if not name or not re.fullmatch(r"[^,\s]+(,[^,\s]+)*", text):
            raise ArgumentError(
                f"--value {word!r} is no value; give NAME=NUMBER, or a number for each "
                "element, as in --value axes=1,2"
            )
        if found.setdefault(name, text.split(",")) != text.split(","):
            raise ArgumentError(f"--value gives {name} twice; give it once")
    return found


def _plain(name: str) -> str:
    """A name as modules have it: letters, digits and _ alone."""
    name = re.sub(r"\W", "_", name, flags=re.ASCII)
    return name if name[:1].isalpha() else f"t{name}"


def _array(tensor: Any, texts: list[str], sizes: Mapping[str, int]) -> Array:
    """The elements of an input. tensor: as ONNX Runtime describes it."""
    what = f"--value {tensor.name}={','.join(texts)}"
    kind = tensor.type.removeprefix("tensor(").removesuffix(")")
    dtype = _DTYPES.get(kind, kind)
    shape = _shape(tensor.shape, len(texts), sizes)
    if len(texts) not in (1, math.prod(shape)):
        raise ArgumentError(
            f"{what}: the input has shape {list(shape)}; give 1 or {math.prod(shape)} "
            "numbers"
        )
    if not re.fullmatch(r"(float|u?int)\d+|bool", dtype):
        raise ArgumentError(
            f"{what}: the input is of {dtype}; only numbers can be given"
        )
    numbers = [_number(text, dtype, what) for text in texts]
    wide = dtype in ("float16", "float64")
    data = np.array(numbers, dtype) if wide else to_array(numbers, dtype, what)
    return np.full(shape, data[0]) if len(texts) == 1 else data.reshape(shape)


def _shape(
    pattern: Sequence[Any], count: int, sizes: Mapping[str, int]
) -> tuple[int, ...]:
    """A shape in which each size that nothing gives is what is left of `count`."""
    shape = [sizes.get(n) if isinstance(n, str) else n for n in pattern]
    rest = max(1, count // max(1, math.prod(n for n in shape if n is not None)))
    for i, n in enumerate(shape):
        if n is None:
            shape[i], rest = rest, 1
    return tuple(n for n in shape if n is not None)


def _number(text: str, dtype: str, what: str) -> float | int | bool:
    if dtype == "bool":
        if text.lower() in _BOOLS:
            return _BOOLS[text.lower()]
        raise ArgumentError(f"{what}: {text!r} is no bool; give true or false")
    try:
        return float(text) if dtype.startswith("float") else int(text)
    except ValueError:
        raise ArgumentError(f"{what}: {text!r} is no {dtype}") from None
