"""What an operator file says: the vocabulary of kernels/*.py.

An operator file sets ``KERNEL = Operator(...)``. Everything else (tasks, table,
header, documentation, tests) follows from it. The module imports neither TVM nor
numpy by itself: ``te`` and ``tir`` load TVM when they are first used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from toolchain.abi import MAX_RANK, MAX_TENSORS, Attr
from toolchain.dtypes import NAMES as DTYPES
from toolchain.dtypes import SAME_WIDTH
from toolchain.spec.kernel import Kernel
from toolchain.spec.math import Let
from toolchain.spec.tvm import Buffer, Expr, Schedule, Tensor, script, te, tir
from toolchain.targets import Target

__all__ = [
    "DTYPES",
    "MAX_RANK",
    "MAX_TENSORS",
    "PARTIAL_SUMS",
    "SAME_WIDTH",
    "Attribute",
    "Bound",
    "Buffer",
    "Case",
    "Expr",
    "Input",
    "Kernel",
    "Operator",
    "Output",
    "Pointwise",
    "Schedule",
    "SpecError",
    "Target",
    "Tensor",
    "pointwise",
    "script",
    "te",
    "tir",
]

# How the runtime brings tensors of any rank to a kernel's canonical sizes:
# collapse (a C file, runtime_stub/collapse_<name>.c) and its rules, by number.
COLLAPSES: dict[str, tuple[str, ...]] = {
    "elementwise": ("broadcast",),
    "rows": ("axis", "reduce_axis", "reduce_axes", "trailing", "spatial"),
    "exact": ("plain", "lift", "pad_left", "lift_pad_left", "flat"),
    "matmul": ("plain", "zero_points", "packed"),
    "channels": ("second", "axis"),
    "view": ("transpose", "slice", "expand", "tile", "split", "reshape"),
    "gather": ("axis",),
    "concat": ("axis",),
    "pad": ("axes",),
}
# The canonical axes of an operator's first inputs, and of the inputs after them.
CANONICAL = {
    "elementwise": ("n",),
    "rows": ("o n",),
    "matmul": ("M K",),
    "channels": ("o c k", "c"),
    "gather": ("o n k", "m"),
    "concat": ("n",),
    "pad": ("o n k",),
}
# Collapses whose operators may have several outputs.
SEVERAL_OUTPUTS = ("rows", "exact", "view")
# Collapses whose output sizes follow from `compute`, and which look at `requires`.
ASKED = ("exact", "pad")
ATTRIBUTE_KINDS = tuple(kind.name.lower() for kind in Attr)
MAX_UNITS = MAX_RANK  # of a list: one for each axis

# Why extremes are smaller (see Operator.narrow).
PARTIAL_SUMS = "sums in float32, of products with or without a rounding of their own"


class SpecError(Exception):
    """An operator file that does not say what it must; the text is for its author."""


@dataclass(frozen=True)
class Input:
    """A tensor that an operator reads.

    dims: canonical sizes, one letter or word each ("o n"); the same word is the
    same size. dtype: None for the operator's first dtype, a number for the dtype
    at that position of its tuple, a name for a fixed one, or a mapping from the
    first dtype to a name. optional: may be absent, and is then `fill` everywhere.
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
    """A tensor that an operator writes; dtype and variadic as for Input."""

    name: str = "out"
    dtype: str | int | Mapping[str, str] | None = None
    variadic: bool = False


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


@dataclass(frozen=True)
class Case:
    """One input set: numpy arrays (None: absent) and attributes by name."""

    name: str
    inputs: tuple[Any, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)


_BOUNDS = ('bound=Bound(ulp=2, why="two roundings")', 'bound=Bound(why="exact")')
# What the elements of an operator's tuples are, and what to write.
_ELEMENTS: dict[str, Any] = {
    "inputs": Input,
    "outputs": Output,
    "attributes": Attribute,
    "dtypes": (str, tuple),
    "sizes": str,
    "in_place": str,
    "aliases": str,
}
_KINDS = {
    "inputs": 'write Input("x", "n")',
    "outputs": 'write Output("out")',
    "attributes": 'write Attribute("axis")',
    "dtypes": 'write a name, such as "float32", or a tuple of names',
} | dict.fromkeys(("sizes", "in_place", "aliases"), "write names in quotes")


