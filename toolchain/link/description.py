"""Description: what a build knows of a compiled operator, in obj/<operator>.json."""

from __future__ import annotations

from typing import TypedDict


class DescribedTensor(TypedDict):
    """A tensor of a kernel."""

    name: str
    dtype: str
    optional: bool
    variadic: bool


class DescribedAttribute(TypedDict):
    """An attribute; default: None where it is required."""

    name: str
    kind: str
    default: float | None
    per_unit: int
    choices: list[str]


class DescribedKernel(TypedDict):
    """The tensors of one variant."""

    inputs: list[DescribedTensor]
    outputs: list[DescribedTensor]


class Description(TypedDict, total=False):
    """An operator; `error` alone where it could not be compiled.

    code: what the object follows from beside its static slice. sha256, bytes: of the
    object.
    """

    operator: str
    formula: str
    kernels: dict[str, DescribedKernel]
    room: dict[str, int]
    attributes: list[DescribedAttribute]
    aliases: list[str]
    absent: dict[str, str]
    code: list[str]
    sha256: str
    bytes: int
    error: str


class LibraryKernel(DescribedKernel):
    """A variant, as the manifest of a library has it."""

    operator: str
    attributes: list[DescribedAttribute]


class LibraryManifest(TypedDict):
    """Entries of a library's manifest.json: formulas and aliases by operator."""

    kernels: dict[str, LibraryKernel]
    formulas: dict[str, str]
    aliases: dict[str, str]
