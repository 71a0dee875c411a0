"""Rules of control flow: regions, which read nothing but their inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from toolchain.frontends.nodes.rules import Call, rule
from toolchain.frontends.nodes.scope import REFUSED, Growing, Items, Scope
from toolchain.frontends.nodes.shapes import joined, rank_of, size_at
from toolchain.graph.graph import IF, LOOP, Graph, Node, Value
from toolchain.graph.sizes import Size
from toolchain.spec import SpecError

Shape = tuple[Size | None, ...] | None


def common(a: Shape, b: Shape) -> Shape:
    """What two shapes have in common."""
    if a is None or b is None or len(a) != len(b):
        return None
    return tuple(n if n == m else None for n, m in zip(a, b, strict=True))


def _results(
    call: Call, body: Any, scope: Scope, sequences: bool = False
) -> list[Value]:
    """Results of a body. Errors: SpecError for an output that is absent.

    sequences: some may be.
    """
    found = [v for v in call.regions.inlined(body, scope, call.path) if v is not None]
    if len(found) < len(body.output):
        raise SpecError("has a result that is absent; export the model again")
    lists = any(isinstance(v, (Growing, Items)) for v in found)
    if scope.is_region and lists and not sequences:
        raise SpecError("has a sequence as a result; use tensors")
    return found


@rule("If")
def branch(c: Call) -> Sequence[Value]:
    """The branch of a constant condition, else a region for each."""
    bodies = (c.attributes["then_branch"], c.attributes["else_branch"])
    if c[0].data is not None:
        return _results(c, bodies[0 if c[0].data.item() else 1], c.scope.inner())
    return branched(c, c[0], [partial(_results, c, b) for b in bodies])


def branched(
    c: Call, condition: Value, sides: Sequence[Callable[[Scope], list[Value]]]
) -> Sequence[Value]:
    """A region for each side. sides: from the region's scope to its results."""
    scopes = [c.scope.region(name) for name in ("then", "else")]
    results = [side(s) for side, s in zip(sides, scopes, strict=True)]
    if any(REFUSED in values for values in results):
        return [REFUSED] * len(c.node.output)
    regions = [s.finish([], v) for s, v in zip(scopes, results, strict=True)]
    outer = list(dict.fromkeys(v for s in scopes for v in s.taken))
    for region, scope in zip(regions, scopes, strict=True):
        region.inputs = [scope.take(v) for v in outer]
    outputs = [_either(c, *pair) for pair in zip(*results, strict=True)]
    return c.builder.add(Node(IF, [condition, *outer], outputs, regions=regions))


def _either(c: Call, a: Value, b: Value) -> Value:
    """An output that is one value or the other."""
    if a.dtype != b.dtype:
        raise SpecError(f"gives {a.dtype} or {b.dtype}; both branches must agree")
    return c.builder.value("if", a.dtype, common(a.shape, b.shape))


@rule("Loop")
def loop(c: Call) -> Sequence[Value]:
    """A region that runs again and again."""
    state, body = [v for v in c.inputs[2:] if v is not None], c.attributes["body"]
    names = [i.name for i in body.input]
    growing = [isinstance(v, Items) for v in state]
    tensors = [v for v in state if not isinstance(v, Items)]

    def convert(scope: Scope, first: list[Value], carried: list[Value]) -> list[Value]:
        rest = iter(carried)
        own = [Growing() if grows else next(rest) for grows in growing]
        scope.values |= dict(zip(names, [*first, *own], strict=True))
        found = _results(c, body, scope, sequences=True)
        if REFUSED in found:
            return found
        pairs = list(zip(own, found[1:], strict=False))
        news = [new for old, new in pairs if not isinstance(old, Growing)]
        added = [
            added_to(scope, old, new) for old, new in pairs if isinstance(old, Growing)
        ]
        return [found[0], *news, *found[1 + len(state) :], *added]

    made = list(looped(c, c.optional(0), c.optional(1), tensors, convert))
    if REFUSED in made:
        return [REFUSED] * len(c.node.output)
    sequences = sum(growing)
    grown = iter(made[len(made) - sequences :])
    kept, rows = iter(made[: len(tensors)]), made[len(tensors) : len(made) - sequences]
    ends = [
        with_rows(c, v, next(grown)) if isinstance(v, Items) else next(kept)
        for v in state
    ]
    return [*ends, *rows]


def added_to(scope: Scope, old: Growing, new: Value) -> Value:
    """[n, ...]: what a step adds to a sequence. Errors: SpecError for other changes."""
    if not isinstance(new, Growing) or new.start is not old or not new.added:
        raise SpecError(
            "carries a sequence to which its steps do not only add tensors at the end; "
            "use tensors"
        )
    rows = [scope.builder.unsqueeze(v, [0]) for v in new.added]
    return rows[0] if len(rows) == 1 else scope.builder.call("concat", *rows, axis=0)


def with_rows(c: Call, before: Value, steps: Value) -> Items:
    """A sequence with what the steps of a loop have added: [steps, n, ...]."""
    assert isinstance(before, Items)
    shape = c.builder.shape_of(steps, 2)
    rows = c.builder.reshape(steps, joined(c, -1, shape))
    if before.rows is not None:
        rows = c.call("concat", before.rows, rows, axis=0)
    return Items(before.items, rows)


