"""What an operator file says: the vocabulary of kernels/*.py.

An operator file sets ``KERNEL = Operator(...)``. Everything else (tasks, table,
header, documentation, tests) follows from it. The module imports neither TVM nor
numpy by itself: ``te`` and ``tir`` load TVM when they are first used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from toolchain.abi import MAX_RANK, MAX_TENSORS
from toolchain.dtypes import DTYPES as OF_MODELS
from toolchain.dtypes import NAMES as DTYPES
from toolchain.dtypes import SAME_WIDTH
from toolchain.spec.arguments import (
    NO_BOUND,
    Attribute,
    Bound,
    Case,
    Input,
    Output,
    SpecError,
    kernel_name,
    tensor_dtype,
)
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
    "kernel_name",
    "pointwise",
    "script",
    "te",
    "tensor_dtype",
    "tir",
]

# How the runtime brings tensors of any rank to a kernel's canonical sizes:
# collapse (a C file, runtime_stub/collapse_<name>.c) and its rules, by number. With
# "own" the operator's C file holds the collapse: `ops_collapse_<operator>`.
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
    "own": ("plain",),
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
SEVERAL_OUTPUTS = ("rows", "exact", "view", "own")
# Collapses whose output sizes follow from `compute`, and which look at `requires`.
ASKED = ("exact", "pad")
MAX_UNITS = MAX_RANK  # of a list: one for each axis

# Why extremes are smaller (see Operator.narrow).
PARTIAL_SUMS = "sums in float32, of products with or without a rounding of their own"


_BOUNDS = ('bound=Bound(ulp=2, why="two roundings")', 'bound=Bound(why="exact")')
# What the elements of an operator's tuples are, and what to write.
_ELEMENTS: dict[str, Any] = {
    "inputs": Input,
    "outputs": Output,
    "attributes": Attribute,
    "dtypes": (str, tuple),
    "models": (str, tuple),
    "sizes": str,
    "in_place": str,
    "aliases": str,
}
_KINDS = {
    "inputs": 'write Input("x", "n")',
    "outputs": 'write Output("out")',
    "attributes": 'write Attribute("axis")',
    "dtypes": (_NAMES := 'write a name, such as "float32", or a tuple of names'),
    "models": _NAMES,
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
    models: more dtypes, which models alone have: the library does not grow by them.
    models_source: a C file with kernels of these; they have no second form.
    kernels: a name for the kernels where other operators have the same ones under it,
    so that a program holds one copy.
    narrow: why a partial result may leave float32 where the result does not: the
    cases of extremes have smaller finite ones then.
    shapes: of a collapse of its own: from a toolchain.graph.calls.Call to the outputs'
    shapes, as far as they are known before a model runs.
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
    bound: Bound = NO_BOUND
    sizes: tuple[str, ...] = ()
    units: int | None = None
    reassociate: bool = False
    narrow: str = ""
    stored_as: Mapping[str, str] = field(default_factory=dict)
    models: tuple[str | tuple[str, ...], ...] = ()
    models_source: str | None = None
    kernels: str | None = None
    shapes: Callable[[Any], list[Any]] | None = None
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
        self._check_own()
        both = (*self.variants(), *self.model_variants())
        for dtype in {d for t in both for d in t} | set(self.absent):
            if dtype not in OF_MODELS:
                known = ", ".join(OF_MODELS)
                raise SpecError(f"dtype {dtype!r} is unknown; use {known}")
        self._check_bound()

    def _check_own(self) -> None:
        """What only C of the operator's own can do."""
        if self.own and self.source is None:
            raise SpecError(f"{self.collapse} needs source, a C file with its collapse")
        late = [o.name for o in self.outputs if o.late]
        if late and not self.own:
            raise SpecError(
                f"output {late[0]} is late, but {self.collapse} knows all sizes before "
                "it runs; use own.plain"
            )

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
    def own(self) -> bool:
        """Whether its C file holds its collapse."""
        return self.collapse.partition(".")[0] == "own"

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
        return _tuples(self.dtypes)

    def for_models(self, name: str) -> Operator:
        """The operator of that name, of the dtypes that models alone have.

        A module may hold it beside the other: no kernel has the name of one there.
        """
        found = replace(self, dtypes=self.models, models=(), models_source=None)
        if self.models_source is None:
            return replace(found, kernels=self.kernels or f"{name}_of_models")
        c = self.models_source
        return replace(found, compute=None, columns=None, schedule=None, source=c)

    def model_variants(self) -> list[tuple[str, ...]]:
        """The dtype tuples that models alone have."""
        return _tuples(self.models)

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


def _tuples(dtypes: Iterable[str | tuple[str, ...]]) -> list[tuple[str, ...]]:
    return [(d,) if isinstance(d, str) else tuple(d) for d in dtypes]


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
