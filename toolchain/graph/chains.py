"""Chains: elementwise operators that read each other's results, as one operator.

Its formula is theirs in turn, so that it gives their bits.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from toolchain.dtypes import STORAGE
from toolchain.graph.graph import Node, Value
from toolchain.graph.operators import operator
from toolchain.graph.references import computed
from toolchain.spec import (
    Attribute,
    Bound,
    Expr,
    Input,
    Operator,
    Output,
    Pointwise,
    tensor_dtype,
    tir,
)
from toolchain.spec.math import Let

if TYPE_CHECKING:
    from toolchain.spec import Kernel


@dataclass(frozen=True)
class Number:
    """A constant operand."""

    value: float
    dtype: str

    @staticmethod
    def of(value: float, dtype: str) -> Number:
        """A number in a dtype; beyond an integer's range its end."""
        if dtype.startswith("float") or dtype == "bool":
            return Number(value, dtype)
        ends = np.iinfo(dtype)
        return Number(int(max(ends.min, min(ends.max, value))), dtype)


@dataclass(frozen=True)
class Parameter:
    """A number that each node gives, as an attribute, so that nodes share a kernel."""

    name: str
    kind: str


# What a step reads: an input or a result by its number, inputs first; or a number.
Operand: TypeAlias = int | Number | Parameter


@dataclass(frozen=True)
class Step:
    """An operator with its variant and attributes, over operands."""

    operator: str
    variant: tuple[str, ...]
    attributes: tuple[tuple[str, float | Parameter], ...]
    operands: tuple[Operand, ...]

    @property
    def dtype(self) -> str:
        """Dtype of its result."""
        return tensor_dtype(operator(self.operator).outputs[0], self.variant)

    def parameters(self) -> list[Parameter]:
        """The numbers that it is given."""
        read = (*(v for _, v in self.attributes), *self.operands)
        return [v for v in read if isinstance(v, Parameter)]


@dataclass(frozen=True)
class Chain:
    """Steps in order; the last one's result is the chain's. inputs: their dtypes."""

    inputs: tuple[str, ...]
    steps: tuple[Step, ...]

    @property
    def name(self) -> str:
        """A name that says the operators and, by its hash, the rest."""
        digest = hashlib.sha256(repr(self).encode()).hexdigest()[:10]
        return f"{self.steps[-1].operator}_chain_{digest}"

    def operators(self) -> list[str]:
        """Names of its operators."""
        return list(dict.fromkeys(s.operator for s in self.steps))

    def operator(self) -> Operator:
        """The chain as an operator of the library's kind."""
        names = string.ascii_lowercase
        return Operator(
            collapse="elementwise.broadcast",
            inputs=tuple(
                Input(n, "n", dtype=d) for n, d in zip(names, self.inputs, strict=False)
            ),
            outputs=(Output(dtype=self.steps[-1].dtype),),
            attributes=tuple(
                Attribute(p.name, p.kind) for s in self.steps for p in s.parameters()
            ),
            dtypes=(self.variant(),),
            compute=Pointwise(self._formula),
            reference=self._reference,
            cases=lambda *_: (),
            bound=Bound(why="of each operator, one after the other"),
        )

    def variant(self) -> tuple[str, ...]:
        """Its only variant."""
        return (self.inputs[0],)

    def _formula(self, k: Kernel, *elements: Expr) -> Expr:
        from toolchain.lower.te import Kernel as Compiled

        let = Let()
        values: list[Expr] = list(elements)
        for step in self.steps:
            found = operator(step.operator)
            constants = {"n": 1.0} | {
                n: v for n, v in step.attributes if not isinstance(v, Parameter)
            }
            own = Compiled(found, step.variant, k.target, constants=constants)
            for name, value in step.attributes:
                if isinstance(value, Parameter):
                    setattr(own, name, getattr(k, value.name))
            assert isinstance(found.compute, Pointwise)
            operands = [_operand(k, values, o) for o in step.operands]
            result = found.compute.formula(own, *operands)
            values.append(let(result.astype(own.output_dtypes[0])))
        return let.around(values[-1])

    def _reference(self, *arrays: Any, **numbers: float) -> Any:
        values = list(arrays)
        for step in self.steps:
            read = [_read(values, numbers, o) for o in step.operands]
            attributes: dict[str, Any] = {
                n: numbers[v.name] if isinstance(v, Parameter) else v
                for n, v in step.attributes
            }
            out = Value("", step.dtype)
            node = Node(step.operator, [], [out], attributes, step.variant)
            values += computed(node, read)
        return values[-1]


def _operand(k: Kernel, values: Sequence[Expr], operand: Operand) -> Expr:
    if isinstance(operand, Number):
        return tir.const(operand.value, STORAGE.get(operand.dtype, operand.dtype))
    return (
        getattr(k, operand.name) if isinstance(operand, Parameter) else values[operand]
    )


def _read(values: Sequence[Any], numbers: Mapping[str, float], operand: Operand) -> Any:
    """An operand of the reference."""
    if isinstance(operand, Number):
        return np.asarray(operand.value, operand.dtype)
    if isinstance(operand, Parameter):
        return np.asarray(numbers[operand.name], "float32")
    return values[operand]