def looped(
    c: Call,
    count: Value | None,
    condition: Value | None,
    state: list[Value],
    convert: Any,
) -> Sequence[Value]:
    """A loop; convert: from a region's scope, [iteration, condition] and the state.

    It gives the condition, the state and the rows of the step. What is known of shapes
    of the state is what all steps have in common.
    """
    shapes = [v.shape for v in state]
    while True:
        scope = c.scope.region("body")
        value = scope.builder.value
        first = [value("iteration", "int64", ()), value("condition", "bool", ())]
        carried = [
            value("state", v.dtype, s) for v, s in zip(state, shapes, strict=True)
        ]
        results = convert(scope, first, carried)
        if REFUSED in results:
            return [REFUSED] * len(c.node.output)
        news = results[1 : 1 + len(state)]
        found = [common(s, v.shape) for s, v in zip(shapes, news, strict=True)]
        if found == shapes:
            break
        shapes = found
    _check_dtypes(state, news)
    region = scope.finish([*first, *carried], results)
    if _goes_on(condition, region):
        condition = None
    return _loop_node(c, [count, condition, *state, *scope.taken], region, shapes)


def _check_dtypes(state: Sequence[Value], news: Sequence[Value]) -> None:
    for old, new in zip(state, news, strict=True):
        if old.dtype != new.dtype:
            raise SpecError(
                f"carries {old.dtype}, which a step makes {new.dtype}; both must agree"
            )


def _goes_on(condition: Value | None, region: Graph) -> bool:
    """Whether a loop runs as often as its count says."""
    if condition is None or condition.data is None or not condition.data.item():
        return False
    last = region.outputs[0]
    if last is region.inputs[1]:
        return True
    return last.data is not None and bool(last.data.item())


def _loop_node(
    c: Call, inputs: list[Value | None], region: Graph, shapes: Sequence[Shape]
) -> list[Value]:
    kept, count = len(shapes), inputs[0]
    steps: int | None = None
    if count is not None and count.data is not None and inputs[1] is None:
        steps = max(int(count.data.item()), 0)
    outputs = [
        c.builder.value("loop", v.dtype, s)
        for v, s in zip(region.outputs[1:], shapes, strict=False)
    ]
    for row in region.outputs[1 + kept :]:
        shape = None if row.shape is None else (steps, *row.shape)
        outputs.append(c.builder.value("rows", row.dtype, shape))
    node = Node(LOOP, inputs, outputs, {"carried": kept}, regions=[region])
    return c.builder.add(node)


@rule("Scan")
def scan(c: Call) -> Sequence[Value]:
    """A loop over slices; as of opset 9."""
    if c.opset < 9:
        raise SpecError("is supported from opset 9; convert the model")
    body, count = c.attributes["body"], c.attributes["num_scan_inputs"]
    kept = len(c.inputs) - count
    values = c.given()
    state, scanned = values[:kept], values[kept:]
    axes = c.get("scan_input_axes") or [0] * count
    back = c.get("scan_input_directions") or [0] * count
    steps = c.builder.reshape(size_at(c, scanned[0], axes[0]), [])
    names = [i.name for i in body.input]

    def convert(scope: Scope, first: list[Value], carried: list[Value]) -> list[Value]:
        parts = [
            _slice_at(scope, v, a, first[0], steps if b else None)
            for v, a, b in zip(scanned, axes, back, strict=True)
        ]
        scope.values |= dict(zip(names, [*carried, *parts], strict=True))
        true = Value.constant("true", np.array(True))
        return [true, *_results(c, body, scope)]

    found = list(looped(c, steps, None, state, convert))
    return found if REFUSED in found else [*found[:kept], *_turned(c, found[kept:])]


def _slice_at(
    scope: Scope, x: Value, axis: int, step: Value, count: Value | None
) -> Value:
    """A slice of a value around a region. count: of steps that go backwards."""
    builder = scope.builder
    if count is not None:
        last = builder.call("sub", scope.take(count), builder.constant(1, "int64"))
        step = builder.call("sub", last, step)
    part = builder.call("gather", scope.take(x), step, axis=axis)
    if part.shape is None and x.shape is not None:
        axis %= len(x.shape)
        part.shape = x.shape[:axis] + x.shape[axis + 1 :]
    return part


def _turned(c: Call, rows: Sequence[Value]) -> list[Value]:
    """What a Scan stacks, along the axes and in the directions that it names."""
    axes = c.get("scan_output_axes") or [0] * len(rows)
    back = c.get("scan_output_directions") or [0] * len(rows)
    found = []
    for row, axis, turned in zip(rows, axes, back, strict=True):
        value = row
        if turned:
            ends: list[float] = [-(1 << 31)]
            value = c.call("slice", row, starts=[-1], ends=ends, axes=[0], steps=[-1])
        if axis:
            rank = rank_of(row)
            order = [*range(1, rank)]
            order.insert(axis % rank, 0)
            value = c.call("transpose", value, perm=order)
        found.append(value)
    return found
