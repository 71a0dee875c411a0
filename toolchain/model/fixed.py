"""Fixed: a graph all of whose sizes are known becomes kernels in order.

The runtime plans nothing then: each node is the kernels that its collapse would call,
with constants for sizes and attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from toolchain.graph.chains import Chain, Number
from toolchain.graph.graph import PREFIX, SHAPE, Graph, Node, Value
from toolchain.graph.operators import made_of, operator, spread
from toolchain.graph.record import COLLAPSES, Place, Recorder, arguments_of
from toolchain.graph.schedule import is_late
from toolchain.graph.steps import (
    given,
    inputs_of,
    names_of,
    numbers_of,
    units_of,
)
from toolchain.graph.views import shape_part
from toolchain.model import graph as model
from toolchain.model.elementwise import Elementwise, Strided, merged
from toolchain.model.kernels import REGISTER, Batched, Indexed, Instance, Joined
from toolchain.model.planned import Planned, Tensor
from toolchain.model.recorded import Run, moved, runs_of
from toolchain.spec import DTYPES, Operator, Pointwise, SpecError, tensor_dtype

# Collapses that are written here, beside those that are recorded.
Kernel: TypeAlias = (
    Instance | Batched | Strided | Elementwise | Joined | Indexed | Planned
)
_OWN = ("elementwise", "concat", "own")
MOST = 64  # kernels of a node


class OpenError(SpecError):
    """A graph that only the runtime can plan; the text says why."""


def check_fixed(graph: Graph) -> None:
    """Raise OpenError unless all that a graph does is known before it runs."""
    if graph.halves:
        raise OpenError("its weights of 16 bits are widened when a call needs them")
    values = [*graph.inputs, *(v for n in graph.nodes for v in n.outputs)]
    for value in values:
        if value.known is None:
            raise OpenError(f"{value.name} has sizes that only a call knows")
        if value.dtype not in DTYPES:
            raise OpenError(f"{value.name} is {value.dtype}")
    for node in graph.nodes:
        if any(isinstance(given(node, n), Value) for n in node.attributes):
            raise OpenError(f"{node.place}: attributes that only a call knows")
        known = not node.dtypes or _collapse(node) in _KNOWN
        if is_late(node) or not known:
            raise OpenError(f"{node.place}: {node.op} is planned by the runtime")


_KNOWN = (*COLLAPSES, *_OWN)


def to_kernels(graph: Graph, runtime: Sequence[Path], folder: Path) -> model.Graph:
    """The kernels of a graph that check_fixed lets pass.

    folder: for files that are not kept. Errors: OpenError.
    """
    return _Translator(graph, runtime, folder).made()


def _collapse(node: Node) -> str:
    return operator(node.op).collapse.partition(".")[0]


class _Translator:
    def __init__(self, graph: Graph, runtime: Sequence[Path], folder: Path) -> None:
        self.graph = graph
        recorded = [n for n in graph.nodes if n.dtypes and _collapse(n) in COLLAPSES]
        self.recorder = Recorder(recorded, runtime, folder) if recorded else None
        self.runs: dict[object, tuple[list[Run], tuple[int, ...]]] = {}
        self.values: dict[Value, model.Value] = {}
        self.nodes: list[model.Node] = []
        self.place = ""

    def made(self) -> model.Graph:
        inputs = [self._value(v) for v in self.graph.inputs]
        for node in self.graph.nodes:
            self.place = node.place
            if any(prod(v.known or ()) for v in node.outputs):
                self._rule(node)(node)
        outputs = [self._value(v) for v in self.graph.outputs]
        return model.Graph(self.graph.name, inputs, outputs, self.nodes)

    def _rule(self, node: Node) -> Callable[[Node], None]:
        if node.op.startswith(PREFIX):
            return self._sizes if node.op == SHAPE else self._view
        if node.op in ("identity", "reshape"):
            return self._view
        # TVM 0.27 divides by sizes, and fails where a constant one is 0, or 1 here.
        empty = any(0 in (v.known or ()) for v in node.reads())
        single = node.op == "resize" and 1 in (node.reads()[0].known or ())[2:]
        if (empty or single) and _collapse(node) != "concat":
            return self._planned
        rules = {
            "elementwise": self._elementwise,
            "concat": self._concat,
            "gather": self._gather,
            "own": self._planned,
        }
        return rules.get(_collapse(node), self._recorded)

    # -- values and nodes --

    def _value(self, value: Value) -> model.Value:
        if value not in self.values:
            shape = value.known
            assert shape is not None
            made = model.Value(value.name, shape, value.dtype, value.data)
            self.values[value] = made
        return self.values[value]

    def _add(
        self,
        kernel: Kernel,
        inputs: Sequence[model.Value],
        outputs: Sequence[model.Value],
        offsets: Sequence[int] = (),
    ) -> None:
        """Add a kernel. offsets: bytes of each pointer into its value."""
        attributes: dict[str, Any] = {"kernel": kernel}
        if any(offsets):
            attributes["offsets"] = tuple(offsets)
        node = model.Node(model.KERNEL, list(inputs), list(outputs), attributes)
        node.places = (self.place,) if self.place else ()
        self.nodes.append(node)

    # -- the graph's own operations --

    def _view(self, node: Node) -> None:
        source = node.inputs[0]
        assert source is not None
        ends = self._value(source), self._value(node.output)
        self.nodes.append(model.Node(model.VIEW, [ends[0]], [ends[1]]))

    def _sizes(self, node: Node) -> None:
        source = node.inputs[0]
        assert source is not None
        assert source.known is not None
        sizes = np.array(shape_part(source.known, node.attributes), "int64")
        made = model.Value(node.output.name, sizes.shape, "int64", sizes)
        self.values[node.output] = made

    # -- what the runtime does --

    def _gather(self, node: Node) -> None:
        """What the collapse does too: indices are data."""
        data, indices = (v for v in node.inputs if v is not None)
        shape, count = data.known, prod(indices.known or ())
        assert shape is not None
        axis = int((numbers_of(node, "axis", given(node, "axis")) or [0])[0])
        axis %= len(shape)
        itemsize = np.dtype(indices.dtype).itemsize
        kernel = Indexed(indices.name, count, itemsize, axis, shape[axis])
        self._add(kernel, [self._value(indices)], [])
        self._recorded(node)

    def _recorded(self, node: Node) -> None:
        runs, sizes = self._runs(node)
        name = node.outputs[0].name
        workspaces = [
            model.Value(f"{name}_{i}", (size,), "uint8") for i, size in enumerate(sizes)
        ]
        if len(runs) > MOST:
            raise OpenError(f"{node.place}: {node.op} takes {len(runs)} kernels")
        for run in runs:
            self._add_run(node, run, workspaces)

    def _runs(self, node: Node) -> tuple[list[Run], tuple[int, ...]]:
        shapes = [None if v is None else v.known for v in inputs_of(node)]
        names = names_of(node, own=False)
        numbers = [tuple(numbers_of(node, n, given(node, n))) for n in names]
        results = [v.known for v in node.outputs]
        key = node.op, node.dtypes, (*shapes,), (*numbers,), (*results,)
        if key not in self.runs:
            assert self.recorder is not None
            recording = self.recorder.record(node)
            self.runs[key] = runs_of(node, recording), recording.workspaces
        return self.runs[key]

    def _add_run(self, node: Node, run: Run, workspaces: Sequence[model.Value]) -> None:
        def value(place: Place, slot: int) -> model.Value:
            if place.kind == "input":
                source = node.inputs[place.index]
                assert source is not None
                return self._value(source)
            if place.kind == "output":
                return self._value(node.outputs[place.index])
            if place.kind == "fill":
                return _filled(node, run, slot)
            return workspaces[place.index]

        values = [value(p, i) for i, p in enumerate(run.places)]
        offsets = [p.offset for p in run.places]
        count = len(run.places) - len(operator(run.kernel.operator).outputs)
        self._add(run.kernel, values[:count], values[count:], offsets)

    def _planned(self, node: Node) -> None:
        """What only its own C knows how to run."""
        groups = inputs_of(node), list(node.outputs)
        found = operator(node.op)
        params = spread(found.inputs, len(groups[0]))
        tensors = [
            Tensor(tensor_dtype(p, node.dtypes), None if v is None else v.known)
            for p, v in zip(params, groups[0], strict=True)
        ]
        tensors += [Tensor(v.dtype, v.known) for v in groups[1]]
        kernel = Planned(
            *(node.op, node.dtypes, tuple(tensors), len(groups[1])),
            *(arguments_of(node), units_of(node, own=False)),
        )
        given, made = ([self._value(v) for v in g if v is not None] for g in groups)
        self._add(kernel, given, made)

    # -- what is written here --

    def _elementwise(self, node: Node) -> None:
        found = operator(node.op)
        operands = [_operand(node, i) for i in range(len(found.inputs))]
        # TVM 0.27 subtracts constants of unsigned integers below 0.
        if any(isinstance(o, Number) and o.dtype == "uint8" for o in operands):
            self._planned(node)
            return
        if all(isinstance(o, Number) for o in operands):
            operands[0] = node.inputs[0] or operands[0]
        tensors = [o for o in operands if isinstance(o, Value)]
        axes = merged([v.known or () for v in tensors])
        if _has_formula(found, axes.sizes, len(tensors) == len(operands)):
            left = iter(axes.axes)
            taken = tuple(o if isinstance(o, Number) else next(left) for o in operands)
            constants = tuple(_constants(node, found).items())
            made = made_of(node.op)
            assert made is None or isinstance(made, Chain)
            kernel = Elementwise(
                made or node.op, node.dtypes, axes.sizes, taken, constants
            )
            inputs = [self._value(v) for v in tensors]
            self._add(kernel, inputs, [self._value(node.output)])
        else:
            self._flat(node, found, operands)

    def _flat(
        self, node: Node, found: Operator, operands: Sequence[Number | Value]
    ) -> None:
        """An operator without a formula: operands are all of the result's shape."""
        shape = node.output.known
        assert shape is not None
        inputs = []
        for i, operand in enumerate(operands):
            if isinstance(operand, Number):
                data = np.full((), operand.value, operand.dtype)
                operand = Value.constant(f"{node.output.name}_{i}", data)
            inputs.append(self._expanded(operand, shape))
        constants = _constants(node, found) | {"n": prod(shape)}
        kernel = Instance.of(node.op, constants, found.stored(node.dtypes))
        self._add(kernel, inputs, [self._value(node.output)])

    def _expanded(self, value: Value, shape: tuple[int, ...]) -> model.Value:
        own = value.known
        assert own is not None
        if own == shape or prod(own) == prod(shape):
            return self._value(value)
        padded = (1,) * (len(shape) - len(own)) + own
        steps = [prod(padded[i + 1 :]) for i in range(len(padded))]
        strides = [0 if n == 1 else s for n, s in zip(padded, steps, strict=True)]
        wide = model.Value(f"{value.name}_wide", shape, value.dtype)
        ends = Place("input", 0, 0), Place("output", 0, 0)
        run = moved(ends, shape, strides, np.dtype(value.dtype).itemsize)
        self._add(run.kernel, [self._value(value)], [wide])
        return wide

    def _concat(self, node: Node) -> None:
        shape, out = node.output.known, self._value(node.output)
        axis = int(numbers_of(node, "axis", given(node, "axis"))[0])
        assert shape is not None
        rows = prod(shape[: axis % len(shape)])
        parts = [self._value(v) for v in node.inputs if v is not None]
        parts = [p for p in parts if p.count]
        sizes = [p.bytes // rows for p in parts]
        if min(sizes) >= REGISTER:
            self._add(Joined(tuple(sizes), rows), parts, [out])
            return
        item, at = np.dtype(out.dtype).itemsize, 0
        ends = Place("input", 0, 0), Place("output", 0, 0)
        for part, size in zip(parts, sizes, strict=True):
            shape, strides = (rows, size // item), (size // item, 1)
            run = moved(ends, shape, strides, item, out.bytes // rows // item)
            self._add(run.kernel, [part], [out], (0, at))
            at += size


def _filled(node: Node, run: Run, slot: int) -> model.Value:
    """What stands in for an absent input."""
    kernel = run.kernel
    while isinstance(kernel, Batched):
        kernel = kernel.kernel
    assert isinstance(kernel, Instance)
    tensor, known = operator(node.op).inputs[slot], dict(kernel.constants)
    sizes = [int(known[s]) for s in tensor.dims.split()]
    dtype = tensor_dtype(tensor, node.dtypes)
    return model.Value.constant(tensor.name, np.full(sizes, tensor.fill, dtype))


def _operand(node: Node, i: int) -> Number | Value:
    """An operand: a number, where it is absent or a constant of one element."""
    value = node.inputs[i] if i < len(node.inputs) else None
    tensor = operator(node.op).inputs[i]
    if value is None:
        return Number.of(tensor.fill, tensor_dtype(tensor, node.dtypes))
    # A constant of more axes than the others would give the result more.
    if value.data is not None and value.data.size == 1:
        return Number(value.data.item(), value.dtype)
    return value


def _constants(node: Node, found: Operator) -> dict[str, float]:
    """Attributes of a node, as flattened."""
    constants: dict[str, float] = {}
    for attribute in found.attributes:
        numbers = numbers_of(node, attribute.name, given(node, attribute.name))
        preset = attribute.default or 0
        numbers = numbers or [int(preset) if attribute.kind == "int" else preset]
        constants |= dict(zip(attribute.names(), numbers, strict=False))
    return constants


def _has_formula(found: Operator, sizes: Sequence[int], plain: bool) -> bool:
    """Whether the formula is the best that there is, and its loops are not.

    plain: whether all operands are tensors.
    """
    compute = found.compute
    if not isinstance(compute, Pointwise):
        return False
    return compute.loops is None or not plain or len(sizes) > 1
