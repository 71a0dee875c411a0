"""Relaxed: nodes that no operator of kernels/ stands for go through Relax to TIR."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from toolchain.model import formulas, pools
from toolchain.model.graph import DONE, KERNEL, Graph, Node, Value, from_relax
from toolchain.model.kernels import Lowered
from toolchain.process import confined
from toolchain.spec import SpecError
from toolchain.targets import Target

_CALLS = ("relax.call_tir", "relax.call_dps_packed")
LABEL = 60  # characters of a kernel's label, which becomes a file's name


def lower_rest(
    graph: Graph, module: Any, places: Mapping[str, str], target: Target
) -> Graph:
    """The graph with every remaining operation as fused TIR kernels.

    module: what the graph was read from, for functions that its calls name.
    places: what errors call the nodes of the file, by the names of values. target: what
    formulas are written for. Errors: SpecError for operations that TVM has no kernels
    for.
    """
    # Relax sees them as calls it knows nothing of.
    fixed = {f"done{i}": n for i, n in enumerate(graph.nodes) if n.op in DONE}
    labels = {n: k for k, n in fixed.items()}
    writer = Writer(graph, module, labels, target)
    try:
        text = _fused(writer)
    except Exception as error:
        raise _culprit(graph, module, labels, places, target) or error from error
    result = from_relax(text, graph.name, [v.name for v in graph.outputs])
    for old, new in zip(graph.inputs, result.inputs, strict=True):
        new.name = old.name
    kernels: dict[str, Lowered] = {}
    parts = {
        name: tuple(dict.fromkeys(_place(n, places) for n in nodes))
        for name, nodes in writer.parts.items()
    }
    for node in result.nodes:
        if node.op == "call_tir":
            gv = node.attributes["callee"]
            if gv.name_hint not in kernels:
                label = re.sub(r"\W", "_", gv.name_hint)[:LABEL]
                kernels[gv.name_hint] = Lowered(text[gv], label)
            node.attributes = {"kernel": kernels[gv.name_hint]}
            node.op, node.places = KERNEL, parts.get(gv.name_hint, ())
        elif node.op not in DONE:  # from_relax gives outputs names by views
            done = fixed[str(node.attributes["callee"].global_symbol)]
            node.op, node.attributes = done.op, done.attributes
            node.places = (_place(done, places),)
    return result


def _fused(writer: Writer) -> Any:
    """The writer's graph as a Relax module whose calls are of kernels alone."""
    from tvm import relax

    text = writer.write()
    for step in (
        relax.transform.LegalizeOps(),
        relax.transform.AnnotateTIROpPattern(),
        relax.transform.FuseOps(),
    ):
        text = step(text)
    writer.note(text)
    text = relax.transform.FuseTIR()(text)
    for block in text["main"].body.blocks:
        for binding in block.bindings:
            name = getattr(getattr(binding.value, "op", None), "name", _CALLS[0])
            if name not in _CALLS:
                raise SpecError(f"TVM has no kernel for {name}")
    return text


def _culprit(
    graph: Graph,
    module: Any,
    labels: dict[Node, str],
    places: Mapping[str, str],
    target: Target,
) -> SpecError | None:
    """The error for the first node that cannot be lowered by itself."""
    for node in graph.nodes:
        if node in labels:
            continue
        inputs = [v for v in dict.fromkeys(node.inputs) if v.data is None]
        part = Graph("part", inputs, node.outputs, [node])
        try:
            _fused(Writer(part, module, {}, target))
        except Exception as error:
            shapes = ", ".join(f"{v.dtype}{list(v.shape)}" for v in node.inputs)
            said = confined.words(str(error) or type(error).__name__)
            return SpecError(
                f"{_place(node, places)}: {node.op} cannot be compiled from {shapes}; "
                f"change or leave out this node{said}"
            )
    return None


def _place(node: Node, places: Mapping[str, str]) -> str:
    """What the file calls a node: passes add to the names of values."""
    name = node.outputs[0].name
    variable = re.match(r"lv\d*", name)
    return places.get(name) or places.get(variable[0] if variable else "", "the graph")


