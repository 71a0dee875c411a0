"""Verify: that a graph does not contradict itself, after each pass.

A mistake of a pass would be a wrong result, or memory that kernels read and write
outside their tensors. This finds it where it is made, in time linear in the graph.
"""

from __future__ import annotations

from collections.abc import Callable

from toolchain.model.graph import KERNEL, VIEW, Graph, Node, Value
from toolchain.model.products import CONV, DENSE, GROUPED
from toolchain.model.quantized import QUANTIZED_CONV, QUANTIZED_DENSE
from toolchain.spec import SpecError


def verify(graph: Graph, after: str) -> None:
    """SpecError where a graph is wrong; after: the pass that made it so.

    Each value is written once and before it is read, constants are what their values
    say, kernels fit their tensors, and each node has a result that something reads.
    """
    known: set[Value] = set()
    for value in graph.inputs:
        _define(value, known, f"after {after}: the inputs")
    for i, node in enumerate(graph.nodes):
        where = f"after {after}: node {i} ({node.op})"
        for value in node.inputs:
            _read(value, known, where)
        for value in node.outputs:
            _define(value, known, where)
        check = _CHECKS.get(node.op)
        if check is None and node.build is None and node.op != "call_tir":
            raise _wrong(where, "nothing says what it computes")
        if check is not None:
            try:
                check(node)
            except SpecError as error:
                raise _wrong(where, str(error)) from None
    for value in graph.outputs:
        _read(value, known, f"after {after}: the outputs")
    _all_read(graph, after)


def _wrong(where: str, what: str) -> SpecError:
    return SpecError(f"{where}: {what}; this is a mistake in toolchain/model")


def _define(value: Value, known: set[Value], where: str) -> None:
    if value in known:
        raise _wrong(where, f"{value.name} is written a second time")
    if value.data is not None:
        raise _wrong(where, f"{value.name} is written, but it is a constant")
    known.add(value)


def _read(value: Value, known: set[Value], where: str) -> None:
    """A value must be written already, or be a constant that is as it says."""
    if value in known:
        return
    if value.data is None:
        raise _wrong(where, f"{value.name} is read, but nothing wrote it before")
    if (value.data.shape, str(value.data.dtype)) != (value.shape, value.dtype):
        raise _wrong(
            where,
            f"the constant {value.name} is {value.dtype}{list(value.shape)}, its "
            f"elements are {value.data.dtype}{list(value.data.shape)}",
        )


def _all_read(graph: Graph, after: str) -> None:
    used = {v for n in graph.nodes for v in n.inputs} | set(graph.outputs)
    for i, node in enumerate(graph.nodes):
        if used.isdisjoint(node.outputs):
            raise _wrong(
                f"after {after}: node {i} ({node.op})", "nothing reads what it computes"
            )


def _kernel(node: Node) -> None:
    node.attributes["kernel"].check(node.inputs, node.outputs)


def _view(node: Node) -> None:
    source, result = node.inputs[0], node.output
    if (source.bytes, source.dtype) != (result.bytes, result.dtype):
        raise SpecError(
            f"{result.name} is no view of {source.name}: {result.dtype} of "
            f"{result.bytes} bytes, {source.dtype} of {source.bytes}"
        )


def _product(node: Node) -> None:
    """Weights are constant; bias and limits are for their output channels."""
    weights, a = node.inputs[1], node.attributes
    channels = weights.shape[1 if node.op in (DENSE, QUANTIZED_DENSE) else 0]
    if weights.data is None:
        raise SpecError(f"its weights {weights.name} are no constant")
    bias, (low, high) = a["bias"], a["limits"]
    if bias is not None and bias.shape != (channels,):
        raise SpecError(f"its bias is {bias.shape} for {channels} channels")
    if not low <= high:
        raise SpecError(f"its limits are {low} and {high}")


def _grouped(node: Node) -> None:
    if "bias" in node.attributes:
        _product(node)


_CHECKS: dict[str, Callable[[Node], None]] = {
    KERNEL: _kernel,
    VIEW: _view,
    CONV: _product,
    DENSE: _product,
    QUANTIZED_CONV: _product,
    QUANTIZED_DENSE: _product,
    GROUPED: _grouped,
}
