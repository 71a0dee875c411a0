"""Quantized elements: what quantizes and dequantizes tensors by one scale.

What only moves or selects elements works on 8-bit integers as they are, so that a
quantize_linear moves before it. What then is left of both becomes elementwise, by
numbers, so that chains read and write bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from toolchain.graph.graph import VIEWS, Graph, Node, Value
from toolchain.graph.operators import variant_of
from toolchain.graph.passes.quantized_operands import EIGHT_BIT, number_of
from toolchain.graph.shapes import infer

MOVES = (
    *VIEWS,
    *("concat", "expand", "identity", "max_pool", "slice", "tile", "transpose"),
)


@dataclass(frozen=True)
class _Numbers:
    """One scale and one zero point, and the dtype of the integers."""

    scale: float
    zero: int
    dtype: str


def through_moves(graph: Graph) -> None:
    """Let moves of dequantized tensors that are quantized again move integers."""
    makers, users, kept = graph.producers(), graph.users(), set(graph.outputs)
    same: dict[Value, Value] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        node.inputs = [v and same.get(v, v) for v in node.inputs]
        numbers = _numbers(node, "quantize_linear")
        if numbers is None:
            nodes.append(node)
            continue
        source = node.inputs[0]
        assert source is not None
        whole = _integers(makers, source, numbers)
        if whole is not None and node.output not in kept:
            same[node.output] = whole
            continue
        move = makers.get(source)
        alone = users.get(source, []) == [node] and source not in kept
        moved = _moved(node, move, makers, numbers) if move and alone else [node]
        makers |= {n.output: n for n in moved}
        nodes += moved
    graph.nodes = nodes
    graph.remove_dead()


def _numbers(node: Node, op: str) -> _Numbers | None:
    """What a node quantizes or dequantizes by."""
    if node.op != op or not node.inputs or node.inputs[0] is None:
        return None
    scale, zero = number_of(node, 1), number_of(node, 2, 0)
    integers = node.output if op == "quantize_linear" else node.inputs[0]
    if scale is None or zero is None or integers.dtype not in EIGHT_BIT:
        return None
    if integers.data is not None or not scale > 0:
        return None
    return _Numbers(scale, int(zero), integers.dtype)


def _integers(
    makers: dict[Value, Node], value: Value, numbers: _Numbers
) -> Value | None:
    """The integers that a dequantized value is made of, by the same numbers."""
    node = makers.get(value)
    if node is None or _numbers(node, "dequantize_linear") != numbers:
        return None
    return node.inputs[0]


def _moved(
    quantize: Node, move: Node, makers: dict[Value, Node], numbers: _Numbers
) -> list[Node]:
    """A move of integers, and before it what makes them; or the node as it is."""
    given = [v for v in move.inputs if v is not None]
    sources = [makers.get(v) for v in given]
    dequantized = all(
        n is not None and _numbers(n, "dequantize_linear") is not None for n in sources
    )
    if move.op not in MOVES or not dequantized or len(move.outputs) != 1:
        return [quantize]
    dtypes = variant_of(move.op, [numbers.dtype] * len(given)) if move.dtypes else ()
    if dtypes is None:
        return [quantize]
    made: list[Node] = []
    inputs: list[Value | None] = []
    for value in given:
        whole = _integers(makers, value, numbers)
        if whole is None:
            whole = Value(f"{value.name}_quantized", numbers.dtype)
            made.append(
                replace(quantize, inputs=[value, *quantize.inputs[1:]], outputs=[whole])
            )
            infer(made[-1])
        inputs.append(whole)
    moved = replace(move, inputs=inputs, outputs=quantize.outputs, dtypes=dtypes)
    infer(moved)
    return [*made, moved]


def to_elements(graph: Graph) -> None:
    """Let what quantizes or dequantizes by numbers be elementwise.

    Each reader of a dequantized value has a node of its own, to be joined with.
    """
    users, kept = graph.users(), set(graph.outputs)
    shared: dict[Value, Node] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        made = _element(node)
        several = len(users.get(made.output, [])) > 1 if made is not node else False
        if several and made.op == "dequantize" and made.output not in kept:
            shared[made.output] = made
            continue
        for i, value in enumerate(made.inputs):
            if value in shared:
                own = Value(value.name, value.dtype, value.shape)
                nodes.append(replace(shared[value], outputs=[own]))
                made.inputs[i] = own
        nodes.append(made)
    graph.nodes = nodes


def _element(node: Node) -> Node:
    """A node as an elementwise one, where it has one scale."""
    for op in ("quantize", "dequantize"):
        numbers = _numbers(node, f"{op}_linear")
        x = node.inputs[0] if node.inputs else None
        if numbers is None or x is None or x.rank is None:
            continue
        dtypes = x.dtype, numbers.dtype
        made = replace(
            node,
            op=op,
            inputs=[x],
            attributes={"scale": numbers.scale, "zero": numbers.zero},
            dtypes=dtypes if op == "quantize" else dtypes[:1],
        )
        infer(made)
        return made
    return node
