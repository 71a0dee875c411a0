"""Formulas: elementwise nodes by what the files of kernels/ say of an element.

So a model gives the bits that the library gives, and nodes still fuse with others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from toolchain.frontends.library import PREFIX, operator
from toolchain.lower.te import Kernel
from toolchain.model.graph import DONE, KERNEL, Graph, Node
from toolchain.model.kernels import Instance
from toolchain.spec import Operator, Pointwise, tensor_dtype
from toolchain.targets import Target

# Operators whose formula holds for float64 too.
_WIDE = ("clip", "leaky_relu", "maximum", "minimum", "relu", "sign")


@dataclass(frozen=True)
class Counterpart:
    """An operator of the library that says what a node of Relax does.

    constants: operands after the node's own.
    """

    operator: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    constants: tuple[float, ...] = ()


def _clip(node: Node) -> Counterpart:
    return Counterpart("clip", {}, (node.attributes["min"], node.attributes["max"]))


def _leaky(node: Node) -> Counterpart:
    return Counterpart("leaky_relu", {"alpha": node.attributes["alpha"]})


def _same(name: str) -> Callable[[Node], Counterpart]:
    return lambda node: Counterpart(name)


def _integers(name: str) -> Callable[[Node], Counterpart | None]:
    """Of integers alone; floats are right as Relax has them."""

    def rule(node: Node) -> Counterpart | None:
        return None if node.inputs[0].dtype.startswith("float") else Counterpart(name)

    return rule


_COUNTERPARTS: dict[str, Callable[[Node], Counterpart | None]] = {
    "abs": lambda node: Counterpart("abs"),
    "astype": lambda node: Counterpart("cast"),
    "clip": _clip,
    "divide": _integers("div"),
    **{name: _same(name) for name in ("erf", "exp", "sigmoid", "tanh")},
    "equal": lambda node: (
        Counterpart("equal") if node.inputs[0].dtype == "bool" else None
    ),
    "floor_mod": lambda node: Counterpart("mod", {"fmod": 0}),
    "maximum": lambda node: Counterpart("maximum"),
    "minimum": lambda node: Counterpart("minimum"),
    "mod": lambda node: Counterpart("mod", {"fmod": 1}),
    "nn.gelu": lambda node: Counterpart("gelu", {"approximate": "none"}),
    "nn.gelu_tanh": lambda node: Counterpart("gelu", {"approximate": "tanh"}),
    "nn.leakyrelu": _leaky,
    "nn.relu": lambda node: Counterpart("relu"),
    "nn.relu6": lambda node: Counterpart("clip", {}, (0.0, 6.0)),
    "nn.silu": lambda node: Counterpart("silu"),
    "round": lambda node: Counterpart("round"),
    "sign": lambda node: Counterpart("sign"),
}


def is_elementwise(node: Node) -> bool:
    """Whether a node is a call of an operator of elements."""
    name = node.op.removeprefix(PREFIX)
    return name != node.op and operator(name).collapse.startswith("elementwise.")


def written(builder: Any, node: Node, inputs: list[Any], target: Target) -> Any | None:
    """The node as a call of TIR by the library's formula; None without a formula.

    inputs: in Relax.
    """
    other = _counterpart(node)
    if other is None:
        return None
    found = operator(other.operator)
    variant = _variant(other.operator, found, node)
    if variant is None or not isinstance(found.compute, Pointwise):
        return None
    if any(abs(v) == inf for v in other.constants) and "float" not in variant[0]:
        return None
    constants = _constants(found, other.attributes)
    kernel = Kernel(found, variant, target, constants=constants)
    compute = _compute(found, kernel, node.output.shape, other.constants)
    return builder.call_te(compute, *inputs, primfunc_name_hint=other.operator)


def alone(graph: Graph) -> None:
    """Let elementwise nodes that no loop could take in have the library's own loops.

    A function of many elements goes through its formula by stages there.
    """
    producers, users = graph.producers(), graph.users()
    for node in graph.nodes:
        instance = _instance(node)
        if instance is None:
            continue
        near = [producers.get(v) for v in node.inputs] + users.get(node.output, [])
        if all(other is None or other.op in DONE for other in near):
            node.op, node.attributes = KERNEL, {"kernel": instance}


def _instance(node: Node) -> Instance | None:
    """The library's operator with the node's sizes, where it has loops of its own."""
    other = _counterpart(node)
    if other is None or other.constants or len(node.inputs) != 1:
        return None
    found = operator(other.operator)
    variant = _variant(other.operator, found, node)
    loops = isinstance(found.compute, Pointwise) and found.compute.loops is not None
    if not loops or variant is None:
        return None
    constants = _constants(found, other.attributes) | {"n": node.output.count}
    return Instance.of(other.operator, constants, variant)


def _counterpart(node: Node) -> Counterpart | None:
    if is_elementwise(node):
        return Counterpart(node.op.removeprefix(PREFIX), node.attributes)
    rule = _COUNTERPARTS.get(node.op)
    return rule(node) if rule else None


def _variant(name: str, found: Operator, node: Node) -> tuple[str, ...] | None:
    """The dtypes of the operator's variant for a node's."""
    first, out = node.inputs[0].dtype, node.output.dtype
    for variant in found.variants():
        if (first, out) == (variant[0], tensor_dtype(found.outputs[0], variant)):
            return variant
    return (first,) if first == out == "float64" and name in _WIDE else None


def _constants(found: Operator, given: Mapping[str, Any]) -> dict[str, float]:
    """Attributes as numbers, and a size that stands for any."""
    constants: dict[str, float] = {"n": 1}
    for attribute in found.attributes:
        value = given.get(attribute.name, attribute.default)
        if isinstance(value, str):
            value = attribute.choices.index(value)
        constants[attribute.name] = value
    return constants


def _compute(
    found: Operator,
    kernel: Kernel,
    shape: tuple[int, ...],
    constants: tuple[float, ...],
) -> Callable[..., Any]:
    """A tensor of a shape, to which others are broadcast."""
    formula = found.compute
    assert isinstance(formula, Pointwise)

    def compute(*tensors: Any) -> Any:
        from tvm import te, tirx

        def element(*index: Any) -> Any:
            read = [_read(t, index) for t in tensors]
            read += [tirx.const(c, kernel.dtype) for c in constants]
            value = formula.element(kernel, read)
            return value.astype("bool") if found_bool else value

        found_bool = tensor_dtype(found.outputs[0], kernel.dtypes) == "bool"
        return te.compute(shape, element, name="T_elementwise")

    return compute


def _read(tensor: Any, index: tuple[Any, ...]) -> Any:
    """An element of a tensor that is broadcast; bool as library kernels see it."""
    places = index[len(index) - len(tensor.shape) :]
    at = [
        0 if int(size) == 1 else place
        for size, place in zip(tensor.shape, places, strict=True)
    ]
    value = tensor(*at)
    return value.astype("uint8") if str(tensor.dtype) == "bool" else value
