"""Functions as values: what Switch and Partial make. They are called by their name."""

from __future__ import annotations

from collections.abc import Sequence

from toolchain.frontends.nodes.scope import Items
from toolchain.frontends.primitives.calls import Primitive, primitive
from toolchain.graph.graph import Value
from toolchain.spec import SpecError


class Function(Items):
    """A function of the file. items: its first arguments."""

    def __init__(self, function: str, items: Sequence[Value] = ()) -> None:
        super().__init__(items)
        self.function = function

    def of(self, items: Sequence[Value]) -> Function:
        """The same with other arguments."""
        return Function(self.function, items)


class Choice(Items):
    """One function or another. items: a condition, and both."""

    def of(self, items: Sequence[Value]) -> Choice:
        """The same of other values."""
        return Choice(items)


class Jump(Items):
    """What a call of a function gives that runs already. items: its arguments."""

    def __init__(self, function: str, items: Sequence[Value]) -> None:
        super().__init__(items)
        self.function = function

    def of(self, items: Sequence[Value]) -> Jump:
        """The same with other arguments."""
        return Jump(self.function, items)


def is_callable(value: Value | None) -> bool:
    """Whether a value is one or several functions."""
    return isinstance(value, Function | Choice)


@primitive("Partial")
def partial(c: Primitive) -> Value:
    """A function with its first arguments."""
    function = c[0]
    if not isinstance(function, Function):
        raise SpecError("gives arguments to what is no function of the file")
    return function.of([*function.items, *c.given()[1:]])


@primitive("Switch")
def switch(c: Primitive) -> Value:
    """The first where the condition holds, else the second: functions or tensors."""
    sides = [c[1], c[2]]
    if all(map(is_callable, sides)):
        return Choice([_condition(c), *sides])
    if any(isinstance(v, Items) for v in sides):
        raise SpecError("chooses between functions and tensors; use one kind")
    return c.call("where", c[0], *sides)


def _condition(c: Primitive) -> Value:
    condition = (
        c[0] if c[0].dtype == "bool" else c.onnx("Not", c.call("equal", c[0], 0))
    )
    return condition if condition.shape == () else c.builder.reshape(condition, [])


@primitive("SwitchLayer", "switch_layer")
def switch_layer(c: Primitive) -> Value:
    """The function at an index of a tuple; the last one beyond its end."""
    choices = c[1]
    if not isinstance(choices, Items) or not all(map(is_callable, choices.items)):
        raise SpecError("chooses from what is no tuple of functions of the file")
    count = len(choices.items)
    index = c.cast(c.builder.reshape(c[0], []), "int64")
    index = c.call(
        "where", c.call("less", index, 0), c.call("add", index, count), index
    )
    found = choices.items[-1]
    for i in reversed(range(count - 1)):
        found = Choice([c.call("equal", index, i), choices.items[i], found])
    return found
