"""Relaxed: nodes that no operator of kernels/ stands for go through Relax to TIR."""

from __future__ import annotations

import re
from typing import Any

from toolchain.model import formulas, pools
from toolchain.model.graph import DONE, KERNEL, VIEW, Graph, Node, Value, from_relax
from toolchain.model.kernels import Lowered

LABEL = 60  # characters of a kernel's label, which becomes a file's name


def lower_rest(graph: Graph, module: Any) -> Graph:
    """The graph with every remaining operation as fused TIR kernels.

    module: the one that the graph came from, for functions that its calls name.
    """
    from tvm import relax

    # Relax sees them as calls it knows nothing of.
    fixed = {f"done{i}": n for i, n in enumerate(graph.nodes) if n.op in DONE}
    labels = {n: k for k, n in fixed.items()}
    text = _Formulas(graph, module, labels).write()
    for step in (
        relax.transform.LegalizeOps(),
        relax.transform.AnnotateTIROpPattern(),
        relax.transform.FuseOps(),
        relax.transform.FuseTIR(),
    ):
        text = step(text)
    result = from_relax(text, graph.name, [v.name for v in graph.outputs])
    for old, new in zip(graph.inputs, result.inputs, strict=True):
        new.name = old.name
    for node in result.nodes:
        if node.op == "call_tir":
            gv = node.attributes["callee"]
            label = re.sub(r"\W", "_", gv.name_hint)[:LABEL]
            node.attributes = {"kernel": Lowered(text[gv], label)}
            node.op = KERNEL
        else:
            done = fixed[str(node.attributes["callee"].global_symbol)]
            node.op, node.attributes = done.op, done.attributes
    return result


class Writer:
    """Writes a graph as a Relax module."""

    def __init__(self, graph: Graph, module: Any, labels: dict[Node, str]) -> None:
        from tvm import relax

        self.relax = relax
        self.graph, self.module, self.labels = graph, module, labels
        self.builder = relax.BlockBuilder()
        self.names: dict[Value, Any] = {}
        self.functions: dict[str, Any] = {}

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
        result = self.builder.emit(call)
        if len(node.outputs) == 1:
            self.names[node.output] = result
            return
        for i, value in enumerate(node.outputs):
            self.names[value] = self.builder.emit(relax.TupleGetItem(result, i))

    def _call(self, node: Node, inputs: list[Any]) -> Any:
        if node.op == "call_tir":
            return self.relax.call_tir(
                self._function(node), inputs, _type(node.output)
            )
        assert node.build is not None, node.op
        return node.build(inputs)

    def _function(self, node: Node) -> Any:
        name = node.attributes["callee"].name_hint
        if name not in self.functions:
            self.functions[name] = self.builder.add_func(self.module[name], name)
        return self.functions[name]


class _Formulas(Writer):
    """Writes what the library says of elements in its terms."""

    def _call(self, node: Node, inputs: list[Any]) -> Any:
        for written in (formulas.written, pools.written):
            if (call := written(self.builder, node, inputs)) is not None:
                return call
        return super()._call(node, inputs)


def _type(value: Value) -> Any:
    from tvm import relax

    return relax.TensorType(value.shape, value.dtype)
