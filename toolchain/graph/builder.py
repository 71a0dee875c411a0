"""Builder: how frontends write a graph, one node after the other.

What has only constants is computed at once, by the reference of its operator's file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.graph.arguments import check_attributes
from toolchain.graph.elements import constants
from toolchain.graph.graph import (
    FLATTEN,
    PREFIX,
    RESHAPE,
    SHAPE,
    SQUEEZE,
    UNSQUEEZE,
    Attribute,
    Graph,
    Node,
    Value,
)
from toolchain.graph.operators import operator, output_dtypes, variant_of
from toolchain.graph.references import folded, number_of
from toolchain.graph.shapes import infer
from toolchain.graph.sizes import Size
from toolchain.graph.views import shape_part, viewed
from toolchain.spec import SpecError


class Builder:
    """Adds nodes to a graph. place: the file's node that they are for, for errors.

    region: the graph may never run. A node whose shapes do not fit is no error then:
    the runtime says so where it runs.
    """

    def __init__(self, graph: Graph, region: bool = False) -> None:
        self.graph, self.region = graph, region
        self.place = ""
        self._count = 0

    def constant(self, data: Any, dtype: str | None = None) -> Value:
        """A constant, from what numpy makes an array of."""
        return Value.constant(self._name("constant"), np.asarray(data, dtype))

    def call(
        self,
        name: str,
        *inputs: Value | None,
        dtypes: tuple[str, ...] | None = None,
        **attributes: Attribute,
    ) -> Value:
        """The output of an operator. dtypes: its variant, where inputs leave it open.

        Errors: SpecError where the operator has no variant for the inputs.
        """
        (value,) = self._called(name, inputs, dtypes, 1, attributes)
        return value

    def calls(
        self,
        name: str,
        *inputs: Value | None,
        dtypes: tuple[str, ...] | None = None,
        outputs: int = 1,
        **attributes: Attribute,
    ) -> list[Value]:
        """As call, for operators of several outputs."""
        return self._called(name, inputs, dtypes, outputs, attributes)

    def _called(
        self,
        name: str,
        inputs: Sequence[Value | None],
        dtypes: tuple[str, ...] | None,
        outputs: int,
        attributes: Mapping[str, Attribute],
    ) -> list[Value]:
        if dtypes is None:
            kinds = [None if v is None else v.dtype for v in inputs]
            dtypes = variant_of(name, kinds)
            if dtypes is None:
                words = ", ".join(d or "nothing" for d in kinds)
                known = "; ".join(", ".join(v) for v in operator(name).variants())
                advice = ": cast to float32 before it" if "float64" in kinds else ""
                raise SpecError(f"{name} takes no {words}; it takes {known}{advice}")
        check_attributes(name, attributes)
        named = [
            Value(self._name(name), d) for d in output_dtypes(name, dtypes, outputs)
        ]
        tensors = operator(name).inputs
        missing = 0 if tensors[-1:] and tensors[-1].variadic else len(tensors)
        given = [*inputs, *[None] * (missing - len(inputs))]
        return self._add(Node(name, given, named, dict(attributes), dtypes))

    def shape_of(self, x: Value, start: int = 0, end: int | None = None) -> Value:
        """Sizes of a value, as int64."""
        attributes: dict[str, Attribute] = {"start": start}
        attributes |= {} if end is None else {"end": end}
        return self._own(SHAPE, x, "int64", attributes)

    def reshape(
        self, x: Value, shape: Value | Sequence[int], allowzero: int = 0
    ) -> Value:
        """The same elements in another shape, as the operator reshape takes it."""
        return self._own(RESHAPE, x, x.dtype, {"allowzero": allowzero, "shape": shape})

    def squeeze(self, x: Value, axes: Value | Sequence[int] = ()) -> Value:
        """Without axes of size 1; without all of them where axes is empty."""
        return self._own(SQUEEZE, x, x.dtype, {"axes": axes})

    def unsqueeze(self, x: Value, axes: Value | Sequence[int]) -> Value:
        """With axes of size 1, counted in the result."""
        return self._own(UNSQUEEZE, x, x.dtype, {"axes": axes})

    def flatten(self, x: Value, axis: int = 1) -> Value:
        """Two axes: those before `axis`, and the others."""
        return self._own(FLATTEN, x, x.dtype, {"axis": axis})

    def value(
        self, what: str, dtype: str, shape: tuple[Size | None, ...] | None = None
    ) -> Value:
        """A value of a name of its own, as an output of a node or a region's input."""
        return Value(self._name(what), dtype, shape)

    def add(self, node: Node) -> list[Value]:
        """The outputs of a node with regions."""
        return self._add(node)

    def _own(
        self, op: str, x: Value, dtype: str, attributes: dict[str, Attribute]
    ) -> Value:
        name = self._name(op.removeprefix(PREFIX))
        known = _view_of(op, x, attributes)
        if known is not None:
            return Value.constant(name, known)
        (value,) = self._add(Node(op, [x], [Value(name, dtype)], attributes))
        return value

    def _add(self, node: Node) -> list[Value]:
        node.place = self.place
        known = None if _is_weight(node) else folded(node)
        if known is not None:
            return known
        try:
            infer(node)
        except SpecError:
            if not self.region:
                raise
        known = constants(node)
        if known is not None:
            return known
        self.graph.nodes.append(node)
        return node.outputs

    def _name(self, what: str) -> str:
        self._count += 1
        return f"{what}.{self._count}"  # which no name of a file is


def _is_weight(node: Node) -> bool:
    """Whether it makes floats of 8-bit weights, which passes first look for."""
    x = node.inputs[0] if node.op == "dequantize_linear" else None
    return x is not None and x.dtype in ("int8", "uint8") and (x.rank or 0) > 1


def _view_of(
    op: str, x: Value, attributes: Mapping[str, Attribute]
) -> NDArray[Any] | None:
    """The elements of a shape, or of a view of a constant, where they are known."""
    if op == SHAPE and x.shape is not None:
        sizes = shape_part(x.shape, attributes)
        known = [n for n in sizes if isinstance(n, int)]
        return np.array(known, "int64") if len(known) == len(sizes) else None
    values = [v for v in attributes.values() if isinstance(v, Value)]
    if x.data is None or any(v.data is None for v in values):
        return None
    return viewed(op, x.data, {n: number_of(v) for n, v in attributes.items()})
