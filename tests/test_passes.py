"""The passes over a model's graph: their growth, and what each of them keeps."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
from large_graphs import KINDS, Writer, times

from toolchain.graph.rounding import LEVELS, MARGIN, WINOGRAD
from toolchain.model.graph import KERNEL, VIEW, Graph, Node, Value, from_relax
from toolchain.model.kernels import Batched, Copy, Instance, Joined
from toolchain.model.plan import aligned, plan
from toolchain.model.products import CONV
from toolchain.model.relaxed import Writer as RelaxWriter
from toolchain.model.rounding import tolerance
from toolchain.model.verify import verify
from toolchain.spec import SpecError
from toolchain.targets import TARGETS

if TYPE_CHECKING:
    from tvm import relax

# Three times the nodes: linear is 3, quadratic 9; a busy machine needs some room.
FEW, MANY, GROWTH, TRIES = 300, 900, 5.0, 5


@pytest.mark.parametrize("kind", KINDS)
def test_time_grows_with_the_nodes(kind: str) -> None:
    module = {n: KINDS[kind](n) for n in (FEW, MANY)}
    least = dict.fromkeys(module, float("inf"))
    for _ in range(TRIES):
        for n, given in module.items():
            least[n] = min(least[n], sum(times(given).values()))
        ratio = least[MANY] / least[FEW]
        if ratio < GROWTH:
            return
    pytest.fail(f"{MANY // FEW} times the nodes take {ratio:.1f} times as long")


# Plan


def _chain(seed: int) -> Graph:
    """Values of many sizes, read soon, late or never."""
    draw = random.Random(seed)
    values = [Value("x", (4,), "float32")]
    nodes = []
    for i in range(draw.randint(1, 60)):
        sizes = (0, 1, 5, 16, 17, 64, 100, 1000)
        outputs = [
            Value(f"v{i}.{k}", (draw.choice(sizes),), "float32")
            for k in range(draw.choice((1, 1, 2)))
        ]
        recent = values[-draw.choice((1, 3, 100)) :]
        inputs = [draw.choice(recent) for _ in range(draw.choice((1, 2, 3)))]
        nodes.append(Node(KERNEL, inputs, outputs))
        values += outputs
    return Graph("g", values[:1], values[-1:], nodes)


def _lives(graph: Graph) -> dict[Value, tuple[int, int]]:
    fixed = {*graph.inputs, *graph.outputs}
    found: dict[Value, tuple[int, int]] = {}
    for i, node in enumerate(graph.nodes):
        for value in (*node.inputs, *node.outputs):
            if value not in fixed:
                found[value] = (found.get(value, (i, i))[0], i)
    return found


def _first_fit(order: list[Value], lives: dict[Value, tuple[int, int]]) -> int:
    """The arena's size, by looking at all others for each value."""
    offsets: dict[Value, int] = {}
    for value in order:
        first, last = lives[value]
        taken = sorted(
            (at, at + aligned(v.bytes))
            for v, at in offsets.items()
            if lives[v][0] <= last and first <= lives[v][1]
        )
        at = 0
        for start, end in taken:
            if at + aligned(value.bytes) <= start:
                break
            at = max(at, end)
        offsets[value] = at
    return max((at + aligned(v.bytes) for v, at in offsets.items()), default=0)


@pytest.mark.parametrize("seed", range(40))
def test_values_that_live_at_once_lie_apart(seed: int) -> None:
    graph = _chain(seed)
    lives, found = _lives(graph), plan(graph, {})
    assert lives.keys() == found.offsets.keys()
    placed = [(found.offsets[v], v, *lives[v]) for v in lives]
    for a, v, first, last in placed:
        assert a % 64 == 0
        assert a + aligned(v.bytes) <= found.size
        for b, w, start, end in placed:
            if v is not w and start <= last and first <= end and v.bytes and w.bytes:
                assert a + v.bytes <= b or b + w.bytes <= a
    for i in range(len(graph.nodes)):
        alive = [v for v, (a, b) in lives.items() if a <= i <= b]
        assert sum(aligned(v.bytes) for v in alive) == found.live[i]
    assert max(found.live) == found.lower_bound
    # No larger than by first fit of the largest first, tried one after the other.
    order = sorted(lives, key=lambda v: -v.bytes)
    assert found.size <= _first_fit(order, lives)


