"""Definitions: operators that the standard defines by others."""

from __future__ import annotations

from typing import Any

from toolchain.frontends.load import subgraphs
from toolchain.frontends.standard import schema_of


def definition(
    node: Any, domain: str, opset: int, kinds: list[bytes]
) -> tuple[Any, dict[str, int]]:
    """The function that defines a node's operator, its attributes filled in.

    kinds: types of the inputs, each a TypeProto; nothing where it is absent.
    """
    from onnx import FunctionProto

    schema = schema_of(node.op_type, domain, opset)
    if schema.has_context_dependent_function:
        version = _newest(schema.context_dependent_function_opset_versions, opset)
        text = schema.get_context_dependent_function_with_opset_version(
            version, node.SerializeToString(), kinds
        )
    else:
        version = _newest(schema.function_opset_versions, opset)
        text = schema.get_function_with_opset_version(version)
    body = FunctionProto()
    body.ParseFromString(text)
    given = {n: a.default_value for n, a in schema.attributes.items()}
    given = {n: v for n, v in given.items() if v.type}
    given |= {a.name: a for a in node.attribute}
    _fill(body, given)
    return body, {o.domain: o.version for o in body.opset_import}


def _newest(versions: list[int], opset: int) -> int:
    return max((v for v in versions if v <= opset), default=min(versions))


def _fill(graph: Any, given: dict[str, Any]) -> None:
    """Put values for attributes that refer to those of the function."""
    for node in graph.node:
        for i in range(len(node.attribute))[::-1]:
            name, source = node.attribute[i].name, node.attribute[i].ref_attr_name
            if source in given:
                node.attribute[i].CopyFrom(given[source])
                node.attribute[i].name = name
            elif source:
                del node.attribute[i]
        for part in subgraphs(node):
            _fill(part, given)
