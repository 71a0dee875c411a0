"""Emit: a planned graph becomes one operator: its function, descriptor and data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from toolchain.abi import declaration
from toolchain.codegen.descriptor import fixed_descriptor
from toolchain.codegen.room import Room, fixed_room, room
from toolchain.model.graph import Graph, Node, Value
from toolchain.model.plan import Plan, root
from toolchain.model.planned import Planned

_CALLED = ("TVMBackendAllocWorkspace", "TVMBackendFreeWorkspace")
WEIGHTS = "model_weights"


@dataclass(frozen=True)
class Program:
    """A model whose every node has a kernel.

    aliases: values that are another one's memory. weights: the offset of each
    constant in the block of weight_bytes. external: the weights are the last input.
    traced: the last inputs are the arena and `steps`, int32[2]: which to run, from
    the first to before the last, so that each can be timed where its data is.
    tolerance: of its results, see toolchain/model/rounding.py. code: roots (see
    toolchain/records/slices.py) of what it follows from, beside the passes: operators.
    notes: what the user should know of the file.
    """

    graph: Graph
    kernels: list[str]
    aliases: Mapping[Value, Value]
    plan: Plan
    weights: Mapping[Value, int]
    weight_bytes: int
    external: bool
    traced: bool = False
    tolerance: float = 0.0
    code: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def model_function(program: Program) -> str:
    """IR of `i32 kernel_<name>(ptr slots)`: calls of the kernels, in order."""
    return _Function(program).text()


class _Function:
    def __init__(self, program: Program) -> None:
        self.program, self.count = program, 0
        self.lines: list[str] = []
        graph = program.graph
        self.slots: dict[Value, int] = {}
        for i, value in enumerate(graph.inputs):
            self.slots[value] = i
        first = len(graph.inputs) + program.external + 2 * program.traced
        for i, value in enumerate(graph.outputs):
            self.slots[root(value, program.aliases)] = first + i

    def text(self) -> str:
        program, graph = self.program, self.program.graph
        most = max((len(n.inputs) + len(n.outputs) for n in graph.nodes), default=1)
        self._line(f"%args = alloca [{most} x i64], align 8")
        if program.traced:
            self._trace(len(graph.inputs) + program.external)
        elif program.plan.size:
            self._allocate()
        weights = f"@{WEIGHTS}"
        if program.external:
            self._line(
                f"%at_w = getelementptr i64, ptr %slots, i32 {len(graph.inputs)}"
            )
            self._line("%weights = load ptr, ptr %at_w")
            weights = "%weights"
        codes = [
            self._step(i, node, kernel, weights)
            for i, (node, kernel) in enumerate(
                zip(graph.nodes, program.kernels, strict=True)
            )
        ]
        self._end(codes)
        declared = sorted(set(program.kernels))
        head = [f"declare i32 @kernel_{k}(ptr)" for k in declared]
        head += map(declaration, _CALLED)
        head.append(f"@{WEIGHTS} = external hidden constant i8")
        body = "\n".join(self.lines)
        return "\n".join(head) + (
            f"\ndefine i32 @kernel_{graph.name}(ptr %slots) {{\n{body}\n}}\n"
        )

    def _allocate(self) -> None:
        self._line(
            "%arena = call ptr @TVMBackendAllocWorkspace("
            f"i32 1, i32 0, i64 {self.program.plan.size}, i32 0, i32 8)"
        )
        self._line("%none = icmp eq ptr %arena, null")
        self._line("br i1 %none, label %failed, label %start")
        self.lines.append("start:")

    def _step(self, i: int, node: Node, kernel: str, weights: str) -> str:
        """Call a kernel; its code where it fails, as a phi has it."""
        if self.program.traced:
            self._line(f"%at{i} = sub i32 {i}, %first")
            self._line(f"%wanted{i} = icmp ult i32 %at{i}, %count")
            self._line(f"br i1 %wanted{i}, label %step{i}, label %after{i}")
            self.lines.append(f"step{i}:")
        self._line(f"br label %run{i}")
        self.lines.append(f"run{i}:")
        values = (*node.inputs, *node.outputs)
        offsets = node.attributes.get("offsets") or [0] * len(values)
        for k, (value, offset) in enumerate(zip(values, offsets, strict=True)):
            pointer = self._pointer(value, weights, offset)
            at = self._new(f"getelementptr i64, ptr %args, i32 {k}")
            self._line(f"store ptr {pointer}, ptr {at}")
        rc = self._new(f"call i32 @kernel_{kernel}(ptr %args)")
        bad = self._new(f"icmp ne i32 {rc}, 0")
        self._line(f"br i1 {bad}, label %stopped, label %after{i}")
        self.lines.append(f"after{i}:")
        return f"[ {rc}, %run{i} ]"

    def _end(self, codes: list[str]) -> None:
        """Free the arena; a kernel's code says whether it has written a text."""
        has = self.program.plan.size and not self.program.traced
        free = "call i32 @TVMBackendFreeWorkspace(i32 1, i32 0, ptr %arena)"
        free = free if has else "add i32 0, 0"
        self._line(f"%freed = {free}")
        self._line("ret i32 0")
        if codes:
            self.lines.append("stopped:")
            self._line(f"%code = phi i32 {', '.join(codes)}")
            self._line(f"%freed2 = {free}")
            self._line("ret i32 %code")
        self.lines.append("failed:")
        self._line("ret i32 1")

    def _trace(self, slot: int) -> None:
        """Read the arena and which steps to run."""
        for i, name in enumerate(("arena", "steps")):
            self._line(f"%at_{name} = getelementptr i64, ptr %slots, i32 {slot + i}")
            self._line(f"%{name} = load ptr, ptr %at_{name}")
        self._line("%at_last = getelementptr i32, ptr %steps, i32 1")
        self._line("%first = load i32, ptr %steps")
        self._line("%last = load i32, ptr %at_last")
        self._line("%count = sub i32 %last, %first")

    def _line(self, text: str) -> None:
        self.lines.append("  " + text)

    def _new(self, text: str) -> str:
        self.count += 1
        self._line(f"%v{self.count} = {text}")
        return f"%v{self.count}"

    def _pointer(self, value: Value, weights: str, inside: int) -> str:
        """A pointer to so many bytes inside of a value."""
        base = root(value, self.program.aliases)
        if base in self.slots:
            at = self._new(f"getelementptr i64, ptr %slots, i32 {self.slots[base]}")
            start = self._new(f"load ptr, ptr {at}")
            if not inside:
                return start
            return self._new(f"getelementptr i8, ptr {start}, i32 {inside}")
        if base.data is not None:
            where, offset = weights, self.program.weights[base]
        else:
            # Without an arena no intermediate has elements.
            has = self.program.plan.size or self.program.traced
            where = "%arena" if has else "null"
            offset = self.program.plan.offsets[base]
        return self._new(f"getelementptr i8, ptr {where}, i32 {offset + inside}")


def model_descriptor(program: Program) -> list[str]:
    """IR of the operator that stands for the model in the table, and of its room."""
    graph = program.graph
    inputs = [(v.name, v.dtype, v.shape) for v in graph.inputs]
    if program.external:
        inputs.append(("weights", "uint8", (program.weight_bytes,)))
    if program.traced:
        inputs.append(("arena", "uint8", (program.plan.size,)))
        inputs.append(("steps", "int32", (2,)))
    outputs = [(v.name, v.dtype, v.shape) for v in graph.outputs]
    needed = [fixed_room(graph.name, [*inputs, *outputs])]
    kernels = [n.attributes["kernel"] for n in graph.nodes]
    needed += [Room(len(k.tensors), 1) for k in kernels if isinstance(k, Planned)]
    return [fixed_descriptor(graph.name, inputs, outputs), room(needed)]
