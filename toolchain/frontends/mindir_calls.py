"""Calls of a MindIR file's functions: branches, and loops.

A loop is a function that calls itself. MindSpore writes `while` as a function whose
last step is a choice: of a body, which ends in a call of that function, or of what
comes after the loop. It writes `if` as a choice of two functions, which may both end in
a call of what comes after it. While these are converted, that function is open: a call
of it gives its arguments, a Jump.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from toolchain.frontends.nodes.control import branched, looped
from toolchain.frontends.nodes.scope import REFUSED, Items, Scope
from toolchain.frontends.primitives.calls import Primitive
from toolchain.frontends.primitives.control import Choice, Function, Jump
from toolchain.graph.graph import Value
from toolchain.spec import SpecError

# Converts all nodes of a function, in a scope, but the one that makes a value.
Convert: TypeAlias = Callable[[Any, Scope, str], None]
PASSING = ("Load", "Depend", "Identity", "Return", "StopGradient")


class Calls:
    """Calls of functions. kind_of: the primitive of a node; "" where it calls."""

    def __init__(
        self,
        functions: dict[str, Any],
        kind_of: Callable[[Any], str],
        convert: Convert,
    ) -> None:
        self.functions, self.kind_of, self.convert = functions, kind_of, convert
        self.open: list[str] = []
        self.makers = {
            node.output[0]: node
            for graph in functions.values()
            for node in graph.node
            if node.output
        }

    def call(
        self, c: Primitive, scope: Scope, target: Value | None, given: Sequence[Value]
    ) -> Value:
        """What a call gives. Errors: SpecError."""
        if isinstance(target, Choice):
            return self._choice(c, scope, target, given)
        if not isinstance(target, Function):
            raise SpecError("calls what is no function of the file")
        name, values = target.function, [*target.items, *given]
        if name in self.open:
            return Jump(name, values)
        if self._recurs(name):
            return self._loop(c, scope, name, values)
        graph, inside = self.functions[name], scope.inner()
        self._bind(graph, inside, values)
        self.convert(graph, inside, "")
        result = inside[graph.output[0].name]
        if result is None:
            raise SpecError(f"calls {name}, which gives nothing")
        return result

    def _bind(self, graph: Any, scope: Scope, values: Sequence[Value]) -> None:
        names = [i.name for i in graph.input]
        if len(names) != len(values):
            raise SpecError(
                f"gives {len(values)} arguments to {graph.name}, which takes "
                f"{len(names)}; export the model again"
            )
        scope.values |= dict(zip(names, values, strict=True))

    # Branches

    def _choice(
        self, c: Primitive, scope: Scope, choice: Choice, given: Sequence[Value]
    ) -> Value:
        condition, *sides = choice.items
        if condition.data is not None:
            side = sides[0 if condition.data.item() else 1]
            return self.call(c, scope, side, given)
        join = self._join(sides)
        if join:
            self.open.append(join)
        made: list[Value] = []

        def converted(side: Value) -> Callable[[Scope], list[Value]]:
            def convert(region: Scope) -> list[Value]:
                values = [region.take(v) for v in given]
                made.append(self.call(c, region, region.take(side), values))
                if REFUSED not in made:
                    _check_alike(made[0], made[-1])
                return list(leaves(made[-1]))

            return convert

        try:
            found = branched(c.within(scope), condition, [*map(converted, sides)])
        finally:
            if join:
                self.open.remove(join)
        if REFUSED in found:
            return REFUSED
        result = rebuilt(made[0], iter(found))
        if isinstance(result, Jump) and result.function == join:
            return self.call(c, scope, Function(join), result.items)
        return result

    def _join(self, sides: Sequence[Value]) -> str:
        """The function that both sides end in a call of; "" where there is none."""
        first, second = (list(self._ends(self._named(s))) for s in sides)
        return next((n for n in first if n in second and n not in self.open), "")

    def _named(self, value: Value) -> str:
        return value.function if isinstance(value, Function) else ""

    def _ends(self, name: str) -> Iterator[str]:
        """A function, the one that it ends in a call of, and so on."""
        seen = set[str]()
        while name and name not in seen and name not in self.open:
            yield name
            seen.add(name)
            name = self._next(name)

    def _next(self, name: str) -> str:
        key = self._target(self._last(name))
        if key in self.functions:
            return key
        sides = self._sides(key)
        if len(sides) != 2:
            return ""
        first, second = (list(self._ends(s)) for s in sides)
        return next((n for n in first if n in second), "")

    def _last(self, name: str) -> Any:
        """The node of a function's result, behind those that hand it on."""
        node = self.makers.get(self.functions[name].output[0].name)
        while node is not None and self.kind_of(node) in PASSING:
            node = self.makers.get(node.input[0])
        return node

    def _target(self, node: Any) -> str:
        """What a node calls, by name; "" where it calls nothing."""
        if node is None or self.kind_of(node):
            return ""
        return str(node.op_type.removeprefix("REF::"))

    def _sides(self, key: str) -> list[str]:
        """The functions that a value stands for, by name."""
        if key in self.functions:
            return [key]
        node = self.makers.get(key)
        kind = "" if node is None else self.kind_of(node)
        if node is not None and kind == "Switch":
            return [s for i in node.input[1:3] for s in self._sides(i)]
        if node is not None and kind == "Partial":
            return self._sides(node.input[0])
        return []

    # Loops

    def _reached(self, name: str) -> set[str]:
        """Functions that one may call, itself through others, outside of open ones."""
        found, todo = set[str](), [name]
        while todo:
            for node in self.functions[todo.pop()].node:
                used = {*node.input, node.op_type.removeprefix("REF::")}
                new = used & self.functions.keys() - found - {*self.open}
                found |= new
                todo += new
        return found

    def _recurs(self, name: str) -> bool:
        return name in self._reached(name)

    def head(
        self, scope: Scope, name: str, values: Sequence[Value]
    ) -> tuple[Scope, Value, list[Value], list[Value]]:
        """Of a loop's function all but its last step.

        The scope, the condition, the two sides and what they are given.
        """
        graph, inside, last = self.functions[name], scope.inner(), self._last(name)
        self._bind(graph, inside, values)
        if not self._target(last):
            raise SpecError(f"calls {name}, which calls itself, but not as a loop does")
        self.convert(graph, inside, last.output[0])
        choice = inside[self._target(last)]
        if choice is REFUSED:
            return inside, REFUSED, [], []
        if not isinstance(choice, Choice):
            raise SpecError(f"calls {name}, which calls itself without a condition")
        given = [inside[n] for n in last.input]
        condition, *sides = choice.items
        return inside, condition, sides, [v for v in given if v is not None]

    def _loop(
        self, c: Primitive, scope: Scope, name: str, values: Sequence[Value]
    ) -> Value:
        inside, condition, sides, given = self.head(scope, name, values)
        if condition is REFUSED:
            return REFUSED
        again = [name in {s, *self._reached(s)} for s in map(self._named, sides)]
        if again not in ([True, False], [False, True]):
            raise SpecError(f"calls {name}, which calls itself, but not as a loop does")
        body = _Body(self, c, name, again.index(True))
        condition = body.onward(condition, scope)
        state = body.changing(scope, list(leaves(Items(values))), values)
        if state is None:
            return REFUSED
        found = looped(c.within(scope), None, condition, state, body.step)
        if REFUSED in found:
            return REFUSED
        after = body.arguments(scope, values, found)
        inside, _, sides, given = self.head(scope, name, after)
        return self.call(c, inside, sides[again.index(False)], given)


