"""Emit: a scheduled graph becomes constant data that runtime_stub/graph.c runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from toolchain import layout
from toolchain.abi import (
    ALIGNMENT,
    CHECKED_TENSOR_BYTES,
    EARLY_BYTES,
    GRAPH_PLACE_BYTES,
    GRAPH_RESULT_BYTES,
    MAX_RANK,
    MAX_VALUES,
    NO_VALUE,
    Kind,
    Param,
    Step,
    StepFlag,
)
from toolchain.codegen.data import NULL, Data, struct_constant, struct_type
from toolchain.codegen.descriptor import add_model
from toolchain.codegen.limits import Fixed, check_fixed
from toolchain.codegen.room import Room, fixed_room
from toolchain.dtypes import number
from toolchain.graph.graph import PREFIX, SHAPE, Graph, Node, Value
from toolchain.graph.halves import halved
from toolchain.graph.operators import operator
from toolchain.graph.schedule import Schedule, is_late, schedule
from toolchain.graph.steps import (
    given,
    inputs_of,
    names_of,
    numbers_of,
    stored,
    units_of,
)
from toolchain.graph.weights import Weights
from toolchain.micro.builder import F32, F64, I8, I16, I32, I64, PTR
from toolchain.spec import SpecError, kernel_name

WEIGHTS = "model_weights"
# Regions in regions: each takes half a KiB of the stack (link.STACK_BYTES).
DEEPEST = 32


@dataclass
class Emitted:
    """A model as data. kernels: names of the operators that it calls.

    steps: what errors call the file's node of each step. room: of its calls and steps.
    """

    text: str
    weights: Weights
    kernels: list[str]
    steps: list[str]
    room: Room


def emit_model(graph: Graph, external: bool = False) -> Emitted:
    """A graph as data of an operator `ops_<name>`.

    Errors: SpecError for what the runtime has no room for.
    """
    return _Emitter(graph, external).made()


class _Emitter:
    def __init__(self, graph: Graph, external: bool) -> None:
        self.graph, self.external = graph, external
        self.data = Data(graph.name)
        self.weights = Weights()
        self.kernels: dict[str, ir.Value] = {}
        self.halves: list[ir.Constant] = []
        self.widened: dict[tuple[int, bool], ir.Value] = {}
        self.steps: list[str] = []
        self.arguments = 1
        self.count = 0
        self.regions = any(n.regions for n in graph.nodes)
        self.block = NULL if external else self.data.external(WEIGHTS, I8)

    def made(self) -> Emitted:
        main = _Region(self, self.graph).made()
        frame = self._frame(main)
        sizes = self._sizes()
        names = list(self.graph.sizes)
        widen = self.data.called("ops_graph_widen") if self.halves else NULL
        model = struct_constant(
            layout.MODEL,
            graph=main.place,
            dims=self.numbers(I64, self._dims(names)),
            sizes=sizes,
            weights=self.block,
            frame=frame,
            halves=self.data.array(
                "halves", struct_type(layout.GRAPH_HALF), self.halves
            ),
            widen=widen,
            half_count=len(self.halves),
            size_count=len(names),
        )
        needed = self._describe(self.data.private("model", model))
        text, kernels = str(self.data.module), sorted(self.kernels)
        return Emitted(text, self.weights, kernels, self.steps, needed)

    def _describe(self, place: ir.Value) -> Room:
        """Add the model's descriptor; the room that its calls and steps need."""
        name, inputs = self.graph.name, [_least(v) for v in self.graph.inputs]
        for value in self.graph.inputs:
            _check_rank(value)
        if self.external:
            inputs.append(("weights", "uint8", (self.weights.size,)))
        outputs = [_least(v) for v in self.graph.outputs]
        check_fixed(name, [*inputs, *outputs])
        tensors = [(n, dtype, len(shape), 0) for n, dtype, shape in inputs]
        tensors += [(n, d, len(shape), Param.OPEN.value) for n, d, shape in outputs]
        add_model(self.data, name, tensors, len(inputs), place, self.regions)
        needed = fixed_room(name, [*inputs, *outputs])
        return Room(max(self.arguments, needed.arguments), needed.text)

    def _sizes(self) -> ir.Value:
        rows = [
            struct_constant(
                layout.GRAPH_SIZE, name=self.data.text(n), minimum=low, maximum=high
            )
            for n, (low, high) in self.graph.sizes.items()
        ]
        return self.data.array("sizes", struct_type(layout.GRAPH_SIZE), rows)

    def _dims(self, names: list[str]) -> Iterator[int]:
        """What runtime_stub/collapse_graph.c compares the inputs' sizes with."""
        bound: dict[str, int] = {}
        for i, value in enumerate(self.graph.inputs):
            for axis, size in enumerate(value.shape or ()):
                if isinstance(size, int):
                    yield size
                    continue
                name = str(size)
                before = bound.setdefault(name, i * MAX_RANK + axis + 1)
                first = before == i * MAX_RANK + axis + 1
                yield -1 - (names.index(name) | (0 if first else before) << 16)
        if self.external:
            yield self.weights.size

    def _frame(self, main: _Region) -> ir.Value:
        """The main frame: a struct that the runtime writes, and its memory."""
        rooms = {
            "values": CHECKED_TENSOR_BYTES * len(main.ids),
            "places": GRAPH_PLACE_BYTES * len(main.ids),
            "early": EARLY_BYTES * main.early,
            "results": GRAPH_RESULT_BYTES * len(self.graph.outputs),
        }
        places = {}
        for name, size in rooms.items():
            places[name] = self.data.room(f".{name}", I8, max(size, 1))
            places[name].linkage, places[name].align = "private", ALIGNMENT
            places[name].type = PTR
        frame = self.data.private(
            "frame",
            struct_constant(
                layout.FRAME,
                graph=main.place,
                weights=self.block,
                widened=NULL,
                arena=NULL,
                arena_bytes=0,
                early_used=0,
                step=0,
                planned=0,
                **places,
            ),
        )
        frame.global_constant = False
        return frame

    def memory(self, data: NDArray[Any]) -> tuple[ir.Value, int]:
        """Where a constant lies: a pointer, or NULL and its offset in the weights."""
        half = halved(data)
        if half is None:
            return NULL, self.weights.add(data)
        at, brain = self.weights.add(half), half.dtype != np.float16
        if (at, brain) not in self.widened:
            room = self.data.room(self.name(".widened"), F32, data.size)
            room.linkage, room.align, room.type = "private", ALIGNMENT, PTR
            fields = {"to": room, "offset": at, "count": data.size}
            row = struct_constant(layout.GRAPH_HALF, **fields, brain=int(brain))
            self.halves.append(row)
            self.widened[at, brain] = room
        return self.widened[at, brain], 0

    def elements(self, data: NDArray[Any]) -> ir.Value:
        """A pointer to a private copy of a constant's elements, aligned."""
        block = data.tobytes()
        words = np.frombuffer(block + bytes(-len(block) % 8), "<i8").tolist()
        return self.numbers(I64, words)

    def numbers(self, kind: ir.Type, items: Iterable[int]) -> ir.Value:
        """A pointer to a private array of integers."""
        return self.data.numbers(self.name("numbers"), kind, list(items))

    def name(self, what: str) -> str:
        """A name that no other constant has."""
        self.count += 1
        return f"{what}.{self.count}"