def _shown(value: Any) -> str:
    """A value as its author wrote it, or nearly."""
    if isinstance(value, Input):
        return f'Input("{value.name}", "{value.dims}")'
    if isinstance(value, Output | Attribute):
        return f'{type(value).__name__}("{value.name}")'
    return f'"{value}"' if isinstance(value, str) else repr(value)


@dataclass(frozen=True)
class Operator:
    """One operator, for every dtype and target.

    collapse: "<collapse>.<rule>" of COLLAPSES. compute: from a Kernel (inputs,
    sizes, attributes by name) to the output te.Tensor or a list of them. columns:
    the second form of a "rows" operator, over x[o, n, k]. reference: numpy, from
    the inputs (floats as float64; None where absent) and attributes by name, and
    `dtypes` where it has such a parameter.
    cases: from a dtype tuple and a numpy Generator to cases. dtypes: a name, or a
    tuple where several vary. absent: why a dtype is not there. stored_as: dtypes
    whose elements another dtype's kernel moves just as well, such as SAME_WIDTH.
    kernels: a name for the kernels where other operators have the same ones under it,
    so that a program holds one copy.
    narrow: why a partial result may leave float32 where the result does not: the
    cases of extremes have smaller finite ones then.
    in_place: names of intermediates of the output's shape and dtype that live in
    the output's memory, so that they need no workspace.
    """

    collapse: str
    inputs: tuple[Input, ...]
    dtypes: tuple[str | tuple[str, ...], ...]
    reference: Callable[..., Any]
    cases: Callable[..., Iterable[Case]]
    compute: Callable[[Kernel], Tensor | list[Tensor]] | None = None
    outputs: tuple[Output, ...] = (Output(),)
    attributes: tuple[Attribute, ...] = ()
    columns: Callable[[Kernel], Tensor | list[Tensor]] | None = None
    schedule: Callable[[Schedule, Target], None] | None = None
    requires: Callable[[Kernel], list[tuple[Expr, str]]] | None = None
    reference_scale: Callable[..., Any] | None = None
    bound: Bound = Bound()
    sizes: tuple[str, ...] = ()
    units: int | None = None
    reassociate: bool = False
    narrow: str = ""
    stored_as: Mapping[str, str] = field(default_factory=dict)
    kernels: str | None = None
    in_place: tuple[str, ...] = ()
    absent: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    source: str | None = None

    def __post_init__(self) -> None:
        self._check_tuples()
        name, _, rule = self.collapse.partition(".")
        if rule not in COLLAPSES.get(name, ()):
            known = ", ".join(f"{c}.{r}" for c, rs in COLLAPSES.items() for r in rs)
            raise SpecError(
                f"collapse {self.collapse!r} is unknown; use one of {known}"
            )
        self._check_dims(name)
        if len(self.outputs) > 1 and name not in SEVERAL_OUTPUTS:
            raise SpecError(
                f"{len(self.outputs)} outputs, and {self.collapse} writes one; use a "
                f"collapse of {', '.join(SEVERAL_OUTPUTS)}"
            )
        if self.requires is not None and not self.asked:
            raise SpecError(
                f"{self.collapse} does not check `requires`; leave it out, or use a "
                f"collapse of {', '.join(ASKED)}"
            )
        if (self.compute is None) == (self.source is None):
            raise SpecError("give either compute (TE) or source (a C file)")
        for dtype in {d for t in self.variants() for d in t} | set(self.absent):
            if dtype not in DTYPES:
                raise SpecError(f"dtype {dtype!r} is unknown; use {', '.join(DTYPES)}")
        self._check_bound()

    def _check_tuples(self) -> None:
        """Python takes ("float32") for a text, and (Input("x", "n")) for an input."""
        for name, kind in _ELEMENTS.items():
            value = getattr(self, name)
            if not isinstance(value, tuple | list):
                raise SpecError(
                    f"{name} is {_shown(value)}, not a tuple; a tuple of one needs a "
                    f"comma: {name}=({_shown(value)},)"
                )
            for element in value:
                if not isinstance(element, kind):
                    raise SpecError(f"{name} holds {_shown(element)}; {_KINDS[name]}")

    def _check_bound(self) -> None:
        """What computes floats says how exact it is, and why."""
        if not isinstance(self.bound, Bound):
            raise SpecError(f"bound is {self.bound!r}; write {_BOUNDS[0]}")
        floats = any(
            tensor_dtype(tensor, self.stored(variant)) == "float32"
            for variant in self.variants()
            for tensor in self.outputs
        )
        if floats and not self.bound.why:
            what = (
                f"ulp={self.bound.ulp:g} without why" if self.bound.ulp else "no bound"
            )
            raise SpecError(
                f"float32 results have {what}; write how far they may be from the "
                f"reference, {_BOUNDS[0]}, or {_BOUNDS[1]} where they are exact"
            )

    def _check_dims(self, collapse: str) -> None:
        expected = CANONICAL.get(collapse, ())
        for i, tensor in enumerate(self.inputs):
            known = i < len(expected) or collapse == "elementwise"
            if known and tensor.dims != expected[min(i, len(expected) - 1)]:
                raise SpecError(
                    f"input {tensor.name} has dims {tensor.dims!r}; {self.collapse} "
                    f"gives {expected[min(i, len(expected) - 1)]!r}"
                )

    @property
    def asked(self) -> bool:
        """Whether the runtime asks the operator for its output sizes and `requires`."""
        return self.collapse.partition(".")[0] in ASKED

    @property
    def unary(self) -> bool:
        """Whether it is elementwise with one input: n is then a multiple of 16.

        So its kernels need no loop for a rest, which is as large as the vector loop
        and slower; runtime_stub/collapse_unary.c sees to it.
        """
        return self.collapse == "elementwise.broadcast" and len(self.inputs) == 1

    def variants(self) -> list[tuple[str, ...]]:
        """The dtype tuples it is compiled for."""
        return [(d,) if isinstance(d, str) else tuple(d) for d in self.dtypes]

    def tensors(self) -> list[Input | Output]:
        """Inputs, then outputs."""
        return [*self.inputs, *self.outputs]

    def stored(self, variant: tuple[str, ...]) -> tuple[str, ...]:
        """The variant whose kernel serves this one: itself, or by `stored_as`."""
        return tuple(self.stored_as.get(d, d) for d in variant)

    def body(self, name: str, variant: tuple[str, ...]) -> str:
        """Name of the kernel that serves a variant of the operator of that name."""
        return kernel_name(self.kernels or name, self.stored(variant))

    def symbols(self) -> list[str]:
        """Names of the sizes that a kernel gets, in order."""
        words = [w for i in self.inputs for w in i.dims.split()] + list(self.sizes)
        return list(dict.fromkeys(words))

    def max_units(self) -> int:
        """The most units that one call may have."""
        if self.units is not None:
            return self.units
        if any(t.variadic for t in self.tensors()):
            return MAX_TENSORS - 2
        return MAX_UNITS if any(a.per_unit for a in self.attributes) else 0


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


@dataclass(frozen=True)
class Pointwise:
    """Compute of an elementwise operator: out[i] = formula(k, a[i], b[i], ...).

    The result is cast to the output's dtype; k holds the attributes by name. loops: a
    compute of its own that gives the same elements. Models fuse formulas with others.
    """

    formula: Callable[..., Expr]
    loops: Callable[[Kernel], Tensor] | None = None

    def __call__(self, k: Kernel) -> Tensor:
        """The output of a kernel."""
        if self.loops is not None:
            return self.loops(k)
        return te.compute(
            (k.n,), lambda i: self.element(k, [t[i] for t in k.inputs]), name="out"
        )

    def element(self, k: Kernel, elements: Iterable[Expr]) -> Expr:
        """An element of the output, from elements of the inputs."""
        # Operands are bound: TVM makes a select that holds a load a branch.
        let = Let()
        operands = [let(e) for e in elements]
        return let.around(self.formula(k, *operands).astype(k.output_dtypes[0]))


pointwise = Pointwise
