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
class Twin:
    """An operator of the library that says what a node of Relax does.

    constants: operands after the node's own.
    """

    operator: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    constants: tuple[float, ...] = ()


def _clip(node: Node) -> Twin:
    return Twin("clip", {}, (node.attributes["min"], node.attributes["max"]))


def _leaky(node: Node) -> Twin:
    return Twin("leaky_relu", {"alpha": node.attributes["alpha"]})


def _same(name: str) -> Callable[[Node], Twin]:
    return lambda node: Twin(name)


def _integers(name: str) -> Callable[[Node], Twin | None]:
    """Of integers alone; floats are right as Relax has them."""

    def rule(node: Node) -> Twin | None:
        return None if node.inputs[0].dtype.startswith("float") else Twin(name)

    return rule


_TWINS: dict[str, Callable[[Node], Twin | None]] = {
    "abs": lambda node: Twin("abs"),
    "astype": lambda node: Twin("cast"),
    "clip": _clip,
    "divide": _integers("div"),
    **{name: _same(name) for name in ("erf", "exp", "sigmoid", "tanh")},
    "equal": lambda node: Twin("equal") if node.inputs[0].dtype == "bool" else None,
    "floor_mod": lambda node: Twin("mod", {"fmod": 0}),
    "maximum": lambda node: Twin("maximum"),
    "minimum": lambda node: Twin("minimum"),
    "mod": lambda node: Twin("mod", {"fmod": 1}),
    "nn.gelu": lambda node: Twin("gelu", {"approximate": "none"}),
    "nn.gelu_tanh": lambda node: Twin("gelu", {"approximate": "tanh"}),
    "nn.leakyrelu": _leaky,
    "nn.relu": lambda node: Twin("relu"),
    "nn.relu6": lambda node: Twin("clip", {}, (0.0, 6.0)),
    "nn.silu": lambda node: Twin("silu"),
    "round": lambda node: Twin("round"),
    "sign": lambda node: Twin("sign"),
}


def is_elementwise(node: Node) -> bool:
    """Whether a node is a call of an operator of elements."""
    name = node.op.removeprefix(PREFIX)
    return name != node.op and operator(name).collapse.startswith("elementwise.")


def written(builder: Any, node: Node, inputs: list[Any], target: Target) -> Any | None:
    """The node as a call of TIR that the library's formula makes; None without one.

    inputs: in Relax.
    """
    twin = _twin(node)
    if twin is None:
        return None
    found = operator(twin.operator)
    variant = _variant(twin.operator, found, node)
    if variant is None or not isinstance(found.compute, Pointwise):
        return None
    if any(abs(v) == inf for v in twin.constants) and "float" not in variant[0]:
        return None
    constants = _constants(found, twin.attributes)
    kernel = Kernel(found, variant, target, constants=constants)
    compute = _compute(found, kernel, node.output.shape, twin.constants)
    return builder.call_te(compute, *inputs, primfunc_name_hint=twin.operator)


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
    twin = _twin(node)
    if twin is None or twin.constants or len(node.inputs) != 1:
        return None
    found = operator(twin.operator)
    variant = _variant(twin.operator, found, node)
    own = isinstance(found.compute, Pointwise) and found.compute.loops is not None
    if not own or variant is None:
        return None
    constants = _constants(found, twin.attributes) | {"n": node.output.count}
    return Instance.of(twin.operator, constants, variant)


def _twin(node: Node) -> Twin | None:
    if is_elementwise(node):
        return Twin(node.op.removeprefix(PREFIX), node.attributes)
    rule = _TWINS.get(node.op)
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
