"""Convert: an ONNX graph becomes a Graph, node by node.

A node becomes what its rule says, or the operator of the library that has its name, or
the operators that the standard defines it by. A node that cannot be converted is noted
with its reason, and those that read its results are passed over: so an error names all
that stands in the way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np

from toolchain.dtypes import DTYPES
from toolchain.frontends.definitions import definition
from toolchain.frontends.load import array, dense, name_of, subgraphs
from toolchain.frontends.nodes.automatic import automatic, is_automatic
from toolchain.frontends.nodes.rules import Call, computed_with, inner, tables
from toolchain.frontends.nodes.scope import REFUSED, Growing, Items, Scope
from toolchain.frontends.standard import (
    NamedKinds,
    excess,
    named_kinds,
    schema_of,
    type_of,
)
from toolchain.graph.graph import Value
from toolchain.graph.sizes import Expression, Size
from toolchain.process import confined
from toolchain.spec import SpecError


@dataclass(frozen=True)
class Refusal:
    """A node that was not converted. unknown: nothing converts its operator."""

    operator: str
    domain: str
    node: str
    reason: str
    unknown: bool


# Operators whose sizes onnx 1.23 infers wrongly: STFT with onesided left out.
DOUBTFUL = ("STFT",)
Shape = tuple[Size | None, ...] | None
Made = list[tuple[Shape, str]]
ResultT = TypeVar("ResultT")


class UnknownOperatorError(SpecError):
    """Nothing converts the operator of a node."""


class Converter:
    """Converts one model; refusals: the nodes that could not be."""

    def __init__(self) -> None:
        self.refusals: list[Refusal] = []

    def inlined(self, graph: Any, scope: Scope, path: str) -> list[Value | None]:
        """Results of a graph whose nodes become nodes of the scope's graph."""
        for tensor in graph.initializer:
            scope.values[tensor.name] = Value.constant(
                tensor.name, computed_with(array(tensor))
            )
        for sparse in graph.sparse_initializer:
            name = sparse.values.name
            scope.values[name] = Value.constant(name, computed_with(dense(sparse)))
        self._nodes(graph, scope, path)
        return [scope[o.name] for o in graph.output]

    def _nodes(self, graph: Any, scope: Scope, path: str) -> None:
        for i, node in enumerate(graph.node):
            at = f"{path}{name_of(node, i)}"
            confined.at(f"{node.op_type}, node {at}")
            inputs = [scope[n] for n in node.input]
            results = self.or_refused(
                *(node.op_type, node.domain, at, inputs, scope),
                partial(self.results, node, inputs, scope, at),
            )
            if results is None:
                results = [REFUSED] * len(node.output)
            for name, value in zip(node.output, results, strict=False):
                if name:
                    scope.values[name] = value

    def or_refused(
        self,
        operator: str,
        domain: str,
        at: str,
        inputs: Sequence[Value | None],
        scope: Scope,
        make: Callable[[], ResultT],
    ) -> ResultT | None:
        """What `make` gives for a node; None, with a note, where it raises an error.

        None without a note where one of the inputs is of a node that was refused.
        """
        if REFUSED in inputs:
            return None
        scope.builder.place = f"{operator}, node {at}"
        try:
            return make()
        except SpecError as error:
            reason, unknown = str(error), isinstance(error, UnknownOperatorError)
        except (MemoryError, RecursionError):
            raise
        except Exception as error:
            kinds = ", ".join(_text(v) for v in inputs if v is not None) or "no inputs"
            reason, unknown = (
                (
                    f"cannot be converted from {kinds}; change or leave out this node"
                    f"{confined.words(str(error))}"
                ),
                False,
            )
        self.refusals.append(Refusal(operator, str(domain), at, reason, unknown))
        return None

    def results(
        self, node: Any, inputs: list[Value | None], scope: Scope, at: str
    ) -> Sequence[Value | None]:
        """Results of an ONNX node. Errors: SpecError where it cannot be converted."""
        call = Call(node, inputs, scope, self, f"{at}/")
        made = [] if subgraphs(node) else _made(call)
        known = _evaluated(call) if _is_foreign(inputs, made) else None
        results = self._converted(call) if known is None else known
        wanted = max((i + 1 for i, o in enumerate(node.output) if o), default=0)
        absent = [i for i in range(wanted) if call.wants(i) and _at(results, i) is None]
        if absent:
            raise SpecError(f"makes no output {absent[0]} here; leave it out")
        for value, kind in zip(results, made, strict=False):
            _learn(value, *kind)
        return results

    def _converted(self, call: Call) -> Sequence[Value | None]:
        found, fallback = (t.get((call.domain, call.name)) for t in tables())
        if found is not None:
            results = found(call)
        elif is_automatic(call):
            results = automatic(call)
        elif fallback is not None:
            results = fallback(call)
        elif is_defined(call.domain, call.name):
            results = self._defined(call)
        else:
            results = _evaluated(call)
            if results is None:
                raise UnknownOperatorError("")
        several = results is not None and not isinstance(results, Value)
        return results if several else [results]  # type: ignore[return-value,list-item]

    def _defined(self, call: Call) -> list[Value | None]:
        """Results by the operators that the standard defines it by."""
        kinds = [_kind_of(v) for v in call.inputs]
        body, opsets = definition(call.node, call.domain, call.opset, kinds)
        if not body.node:
            raise SpecError(
                "is defined for known shapes alone; give them by --dim or --shape"
            )
        given = [*call.inputs, *[None] * len(body.input)]
        values = dict(zip(body.input, given, strict=False))
        scope = call.scope.body(call.scope.opsets | opsets, values)
        before = len(self.refusals)
        self._nodes(body, scope, call.path)
        if inner := self.refusals[before:]:
            del self.refusals[before:]
            what = f"{inner[0].operator}: {inner[0].reason}" if inner[0].reason else ""
            raise SpecError(
                f"is defined by operators that are not supported: "
                f"{what or inner[0].operator}"
            )
        used = len(call.node.output)
        return [
            scope[o] if call.wants(i) else None
            for i, o in enumerate(body.output[:used])
        ]


