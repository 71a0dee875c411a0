"""Forms: a function of toolchain.spec.math as a formula of vectors, in stages."""

from __future__ import annotations

from llvmlite import ir

from toolchain.lower.expressions import Formula, Operand, resolved
from toolchain.lower.stages import BEFORE, ELEMENT, Stages
from toolchain.micro.builder import F32, F64, WORD, splat
from toolchain.spec import math
from toolchain.targets import Target


class Form:
    """A formula of vectors in stages: short (within limits) or full.

    main: blocks go through it first. block: elements that go through a stage before the
    next. together: vectors of a step. limits: of values of the first stage, with the
    operation of each.
    """

    def __init__(self, name: str, target: Target, short: bool, main: bool) -> None:
        definition = math.definition(name, short, target.contract)
        self.name = "short" if short else "full"
        self.lanes = target.vector_bits // 32
        self.formula = Formula(target, self.lanes)
        self.scalars = [v.name for v in definition.parameters[1:]]
        element, *_ = definition.parameters
        self.formula.names = {v: v.name for v in definition.parameters}
        self.formula.names[element] = ELEMENT
        self.last = _number(self.formula.value(definition.result))
        self.limits = [
            (_number(self.formula.value(x.value)), x) for x in definition.limits
        ]
        limited = [v for v, _ in self.limits]
        self.stages = Stages(self.formula, self.last, limited, target)
        moving = len(self.stages.numbers) - self.stages.numbers.count(BEFORE)
        few = main and moving <= target.tuning("array.short")
        self.together = target.tuning("array.together") if few else 1
        self.block = target.tuning("array.block")
        self.blocks: list[ir.Block] = []  # of the stages

    @property
    def buffers(self) -> dict[int, ir.Type]:
        """Types of the values that go from stage to stage, by their operations."""
        return self.stages.buffers

    def place(self, v: int) -> tuple[str, int, int]:
        """Which buffer a value goes through, at which byte, and bytes of a vector."""
        wide = [b for b, of in self.buffers.items() if of.element == F64]
        if v in wide:
            return "wide", 2 * WORD * self.block * wide.index(v), 2 * WORD * self.lanes
        narrow = [b for b in self.buffers if b not in wide]
        return "narrow", WORD * self.block * narrow.index(v), WORD * self.lanes

    def before(
        self, build: ir.IRBuilder, given: dict[str, ir.Value]
    ) -> tuple[dict[int, ir.Value], dict[str, ir.Value]]:
        """Emit what no element enters: values of operations, and parameters."""
        vector = ir.VectorType(F32, self.lanes)
        parameters = {n: splat(build, given[n], vector) for n in self.scalars}
        values: dict[int, ir.Value] = {}
        for v, operation in enumerate(self.formula.operations):
            if self.stages.numbers[v] == BEFORE:
                operands = [resolved(o, values, parameters) for o in operation.operands]
                values[v] = operation.emit(build, operands)
        return values, parameters


def _number(operand: Operand) -> int:
    """Of a value that an operation computes."""
    assert isinstance(operand, int)
    return operand