class _Region:
    """A graph as data: the model's own, or a node's."""

    def __init__(self, emitter: _Emitter, graph: Graph, depth: int = 0) -> None:
        self.emitter, self.graph, self.data = emitter, graph, emitter.data
        self.depth = depth
        self.plan: Schedule = schedule(graph)
        self.ids: dict[Value, int] = {}
        self.early = 0
        self.place: ir.Value = NULL

    def made(self) -> _Region:
        first = len(self.emitter.steps)
        self.emitter.steps += [n.place or n.op for n in self.plan.nodes]
        constants = self._number()
        steps = [self._step(n) for n in self.plan.nodes]
        row = struct_type(layout.STEP)
        name, graph = self.emitter.name, self.graph
        fields = {
            "steps": self.data.array(name("steps"), row, steps),
            "segments": self.emitter.numbers(I16, self.plan.segments),
            "constants": self._constants(constants),
            "outputs": self._outputs(),
            "segment_count": len(self.plan.segments),
            "constant_count": len(constants),
            "input_count": len(graph.inputs),
            "output_count": len(graph.outputs),
            "value_count": len(self.ids),
            "early_count": self.early,
            "first": first,
            "reads_elements": int(self.plan.reads_elements),
        }
        if max(len(self.ids), len(self.emitter.steps)) >= NO_VALUE:
            raise SpecError(
                f"{graph.name}: has {len(self.ids)} values, but a module takes "
                f"{NO_VALUE - 1}; cut the model in parts"
            )
        graph_data = struct_constant(layout.GRAPH, **fields)
        self.place = self.data.private(name("graph"), graph_data)
        return self

    def _number(self) -> list[Value]:
        """Number the values: inputs, constants (which it gives), results."""
        for value in self.graph.inputs:
            self.ids[value] = len(self.ids)
        read = [v for n in self.plan.nodes for v in stored(n)]
        read += self.graph.outputs
        constants = [v for v in dict.fromkeys(read) if v.data is not None]
        for value in constants:
            self.ids[value] = len(self.ids)
        for node in self.plan.nodes:
            for value in node.outputs:
                self.ids[value] = len(self.ids)
            self.early += len(node.outputs) if node in self.plan.early else 0
        return constants

    def _constants(self, constants: list[Value]) -> ir.Value:
        rows = []
        early = {v for n in self.plan.early if n.op != SHAPE for v in n.reads()}
        for value in constants:
            assert value.data is not None
            shape = self.emitter.numbers(I32, value.data.shape)
            # ops_infer reads what early nodes do, but no weights of the caller.
            inside = self.emitter.external and value in early
            data, offset = (
                (self.emitter.elements(value.data), 0)
                if inside
                else self.emitter.memory(value.data)
            )
            rows.append(
                struct_constant(
                    layout.GRAPH_CONSTANT,
                    data=data,
                    offset=offset,
                    shape=shape,
                    rank=value.data.ndim,
                    dtype=number(value.dtype),
                )
            )
        kind = struct_type(layout.GRAPH_CONSTANT)
        return self.data.array(self.emitter.name("constants"), kind, rows)

    def _outputs(self) -> ir.Value:
        rows = [
            struct_constant(
                layout.GRAPH_OUTPUT,
                value=self.ids[value],
                memory=NO_VALUE if memory is None else self.ids[memory],
            )
            for value, memory in zip(self.graph.outputs, self.plan.memory, strict=True)
        ]
        kind = struct_type(layout.GRAPH_OUTPUT)
        return self.data.array(self.emitter.name("outputs"), kind, rows)

    def _step(self, node: Node) -> ir.Constant:
        own = node.op.startswith(PREFIX)
        early = node in self.plan.early
        late = is_late(node)
        attributes = self._attributes(node, own)
        ids = [NO_VALUE if v is None else self.ids[v] for v in inputs_of(node)]
        last = self.plan.last.get(node, [])
        values = [*ids, *(self.ids[v] for v in (*node.outputs, *last))]
        kind = Step[node.op.removeprefix(PREFIX).upper()] if own else Step.CALL
        if node.regions and self.depth == DEEPEST:
            raise SpecError(
                f"{node.place}: stands inside {DEEPEST} others, and a module takes "
                f"{DEEPEST} levels of If, Loop and Scan; flatten some of them"
            )
        inner = [_Region(self.emitter, r, self.depth + 1) for r in node.regions]
        regions = [region.made().place for region in inner]
        return struct_constant(
            layout.STEP,
            op=NULL if own else self._operator(node),
            values=self.emitter.numbers(I16, values),
            attributes=attributes,
            regions=self.data.array(self.emitter.name("regions"), PTR, regions),
            inputs=len(ids),
            outputs=len(node.outputs),
            last=len(last),
            kind=kind.value,
            flags=StepFlag.EARLY * early + StepFlag.LATE * late,
            attribute_count=len(names_of(node, own)),
            units=units_of(node, own),
        )

    def _operator(self, node: Node) -> ir.Value:
        """The operator's description, which its object has."""
        name = kernel_name(node.op, node.dtypes)
        emitter = self.emitter
        count = len(node.inputs) + len(node.outputs)
        units, listed = units_of(node, own=False), operator(node.op).attributes
        if sum(units * a.per_unit or 1 for a in listed) > MAX_VALUES:
            raise SpecError(
                f"{node.place}: {node.op} has lists of {units} numbers, but a call "
                f"takes {MAX_VALUES} numbers in all; cut the node in parts"
            )
        emitter.arguments = max(emitter.arguments, count + len(node.attributes))
        if name not in emitter.kernels:
            kind = struct_type(layout.OPERATOR)
            emitter.kernels[name] = self.data.external(f"ops_{name}", kind)
        return emitter.kernels[name]

    def _attributes(self, node: Node, own: bool) -> ir.Value:
        rows = []
        for name in names_of(node, own):
            value = given(node, name)
            found = self.ids[value] if isinstance(value, Value) else NO_VALUE
            numbers = [] if isinstance(value, Value) else numbers_of(node, name, value)
            rows.append(
                struct_constant(
                    layout.GRAPH_ATTRIBUTE,
                    numbers=self._numbers(numbers),
                    count=len(numbers),
                    value=found,
                )
            )
        kind = struct_type(layout.GRAPH_ATTRIBUTE)
        return self.data.array(self.emitter.name("attributes"), kind, rows)

    def _numbers(self, numbers: list[float]) -> ir.Value:
        """Arguments as a caller would pass them."""
        kind = ir.LiteralStructType([I32, I32, I64])
        wide = ir.LiteralStructType([I32, I32, F64])
        if any(isinstance(n, float) for n in numbers):
            rows = [ir.Constant(wide, [Kind.FLOAT.value, 0, float(n)]) for n in numbers]
            return self.data.array(self.emitter.name("floats"), wide, rows)
        rows = [ir.Constant(kind, [Kind.INT.value, 0, int(n)]) for n in numbers]
        return self.data.array(self.emitter.name("ints"), kind, rows)


def _least(value: Value) -> Fixed:
    """An input or output, its open sizes as 1."""
    sizes = (n if isinstance(n, int) else 1 for n in value.shape or ())
    return value.name, value.dtype, tuple(sizes)


def _check_rank(value: Value) -> None:
    if value.shape is None:
        raise SpecError(
            f"the input {value.name} has no rank in the file; give its shape, as in "
            f"--shape {value.name}=1,3,224,224"
        )
