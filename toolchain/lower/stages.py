"""Stages: a formula of vectors, cut into parts that a block goes through in turn.

A formula is one long chain of operations, and its speed is bounded by how many that
wait a processor holds: two or three vectors. Stages of less than half the chain, with
buffers between them, are 30 to 60 % faster.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from toolchain.lower.expressions import Formula
from toolchain.targets import Target

# Cycles of an operation; others take one.
_CYCLES = {"fadd": 3, "fsub": 3, "fmul": 3, "fdiv": 11, "call": 2}
BEFORE = -1  # the stage of what no element enters: once, before the loops
ELEMENT = "x"  # the parameter that is an element


class Stages:
    """The stages of a formula, and what each of them does.

    numbers: the stage of each operation. bodies: for each stage operations in order,
    each with whether its value comes from a buffer. buffers: the type of each value
    that goes from one stage to later ones, by number.
    """

    def __init__(
        self, formula: Formula, result: int, limits: Sequence[int], target: Target
    ) -> None:
        self.formula, self.result, self.limits = formula, result, limits
        self.number = target.tuning
        self.operands = [
            [o for o in operation.operands if isinstance(o, int)]
            for operation in formula.operations
        ]
        self.numbers = self._numbers()
        self.count = self.numbers[result] + 1
        self.buffers: dict[int, ir.Type] = {}
        self.bodies = [self._body(s) for s in reversed(range(self.count))][::-1]

    def __len__(self) -> int:
        return self.count

    def _varying(self) -> list[bool]:
        """Of every operation, whether its value depends on the element."""
        varies: list[bool] = []
        for operation, operands in zip(
            self.formula.operations, self.operands, strict=True
        ):
            enters = ELEMENT in [o for o in operation.operands if isinstance(o, str)]
            varies.append(enters or any(varies[o] for o in operands))
        return varies

    def _numbers(self) -> list[int]:
        """The stage of every operation, by the cycles from it to the result."""
        varies = self._varying()
        left = [0] * len(varies)
        for v in reversed(range(len(left))):
            cycles = _CYCLES.get(self.formula.operations[v].opcode, 1)
            for o in self.operands[v]:
                left[o] = max(left[o], (left[v] + cycles) * varies[o])
        count = round(max(left) / self.number("array.stage"))
        chosen = self._cuts(left, max(2, count))
        return [
            sum(n < c for c in chosen) if moves else BEFORE
            for n, moves in zip(left, varies, strict=True)
        ]

    def _cuts(self, left: list[int], count: int) -> list[int]:
        """Cycles to the result at which `count` stages, or fewer, are cut.

        Each cut lies, not far from equal parts, where the fewest values go across.
        """
        found, part = [], self.number("array.cut") * (count - 1)
        for i in range(1, count):
            middle, most = max(left) * i // count, max(left) // part
            near = range(middle - most, middle + most + 1)
            found.append(
                min((self._crossing(left, c), abs(c - middle), c) for c in near)
            )
        if count > 2 and max(found)[0] > self.number("array.crossing"):
            return self._cuts(left, count - 1)
        return [c for _, _, c in found]

    def _crossing(self, left: list[int], cut: int) -> int:
        """Values that go across a cut."""
        across = (
            o
            for v, needed in enumerate(self.operands)
            for o in needed
            if left[v] < cut <= left[o]
        )
        return len(set(across))

    def _body(self, stage: int) -> list[tuple[int, bool]]:
        """Operations of a stage: its own, and what they need of other stages."""
        found: dict[int, bool] = {}

        def need(v: int) -> None:
            if v in found or self.numbers[v] == BEFORE:
                return
            kind = self.formula.operations[v].type
            if self.numbers[v] < stage and not _is_condition(kind):
                self.buffers[v] = kind
                found[v] = True
                return
            for operand in self.operands[v]:
                need(operand)
            found[v] = False

        for v in sorted({self.result, *self.buffers}):
            if self.numbers[v] == stage:
                need(v)
        if stage == 0:
            for v in self.limits:
                need(v)
        return list(found.items())


def _is_condition(kind: ir.Type) -> bool:
    scalar = kind.element if isinstance(kind, ir.VectorType) else kind
    return isinstance(scalar, ir.IntType) and scalar.width == 1
