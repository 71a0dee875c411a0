"""MindIR's control flow and open sizes, of files as MindSpore writes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import ops_wasm32
import pytest
from graph_building import module_of
from mindir_files import Part, Writer
from ops_wasm32.convert import Array

from toolchain.frontends import Given
from toolchain.frontends.mindir import read
from toolchain.spec import SpecError

X = np.arange(-3, 3, dtype="f4").reshape(2, 3) / 4
EYE = np.eye(3, dtype="f4")


def model_of(writer: Writer, folder: Path, given: Given | None = None) -> Any:
    """The module of a file, loaded."""
    model = read(writer.write(folder / "net.mindir"), given or Given())
    return ops_wasm32.load(module_of(model.graph, folder))


def number(value: int) -> Array:
    return np.array(value, "int32")


def test_a_loop_runs_as_often_as_its_condition_says(tmp_path: Path) -> None:
    """While i < n: y, i = y @ w, i + 1."""
    writer = Writer()
    x, n = writer.main.input("x", [-1, 3]), writer.main.input("n", [], "int32")
    w = writer.main.weight("w", 2 * EYE)
    head = writer.function("while", ["while:i", "while:y", "while:w"])
    body, after = writer.function("body"), writer.function("after")
    chosen = head.op("Switch", head.op("Less", "while:i", n), "body", "after")
    head.give(head.call(chosen))
    plain = body.constant(False)
    y = body.op("MatMul", "while:y", "while:w", plain, plain)
    i = body.op("Add", "while:i", body.constant(1))
    body.give(body.call("while", i, y, "while:w"))
    after.give(after.op("Neg", "while:y"))
    zero = writer.main.constant(number(0))
    writer.main.give(writer.main.call("while", zero, x, w))
    model = model_of(writer, tmp_path)
    for steps in (0, 1, 5):
        assert (-X * 2.0**steps == model(X, number(steps))).all()
    assert (7, 3) == model(np.ones((7, 3), "f4"), number(2)).shape


def _branches(writer: Writer, x: str, condition: str, prefix: str) -> str:
    """If condition: 2 x, else -x; then both go on with exp(y) - y."""
    then, other = (writer.function(f"{prefix}{n}") for n in ("then", "else"))
    join = writer.function(f"{prefix}join", [f"{prefix}join:y"])
    for part, y in (
        (then, then.op("Muls", x, then.constant(2))),
        (other, other.op("Neg", x)),
    ):
        part.give(part.call(f"{prefix}join", y))
    y = f"{prefix}join:y"
    join.give(join.op("Sub", join.op("Exp", y), y))
    return writer.main.op("Switch", condition, f"{prefix}then", f"{prefix}else")


def _after(x: Array) -> Array:
    y: Array = 2 * x if x.sum() > 0 else -x
    return np.asarray(np.exp(y) - y)


def test_what_follows_two_branches_is_there_once(tmp_path: Path) -> None:
    """Two branches after each other: four ways, and no node twice."""
    writer = Writer()
    main = writer.main
    x = main.input("x", [-1, 3])

    def positive(part: Part, value: str) -> str:
        total = part.op("ReduceSum", value, part.constant(()), part.constant(False))
        return part.op("Greater", total, part.constant(0.0))

    y = main.call(_branches(writer, x, positive(main, x), "a_"))
    main.give(main.call(_branches(writer, y, positive(main, y), "b_")))
    model = read(writer.write(tmp_path / "net.mindir"), Given())
    count = [n.op for n in model.graph.nodes].count
    assert (2, 2) == (count("graph.if"), count("exp"))
    loaded = ops_wasm32.load(module_of(model.graph, tmp_path))
    for x_ in (X, -X):
        np.testing.assert_allclose(loaded(x_), _after(_after(x_)), rtol=1e-6)


def test_branches_and_loops_inside_a_loop(tmp_path: Path) -> None:
    """While i < n: j = 0; while j < i: x += 1, j += 1; x = -x if i is odd; i += 1."""
    writer = Writer()
    main = writer.main
    x, n = main.input("x", [3]), main.input("n", [], "int32")
    outer = writer.function("outer", ["outer:i", "outer:x"])
    inner = writer.function("inner", ["inner:j", "inner:x"])
    parts = ("body", "done", "add", "next", "odd", "even")
    body, done, add, onward, odd, even = map(writer.function, parts)
    join = writer.function("join", ["join:x"])
    go = outer.op("Less", "outer:i", n)
    outer.give(outer.call(outer.op("Switch", go, "body", "done")))
    done.give("outer:x")
    body.give(body.call("inner", body.constant(number(0)), "outer:x"))
    more = inner.op("Less", "inner:j", "outer:i")
    inner.give(inner.call(inner.op("Switch", more, "add", "next")))
    one = add.constant(1)
    added = add.op("Add", "inner:x", one)
    add.give(add.call("inner", add.op("Add", "inner:j", one), added))
    rest = onward.op("FloorMod", "outer:i", onward.constant(2))
    is_odd = onward.op("Equal", rest, onward.constant(1))
    onward.give(onward.call(onward.op("Switch", is_odd, "odd", "even")))
    odd.give(odd.call("join", odd.op("Neg", "inner:x")))
    even.give(even.call("join", "inner:x"))
    step = join.op("Add", "outer:i", join.constant(1))
    join.give(join.call("outer", step, "join:x"))
    main.give(main.call("outer", main.constant(number(0)), x))
    model = model_of(writer, tmp_path)
    for count in (0, 1, 4, 5):
        want = X[0]
        for i in range(count):
            want = (want + i) * (-1 if i % 2 else 1)
        assert (want == model(X[0], number(count))).all()


def test_a_function_of_a_tuple_and_one_with_bound_arguments(tmp_path: Path) -> None:
    writer = Writer()
    main = writer.main
    x, at = main.input("x", [3]), main.input("at", [], "int32")
    for i, name in enumerate(("first", "second", "third")):
        part = writer.function(name, [f"{name}:x", f"{name}:y"])
        part.give(part.op(("Add", "Sub", "Mul")[i], f"{name}:x", f"{name}:y"))
    bound = [main.op("Partial", f, x) for f in ("first", "second", "third")]
    layer = main.op("SwitchLayer", at, main.op("MakeTuple", *bound))
    main.give(main.call(layer, main.constant(np.array([1, 2, 3], "f4"))))
    model, other = model_of(writer, tmp_path), np.array([1, 2, 3], "f4")
    for i, want in enumerate((X[0] + other, X[0] - other, X[0] * other)):
        assert (want == model(X[0], number(i))).all()
        assert (want == model(X[0], number(i - 3))).all()


def leaving(writer: Writer) -> None:
    """A return inside a loop."""
    head, body = writer.function("head", ["head:x"]), writer.function("body")
    leave, on = writer.function("leave"), writer.function("on")
    after = writer.function("after")
    x = writer.main.input("x", [3])
    go = head.op("ReduceAll", head.op("Less", "head:x", head.constant(9.0)))
    head.give(head.call(head.op("Switch", go, "body", "after")))
    stop = body.op("ReduceAny", body.op("Less", "head:x", body.constant(-9.0)))
    body.give(body.call(body.op("Switch", stop, "leave", "on")))
    leave.give("head:x")
    on.give(on.call("head", on.op("Square", "head:x")))
    after.give("head:x")
    writer.main.give(writer.main.call("head", x))


def deep(writer: Writer) -> None:
    """A function that goes on after it called itself."""
    head = writer.function("head", ["head:x"])
    x = writer.main.input("x", [3])
    head.give(head.op("Neg", head.call("head", "head:x")))
    writer.main.give(writer.main.call("head", x))


def unlike(writer: Writer) -> None:
    """Branches of one tensor and of two."""
    main = writer.main
    x, c = main.input("x", [3]), main.input("c", [], "bool")
    then, other = writer.function("then"), writer.function("other")
    then.give(then.op("MakeTuple", x, x))
    other.give(x)
    main.give(main.call(main.op("Switch", c, "then", "other")))


def inside(writer: Writer) -> None:
    """An unknown primitive in a loop's body."""
    head, body = writer.function("head", ["head:x"]), writer.function("body")
    x = writer.main.input("x", [3])
    go = head.op("ReduceAll", head.op("Less", "head:x", head.constant(9.0)))
    head.give(head.call(head.op("Switch", go, "body", "after")))
    body.give(body.call("head", body.op("MyOwn", "head:x")))
    writer.function("after").give("head:x")
    writer.main.give(writer.main.call("head", x))