def is_defined(domain: str, name: str) -> bool:
    """Whether the standard defines an operator by others."""
    schema = schema_of(name, domain, 1 << 16)
    return schema is not None and bool(
        schema.has_function or schema.has_context_dependent_function
    )


def _at(results: Sequence[Value | None], index: int) -> Value | None:
    return results[index] if index < len(results) else None


def _made(call: Call) -> Made:
    """What the standard says that a node makes. Errors: where it says no.

    Its own inference takes sizes that it does not know for 0 here and there: what it
    says of open sizes must not be taken at its word.
    """
    values = call.given()
    if any(isinstance(v, (Growing, Items)) for v in values):
        return []
    is_open = any(v.shape is not None and v.known is None for v in values)
    try:
        found = _inferred(call, lambda v: v.shape)
    except SpecError:
        if not is_open:
            raise
        found = _inferred(call, lambda v: v.known)
    made: Made = []
    names = {str(n): n for v in values for n in v.shape or () if n is not None}
    for sizes, dtype in found:
        shape: Shape = None
        if sizes is not None:
            shape = tuple(names.get(n) if isinstance(n, str) else n for n in sizes)
        if shape is not None and (is_open or call.name in DOUBTFUL):
            wrong = call.name in DOUBTFUL or is_defined(call.domain, call.name)
            shape = tuple(None if wrong or n == 0 else n for n in shape)
        numbers = [n if isinstance(n, int) else None for n in shape or ()]
        if text := excess(numbers, dtype):
            raise SpecError(f"its result {text}")
        made.append((shape, dtype))
    return made


def _inferred(call: Call, shape_of: Callable[[Value], Shape]) -> NamedKinds:
    given = [
        None if v is None else (_type_of(v.dtype, shape_of(v)), v.data)
        for v in call.inputs
    ]
    return named_kinds(call.node, given, call.scope.opsets, call.domain)


def _type_of(dtype: str, shape: Shape) -> Any:
    if shape is None:
        return type_of(None, dtype)
    sizes = [str(n) if isinstance(n, Expression) else n for n in shape]
    return type_of(tuple(sizes), dtype)


def _text(value: Value) -> str:
    """A value's dtype and shape, as in float32[n, 3]."""
    if value.shape is None:
        return value.dtype
    sizes = ["?" if n is None else str(n) for n in value.shape]
    return f"{value.dtype}[{', '.join(sizes)}]"


def _kind_of(value: Value | None) -> bytes:
    """The type of a value as a TypeProto; nothing where it is absent."""
    from onnx import TypeProto

    kind = TypeProto() if value is None else _type_of(value.dtype, value.shape)
    return bytes(kind.SerializeToString())


def _learn(value: Value | None, shape: Any, dtype: str) -> None:
    """Add to a value's shape what the standard says of it."""
    if value is None or value is REFUSED:
        return
    rank, dtype = None if shape is None else len(shape), inner(dtype)
    if dtype not in ("", value.dtype) or None is not value.rank != rank is not None:
        raise SpecError(
            f"its result would be {value.dtype} of rank {value.rank}, where the ONNX "
            f"standard says {dtype} of rank {rank}; change or leave out this node, and "
            "report this"
        )
    if shape is None or value.data is not None:
        return
    own = value.shape or (None,) * len(shape)
    value.shape = tuple(
        n if n is not None else m for n, m in zip(own, shape, strict=True)
    )


def _is_foreign(inputs: Sequence[Value | None], made: Sequence[Any]) -> bool:
    """Whether a node has to do with dtypes that modules do not take."""
    dtypes = {v.dtype for v in inputs if v is not None}
    dtypes |= {inner(d) for _, d in made if d}
    return not dtypes <= set(DTYPES)


def _evaluated(call: Call) -> list[Value | None] | None:
    """Results of constants by ONNX's reference; None where it has none."""
    from onnx.reference import ReferenceEvaluator

    if call.name == "Constant" or any(v.data is None for v in call.given()):
        return None
    pairs = zip(call.node.input, call.inputs, strict=True)
    feeds = {n: v.data for n, v in pairs if v is not None}
    try:
        results = ReferenceEvaluator(call.node, opsets=call.scope.opsets).run(
            None, feeds
        )
    except MemoryError:
        raise
    except Exception:  # whatever: a rule may know it, or reports why not
        return None
    names = call.node.output
    return [
        Value.constant(n, computed_with(np.asarray(r)))
        for n, r in zip(names, results, strict=True)
    ]
