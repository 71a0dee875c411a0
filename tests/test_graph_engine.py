"""The engine of models of any shape, by calls with hostile arguments and odd sizes."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import ops_wasm32
import pytest
from abi import Arg, Module
from graph_building import module_of
from graph_reference import run
from onnx import TensorProto, helper
from onnx_files import Weights, info, model, node
from ops_wasm32.convert import Array

from toolchain.abi import MAX_MODEL_TENSORS
from toolchain.frontends import Given
from toolchain.frontends.graphs import graph_of
from toolchain.frontends.nodes import movement
from toolchain.graph.builder import Builder
from toolchain.graph.emit import emit_model
from toolchain.graph.graph import Graph, Value
from toolchain.spec import SpecError

BOOL, INT64 = TensorProto.BOOL, TensorProto.INT64
SHAPE, ATTRIBUTE, MEMORY = 4, 6, 7  # codes of errors
make = helper.make_node
RNG = np.random.default_rng(0)


def normal(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype("f4")


def built(proto: onnx.ModelProto, folder: Path, external: bool = False) -> Path:
    graph = graph_of(proto, "m", Given(), "file").graph
    return module_of(graph, folder, external=external)


def agree(
    proto: onnx.ModelProto, folder: Path, *calls: Sequence[Array], tolerance: float = 0
) -> None:
    """One module's results of several calls are those of numpy."""
    library = ops_wasm32.load(built(proto, folder))
    for inputs in calls:
        found = library(*inputs)
        found = [found] if isinstance(found, np.ndarray) else list(found)
        wanted = run(graph_of(proto, "m", Given(), "file").graph, inputs)
        for a, b in zip(found, wanted, strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def integers(module: Module, *numbers: int) -> Arg:
    tensor = module.tensor([len(numbers)], "int64")
    module.write(module.data(tensor), struct.pack(f"<{len(numbers)}q", *numbers))
    return tensor


def unknown(module: Module) -> Arg:
    """An output that the module allocates."""
    return module.tensor([0] * 8, data=0)


def test_a_planned_call_checks_the_output_before_it_writes(tmp_path: Path) -> None:
    nodes = [make("Exp", ["x"], ["a"]), node("Transpose", "a")]
    module = Module(built(model(nodes, [info("x", ("n", "m"))]), tmp_path))
    x, small, after = module.tensor([32, 32]), module.tensor([2, 2]), bytes(8192)
    guards = [module.store_bytes(after) for _ in range(2)]
    assert module.call("m", x, unknown(module)) == 0
    assert module.call("m", x, small) == SHAPE
    assert module.floats(small, 4) == [0] * 4
    assert [module.read(g, len(after)) for g in guards] == [after] * 2


@pytest.mark.parametrize("count", [9, 10, 40, 63])
def test_sizes_of_more_axes_than_there_are(count: int, tmp_path: Path) -> None:
    inputs = [info("x", ("n",)), info("s", ("k",), INT64)]
    module = Module(built(model([node("Reshape", "x", "s")], inputs), tmp_path))
    sizes = integers(module, *[1] * (count - 1), -1)
    assert module.call("m", module.tensor([4]), sizes, unknown(module)) == ATTRIBUTE
    assert f"cannot get {count} axes; use 0 to 8" in module.error()


@pytest.mark.parametrize("count", [1, 3, 9, 63])
def test_lists_of_another_length_than_the_constant_ones(
    count: int, tmp_path: Path
) -> None:
    inputs = [info("x", ("n",)), info("s", ("k",), INT64)]
    split = make("Split", ["x", "s"], ["y", "z"])
    proto = model([split], inputs, [info("y", None), info("z", None)])
    module = Module(built(proto, tmp_path))
    sizes = (
        integers(module, 1, 1, *[0] * (count - 2)) if count > 1 else integers(module, 2)
    )
    outputs = unknown(module), unknown(module)
    assert module.call("m", module.tensor([2]), sizes, *outputs) == ATTRIBUTE
    assert f"split has {count} entries but must have 2" in module.error()


def test_values_that_no_memory_holds_together(tmp_path: Path) -> None:
    """Their bytes together pass 2^32, and those of the last of them are few."""
    parts = range(6)
    nodes = [make("Mul", [f"x{i}", "z"], [f"a{i}"]) for i in parts]
    nodes += [make("Softmax", [f"a{i}"], [f"b{i}"], axis=0) for i in parts]
    nodes += [make("Concat", [f"b{i}" for i in parts], ["c"], axis=0)]
    nodes += [node("ReduceSum", "c", keepdims=0)]
    inputs = [*(info(f"x{i}", (f"n{i}", 1)) for i in parts), info("z", (1, "m"))]
    module = Module(built(model(nodes, inputs), tmp_path))
    for sizes, columns, code in (
        ([40_000, 40_000, 40_000, 100, 3, 1], 13_421, MEMORY),
        ([4, 4, 4, 1, 3, 1], 13, 0),
    ):
        given = [module.tensor([n, 1]) for n in sizes]
        given += [module.tensor([1, columns]), unknown(module)]
        assert module.call("m", *given) == code


def test_an_operand_of_as_many_bytes_stays_where_it_is_broadcast(
    tmp_path: Path,
) -> None:
    nodes = [
        make("Neg", ["x"], ["a"]),
        make("Unsqueeze", ["z", "one"], ["b"]),
        make("Less", ["a", "b"], ["c"]),
        node("Cast", "c", to=INT64),
    ]
    inputs = [info("x", ("n",), INT64), info("z", ("m",), INT64)]
    proto = model(nodes, inputs, [info("y", None, INT64)], {"one": np.array([1])})
    x, z = RNG.permutation(1000), np.arange(8) * -100
    agree(proto, tmp_path, (x, z), (x, z[::-1].copy()), (x[:3], z))


def branch(name: str, operator: str) -> onnx.GraphProto:
    nodes = [make(operator, ["x", "x"][: 1 + (operator == "Add")], [name])]
    return helper.make_graph(nodes, name, [], [info(name, None)])


def test_shapes_of_a_branch_are_not_inferred(tmp_path: Path) -> None:
    chosen = node(
        "If", "c", then_branch=branch("t", "Add"), else_branch=branch("e", "Exp")
    )
    proto = model([chosen], [info("c", (), BOOL), info("x", ("n",))])
    library = ops_wasm32.load(built(proto, tmp_path))
    given = np.array(True), normal(3)
    for _ in range(2):  # before a call and after it
        with pytest.raises(ops_wasm32.OpsError, match="follow from elements"):
            library.infer("m", *given)
        assert library(*given).shape == (3,)


def looped(nodes: Sequence[Any], weights: Weights, *more: str) -> onnx.ModelProto:
    """A loop that carries s, as t, and stacks `row`."""
    scalars = [info("i", (), INT64), info("c", (), BOOL)]
    body = helper.make_graph(
        [*nodes, make("Identity", ["c"], ["d"])],
        "body",
        [*scalars, info("s", None)],
        [info("d", (), BOOL), info("t", None), info("row", None)],
    )
    loop = make("Loop", ["n", "", "z"], ["y", "rows"], body=body)
    inputs = [
        info("n", (), INT64),
        info("z", ("k", "m")),
        *(info(x, ("a", "b")) for x in more),
    ]
    outputs = [info("y", None), info("rows", None)]
    return model([loop], inputs, outputs, weights)


def test_a_loop_of_no_iterations_reads_elements(tmp_path: Path) -> None:
    nodes = [
        make("Unsqueeze", ["i", "zero"], ["from"]),
        make("Add", ["from", "one"], ["to"]),
        make("Slice", ["x", "from", "to", "zero"], ["row"]),
        make("Add", ["s", "row"], ["t"]),
    ]
    weights = {"zero": np.array([0]), "one": np.array([1])}
    proto = looped(nodes, weights, "x")
    library = ops_wasm32.load(built(proto, tmp_path))
    x, z = normal(4, 3), normal(1, 3)
    for count in (4, 0, 1):
        y, rows = library(np.array(count), z, x)
        np.testing.assert_allclose(y, z + x[:count].sum(0), rtol=1e-5)
        assert rows.tolist() == x[:count, None].tolist() or not count
        assert rows.shape == (count, 1, 3)


def test_a_loop_stacks_parts_of_one_shape(tmp_path: Path) -> None:
    nodes = [
        make("Transpose", ["s"], ["t"], perm=[1, 0]),
        make("Identity", ["s"], ["row"]),
    ]
    library = ops_wasm32.load(built(looped(nodes, {}), tmp_path))
    assert library(np.array(3), normal(2, 2))[1].shape == (3, 2, 2)
    for shape in ((2, 3), (0, 3)):
        with pytest.raises(ops_wasm32.OpsError, match="after parts of another shape"):
            library(np.array(2), normal(*shape))
        assert library(np.array(1), normal(*shape))[1].shape == (1, *shape)


def test_a_loop_that_carries_many_values(tmp_path: Path) -> None:
    count = 260
    body = helper.make_graph(
        [
            make("Identity", ["c"], ["d"]),
            *(make("Neg", [f"s{i}"], [f"t{i}"]) for i in range(count)),
        ],
        "body",
        [info("i", (), INT64), info("c", (), BOOL)]
        + [info(f"s{i}", None) for i in range(count)],
        [info("d", (), BOOL), *(info(f"t{i}", None) for i in range(count))],
    )
    names = [f"x{i}" for i in range(count)]
    loop = make("Loop", ["n", "", *names], [f"y{i}" for i in range(count)], body=body)
    proto = model(
        [loop],
        [info("n", (), INT64), *(info(n, ("k",)) for n in names)],
        [info(f"y{i}", None) for i in range(count)],
    )
    agree(proto, tmp_path, (np.array(3), *(normal(2) for _ in names)))


def test_lists_that_no_call_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(movement, "MOST", 100)  # else it becomes slices
    parts = [f"y{i}" for i in range(70)]
    split = make("Split", ["x"], parts, num_outputs=len(parts))
    proto = model([split], [info("x", ("n",))], [info(p, None) for p in parts])
    with pytest.raises(SpecError, match="lists of 70 numbers, but a call takes 64"):
        built(proto, tmp_path)


def test_axes_of_size_one_move_in_tensors_without_elements(tmp_path: Path) -> None:
    for n in ("n", 0):
        proto = model(
            [node("Transpose", "x", perm=[1, 0, 2])], [info("x", (n, 1, "m"))]
        )
        shapes = [(0, 1, 3), (0, 1, 0), *([(2, 1, 3), (2, 1, 0)] if n == "n" else [])]
        agree(proto, tmp_path, *((normal(*s),) for s in shapes))


def test_axes_that_stay_may_be_of_size_one(tmp_path: Path) -> None:
    proto = model([node("Transpose", "x", perm=[0, 1])], [info("x", ("n", "m"))])
    agree(proto, tmp_path, *((normal(*s),) for s in ((2, 3), (1, 3), (2, 1), (1, 1))))


def test_a_constant_of_more_axes_gives_more(tmp_path: Path) -> None:
    weights = {"w": normal(4, 3, 1, 1), "k": np.full((1,) * 5, 2, "f4")}
    for operator in ("Add", "Sub"):
        nodes = [make("Conv", ["x", "w"], ["a"]), make(operator, ["a", "k"], ["y"])]
        proto = model(nodes, [info("x", ("n", 3, "h", "v"))], None, weights)
        agree(proto, tmp_path, (normal(2, 3, 4, 5),), tolerance=1e-5)


@pytest.mark.parametrize("axes", [0, 3])
def test_gelu_with_constants_of_more_axes(axes: int, tmp_path: Path) -> None:
    numbers = {"r": 2**0.5, "o": 1, "h": 0.5}
    weights = {n: np.full((1,) * axes, v, "f4") for n, v in numbers.items()}
    nodes = [
        make("Div", ["x", "r"], ["a"]),
        make("Erf", ["a"], ["b"]),
        make("Add", ["b", "o"], ["c"]),
        make("Mul", ["x", "c"], ["d"]),
        node("Mul", "d", "h"),
    ]
    proto = model(nodes, [info("x", ("n", "m"))], None, weights)
    graph = graph_of(proto, "m", Given(), "file").graph
    agree(proto, tmp_path, (normal(2, 3),), tolerance=1e-5)
    assert graph.outputs[0].rank == max(axes, 2)


def test_external_weights_may_move(tmp_path: Path) -> None:
    """What decides shapes is read by ops_infer, too, which is given no weights."""
    nodes = [
        make("Shape", ["x"], ["s"]),
        make("Gather", ["s", "order"], ["g"]),
        make("MatMul", ["x", "w"], ["p"]),
        node("Reshape", "p", "g"),
    ]
    weights = {"order": np.array([1, 0, 2]), "w": normal(4, 4)}
    proto = model(nodes, [info("x", ("n", "m", 4))], None, weights)
    path = built(proto, tmp_path, external=True)
    x = normal(2, 5, 4)
    assert ops_wasm32.load(path).infer("m", x) == [((5, 2, 4), "float32")]
    block = (tmp_path / "m.safetensors").read_bytes()
    block = block[8 + int.from_bytes(block[:8], "little") :]
    module = Module(path)
    given = module.tensor([2, 5, 4])
    module.write(module.data(given), x.tobytes())
    for _ in range(3):
        weights_there = module.tensor([len(block)], "uint8")
        at = module.write(module.data(weights_there), block)
        out = unknown(module)
        assert module.call("m", given, weights_there, out) == 0
        wanted = (x @ weights["w"]).ravel()
        np.testing.assert_allclose(module.floats(out, 40), wanted, rtol=1e-4, atol=1e-5)
        module.write(at, b"\xff" * len(block))


def test_a_loop_of_no_iterations_that_stacks_what_it_finds(tmp_path: Path) -> None:
    nodes = [
        make("Exp", ["s"], ["t"]),
        make("NonZero", ["s"], ["places"]),
        make("Cast", ["places"], ["row"], to=TensorProto.FLOAT),
    ]
    library = ops_wasm32.load(built(looped(nodes, {}), tmp_path))
    with pytest.raises(ops_wasm32.OpsError, match="give it one or more"):
        library(np.array(0), normal(2, 3))
    assert library(np.array(2), normal(2, 3))[1].shape == (2, 2, 6)


def test_what_is_doubled_many_times_is_compiled(tmp_path: Path) -> None:
    names = ["x", *(f"v{i}" for i in range(22)), "y"]
    nodes = [make("Add", [a, a], [b]) for a, b in pairwise(names)]
    agree(model(nodes, [info("x", ("n",))]), tmp_path, (normal(9),))


def test_values_that_are_read_no_more_leave_their_memory(tmp_path: Path) -> None:
    names = ["x", *(f"v{i}" for i in range(22)), "y"]
    nodes = [make("Softmax", [a], [b]) for a, b in pairwise(names)]
    module = Module(built(model(nodes, [info("x", ("n",))]), tmp_path))
    x = module.tensor([1 << 18])
    for _ in range(2):
        assert module.call("m", x, unknown(module)) == 0
    assert module.memory.data_len(module.store) < 8 << 20


@pytest.mark.parametrize(
    "operators", [["Clip", "Relu", "Clip"], ["Min", "Max", "Min", "Max"]]
)
def test_limits_twice_are_compiled(operators: list[str], tmp_path: Path) -> None:
    weights = {"low": np.array(-0.5, "f4"), "high": np.array(1, "f4")}
    given = {"Clip": ["low", "high"], "Min": ["high"], "Max": ["low"], "Relu": []}
    names = ["x", "a", "b", "c"][: len(operators)]
    pairs = list(zip(operators, names, [*names[1:], "y"], strict=True))
    nodes = [make(op, [source, *given[op]], [to]) for op, source, to in pairs]
    proto = model(nodes, [info("x", ("n",))], None, weights)
    agree(proto, tmp_path, (normal(9),))


def test_a_signature_names_external_weights(tmp_path: Path) -> None:
    proto = model([node("Neg", "x")], [info("x", ("n",))])
    module = Module(built(proto, tmp_path, external=True))
    signature = module.text(module.run("ops_signature", module.find("m")))
    assert signature == "m(x: float32, weights: uint8) -> (y: float32)"


@pytest.mark.parametrize("shape", [(1 << 33, "n"), (1 << 20, 1 << 13)])
def test_what_no_call_could_pass_is_refused(shape: Any, tmp_path: Path) -> None:
    proto = model([node("Neg", "x")], [info("x", shape)])
    with pytest.raises(SpecError, match=r"x.* 2 GiB|x, .* 2\^31"):
        built(proto, tmp_path)


def test_more_tensors_than_a_module_takes_are_refused() -> None:
    inputs = [Value(f"x{i}", "float32", ()) for i in range(MAX_MODEL_TENSORS)]
    graph = Graph("many", inputs)
    graph.outputs = [Builder(graph).call("neg", inputs[0])]
    with pytest.raises(SpecError, match=f"has {len(inputs) + 1} inputs and outputs"):
        emit_model(graph)


def test_a_plan_is_kept_for_the_next_call(tmp_path: Path) -> None:
    """A call of the same sizes takes fewer instructions than the first."""
    nodes = [make("Neg", ["x"], ["a"]), make("Softmax", ["a"], ["b"]), node("Exp", "b")]
    path, fuel = built(model(nodes, [info("x", ("n",))]), tmp_path), 10**9
    module = Module(path, fuel)
    args = [module.tensor([2]), module.tensor([2])]
    at, index = module.pack(tuple(args)), module.find("m")
    used = []
    for _ in range(3):
        assert module.run("ops_call", index, at, 2) == 0
        used.append(fuel - module.store.get_fuel())
    assert used[1] < 0.9 * used[0]
    assert used[2] == used[1]