class Writer:
    """Writes a graph as a Relax module."""

    def __init__(
        self, graph: Graph, module: Any, labels: dict[Node, str], target: Target
    ) -> None:
        from tvm import relax

        self.relax = relax
        self.graph, self.module, self.labels = graph, module, labels
        self.target = target
        self.builder = relax.BlockBuilder()
        self.names: dict[Value, Any] = {}
        self.functions: dict[str, Any] = {}
        # Nodes by the names that their calls have in Relax; the nodes of each kernel.
        self.calls: dict[str, Node] = {}
        self.parts: dict[str, list[Node]] = {}

    def write(self) -> Any:
        """The module."""
        relax, build, graph = self.relax, self.builder, self.graph
        parameters = [relax.Var(f"in{i}", _type(v)) for i, v in enumerate(graph.inputs)]
        self.names.update(zip(graph.inputs, parameters, strict=True))
        with build.function("main", parameters):
            with build.dataflow():
                for node in graph.nodes:
                    self._emit(node)
                results = [build.emit_output(self._read(v)) for v in graph.outputs]
            build.emit_func_output(
                results[0] if len(results) == 1 else relax.Tuple(results)
            )
        return build.get()

    def note(self, text: Any) -> None:
        """Find the nodes of each kernel of the fused module.

        The last call of several that are fused loses its name there: it is a reader of
        the others that has no kernel otherwise.
        """
        functions = {gv.name_hint: f for gv, f in text.functions.items()}
        found: dict[str, list[Node]] = {}
        fused = set()
        for name, var in _calls_of(functions["main"]):
            if isinstance(functions.get(name), self.relax.Function):
                fused.add(name)
                names = [v for _, v in _calls_of(functions[name])]
            else:
                names = [var]
            nodes = [self.calls[n] for n in names if n in self.calls]
            found.setdefault(name, []).extend(nodes)
        named = {node for nodes in found.values() for node in nodes}
        users = self.graph.users()
        for name in fused:
            last = [
                user
                for node in found[name]
                for value in node.outputs
                for user in users.get(value, [])
                if user not in named and user not in self.labels
            ]
            found[name] += dict.fromkeys(last)
        self.parts = found

    def _read(self, value: Value) -> Any:
        if value not in self.names:
            assert value.data is not None, value.name
            self.names[value] = self.relax.const(value.data, value.dtype)
        return self.names[value]

    def _emit(self, node: Node) -> None:
        relax = self.relax
        inputs = [self._read(v) for v in node.inputs]
        if node in self.labels:
            kinds = [_type(v) for v in node.outputs]
            call = relax.call_dps_packed(
                self.labels[node], inputs, kinds[0] if len(kinds) == 1 else kinds
            )
        else:
            call = self._call(node, inputs)
        result = self.builder.emit(call, name_hint=f"n{len(self.calls)}_")
        self.calls[result.name] = node
        _check(node, result.ty)
        if len(node.outputs) == 1:
            self.names[node.output] = result
            return
        for i, value in enumerate(node.outputs):
            self.names[value] = self.builder.emit(relax.TupleGetItem(result, i))

    def _call(self, node: Node, inputs: list[Any]) -> Any:
        for written in (formulas.written, pools.written):
            call = written(self.builder, node, inputs, self.target)
            if call is not None:
                return call
        if node.op == "call_tir":
            return self.relax.call_tir(self._function(node), inputs, _type(node.output))
        assert node.build is not None, node.op
        return node.build(inputs)

    def _function(self, node: Node) -> Any:
        name = node.attributes["callee"].name_hint
        if name not in self.functions:
            self.functions[name] = self.builder.add_func(self.module[name], name)
        return self.functions[name]


def _calls_of(function: Any) -> list[tuple[str, str]]:
    """What a function's bindings call, and the names of their results."""
    found = []
    for block in function.body.blocks:
        for binding in block.bindings:
            call = binding.value
            callee = getattr(call, "op", None)
            if getattr(callee, "name", "") == _CALLS[0]:
                callee = call.args[0]
            name = getattr(callee, "name_hint", None)
            if name is not None:
                found.append((name, binding.var.name))
    return found


def _check(node: Node, kind: Any) -> None:
    """SpecError where Relax gives a node's results other shapes or dtypes."""
    kinds = kind.fields if len(node.outputs) > 1 else [kind]
    for value, made in zip(node.outputs, kinds, strict=True):
        shape = tuple(int(n) for n in made.shape)
        if (shape, str(made.dtype)) != (value.shape, value.dtype):
            raise SpecError(
                f"{node.op}: {value.name} is {value.dtype}{list(value.shape)}, but "
                f"{made.dtype}{list(shape)} is computed; this is a mistake in "
                "toolchain/model"
            )


def _type(value: Value) -> Any:
    from tvm import relax

    return relax.TensorType(value.shape, value.dtype)