def arguments(writer: Writer) -> None:
    """A call with an argument too many."""
    part = writer.function("part", ["part:x"])
    part.give("part:x")
    x = writer.main.input("x", [3])
    writer.main.give(writer.main.call("part", x, x))


@pytest.mark.parametrize(
    ("write", "text"),
    [
        (leaving, "give different tuples, or of which one leaves a loop"),
        (deep, "head, node Default/main:CNode_.*calls itself, but not as a loop does"),
        (unlike, "has two sides that give different tuples"),
        (inside, r"which are\):\n  MyOwn, node Default/body:CNode_\d+$"),
        (arguments, "gives 2 arguments to part, which takes 1"),
    ],
)
def test_errors(write: Callable[[Writer], None], text: str, tmp_path: Path) -> None:
    writer = Writer()
    write(writer)
    with pytest.raises(SpecError, match=text):
        read(writer.write(tmp_path / "net.mindir"), Given())


def many_ways(writer: Writer, count: int) -> None:
    """Branches inside branches, none of which has a common end."""
    x, c = writer.main.input("x", [3]), writer.main.input("c", [], "bool")
    for i in range(count):
        for name in (f"a{i}", f"b{i}"):
            part = writer.function(name)
            y = part.op("Neg", x)
            if i + 1 < count:
                y = part.call(part.op("Switch", c, f"a{i + 1}", f"b{i + 1}"))
                y = part.op("Neg", y)
            part.give(y)
    writer.main.give(writer.main.call(writer.main.op("Switch", c, "a0", "b0")))


