"""Elementwise: operators over elements whose shapes are known, broadcasting by index.

The formula is the operator's own, so that its results have the same bits as with
runtime_stub/collapse_elementwise.c, which gathers what is broadcast.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from toolchain import spec
from toolchain.codegen.kernel_ir import kernel_flags
from toolchain.dtypes import STORAGE
from toolchain.graph.chains import Chain, Number
from toolchain.graph.operators import operator as named
from toolchain.lower.functions import used
from toolchain.lower.te import Kernel, entry, lower, without_loader
from toolchain.spec import (
    Expr,
    Input,
    Operator,
    Pointwise,
    Tensor,
    te,
    tensor_dtype,
    tir,
)
from toolchain.targets import Target

# An operand: a number, or the axes of the result that it has.
Operand = Number | tuple[int, ...]


@dataclass(frozen=True)
class Merged:
    """Axes that are broadcast for the same operands are one. axes: of each operand."""

    sizes: tuple[int, ...]
    axes: tuple[tuple[int, ...], ...]


def merged(shapes: Sequence[Sequence[int]]) -> Merged:
    """The axes of shapes that broadcast, as few as there can be; size 1 is none."""
    sizes: list[int] = []
    masks: list[tuple[bool, ...]] = []
    for axis in zip_longest(*(s[::-1] for s in shapes), fillvalue=1):
        size = next((n for n in axis if n != 1), 1)
        mask = tuple(n != 1 for n in axis)
        if size == 1:
            continue
        if masks and masks[-1] == mask:
            sizes[-1] *= size
        else:
            sizes.append(size)
            masks.append(mask)
    sizes, masks = sizes[::-1], masks[::-1]
    axes = [
        tuple(i for i, mask in enumerate(masks) if mask[operand])
        for operand in range(len(shapes))
    ]
    return Merged(tuple(sizes), tuple(axes))


@dataclass(frozen=True)
class Elementwise:
    """An elementwise operator with a formula, or a chain of them.

    dtypes: its variant. sizes: of the merged axes. constants: attributes.
    """

    made: str | Chain
    dtypes: tuple[str, ...]
    sizes: tuple[int, ...]
    operands: tuple[Operand, ...]
    constants: tuple[tuple[str, float], ...] = ()

    @property
    def operator(self) -> str:
        """The operator, or the last one of a chain."""
        return self.made if isinstance(self.made, str) else self.made.steps[-1].operator

    @property
    def name(self) -> str:
        """A name that says the operator and, by its hash, the rest."""
        digest = hashlib.sha256(repr(self).encode()).hexdigest()[:10]
        return f"{self.operator}_{digest}"

    def texts(self, target: Target) -> list[str]:
        """IR with `i32 kernel_<name>(ptr slots)`; slots: inputs, then the output."""
        base = named(self.made) if isinstance(self.made, str) else self.made.operator()
        own = self._with_axes(base)
        sizes = {f"axis{i}": n for i, n in enumerate(self.sizes)}
        constants = dict(self.constants) | sizes | {"one": 1}
        kernel = Kernel(own, self.dtypes, target, constants=constants)
        return compiled(own, self.name, kernel, target)

    def _with_axes(self, base: Operator) -> Operator:
        """The operator over the merged axes instead of n elements."""
        inputs = []
        for given, operand in zip(base.inputs, self.operands, strict=True):
            if not isinstance(operand, Number):
                dims = " ".join(f"axis{i}" for i in operand) or "one"
                dtype = tensor_dtype(given, self.dtypes)
                inputs.append(Input(given.name, dims, dtype=dtype))
        sizes = tuple(f"axis{i}" for i in range(len(self.sizes)))
        return replace(
            *(base,),
            **{"collapse": "exact.plain", "inputs": tuple(inputs), "sizes": sizes},
            **{"compute": self._compute, "schedule": None, "columns": None},
        )

    def _compute(self, k: spec.Kernel) -> Tensor:
        base = named(self.made) if isinstance(self.made, str) else self.made.operator()
        formula = base.compute
        assert isinstance(formula, Pointwise)

        def element(*at: Expr) -> Expr:
            tensors = iter(k.inputs)
            elements = [
                _number(o)
                if isinstance(o, Number)
                else next(tensors)[tuple(at[i] for i in o) or (0,)]
                for o in self.operands
            ]
            return formula.element(k, elements)

        return te.compute(self.sizes or (1,), element, name="out")


def _number(number: Number) -> Expr:
    return tir.const(number.value, STORAGE.get(number.dtype, number.dtype))


@dataclass(frozen=True)
class Strided:
    """A small copy: out[i, j, ...] = x[i * strides[0] + j * strides[1] + ...].

    Of planes that are too small to be worth the code of blocks by micro-kernels.
    dtype: of the integers that are moved.
    """

    dtype: str
    sizes: tuple[int, ...]
    strides: tuple[int, ...]

    operator = "transpose"

    @property
    def name(self) -> str:
        """A name that says what it does and, by its hash, the rest."""
        digest = hashlib.sha256(repr(self).encode()).hexdigest()[:10]
        return f"{self.operator}_{digest}"

    def texts(self, target: Target) -> list[str]:
        """IR with `i32 kernel_<name>(ptr slots)`; slots: x, then out."""
        own = replace(
            *(named(self.operator),),
            **{"collapse": "exact.plain", "inputs": (Input("x", "extent"),)},
            **{"sizes": (), "compute": self._compute, "schedule": None},
            **{"attributes": ()},
        )
        pairs = zip(self.sizes, self.strides, strict=True)
        extent = 1 + sum((n - 1) * s for n, s in pairs)
        kernel = Kernel(own, (self.dtype,), target, constants={"extent": extent})
        return compiled(own, self.name, kernel, target)

    def _compute(self, k: spec.Kernel) -> Tensor:
        def element(*at: Expr) -> Expr:
            pairs = zip(at, self.strides, strict=True)
            return k.x[sum(i * s for i, s in pairs)]

        return te.compute(self.sizes, element, name="out")


def compiled(own: Operator, name: str, kernel: Kernel, target: Target) -> list[str]:
    """IR with `i32 kernel_<name>(ptr slots)` of an operator over known sizes."""
    inner = f"te_{name}"
    assert own.compute is not None
    lowered = lower(own, inner, own.compute, kernel, target)
    text = without_loader(lowered.text, inner)
    text += entry(lowered, inner, f"kernel_{name}")
    text = kernel_flags(text, own, kernel.dtypes, target)
    return [text, *used([text], target)]