class _Body:
    """The body of a loop, whose state are the arguments of the function that changes.

    side: the one of the choice's sides that goes on.
    """

    def __init__(self, calls: Calls, c: Primitive, name: str, side: int) -> None:
        self.calls, self.c, self.name, self.side = calls, c, name, side
        self.values: Sequence[Value] = ()
        self.kept: list[bool] = []  # of all leaves of the arguments: they change

    def changing(
        self, scope: Scope, whole: list[Value], values: Sequence[Value]
    ) -> list[Value] | None:
        """The leaves of the arguments that change; None where a node is refused."""
        self.values, self.kept = values, [True] * len(whole)
        region = scope.region("probe")
        probe = [region.builder.value("state", v.dtype, _open(v)) for v in whole]
        found = self.step(region, [], probe)
        if REFUSED in found:
            return None
        self.kept = [a is not b for a, b in zip(probe, found[1:], strict=True)]
        return [v for v, kept in zip(whole, self.kept, strict=True) if kept]

    def arguments(
        self, scope: Scope, values: Sequence[Value], state: Sequence[Value]
    ) -> list[Value]:
        """Arguments of the function, from the state and what does not change."""
        changed = iter(state)
        found = iter(
            [
                next(changed) if kept else scope.take(v) if scope.is_region else v
                for v, kept in zip(leaves(Items(values)), self.kept, strict=True)
            ]
        )
        return [rebuilt(v, found) for v in values]

    def onward(self, condition: Value, scope: Scope) -> Value:
        """The condition under which the loop goes on."""
        if self.side == 0:
            return condition
        return scope.builder.call("logical_not", condition)

    def step(
        self, region: Scope, first: list[Value], carried: list[Value]
    ) -> list[Value]:
        """From the state of a step to the next condition and the next state."""
        calls = self.calls
        values = self.arguments(region, self.values, carried)
        inside, condition, sides, given = calls.head(region, self.name, values)
        if condition is REFUSED:
            return [REFUSED]
        calls.open.append(self.name)
        try:
            jump = calls.call(self.c, inside, sides[self.side], given)
        finally:
            calls.open.remove(self.name)
        if jump is REFUSED:
            return [REFUSED]
        if not isinstance(jump, Jump) or jump.function != self.name:
            raise SpecError(
                f"calls {self.name}, a loop that a return or break leaves from inside; "
                "put that into its condition"
            )
        _check_alike(Items(self.values), Items(jump.items))
        _, condition, _, _ = calls.head(region, self.name, jump.items)
        if condition is REFUSED:
            return [REFUSED]
        new = leaves(Items(jump.items))
        state = [v for v, kept in zip(new, self.kept, strict=True) if kept]
        return [self.onward(condition, region), *state]


def _open(value: Value) -> Any:
    """As many unknown sizes as a value has axes."""
    return None if value.shape is None else (None,) * len(value.shape)


def leaves(value: Value | None) -> Iterator[Value]:
    """The tensors of a value, which may be a tuple of tuples."""
    if isinstance(value, Items):
        for item in value.items:
            yield from leaves(item)
    elif value is not None:
        yield value


def rebuilt(like: Value, tensors: Iterator[Value]) -> Value:
    """A value of the same form, of other tensors."""
    if isinstance(like, Items):
        return like.of([rebuilt(v, tensors) for v in like.items])
    return next(tensors)


def _form(value: Value) -> Any:
    if not isinstance(value, Items):
        return None
    name = value.function if isinstance(value, Function | Jump) else ""
    return type(value).__name__, name, [_form(v) for v in value.items]


def _check_alike(a: Value, b: Value) -> None:
    """Refuse values of two forms where there must be one."""
    if _form(a) != _form(b):
        raise SpecError(
            "has two sides that give different tuples, or of which one leaves a loop "
            "or function that the other goes on with; let both give the same"
        )
