"""Programs whose tensors have one shape each: what the runtime says of others."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from abi import Arg, Module
from linking import link_texts

from toolchain.codegen.descriptor import fixed_descriptor, fixed_room, room, table

INPUTS = [("x", "float32", (2, 3)), ("y", "int8", (4,)), ("none", "int64", (0, 2))]
OUTPUTS = [("scalar", "float32", ()), ("copy", "float32", (2, 3))]
# scalar = the last element of x; copy = x.
KERNEL = """\
define i32 @kernel_net(ptr %slots) {
  %x = load ptr, ptr %slots
  %at = getelementptr i64, ptr %slots, i32 3
  %scalar = load ptr, ptr %at
  %next = getelementptr i64, ptr %slots, i32 4
  %copy = load ptr, ptr %next
  %last = getelementptr float, ptr %x, i32 5
  %value = load float, ptr %last
  store float %value, ptr %scalar
  call void @llvm.memcpy.p0.p0.i32(ptr %copy, ptr %x, i32 24, i1 false)
  ret i32 0
}
declare void @llvm.memcpy.p0.p0.i32(ptr, ptr, i32, i1)
"""
SHAPE = 4


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Module:
    needed = room([fixed_room("net", [*INPUTS, *OUTPUTS])])
    texts = [table(["net"]), needed, fixed_descriptor("net", INPUTS, OUTPUTS), KERNEL]
    folder: Path = tmp_path_factory.mktemp("fixed")
    return Module(link_texts(folder, texts, []))


def tensors(module: Module, **shapes: list[int]) -> list[Arg]:
    """All arguments, some of them of other shapes."""
    return [
        module.tensor(shapes.get(name, list(shape)), dtype)
        for name, dtype, shape in (*INPUTS, *OUTPUTS)
    ]


def test_a_call_and_what_it_would_give(module: Module) -> None:
    args = tensors(module)
    x, scalar, copy = args[0], args[3], args[4]
    module.write(module.data(x), struct.pack("<6f", *range(6)))
    for _ in range(2):
        assert module.call("net", *args) == 0, module.error()
        assert module.floats(scalar, 1) == [5.0]
        assert module.floats(copy, 6) == [0, 1, 2, 3, 4, 5]
    rooms = [module.tensor([9] * 8, data=0) for _ in OUTPUTS]
    assert module.infer("net", *args[:3], *rooms) == 0, module.error()
    assert [module.shape(r) for r in rooms] == [[], [2, 3]]


@pytest.mark.parametrize(
    ("shapes", "text"),
    [
        ({"x": [6]}, "net: x float32[6] has rank 1 but must have rank 2"),
        ({"x": [2, 3, 1]}, "net: x float32[2,3,1] has rank 3 but must have rank 2"),
        ({"x": [2, 4]}, "net: axis 1 of x float32[2,4] must have size 3"),
        ({"x": [1, 3]}, "net: axis 0 of x float32[1,3] must have size 2"),
        ({"y": [5]}, "net: axis 0 of y int8[5] must have size 4"),
        ({"none": [0, 3]}, "net: axis 1 of none int64[0,3] must have size 2"),
        ({"scalar": [1]}, "net: scalar has shape [1] but must be []; see ops_infer"),
        (
            {"copy": [3, 2]},
            "net: copy has shape [3,2] but must be [2,3]; see ops_infer",
        ),
    ],
)
def test_another_shape(module: Module, shapes: dict[str, list[int]], text: str) -> None:
    assert module.call("net", *tensors(module, **shapes)) == SHAPE
    assert module.error() == text


def test_its_signature(module: Module) -> None:
    inputs = "x: float32, y: int8, none: int64"
    outputs = "scalar: float32, copy: float32"
    text = module.text(module.run("ops_signature", 0))
    assert text == f"net({inputs}) -> ({outputs})"


def test_small_programs_after_large_ones(tmp_path: Path) -> None:
    """What the call before had more of is not looked at."""
    large = [(f"x{i}", "float32", (5, 3, 2, 7)[: i % 5]) for i in range(9)]
    models = {f"net{n}": large[:n] for n in range(1, 10)}
    texts = [table(list(models)), room([fixed_room(n, t) for n, t in models.items()])]
    for name, tensors_of in models.items():
        texts.append(fixed_descriptor(name, tensors_of[1:], tensors_of[:1]))
        texts.append(f"define i32 @kernel_{name}(ptr %slots) {{\n  ret i32 0\n}}\n")
    module = Module(link_texts(tmp_path, texts, []))
    made = [module.tensor(list(shape)) for _, _, shape in large]
    for n in (9, *range(1, 10), *range(9, 0, -1)):
        args = (*made[1:n], made[0])
        assert module.call(f"net{n}", *args) == 0, module.error()
