"""Elements of integers that follow from shapes, and the graph's own operations."""

from __future__ import annotations

import numpy as np
import pytest

from toolchain.graph.builder import Builder
from toolchain.graph.graph import IF, LOOP, Graph, Node, Value
from toolchain.graph.shapes import infer
from toolchain.graph.sizes import Size, named
from toolchain.spec import SpecError

BATCH, SEQ = named("batch", 1), named("seq", 1)
X = Value("x", "float32", (BATCH, SEQ, 768))


@pytest.fixture
def builder() -> Builder:
    return Builder(Graph("net", [X]))


def sizes_of(value: Value) -> list[str]:
    """Elements as text; "?" where unknown."""
    flat = value.sizes if value.data is None else value.data.ravel().tolist()
    return ["?" if n is None else str(n) for n in flat or ()]


def shape_of(value: Value) -> str:
    sizes = ("?" if s is None else str(s) for s in value.shape or ("any",))
    return ", ".join(sizes)


def ints(builder: Builder, *numbers: int, dtype: str = "int64") -> Value:
    return builder.constant(list(numbers), dtype)


def test_shapes_are_elements(builder: Builder) -> None:
    assert sizes_of(builder.shape_of(X)) == ["batch", "seq", "768"]
    assert sizes_of(builder.shape_of(X, 1)) == ["seq", "768"]
    assert sizes_of(builder.shape_of(X, -1)) == ["768"]
    unknown = Value("y", "float32", (None, 3))
    assert sizes_of(builder.shape_of(unknown)) == ["?", "3"]
    assert builder.shape_of(Value("z", "float32")).shape == (None,)


def test_known_sizes_leave_no_nodes(builder: Builder) -> None:
    """Shape arithmetic of exporters: Shape, Gather, Mul, Concat, Reshape."""
    x = Value("x", "float32", (2, 8, 768))
    shape = builder.shape_of(x)
    last = builder.call("gather", shape, builder.constant(2, "int64"), axis=0)
    heads = builder.call("div", last, builder.constant(64, "int64"))
    parts = [builder.unsqueeze(heads, [0]), ints(builder, 64)]
    first = builder.call("slice", shape, starts=[0], ends=[2])
    to = builder.call("concat", first, *parts, axis=0)
    assert builder.graph.nodes == []
    y = builder.reshape(x, to)
    assert [n.attributes["shape"] for n in builder.graph.nodes] == [[2, 8, 12, 64]]
    assert y.shape == (2, 8, 12, 64)


def test_named_sizes_go_through_shape_arithmetic(builder: Builder) -> None:
    shape = builder.shape_of(X)
    first = builder.call("gather", shape, ints(builder, 0, 1), axis=0)
    to = builder.call("concat", first, ints(builder, -1, 64), axis=0)
    y = builder.reshape(X, to)
    assert shape_of(y) == "batch, seq, 12, 64"
    folded = builder.call("reduce_prod", first, axes=[0], keepdims=1)
    rows = builder.call("concat", folded, ints(builder, 768), axis=0)
    assert shape_of(builder.reshape(y, rows)) == "batch*seq, 768"


def test_functions_of_elements(builder: Builder) -> None:
    a = builder.shape_of(X)
    b = ints(builder, 2, 3, -5)

    def result(name: str, *inputs: Value) -> list[str]:
        return sizes_of(builder.call(name, *inputs))

    assert result("add", a, b) == ["batch + 2", "seq + 3", "763"]
    assert result("sub", a, b) == ["batch - 2", "seq - 3", "773"]
    assert result("mul", a, b) == ["2*batch", "3*seq", "-3840"]
    assert result("div", a, b) == ["batch//2", "seq//3", "-153"]
    assert result("mod", a, b) == ["batch%2", "seq%3", "-2"]
    like_a = sizes_of(builder.call("mod", a, b, fmod=1))
    assert like_a == ["batch%2", "seq%3", "3"]
    assert result("div", b, a) == ["2//batch", "3//seq", "0"]
    assert result("div", ints(builder, -7), ints(builder, 2)) == ["-3"]
    assert result("neg", a) == ["-batch", "-seq", "-768"]
    assert result("minimum", a, b) == ["min(2, batch)", "min(3, seq)", "-5"]
    assert result("maximum", a, builder.constant(1)) == ["batch", "seq", "768"]
    narrow = builder.call("cast", a, dtypes=("int64", "int32"))
    less = builder.call("sub", narrow, ints(builder, 0, 1, 900, dtype="int32"))
    assert result("abs", less) == ["batch", "seq - 1", "132"]
    assert result("sign", less) == ["1", "?", "-1"]
    assert result("clip", a, builder.constant(0), builder.constant(768)) == [
        *("min(768, batch)", "min(768, seq)", "768")
    ]
    assert result("greater", a, builder.constant(0)) == ["True", "True", "True"]
    assert result("equal", a, builder.constant(768)) == ["?", "?", "1"]
    assert result("less", a, a) == ["False"] * 3
    assert result("reduce_sum", a) == ["batch + seq + 768"]
    assert result("transpose", a) == ["batch", "seq", "768"]