# Instances


@pytest.mark.parametrize(
    ("constants", "text"),
    [
        ({"o": 2}, "softmax, an instance: n is missing"),
        ({"o": 2, "n": 8, "typo": 3}, "typo is unknown"),
        ({"o": 2, "n": 8.5}, "n is 8.5, no whole number"),
        ({"o": 2, "n": 8, "k": 4}, "k is unknown"),
    ],
)
def test_constants_of_an_instance(constants: dict[str, float], text: str) -> None:
    with pytest.raises(SpecError, match=text):
        Instance.of("softmax", constants)


def test_forms_and_dtypes_of_an_instance() -> None:
    with pytest.raises(SpecError, match="k is missing"):
        Instance.of("softmax", {"o": 2, "n": 8}, columns=True)
    with pytest.raises(SpecError, match="has no columns to take sizes"):
        Instance.of("matmul", {"M": 1, "K": 2, "N": 3}, columns=True)
    with pytest.raises(SpecError, match="no variant for float64; it has float32"):
        Instance.of("softmax", {"o": 2, "n": 8}, ("float64",))


def _values(*shapes: tuple[int, ...], dtype: str = "float32") -> list[Value]:
    return [Value(f"v{i}", s, dtype) for i, s in enumerate(shapes)]


SOFTMAX = Instance.of("softmax", {"o": 2, "n": 8})
MATMUL = Instance.of("matmul", {"M": 2, "K": 3, "N": 4})
ROWS = Joined((16, 32), 2)


@pytest.mark.parametrize(
    ("kernel", "inputs", "outputs", "text"),
    [
        (SOFTMAX, _values((2, 7)), _values((2, 8)), "x has 14 elements, but o n are"),
        (SOFTMAX, _values((2, 8), (1,)), _values((2, 8)), "has 2 inputs and 1 outputs"),
        (
            SOFTMAX,
            _values((2, 8), dtype="float64"),
            _values((2, 8)),
            "x is float64; it",
        ),
        (SOFTMAX, _values((2, 8)), _values((2, 8), dtype="int32"), "out is int32; it"),
        (
            Batched(MATMUL, 5, (24, 48, 32)),
            _values((5, 2, 3), (4, 3, 4)),
            _values((5, 2, 4)),
            "run 5 starts outside v1",
        ),
        (Copy(8), _values((2,)), _values((3,)), "v0 has 12 bytes"),
        (
            ROWS,
            _values((2, 4), (2, 7)),
            _values((2, 12)),
            "v1 has 56 bytes, not 2 rows",
        ),
    ],
)
def test_kernels_check_their_tensors(
    kernel: Instance | Batched | Copy | Joined,
    inputs: list[Value],
    outputs: list[Value],
    text: str,
) -> None:
    with pytest.raises(SpecError, match=text):
        kernel.check(inputs, outputs)


# Verify


def _graph() -> Graph:
    """A softmax, a view of it, and a sum with a constant."""
    x, a, b, y = _values((2, 8), (2, 8), (16,), (16,))
    nodes = [
        Node(KERNEL, [x], [a], {"kernel": SOFTMAX}),
        Node(VIEW, [a], [b]),
        Node("add", [b, Value.constant("c", np.ones(16, "float32"))], [y], build=print),
    ]
    return Graph("g", [x], [y], nodes)


def _twice(graph: Graph) -> None:
    graph.nodes[1].outputs = [graph.nodes[0].output]


def _late(graph: Graph) -> None:
    graph.nodes.reverse()


def _dangling(graph: Graph) -> None:
    del graph.nodes[1]


def _written_constant(graph: Graph) -> None:
    graph.nodes[1].output.data = np.zeros(16, "float32")


def _other_elements(graph: Graph) -> None:
    graph.nodes[2].inputs[1].data = np.ones(16, "float64")


def _other_kernel(graph: Graph) -> None:
    graph.nodes[0].attributes["kernel"] = Instance.of("softmax", {"o": 1, "n": 8})


