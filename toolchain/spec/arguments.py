"""What an operator file names: tensors, attributes, bounds, cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from toolchain.abi import Attr

ATTRIBUTE_KINDS = tuple(kind.name.lower() for kind in Attr)


class SpecError(Exception):
    """An operator file that does not say what it must; the text is for its author."""


@dataclass(frozen=True)
class Input:
    """A tensor that an operator reads.

    dims: canonical sizes, one letter or word each ("o n"); the same word is the
    same size; "" where the operator's own C takes any shape. dtype: None for the
    operator's first dtype, a number for the dtype at that position of its tuple, a
    name for a fixed one, or a mapping from the first dtype to a name. optional: may be
    absent, and is then `fill` everywhere.
    variadic: any number of tensors.
    """

    name: str
    dims: str
    dtype: str | int | Mapping[str, str] | None = None
    optional: bool = False
    fill: float = 0.0
    variadic: bool = False


@dataclass(frozen=True)
class Output:
    """A tensor that an operator writes; dtype and variadic as for Input.

    late: its sizes follow from elements; before the call only the largest are known.
    """

    name: str = "out"
    dtype: str | int | Mapping[str, str] | None = None
    variadic: bool = False
    late: bool = False


@dataclass(frozen=True)
class Attribute:
    """A runtime argument that is not a tensor.

    kind: "int" or "float". default: its value where the caller gives none
    (None: required). per_unit: 0 for one value, k for a list with k entries per
    unit (axis, spatial dimension, ...). choices: names of the values 0, 1, ....
    kernel: how many values the kernel gets (0: the runtime uses it up); None
    means 1 for a value and 0 for a list. dtype: of the kernel's variable.
    unbounded: any int64 or float64 is taken.
    """

    name: str
    kind: str = "int"
    default: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    per_unit: int = 0
    choices: tuple[str, ...] = ()
    kernel: int | None = None
    dtype: str | None = None
    unbounded: bool = False

    def __post_init__(self) -> None:
        if self.kind not in ATTRIBUTE_KINDS:
            raise SpecError(
                f"attribute {self.name}: kind {self.kind!r} is unknown; use "
                f"{' or '.join(ATTRIBUTE_KINDS)}"
            )
        low = -inf if self.minimum is None else self.minimum
        high = inf if self.maximum is None else self.maximum
        if not low <= (low if self.default is None else self.default) <= high:
            raise SpecError(
                f"attribute {self.name}: its default {self.default} is outside its "
                f"range, {low} to {high}"
            )

    def limits(self) -> tuple[float, float]:
        """The least and the greatest value that the runtime lets a call give."""
        if self.choices:
            return 0.0, float(len(self.choices) - 1)
        wide = self.kind == "float" or self.unbounded
        low, high = (-inf, inf) if wide else (-(2.0**31), 2.0**31 - 1)
        return (
            low if self.minimum is None else self.minimum,
            high if self.maximum is None else self.maximum,
        )

    @property
    def slots(self) -> int:
        """How many values of it the kernel gets."""
        if self.kernel is not None:
            return self.kernel
        return 0 if self.per_unit else 1

    @property
    def variable_dtype(self) -> str:
        """Dtype of the kernel's variable."""
        return self.dtype or ("int32" if self.kind == "int" else "float32")

    def names(self) -> list[str]:
        """Names of the kernel's variables."""
        if self.per_unit:
            return [f"{self.name}_{i}" for i in range(self.slots)]
        return [self.name] * self.slots


@dataclass(frozen=True)
class Bound:
    """How far a float result may be from the reference rounded once.

    ulp: in units of the last place of the reference's magnitude, or of `scale`
    (for results that cancel: what was added up, from the operator's
    `reference_scale`) where that is larger. absolute: an error that is let pass
    in any case. why: the reason for the number.
    """

    ulp: float = 0.0
    absolute: float = 0.0
    why: str = ""


NO_BOUND = Bound()  # of operators that say none


@dataclass(frozen=True)
class Case:
    """One input set: numpy arrays (None: absent) and attributes by name."""

    name: str
    inputs: tuple[Any, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)


def tensor_dtype(tensor: Input | Output, dtypes: tuple[str, ...]) -> str:
    """Dtype of a tensor in one variant of its operator."""
    if tensor.dtype is None:
        return dtypes[0]
    if isinstance(tensor.dtype, int):
        return dtypes[tensor.dtype]
    if isinstance(tensor.dtype, str):
        return tensor.dtype
    return tensor.dtype[dtypes[0]]


def kernel_name(operator: str, dtypes: tuple[str, ...]) -> str:
    """Name of one variant: <operator>_<dtype>[_<dtype>]."""
    return "_".join((operator, *dtypes))
