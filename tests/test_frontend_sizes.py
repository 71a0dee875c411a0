"""What the ONNX frontend says of inputs and outputs: sizes, shapes, dtypes."""

from __future__ import annotations

import pytest
from onnx import TensorProto, helper
from onnx_files import FLOAT, Save, Shapes, info, model, node, refused

from toolchain.frontends import read_model, shapes_of
from toolchain.spec import SpecError


def test_open_dimensions_all_at_once(save: Save) -> None:
    inputs = [info("x", ["batch", 3]), info("z", [None, 2]), info("u", None)]
    text = refused(save(model([node("Relu", "x")], inputs)))
    assert "size 'batch' of x: --dim batch=1" in text
    assert "input 'z' has shape [?, 2]: --shape z=1,2" in text
    assert "input 'u' has no shape: --shape u=1,3,224,224" in text


@pytest.mark.parametrize("size", [-1, "?", "-1", "", None])
def test_sizes_without_names_are_each_their_own(
    save: Save, size: int | str | None
) -> None:
    """Paddle's exporter writes -1 and several called "?"."""
    path = save(model([node("Relu", "x")], [info("x", [1, 3, size, size])]))
    assert "has shape [1, 3, ?, ?]: --shape x=1,3,224,224" in refused(path)
    found = read_model(path, {"x": (1, 3, 48, 192)})
    assert [1, 3, 48, 192] == [int(n) for n in found.module["main"].params[0].ty.shape]


def test_many_open_inputs_make_one_line(save: Save) -> None:
    inputs = [info(f"x{i}", ["batch", "length"]) for i in range(19)]
    path = save(
        model([helper.make_node("Sum", [i.name for i in inputs], ["y"])], inputs)
    )
    text = refused(path)
    assert "size 'batch' of x0, x1, x2 and 16 more: --dim batch=1" in text
    assert 3 == len(text.splitlines())
    found = read_model(path, {}, {"batch": 2, "length": 5})
    assert 19 == len(found.inputs)


def test_open_dimensions_given(save: Save) -> None:
    inputs = [info("x", ["batch", 3]), info("z", ["batch", 3])]
    path = save(model([node("Add", "x", "z")], inputs))
    found = read_model(path, {"x": (5, 3)})
    shapes = [[int(n) for n in p.ty.shape] for p in found.module["main"].params]
    assert [[5, 3], [5, 3]] == shapes


@pytest.mark.parametrize(
    ("shapes", "text"),
    [
        ({"v": (2, 3)}, "no input is named 'v' (--shape); inputs: x, z"),
        ({"x": (2, 3, 1)}, "has rank 3; the model's has 2"),
        ({"x": (2, 4)}, "has 4 at dimension 1, where the model has 3"),
        (
            {"x": (2, 3), "z": (4, 3)},
            "has 4 at dimension 0 (batch), where the model has 2",
        ),
    ],
)
def test_shapes_that_contradict(save: Save, shapes: Shapes, text: str) -> None:
    inputs = [info("x", ["batch", 3]), info("z", ["batch", 3])]
    assert text in refused(save(model([node("Add", "x", "z")], inputs)), shapes)


def test_dtypes_at_the_boundary(save: Save) -> None:
    number, name = TensorProto.STRING, "string"
    x, y = info("x", (2,), number), info("y", None, number)
    text = refused(save(model([node("Identity", "x")], [x], [y])))
    assert f"input 'x' has dtype {name}; modules take float32" in text
    assert f"output 'y' has dtype {name}" in text


def test_sequences_at_the_boundary(save: Save) -> None:
    y = helper.make_tensor_sequence_value_info("y", FLOAT, None)
    text = refused(save(model([node("SplitToSequence", "x")], outputs=[y])))
    assert "SplitToSequence, node n" in text


def test_giant_tensors_at_the_boundary(save: Save) -> None:
    inputs = [info("x", (1 << 40,)), info("z", [1] * 9)]
    text = refused(save(model([node("Relu", "x")], inputs)))
    assert "input 'x' is float32[1099511627776], 4398046511104 bytes" in text
    assert "input 'z' has rank 9; use up to 8" in text


def test_shapes_of() -> None:
    assert {"x:0": (1, 3), "y": (2,)} == shapes_of(["x:0=1,3", "y=2"])
    with pytest.raises(SpecError, match="is no shape; give name=sizes"):
        shapes_of(["x=1,batch"])
