"""ONNX files as graphs of any size: a sample of ONNX's cases, regions, refusals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from graph_cases import FIXED, FROZEN, OPEN, SHARED, outcome_of
from graph_reference import run
from node_cases import DTYPE, PASSED, node_cases
from onnx import TensorProto, helper
from onnx_files import info, model, node
from ops_wasm32.convert import Array

from toolchain.frontends import Given
from toolchain.frontends.graphs import graph_of
from toolchain.graph.graph import IF, LOOP, Graph
from toolchain.spec import SpecError

EACH = 19  # of ONNX's cases
# Cases of the sample that are refused: python tests/graph_cases.py tells why.
REFUSED = ("test_convinteger_with_padding",)
BOOL, INT64 = TensorProto.BOOL, TensorProto.INT64


@pytest.mark.parametrize("sizes", [FIXED, OPEN, SHARED, FROZEN])
def test_a_sample_of_the_cases_of_the_standard(sizes: str) -> None:
    cases = list(node_cases().values())[::EACH]
    found = [outcome_of(c, sizes) for c in cases]
    wrong = [
        f"{o.kind} {o.case}: {o.reason}"
        for o in found
        if o.kind not in (PASSED, DTYPE) and o.case not in REFUSED
    ]
    assert not wrong
    assert sum(o.kind == PASSED for o in found) > len(found) * 2 // 3


def read(proto: onnx.ModelProto, given: Given | None = None) -> Graph:
    return graph_of(proto, "m", given or Given(), "file").graph


def results(proto: onnx.ModelProto, *inputs: Array) -> list[Array]:
    return run(read(proto), inputs)


def body(
    nodes: Sequence[onnx.NodeProto], inputs: Sequence[Any], outputs: Sequence[Any]
) -> onnx.GraphProto:
    return helper.make_graph(nodes, "body", inputs, outputs)


def test_sizes_of_one_name_are_one_size() -> None:
    inputs = [info("x", ("n", None)), info("z", ("n", "other name"))]
    graph = read(model([node("Concat", "x", "z", axis=1)], inputs))
    assert [str(n) for v in graph.inputs for n in v.shape or ()] == [
        *("n", "x_1", "n", "other_name")
    ]
    assert [str(n) for n in graph.outputs[0].shape or ()] == ["n", "other_name + x_1"]
    assert list(graph.sizes) == ["n", "x_1", "other_name"]


def test_dims_are_fixed_or_bounded() -> None:
    proto = model([node("Relu", "x")], [info("x", ("n", "m"))])
    graph = read(proto, Given(dims={"n": 3, "m": (1, 512)}))
    assert [str(n) for n in graph.inputs[0].shape or ()] == ["3", "m"]
    assert dict(graph.sizes) == {"m": (1, 512)}


def test_branches_take_what_they_read_as_inputs() -> None:
    branches = [
        body([helper.make_node(op, ["x", b], [r])], [], [info(r, None)])
        for op, b, r in (("Add", "w", "p"), ("Mul", "v", "q"))
    ]
    chosen = helper.make_node(
        "If", ["c"], ["y"], then_branch=branches[0], else_branch=branches[1]
    )
    inputs = [info("c", (), BOOL), *(info(n, ("n",)) for n in "xwv")]
    proto = model([chosen], inputs)
    (branch,) = read(proto).nodes
    assert branch.op == IF
    assert len(branch.inputs) == 1 + 3
    assert [len(r.inputs) for r in branch.regions] == [3, 3]
    x, w, v = (np.array(n, "f4") for n in ([1, 2], [3, 4], [5, 6]))
    assert results(proto, np.array(True), x, w, v)[0].tolist() == [4, 6]
    assert results(proto, np.array(False), x, w, v)[0].tolist() == [5, 12]


def test_a_constant_condition_leaves_its_branch_alone() -> None:
    branches = [
        body([helper.make_node(op, ["x"], [op])], [], [info(op, None)])
        for op in ("Relu", "NoSuchOperator")
    ]
    chosen = node("If", "c", then_branch=branches[0], else_branch=branches[1])
    graph = read(model([chosen], weights={"c": np.array(True)}))
    assert [n.op for n in graph.nodes] == ["relu"]


def growing() -> onnx.ModelProto:
    """A loop that carries a tensor which gets longer, and stacks its steps' numbers."""
    nodes = [
        helper.make_node("Concat", ["s", "x"], ["t"], axis=0),
        helper.make_node("Identity", ["c"], ["d"]),
        helper.make_node("Identity", ["i"], ["row"]),
    ]
    inputs = [info("i", (), INT64), info("c", (), BOOL), info("s", None)]
    outputs = [info("d", (), BOOL), info("t", None), info("row", (), INT64)]
    loop = helper.make_node(
        "Loop", ["n", "", "x"], ["y", "rows"], body=body(nodes, inputs, outputs)
    )
    inputs = [info("n", (), INT64), info("x", ("k",))]
    outputs = [info("y", None), info("rows", None, INT64)]
    return model([loop], inputs, outputs)


