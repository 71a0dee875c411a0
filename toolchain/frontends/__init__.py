"""Frontends: model files become Relax, or graphs of operators."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from toolchain.abi import MAX_SIZE
from toolchain.spec import SpecError

# A size, or the least and greatest that it may have in a call.
Dim: TypeAlias = "int | tuple[int, int]"


@dataclass(frozen=True)
class Model:
    """A model in Relax: `main` of the module, all of whose shapes are known.

    inputs, outputs: names that C and Python take, in the order of `main`. places: the
    node of the file that each variable of `main` comes from, as errors call it.
    notes: what the user should know of the file.
    """

    name: str
    module: Any
    inputs: list[str]
    outputs: list[str]
    places: Mapping[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Given:
    """What the user says of a model's inputs.

    shapes: of inputs by name. dims: sizes by the names that a file gives them, each a
    number or its bounds. values: numbers, as texts, of inputs that become constants.
    """

    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    dims: Mapping[str, Dim] = field(default_factory=dict)
    values: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def sizes(self) -> dict[str, int]:
        """Those of dims that are numbers."""
        return {n: size for n, size in self.dims.items() if isinstance(size, int)}


class Places:
    """The node of the file that each variable comes from, as it is converted."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self._count = 0

    def add(self, results: Iterable[Any], place: str) -> None:
        """Note where all variables up to a node's results come from.

        Relax numbers the variables of a function in the order in which it gets them:
        lv, lv1, lv2.
        """
        hints = [getattr(r, "name", "") for r in results]
        numbers = [int(h[2:] or 0) for h in hints if re.fullmatch(r"lv\d*", h)]
        for i in range(self._count, max(numbers, default=-1) + 1):
            self.names[f"lv{i or ''}"] = place
            self._count = i + 1


class OpenSizesError(SpecError):
    """Sizes that neither the file nor the user gives; options: words that give them."""

    def __init__(self, text: str, options: Sequence[str] = ()) -> None:
        super().__init__(text, options)
        self.options = list(options)

    def __str__(self) -> str:
        return str(self.args[0])


def read_model(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    dims: Mapping[str, Dim] | None = None,
    values: Mapping[str, Sequence[str]] | None = None,
) -> Model:
    """Read an ONNX file. Errors: SpecError, with every reason at once.

    shapes, dims, values: as Given has them.
    """
    given = Given(shapes, dims or {}, values or {})
    if path.suffix == ".onnx":
        from toolchain.frontends import onnx

        return onnx.read(path, given)
    raise SpecError(f"{path}: suffix {path.suffix!r} is unknown; use .onnx or .mindir")


def plain(name: str) -> str:
    """A name that C and Python take."""
    name = re.sub(r"\W", "_", name, flags=re.ASCII)
    return name if name[:1].isalpha() else f"t{name}"


def unique(names: Sequence[str]) -> list[str]:
    """Names that C and Python take, all different."""
    found: list[str] = []
    for name in map(plain, names):
        count, other = 1, name
        while other in found:
            count += 1
            other = f"{name}_{count}"
        found.append(other)
    return found


def shapes_of(words: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Shapes by name, from texts such as image=1,3,224,224. Errors: SpecError."""
    found = _parsed(
        words,
        r"\d+(,\d+)*",
        "--shape {} is no shape; give name=sizes, as in --shape image=1,3,224,224",
    )
    return {n: tuple(int(k) for k in t.split(",")) for n, t in found.items()}


def dims_of(words: Sequence[str]) -> dict[str, Dim]:
    """Sizes by name, from texts such as batch=1 or seq=1..512. Errors: SpecError."""
    found = _parsed(
        words,
        r"\d+(\.\.\d+)?",
        "--dim {} is no size; give name=size, as in --dim batch=1, or bounds, as in "
        "--dim seq=1..512",
    )
    return {name: _dim(name, text) for name, text in found.items()}


def _dim(name: str, text: str) -> Dim:
    """A size, or bounds. Errors: SpecError for what no size can be."""
    ends = [int(n) for n in text.split("..")]
    if ends != sorted(ends) or ends[-1] > MAX_SIZE:
        raise SpecError(
            f"--dim {name}={text}: is no range of sizes; give the least, then the "
            f"greatest, which is at most {MAX_SIZE}"
        )
    return ends[0] if ends[0] == ends[-1] else (ends[0], ends[-1])


def values_of(words: Sequence[str]) -> dict[str, list[str]]:
    """Numbers by name, from texts such as rate=16000. Errors: SpecError."""
    found = _parsed(
        words,
        r"[^,\s]+(,[^,\s]+)*",
        "--value {} is no value; give name=numbers, as in --value rate=16000",
    )
    return {n: t.split(",") for n, t in found.items()}


def _parsed(words: Sequence[str], pattern: str, message: str) -> dict[str, str]:
    """Texts by name, from name=text. message: what an error says, with the word."""
    found: dict[str, str] = {}
    for word in words:
        name, _, text = word.rpartition("=")
        if not name or not re.fullmatch(pattern, text, re.ASCII):
            raise SpecError(message.format(repr(word)))
        if found.setdefault(name, text) != text:
            option = message.split()[0]
            raise SpecError(f"{option} gives {name} twice: {found[name]} and {text}")
    return found
