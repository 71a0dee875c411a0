"""The verifier of graphs: a right graph passes, and each fault is found."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from toolchain.graph.builder import Builder
from toolchain.graph.graph import IF, LOOP, Graph, Node, Value
from toolchain.graph.shapes import infer
from toolchain.graph.sizes import named
from toolchain.graph.verify import verify
from toolchain.spec import SpecError

BATCH, SEQ = named("batch"), named("seq")


def constant(name: str, *numbers: float, dtype: str = "float32") -> Value:
    return Value.constant(name, np.array(numbers, dtype))


def net() -> Graph:
    """Nodes 0 mul, 1 shape, 2 gather, 3 slice, 4 if, 5 loop."""
    x, go = Value("x", "float32", (BATCH, SEQ, 4)), Value("go", "bool", ())
    graph = Graph("net", [x, go], sizes={"batch": (0, 9), "seq": (0, 9)})
    builder = Builder(graph)
    double = builder.call("mul", x, constant("two", 2.0))
    sizes = builder.shape_of(double)
    end = builder.call("gather", sizes, constant("one", 1, dtype="int64"), axis=0)
    part = builder.call("slice", double, starts=[0], ends=end, axes=[1], steps=[1])
    (chosen,) = builder.add(_if(go, part))
    (last, _) = builder.add(_loop(end, chosen))
    graph.outputs = [last]
    return graph


def _if(go: Value, x: Value) -> Node:
    regions = []
    for name in ("relu", "neg"):
        inside = Value("inside", x.dtype, x.shape)
        region = Graph(name, [inside])
        region.outputs = [Builder(region, region=True).call(name, inside)]
        regions.append(region)
    return Node(IF, [go, x], [Value("chosen", x.dtype)], regions=regions)


def _loop(count: Value, x: Value) -> Node:
    step, go = Value("step", "int64", ()), Value("goes", "bool", ())
    state = Value("state", x.dtype, x.shape)
    body = Graph("body", [step, go, state])
    next_ = Builder(body, region=True).call("add", state, state)
    body.outputs = [go, next_, next_]
    outputs = [Value("last", x.dtype), Value("parts", x.dtype)]
    return Node(LOOP, [count, None, x], outputs, {"carried": 1}, regions=[body])


def test_a_right_graph() -> None:
    verify(net(), "the frontend")
    assert [n.op for n in net().nodes] == [
        *("mul", "graph.shape", "gather", "slice", "graph.if", "graph.loop")
    ]


def swap(graph: Graph) -> None:
    graph.nodes[0], graph.nodes[1] = graph.nodes[1], graph.nodes[0]


def write_twice(graph: Graph) -> None:
    graph.nodes[3].outputs = graph.nodes[0].outputs


def write_input(graph: Graph) -> None:
    graph.nodes[0].outputs = [graph.inputs[0]]


def write_constant(graph: Graph) -> None:
    graph.nodes[0].outputs[0].data = np.zeros(3, np.float32)


def output_of_nothing(graph: Graph) -> None:
    graph.outputs = [Value("y", "float32")]


def constant_of_other_shape(graph: Graph) -> None:
    two = graph.nodes[0].inputs[1]
    assert two is not None
    two.shape = (3,)


def constant_of_other_dtype(graph: Graph) -> None:
    two = graph.nodes[0].inputs[1]
    assert two is not None
    two.data = np.zeros(1, np.float64)


def unknown_operator(graph: Graph) -> None:
    graph.nodes[0].op = "multiply"


def unknown_operation(graph: Graph) -> None:
    graph.nodes[1].op = "graph.size"


def unknown_variant(graph: Graph) -> None:
    graph.nodes[0].dtypes = ("float16",)


def input_of_other_dtype(graph: Graph) -> None:
    graph.nodes[0].inputs[1] = constant("two", 2, dtype="int32")


def output_of_other_dtype(graph: Graph) -> None:
    graph.nodes[0].outputs[0].dtype = "int8"


def shape_of_other_dtype(graph: Graph) -> None:
    graph.nodes[1].outputs[0].dtype = "int32"


def too_few_inputs(graph: Graph) -> None:
    del graph.nodes[0].inputs[1]


def absent_input(graph: Graph) -> None:
    graph.nodes[0].inputs[1] = None


def too_many_inputs(graph: Graph) -> None:
    graph.nodes[0].inputs.append(graph.inputs[0])


def too_many_outputs(graph: Graph) -> None:
    graph.nodes[0].outputs.append(Value("more", "float32"))


def view_of_two(graph: Graph) -> None:
    graph.nodes[1].inputs *= 2


def unknown_attribute(graph: Graph) -> None:
    graph.nodes[2].attributes["axes"] = 1


def unknown_attribute_of_shape(graph: Graph) -> None:
    graph.nodes[1].attributes["axis"] = 1


def missing_attribute(graph: Graph) -> None:
    del graph.nodes[3].attributes["starts"]


def list_for_number(graph: Graph) -> None:
    graph.nodes[2].attributes["axis"] = [0]


def number_for_list(graph: Graph) -> None:
    graph.nodes[3].attributes["starts"] = 0


def fraction(graph: Graph) -> None:
    graph.nodes[2].attributes["axis"] = 0.5


def outside_its_limits(graph: Graph) -> None:
    graph.nodes[3].attributes["axes"] = [1 << 40]


def value_of_other_dtype(graph: Graph) -> None:
    graph.nodes[3].attributes["ends"] = graph.inputs[0]


def value_of_matrix(graph: Graph) -> None:
    value = Value("ends", "int64", (1, 1))
    graph.inputs.append(value)
    graph.nodes[3].attributes["ends"] = value


def wrong_rank(graph: Graph) -> None:
    graph.nodes[0].outputs[0].shape = (BATCH, 4)


def wrong_size(graph: Graph) -> None:
    graph.nodes[0].outputs[0].shape = (BATCH, SEQ, 5)


def wrong_elements(graph: Graph) -> None:
    graph.nodes[1].outputs[0].sizes = (BATCH, SEQ, 5)


def size_of_nothing(graph: Graph) -> None:
    graph.nodes[0].outputs[0].shape = (BATCH, named("width"), 4)


def impossible(graph: Graph) -> None:
    graph.nodes[0].inputs[1] = constant("two", 1, 2, 3)


def missing_region(graph: Graph) -> None:
    del graph.nodes[4].regions[1]


def regions_of_an_operator(graph: Graph) -> None:
    graph.nodes[0].regions = graph.nodes[4].regions


def region_without_input(graph: Graph) -> None:
    del graph.nodes[4].inputs[1]


def region_of_other_output(graph: Graph) -> None:
    region = graph.nodes[4].regions[0]
    region.outputs = [constant("c", 1, dtype="int8")]


def region_reads_around(graph: Graph) -> None:
    graph.nodes[4].regions[0].nodes[0].inputs = [graph.inputs[0]]


def fault_in_region(graph: Graph) -> None:
    graph.nodes[5].regions[0].nodes[0].op = "plus"


def condition_of_numbers(graph: Graph) -> None:
    graph.nodes[4].inputs[0] = graph.nodes[2].output


def count_of_floats(graph: Graph) -> None:
    graph.nodes[5].inputs[0] = graph.inputs[0]


def carried_shape_changes(graph: Graph) -> None:
    graph.nodes[5].regions[0].inputs[2].shape = (3, SEQ, 4)


FAULTS: list[tuple[Callable[[Graph], None], str]] = [
    (swap, r"node 0 \(graph.shape\): mul.1 is read, but nothing wrote it before"),
    (write_twice, r"node 3 \(slice\): mul.1 is written a second time"),
    (write_input, r"node 0 \(mul\): x is written a second time"),
    (write_constant, "mul.1 is written, but it is a constant"),
    (output_of_nothing, "the outputs: y is read, but nothing wrote it"),
    (constant_of_other_shape, r"two is float32\[3\], its elements are float32\[1\]"),
    (constant_of_other_dtype, r"two is float32\[1\], its elements are float64\[1\]"),
    (unknown_operator, "no operator 'multiply'"),
    (unknown_operation, "there is no operation graph.size"),
    (unknown_variant, "has no variant float16"),
    (input_of_other_dtype, "its input b is int32, but must be float32"),
    (output_of_other_dtype, "its output mul.1 is int8, but must be float32"),
    (shape_of_other_dtype, "its output is int32, but must be int64"),
    (too_few_inputs, "lacks its input b"),
    (absent_input, "lacks its input b"),
    (too_many_inputs, "has 3 inputs, but takes 2"),
    (too_many_outputs, "has 2 outputs, but gives 1"),
    (view_of_two, "takes an input and gives an output"),
    (unknown_attribute, "has no attribute 'axes'; its attributes: axis"),
    (unknown_attribute_of_shape, "has no attribute 'axis'; its attributes: start, end"),
    (missing_attribute, "lacks its attribute 'starts'"),
    (list_for_number, r"axis is \[0\], but must be one number"),
    (number_for_list, "starts is 0, but must be a list"),
    (fraction, "axis holds 0.5, but is int"),
    (outside_its_limits, "axes holds 1099511627776, outside"),
    (value_of_other_dtype, "ends follows from x, float32, but is int"),
    (value_of_matrix, "ends follows from ends, which has too many elements"),
    (wrong_rank, r"mul.1 has shape \[batch, 4\].* gives \[batch, seq, 4\]"),
    (wrong_size, r"mul.1 has shape \[batch, seq, 5\].* gives \[batch, seq, 4\]"),
    (wrong_elements, r"elements \[batch, seq, 5\], but .* \[batch, seq, 4\]"),
    (size_of_nothing, r"mul.1 \[batch, width, 4\] has width, no input's size"),
    (impossible, "sizes 3 and 4 do not broadcast"),
    (missing_region, "has 1 regions, but takes 2"),
    (regions_of_an_operator, "has 2 regions, but takes 0"),
    (
        region_without_input,
        r"inputs of relu have dtypes \['float32'\], but must have \[\]",
    ),
    (region_of_other_output, r"outputs of relu have dtypes \['int8'\]"),
    (region_reads_around, "relu: node 0 .* x is read, .* or is no input of its region"),
    (fault_in_region, r"node 5 \(graph.loop\): body: node 0 \(plus\): no operator"),
    (condition_of_numbers, r"its condition have dtypes \['int64'\]"),
    (count_of_floats, r"its count have dtypes \['float32'\]"),
    (carried_shape_changes, "state has shape .* in its region"),
]


@pytest.mark.parametrize(("fault", "text"), FAULTS)
def test_faults_are_found(fault: Callable[[Graph], None], text: str) -> None:
    graph = net()
    fault(graph)
    with pytest.raises(SpecError, match=f"after a pass: .*{text}") as error:
        verify(graph, "a pass")
    assert "this is a mistake in toolchain" in str(error.value)


def test_a_branch_that_cannot_run_is_no_fault() -> None:
    """Exporters squeeze an axis in the branch for size 1, whatever its size."""
    x = Value("x", "float32", (2, 3))
    builder = Builder(Graph("region", [x]), region=True)
    y = builder.squeeze(x, [0])
    assert y.shape is None
    condition = Value("go", "bool", ())
    z = Value("z", "float32")
    builder.graph.outputs = [y]
    node = Node(IF, [condition, x], [z], regions=[builder.graph, builder.graph])
    infer(node)
    graph = Graph("net", [condition, x], [z], [node])
    verify(graph, "the frontend")
    with pytest.raises(SpecError, match="axis 0 of x and 1 must be equal"):
        Builder(Graph("net", [x])).squeeze(x, [0])