def test_what_a_loop_carries_may_change_its_size() -> None:
    graph = read(growing())
    (loop,) = graph.nodes
    assert loop.op == LOOP
    assert loop.outputs[0].shape == (None,)
    for steps in (0, 1, 3):
        y, rows = results(growing(), np.array(steps), np.array([1, 2], "f4"))
        assert y.tolist() == [1, 2] * (steps + 1)
        assert rows.tolist() == list(range(steps))


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk->ik", [(2, 3), (3, 4)]),
        ("bij,bjk,kl->lbi", [(2, 3, 4), (2, 4, 5), (5, 6)]),
        ("...ij,...kj->...ik", [(2, 1, 3, 4), (5, 2, 4)]),
        ("iij->j", [(3, 3, 2)]),
        ("i,j->ji", [(3,), (2,)]),
        ("bhwk,hkc->bhwc", [(2, 3, 4, 5), (3, 5, 6)]),
        ("ab,cd", [(2, 3), (4, 5)]),
        ("ij,ij->", [(2, 3), (2, 3)]),
    ],
)
def test_einsum_of_open_sizes(equation: str, shapes: Any) -> None:
    rng = np.random.default_rng(0)
    values = [rng.normal(size=s).astype("f4") for s in shapes]
    names = [f"x{i}" for i in range(len(values))]
    inputs = [info(n, [None] * v.ndim) for n, v in zip(names, values, strict=True)]
    proto = model([node("Einsum", *names, equation=equation)], inputs)
    want = np.einsum(equation, *values)
    np.testing.assert_allclose(results(proto, *values)[0], want, rtol=1e-5, atol=1e-6)


def test_all_refusals_are_told_at_once() -> None:
    nodes = [
        helper.make_node("NoSuch", ["x"], ["a"], name="first"),
        helper.make_node("NoSuch", ["x"], ["b"], name="second"),
        helper.make_node("Add", ["a", "b"], ["c"]),
        helper.make_node("Other", ["c"], ["d"], domain="com.microsoft", name="late"),
        helper.make_node("Other", ["x"], ["y"], domain="com.microsoft", name="third"),
    ]
    with pytest.raises(SpecError) as error:
        read(model(nodes, outputs=[info("y"), info("d")]))
    assert str(error.value).splitlines() == [
        "file: these operators are not supported (docs/onnx.md: which are):",
        "  NoSuch, node first and 1 more",
        "  Other (domain com.microsoft), node third: an operator that ONNX Runtime's "
        "optimiser writes; take the file that it was given",
    ]


def test_reasons_of_rules_are_told_with_their_nodes() -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["a"], to=TensorProto.UINT64, name="n1"),
        helper.make_node("Cast", ["x"], ["b"], to=TensorProto.UINT64, name="n2"),
    ]
    with pytest.raises(SpecError) as error:
        read(model(nodes, outputs=[info("a"), info("b")]))
    assert str(error.value) == (
        "file: Cast, node n1 and 1 more: casts float32 to uint64, which is not "
        "supported; use float32, int32, int8, uint8, int64, bool, float16, float64"
    )