def test_functions_that_multiply_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolchain.frontends.mindir.NODES", 500)
    writer = Writer()
    many_ways(writer, 9)
    with pytest.raises(SpecError, match="is a call in a model of more than 500 nodes"):
        read(writer.write(tmp_path / "net.mindir"), Given())


def _pooled(sizes: Sequence[int]) -> Writer:
    """Reshape by sizes that the shape of the input gives, as MindSpore writes it."""
    writer = Writer()
    main = writer.main
    x = main.input("x", sizes)
    shape = main.op("Shape", x)
    first, last = (main.op("TupleGetItem", shape, main.constant(i)) for i in (0, 2))
    half = main.op("ScalarFloorDiv", last, main.constant(2))
    wanted = main.op("MakeTuple", first, half, main.constant(-1))
    flat = main.op("Reshape", x, wanted)
    main.give(main.op("ReduceMean", flat, main.constant(1), main.constant(False)))
    return writer


def test_open_sizes_and_what_decides_them(tmp_path: Path) -> None:
    def want(x: Array) -> Array:
        flat = x.reshape(x.shape[0], x.shape[2] // 2, -1)
        return np.asarray(flat.astype("f8").mean(axis=1))

    writer = _pooled([-1, 3, -1])
    model = model_of(writer, tmp_path)
    assert {"x_0", "x_2"} == set(model.sizes)
    for shape in ((1, 3, 4), (5, 3, 8)):
        x = np.random.default_rng(0).standard_normal(shape).astype("f4")
        np.testing.assert_allclose(model(x), want(x), rtol=1e-5, atol=1e-6)
    file = tmp_path / "net.mindir"
    fixed = read(file, Given(dims={"x.0": 2, "x.2": 4})).graph
    assert (2, 3, 4) == fixed.inputs[0].shape
    bounded = read(file, Given(dims={"x.0": (1, 9)})).graph
    assert (1, 9) == bounded.sizes["x_0"]
    with pytest.raises(
        SpecError, match=r"no open size is named 'seq' \(--dim\); names"
    ):
        read(file, Given(dims={"seq": 4}))


def test_an_input_of_any_rank_needs_a_shape(tmp_path: Path) -> None:
    writer = Writer()
    writer.main.give(writer.main.op("Exp", writer.main.input("x", [-2])))
    with pytest.raises(SpecError, match="input x has no rank in the file; give its sh"):
        model_of(writer, tmp_path)
    model = model_of(writer, tmp_path, Given({"x": (2, 3)}))
    np.testing.assert_allclose(model(X), np.exp(X), rtol=1e-6)


def test_an_input_as_a_constant(tmp_path: Path) -> None:
    writer = Writer()
    x, c = writer.main.input("x", [3]), writer.main.input("c", [], "bool")
    for name, kind in (("then", "Neg"), ("other", "Abs")):
        part = writer.function(name)
        part.give(part.op(kind, x))
    chosen = writer.main.op("Switch", c, "then", "other")
    writer.main.give(writer.main.call(chosen))
    file = writer.write(tmp_path / "net.mindir")
    graph = read(file, Given(values={"c": ["true"]})).graph
    assert ["neg"] == [n.op for n in graph.nodes]
    with pytest.raises(SpecError, match="--value c=5: '5' is no bool"):
        read(file, Given(values={"c": ["5"]}))