def test_decided_conditions_choose(builder: Builder) -> None:
    """Expand as exporters write it: where(shape == -1, ones, shape)."""
    shape = builder.shape_of(X)
    equal = builder.call("equal", shape, builder.constant(-1))
    assert equal.data is not None
    ones = builder.call("expand", builder.constant(1), shape=[3])
    assert sizes_of(builder.call("where", equal, ones, shape)) == [
        *("batch", "seq", "768")
    ]
    open_ = builder.call("equal", shape, ints(builder, 5, 5, 768))
    assert sizes_of(builder.call("where", open_, shape, ones)) == ["?", "?", "768"]


def test_elements_are_moved(builder: Builder) -> None:
    """Pads as exporters write them: reshape, slice, transpose, reshape."""
    shape = builder.shape_of(X)
    both = builder.call("concat", shape, ints(builder, 1, 2, 3), axis=0)
    rows = builder.reshape(both, [3, 2])
    back = builder.call(
        "slice", rows, starts=[2], ends=[-(2**62)], axes=[0], steps=[-1]
    )
    flat = builder.reshape(builder.call("transpose", back, perm=[1, 0]), [-1])
    assert sizes_of(flat) == ["2", "768", "batch", "3", "1", "seq"]
    one, two = builder.calls("split", flat, outputs=2, split=[2, 4])
    assert sizes_of(one) == ["2", "768"]
    assert sizes_of(two) == ["batch", "3", "1", "seq"]
    assert sizes_of(builder.call("tile", one, repeats=[2])) == ["2", "768"] * 2
    narrow = builder.call("cast", shape, dtypes=("int64", "int32"))
    assert (narrow.dtype, sizes_of(narrow)) == ("int32", ["batch", "seq", "768"])
    row = builder.flatten(builder.squeeze(builder.unsqueeze(shape, [0, 1])), 0)
    assert sizes_of(row) == ["batch", "seq", "768"]


def test_ranges(builder: Builder) -> None:
    sizes = builder.shape_of(X)
    seq = builder.call("gather", sizes, builder.constant(1, "int64"), axis=0)
    places = builder.call("range", dtypes=("int64",), start=0, limit=seq, delta=2)
    assert shape_of(places) == "(seq + 1)//2"
    few = builder.call("range", dtypes=("int64",), start=seq, limit=3, delta=-1)
    assert shape_of(few) == "max(0, seq - 3)"
    fixed = builder.call("range", dtypes=("int32",), start=7, limit=1, delta=-3)
    assert sizes_of(fixed) == ["7", "4"]


def test_integers_wrap(builder: Builder) -> None:
    x = Value("x", "float32", (1 << 30, 8))
    shape = builder.call("cast", builder.shape_of(x), dtypes=("int64", "int32"))
    assert sizes_of(builder.call("add", shape, shape)) == [str(-(1 << 31)), "16"]


def test_large_tensors_are_not_followed(builder: Builder) -> None:
    many = builder.call("expand", builder.shape_of(X, 0, 1), shape=[65])
    assert (many.shape, many.sizes) == ((65,), None)


def test_attributes_that_are_constants_become_numbers(builder: Builder) -> None:
    builder.call("slice", X, starts=ints(builder, 1), ends=ints(builder, 9))
    builder.call("softmax", X, axis=builder.constant(1))
    builder.call("softmax", X, axis=[2])
    builder.unsqueeze(X, ints(builder, 0, 1))
    assert [n.attributes for n in builder.graph.nodes] == [
        {"starts": [1], "ends": [9]},
        {"axis": 1},
        {"axis": 2},
        {"axes": [0, 1]},
    ]


@pytest.mark.parametrize(
    ("starts", "ends", "steps", "size"),
    [
        ([0], [2**62], [1], "seq"),
        ([1], [2**62], [1], "seq - 1"),
        ([0], [-1], [1], "seq - 1"),
        ([-1], [2**62], [1], "1"),
        ([0], [1], [1], "1"),
        ([0], [8], [1], "min(8, seq)"),
        ([0], [2**62], [2], "(seq + 1)//2"),
        ([-1], [-(2**62)], [-1], "seq"),
        ([2**62], [-(2**62)], [-2], "(seq + 1)//2"),
    ],
)
def test_slices_of_a_named_size(
    builder: Builder, starts: list[int], ends: list[int], steps: list[int], size: str
) -> None:
    y = builder.call("slice", X, starts=starts, ends=ends, axes=[1], steps=steps)
    assert shape_of(y) == f"batch, {size}, 768"