def test_an_output_is_a_value_of_its_own() -> None:
    nodes = [node("Relu", "x"), helper.make_node("Identity", ["y"], ["z"])]
    outputs = [info(n) for n in ("y", "z", "x")]
    graph = read(model(nodes, outputs=outputs))
    assert len(set(graph.outputs)) == 3
    assert [v.name for v in graph.outputs] == ["y", "z", "x"]


def test_sequences_are_taken_apart_while_reading() -> None:
    nodes = [
        helper.make_node("SplitToSequence", ["x"], ["s"], axis=1, keepdims=0),
        helper.make_node("SequenceAt", ["s", "last"], ["p"]),
        helper.make_node("SequenceInsert", ["s", "p", "first"], ["t"]),
        node("ConcatFromSequence", "t", axis=0, new_axis=1),
    ]
    weights = {"last": np.array(-1), "first": np.array(0)}
    proto = model(nodes, [info("x", ("n", 3))], weights=weights)
    x = np.array([[1, 2, 3], [4, 5, 6]], "f4")
    assert results(proto, x)[0].tolist() == [[3, 6], [1, 4], [2, 5], [3, 6]]


MS = "com.microsoft"
RNG = np.random.default_rng(0)
FLOATS = {
    n: RNG.normal(size=s).astype("f4")
    for n, s in {
        **{"x": (2, 4, 8), "r": (2, 4, 8), "s": (8,), "b": (8,), "w": (8, 24)},
        **{"v": (24,), "i": (2, 3, 5, 5), "k": (4, 3, 3, 3)},
    }.items()
}
OTHERS = {
    "q": RNG.integers(0, 255, (8, 6), "uint8"),
    "qs": np.array(0.01, "f4"),
    "qz": np.array(128, "uint8"),
    "mask": np.array([[1, 1, 1, 0], [1, 1, 0, 0]], "int32"),
}
OPTIMISED: list[tuple[str, list[str], int, dict[str, Any]]] = [
    ("FusedMatMul", ["x", "r"], 1, {"transB": 1, "alpha": 0.5}),
    ("FusedConv", ["i", "k"], 1, {"pads": [1, 1, 1, 1], "activation": "Relu"}),
    ("BiasGelu", ["x", "b"], 1, {}),
    ("FastGelu", ["x", "b"], 1, {}),
    ("QuickGelu", ["x"], 1, {"alpha": 1.5}),
    ("SkipLayerNormalization", ["x", "r", "s", "b"], 4, {"epsilon": 1e-5}),
    ("SkipSimplifiedLayerNormalization", ["x", "r", "s"], 4, {"epsilon": 1e-5}),
    ("Attention", ["x", "w", "v", "mask"], 1, {"num_heads": 2}),
    ("Attention", ["x", "w", "v"], 1, {"num_heads": 2, "unidirectional": 1}),
    ("MultiHeadAttention", ["x", "r", "r"], 1, {"num_heads": 2}),
    ("DynamicQuantizeMatMul", ["x", "q", "qs", "qz"], 1, {}),
]


@pytest.mark.parametrize(
    ("name", "inputs", "outputs", "attributes"),
    OPTIMISED,
    ids=[f"{i}-{o[0]}" for i, o in enumerate(OPTIMISED)],
)
def test_operators_of_the_optimiser_are_those_of_onnx_runtime(
    name: str, inputs: list[str], outputs: int, attributes: dict[str, Any]
) -> None:
    names = ["y", "", "", "sum"][:outputs]
    fused = helper.make_node(name, inputs, names, domain=MS, **attributes)
    values = {n: v for n, v in (FLOATS | OTHERS).items() if n in inputs}
    kinds = {n: helper.np_dtype_to_tensor_dtype(v.dtype) for n, v in values.items()}
    proto = model(
        [fused],
        [info(n, [None] * v.ndim, kinds[n]) for n, v in values.items()],
        [info(n, None) for n in names if n],
    )
    proto.opset_import.append(helper.make_opsetid(MS, 1))
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    found = results(proto, *values.values())
    for want, got in zip(session.run(None, values), found, strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-5)