def _other_view(graph: Graph) -> None:
    graph.nodes[1].inputs[0].dtype = graph.nodes[1].output.dtype = "int32"
    graph.nodes[1].output.dtype = "int64"


def _unread(graph: Graph) -> None:
    graph.outputs = [graph.nodes[1].output]


def _no_meaning(graph: Graph) -> None:
    graph.nodes[2].build = None


def _no_output(graph: Graph) -> None:
    graph.outputs.append(Value("z", (1,), "float32"))


def _bias(graph: Graph) -> None:
    weights = Value.constant("w", np.ones((4, 1, 1, 1), "float32"))
    attributes = {"bias": np.zeros(3, "float32"), "limits": (0.0, 1.0)}
    graph.nodes[2] = Node(
        CONV, [graph.nodes[2].inputs[0], weights], graph.outputs, attributes
    )


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (_twice, r"node 1 \(view\): v1 is written a second time"),
        (_late, r"node 0 \(add\): v2 is read, but nothing wrote it"),
        (_dangling, r"node 1 \(add\): v2 is read, but nothing wrote it"),
        (_written_constant, r"node 1 \(view\): v2 is written, but it is a constant"),
        (
            _other_elements,
            r"node 2 \(add\): the constant c is float32\[16\], its elements are",
        ),
        (_other_kernel, r"node 0 \(kernel\): x has 16 elements"),
        (_other_view, r"node 0 \(kernel\): out is int32"),
        (_unread, r"node 2 \(add\): nothing reads what it computes"),
        (_no_meaning, r"node 2 \(add\): nothing says what it computes"),
        (_no_output, r"the outputs: z is read, but nothing wrote it"),
        (_bias, r"node 2 \(conv\): its bias is \(3,\) for 4 channels"),
    ],
)
def test_the_verifier_names_pass_and_node(
    spoil: Callable[[Graph], None], text: str
) -> None:
    graph = _graph()
    verify(graph, "select")
    spoil(graph)
    with pytest.raises(SpecError, match=f"^after select: {text}"):
        verify(graph, "select")


def test_shapes_are_those_that_relax_computes() -> None:
    graph = _graph()
    graph.nodes = [Node("relu", graph.inputs, graph.outputs)]
    graph.outputs[0].shape = (2, 9)

    def build(inputs: list[relax.Expr]) -> relax.Expr:
        from tvm import relax

        return relax.op.nn.relu(inputs[0])

    graph.nodes[0].build = build
    with pytest.raises(SpecError, match=r"relu: v3 is float32\[2, 9\], but .*\[2, 8\]"):
        RelaxWriter(graph, None, {}, TARGETS["simd128"]).write()


# Rounding


def test_the_bound_follows_from_the_depth() -> None:
    w = Writer()

    def body(x: relax.Expr) -> list[relax.Expr]:
        for _ in range(3):
            x = w.build.emit(w.op.matmul(x, w.const(33, 33)))
            x = w.build.emit(w.op.add(x, w.const(33)))
            x = w.build.emit(w.op.nn.relu(x))
        return [x]

    graph = from_relax(w.module((2, 33), body), "g", ["y"])
    unit = np.finfo("float32").eps / 2
    wanted = MARGIN * unit * np.sqrt(3 * (33 + 1))
    assert np.isclose(wanted, tolerance(graph))
    assert np.isclose(WINOGRAD * wanted, tolerance(graph, winograd=True))


def test_the_bound_of_a_quantized_model_is_of_levels() -> None:
    module = KINDS["quantized"](32)
    assert LEVELS == tolerance(from_relax(module, "g", ["y"]))


def test_products_of_the_library_round_as_often_as_they_add() -> None:
    a, b = Value("a", (64, 5), "float32"), Value("b", (64, 7), "float32")
    x, w = Value("x", (1, 4, 9, 9), "float32"), Value("w", (8, 4, 4, 4), "float32")
    out = Value("y", (5, 7), "float32")
    for op, inputs in (("library.gemm", [a, b]), ("library.conv", [x, w])):
        node = Node(op, inputs, [out], {"transA": 1})
        graph = Graph("g", inputs, [out], [node])
        assert np.isclose(MARGIN * 2.0**-24 * 8, tolerance(graph))