def test_views(builder: Builder) -> None:
    assert shape_of(builder.reshape(X, [0, -1, 12, 64])) == "batch, seq, 12, 64"
    assert shape_of(builder.reshape(X, [-1, 768])) == "batch*seq, 768"
    assert shape_of(builder.reshape(X, [0, 0, -1])) == "batch, seq, 768"
    hidden = Value("y", "float32", (None, SEQ, 768))
    assert shape_of(builder.reshape(hidden, [0, -1, 64])) == "?, 12*seq, 64"
    assert shape_of(builder.reshape(hidden, [-1, 64])) == "?, 64"
    assert shape_of(builder.flatten(X, 2)) == "batch*seq, 768"
    assert shape_of(builder.flatten(X, -3)) == "1, 768*batch*seq"
    assert shape_of(builder.unsqueeze(X, [0, -1])) == "1, batch, seq, 768, 1"
    one = Value("z", "float32", (1, BATCH, 1, 3))
    assert shape_of(builder.squeeze(one, [0])) == "batch, 1, 3"
    assert builder.squeeze(one).shape is None  # batch may be 1
    assert shape_of(builder.squeeze(Value("v", "float32", (1, 2)), [])) == "2"
    axes = Value("axes", "int64", (2,))
    assert shape_of(builder.squeeze(one, axes)) == "?, ?"
    assert shape_of(builder.unsqueeze(one, axes)) == "?, ?, ?, ?, ?, ?"
    assert shape_of(builder.reshape(X, axes)) == "?, ?"


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda b: b.squeeze(X, [2]), "axis 2 of x and 1 must be equal, got 768 and 1"),
        (lambda b: b.squeeze(X, [3]), "axes 3 is outside rank 3; use -3..2"),
        (lambda b: b.unsqueeze(X, [0, -5]), r"axes \[0, -5\] name an axis twice"),
        (lambda b: b.unsqueeze(X, [5]), "axes 5 is outside rank 4"),
        (lambda b: b.flatten(X, 4), "axis 4 is outside rank 3"),
        (lambda b: b.reshape(X, [0, 0, 0, 0]), r"shape\[3\] is 0"),
        (lambda b: b.reshape(X, [0, 0, 5]), "shape has 5 elements but x has 768"),
    ],
)
def test_views_that_are_wrong(builder: Builder, call: object, text: str) -> None:
    assert callable(call)
    with pytest.raises(SpecError, match=text):
        call(builder)


def region(name: str, inputs: list[Value], *outputs: Value) -> Graph:
    return Graph(name, inputs, list(outputs))


def test_branches_agree() -> None:
    def branch(*shape: Size | None) -> Graph:
        size = Value("s", "int64", (2,), None, (SEQ, shape[0]))
        return region("branch", [], Value("y", "float32", shape), size)

    outputs = [Value("y", "float32"), Value("s", "int64")]
    condition = Value("c", "bool", ())
    node = Node(IF, [condition], outputs)
    node.regions = [branch(BATCH, 3), branch(BATCH, 4)]
    infer(node)
    assert [v.shape for v in outputs] == [(BATCH, None), (2,)]
    assert outputs[1].sizes == (SEQ, BATCH)
    node.regions = [branch(BATCH, 3), branch(BATCH, 4, 1)]
    infer(node)
    assert [v.shape for v in outputs] == [None, (2,)]


def loop(before: Value, after: tuple[Size | None, ...], count: Value) -> Node:
    """A loop that carries one value, and stacks one."""
    state = Value("state", "float32", before.shape)
    step, go = Value("i", "int64", ()), Value("go", "bool", ())
    true = Value.constant("true", np.array(True))
    results = [Value("next", "float32", after), Value("part", "float32", (BATCH, 2))]
    body = region("body", [step, go, state], true, *results)
    outputs = [Value("last", "float32"), Value("parts", "float32")]
    return Node(LOOP, [count, None, before], outputs, {"carried": 1}, (), [body])


def test_loops() -> None:
    five = Value.constant("five", np.array(5, np.int64))
    node = loop(Value("zero", "float32", (BATCH, 8)), (BATCH, 8), five)
    infer(node)
    assert [v.shape for v in node.outputs] == [(BATCH, 8), (5, BATCH, 2)]
    node.inputs[0] = Value("count", "int64", ())
    infer(node)
    assert [v.shape for v in node.outputs] == [(BATCH, 8), (None, BATCH, 2)]


def test_a_carried_shape_that_changes() -> None:
    count = Value("count", "int64", ())
    node = loop(Value("zero", "float32", (BATCH, 8)), (BATCH, SEQ), count)
    text = (
        r"state has shape \[batch, 8\] in its region, but \[batch, \?\] is what holds"
    )
    with pytest.raises(SpecError, match=text):
        infer(node)
    node.regions[0].inputs[2].shape = (BATCH, None)
    infer(node)
    assert node.outputs[0].shape == (BATCH, None)
