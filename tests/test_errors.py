"""Bad input: a code and a text that can be acted on; never a trap or a wrong result."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from abi import Arg, Module, integer, library_path, none, number

from toolchain.targets import TARGETS

OPERATOR, ARGUMENT, DTYPE, SHAPE, POINTER, ATTRIBUTE, MEMORY = range(1, 8)
PAGE = 65536
Make = Callable[[Module], list[Arg]]


@pytest.fixture(scope="module", params=list(TARGETS))
def module(request: pytest.FixtureRequest) -> Module:
    return Module(library_path(request.param))


@pytest.fixture(autouse=True)
def still_works(module: Module) -> Iterator[None]:
    """After every error, calls work."""
    yield
    a, b, out = (module.tensor([2]) for _ in range(3))
    for tensor, value in ((a, 1.5), (b, 2.0)):
        fill(module, tensor, value)
    assert module.call("add_float32", a, b, out) == 0, module.error()
    assert module.floats(out, 2) == [3.5, 3.5]


def fill(module: Module, tensor: Arg, value: float) -> None:
    module.write(module.data(tensor), struct.pack("<2f", value, value))


def add_with(**fields: Any) -> Make:
    """Arguments of add whose first tensor has these fields."""
    return lambda m: [m.tensor([2], **fields), m.tensor([2]), m.tensor([2])]


def add_shapes(*shapes: list[int], size: int | None = None) -> Make:
    return lambda m: [m.tensor(s, size=size) for s in shapes]


def packed_with(a: list[int], panels: list[int], bias: list[int], columns: int) -> Make:
    """Arguments of matmul_packed."""
    return lambda m: [
        *(m.tensor(shape) for shape in (a, panels, bias, [2, columns])),
        *(integer(columns), none(), none()),
    ]


CASES: dict[str, tuple[str, Make, int, str]] = {
    "too few arguments": (
        "add_float32",
        lambda m: [m.tensor([2]), m.tensor([2])],
        ARGUMENT,
        "takes 3 arguments, got 2",
    ),
    "too many arguments": (
        "add_float32",
        lambda m: [m.tensor([2])] * 4,
        ARGUMENT,
        "takes 3 arguments, got 4",
    ),
    "int for a tensor": (
        "add_float32",
        lambda m: [integer(3), m.tensor([2]), m.tensor([2])],
        ARGUMENT,
        "a must be a tensor, got an int",
    ),
    "absent input that is required": (
        "add_float32",
        lambda m: [none(), m.tensor([2]), m.tensor([2])],
        ARGUMENT,
        "a must be a tensor, got nothing",
    ),
    "float for an int": (
        "softmax_float32",
        lambda m: [m.tensor([2]), m.tensor([2]), number(0.0)],
        ARGUMENT,
        "axis is a float; the signature has axis: int = -1",
    ),
    "tensor for an int": (
        "softmax_float32",
        lambda m: [m.tensor([2]), m.tensor([2]), m.tensor([2])],
        ARGUMENT,
        "axis is a tensor; the signature has axis: int = -1",
    ),
    "wrong dtype": (
        "add_float32",
        lambda m: [m.tensor([2], "int32"), m.tensor([2]), m.tensor([2])],
        DTYPE,
        "a is int32 but must be float32",
    ),
    "dtype that nobody takes": (
        "add_float32",
        lambda m: [m.tensor([2]), m.tensor([2], "float64"), m.tensor([2])],
        DTYPE,
        "b is float64 but must be float32",
    ),
    "vector lanes": ("add_float32", add_with(lanes=4), DTYPE, "float32x4"),
    "rank 9": ("add_float32", add_with(ndim=9), SHAPE, "a has rank 9; use 0 to 8"),
    "rank -1": ("add_float32", add_with(ndim=-1), SHAPE, "a has rank -1; use 0 to 8"),
    "shapes that do not broadcast": (
        "add_float32",
        add_shapes([2], [3], [3]),
        SHAPE,
        "float32[2]",
    ),
    "wrong output shape": (
        "add_float32",
        add_shapes([2], [2], [3]),
        SHAPE,
        "out has shape [3] but must be [2]",
    ),
    "negative dimension": (
        "add_float32",
        add_shapes([-1], [1], [1], size=64),
        SHAPE,
        "-1",
    ),
    "dimension of 2^31": (
        "add_float32",
        add_shapes([1 << 31], [1], [1], size=64),
        SHAPE,
        "2147483648",
    ),
    "dimension of 2^32 + 2, which truncates to 2": (
        "add_float32",
        add_shapes([(1 << 32) + 2], [2], [2], size=64),
        SHAPE,
        "4294967298",
    ),
    "product that overflows": (
        "add_float32",
        add_shapes([1 << 20, 1 << 20], [1], [1], size=64),
        SHAPE,
        "2^31 bytes",
    ),
    "null data": ("add_float32", add_with(data=0), POINTER, "data of a is null"),
    "misaligned data": (
        "add_float32",
        lambda m: [
            m.tensor([2], data=m.alloc(16) + 1),
            m.tensor([2]),
            m.tensor([2]),
        ],
        POINTER,
        "aligned",
    ),
    "data outside memory": (
        "add_float32",
        add_with(data=0xFFFF0000),
        POINTER,
        "outside",
    ),
    "byte_offset outside memory": (
        "add_float32",
        add_with(byte_offset=1 << 40),
        POINTER,
        "outside",
    ),
    "null shape": ("add_float32", add_with(shape_at=0), POINTER, "shape of a is null"),
    "shape outside memory": (
        "add_float32",
        add_with(shape_at=0xFFFFFFF8),
        POINTER,
        "outside",
    ),
    "null tensor": (
        "add_float32",
        lambda m: [m.pointer(0), m.tensor([2]), m.tensor([2])],
        POINTER,
        "null",
    ),
    "tensor outside memory": (
        "add_float32",
        lambda m: [m.pointer(0xFFFFFFF0), m.tensor([2]), m.tensor([2])],
        POINTER,
        "outside",
    ),
    "tensor larger than its block": (
        "add_float32",
        add_shapes([1000], [1000], [1000], size=64),
        POINTER,
        "block",
    ),
    "freed block": (
        "add_float32",
        lambda m: freed(m, [m.tensor([1000]) for _ in range(3)]),
        POINTER,
        "a",
    ),
    "strides that are not compact": (
        "add_float32",
        lambda m: [
            m.tensor([2, 2], strides=[1, 2]),
            m.tensor([2, 2]),
            m.tensor([2, 2]),
        ],
        SHAPE,
        "compact",
    ),
    "output that overlaps an input": (
        "add_float32",
        overlap := lambda m: [
            m.tensor([2], data=(at := m.alloc(64))),
            m.tensor([2]),
            m.tensor([2], data=at + 4),
        ],
        POINTER,
        "overlaps",
    ),
    "output over an input of another shape": (
        "equal_float32",
        lambda m: [
            m.tensor([1000], data=(at := m.alloc(4000))),
            m.tensor([4, 1000]),
            m.tensor([4, 1000], "bool", data=at),
        ],
        POINTER,
        "overlaps",
    ),
    "axis out of range": (
        "softmax_float32",
        lambda m: [m.tensor([2, 3]), m.tensor([2, 3]), integer(3)],
        ATTRIBUTE,
        "softmax_float32: axis 3 is outside rank 2 of x; use -2..1",
    ),
    "index out of range": (
        "gather_float32_int32",
        lambda m: [
            m.tensor([3]),
            m.tensor([1], "int32", data=m.store_bytes(b"\x0c\0\0\0")),
            m.tensor([1]),
            integer(0),
        ],
        ATTRIBUTE,
        "indices[0] is 12, outside axis 0 of size 3; use -3..2",
    ),
    "stride of 0": (
        "conv_float32",
        lambda m: [
            *(m.tensor([1, 1, 4, 4]), m.tensor([1, 1, 2, 2]), none()),
            *(m.tensor([1, 1, 3, 3]), integer(1)),
            *(integer(v) for v in (0, 0, 0, 0, 0, 0, 1, 1)),
        ],
        ATTRIBUTE,
        "strides_0 is 0; the signature has strides: int[1] = 1 >= 1",
    ),
    "weights packed for other windows": (
        "conv_packed_float32",
        lambda m: [
            *(m.tensor([1, 4, 4, 3]), m.tensor([1, 12, 8]), none()),
            *(m.tensor([1, 2, 2, 8]), integer(8), integer(3), integer(3)),
            *(integer(v) for v in (1, 1, 0, 0, 0, 0, 1, 1)),
            *(none(), none()),
        ],
        SHAPE,
        "axis 1 of packed must be the taps of kernel_shape times the channels of x",
    ),
    "inner sizes that differ": (
        "matmul_float32",
        add_shapes([2, 3], [4, 5], [2, 5]),
        SHAPE,
        "a has 3 columns but b has 4 rows",
    ),
    "panels of other columns": (
        "matmul_packed_float32",
        packed_with([2, 3], [2, 3, 8], [17], 17),
        SHAPE,
        "packed must have shape [3,3,8], for 17 columns: pass what matmul_pack gave",
    ),
    "bias of another size": (
        "matmul_packed_float32",
        packed_with([2, 3], [3, 3, 8], [16], 17),
        SHAPE,
        "bias must have shape [17], one for each column",
    ),
    "scalar by panels": (
        "matmul_packed_float32",
        packed_with([], [3, 3, 8], [17], 17),
        SHAPE,
        "a is a scalar; give it one axis or more",
    ),
}
del overlap


def freed(module: Module, args: list[Arg]) -> list[Arg]:
    """The arguments after the data of the first was freed."""
    assert module.run("ops_free", module.data(args[0])) == 0
    return args


@pytest.mark.parametrize("name", CASES)
def test_bad_call_is_named(module: Module, name: str) -> None:
    operator, make, code, message = CASES[name]
    args = tuple(make(module))
    call = (module.find(operator), module.pack(args), len(args))
    for _ in range(2):  # again, where blocks are known
        found = module.run("ops_call", *call)
        assert (code, True) == (found, message in module.error()), module.error()
        assert module.error().startswith(f"{operator}: ")


def test_unknown_operator(module: Module) -> None:
    assert module.run("ops_call", 9999, 0, 0) == OPERATOR
    assert "no operator 9999" in module.error()
    assert module.find("add_floot32") == -1
    assert "add_floot32" in module.error()
    assert module.run("ops_name", 9999) == 0
    assert module.run("ops_signature", 9999) == 0


@pytest.mark.parametrize("pointer", [0, 8, 0xFFFFFFF8])
def test_arguments_outside_memory(module: Module, pointer: int) -> None:
    index = module.find("add_float32")
    signed = pointer - (1 << 32 if pointer >> 31 else 0)
    assert module.run("ops_call", index, signed, 3) in (POINTER, ARGUMENT)


@pytest.mark.parametrize("count", [-1, -(2**31), 2**31 - 1])
def test_impossible_number_of_arguments(module: Module, count: int) -> None:
    assert module.call("add_float32", module.tensor([2]), count=count) == ARGUMENT


def test_free_of_what_is_no_live_block(module: Module) -> None:
    block = module.alloc(100)
    for pointer in (0, block + 64, block + 4, 12):
        assert module.run("ops_free", pointer) == POINTER
        assert "ops_free" in module.error()
    assert module.run("ops_free", block) == 0
    assert module.run("ops_free", block) == POINTER


def test_out_of_memory_is_null_and_the_rest_lives(module: Module) -> None:
    kept = module.store_bytes(b"kept")
    assert module.run("ops_alloc", -1) == 0
    assert "memory" in module.error()
    assert module.read(kept, 4) == b"kept"


def test_find_of_text_outside_memory(module: Module) -> None:
    assert module.run("ops_find", -4) == -1
    assert module.run("ops_find", 0) == -1


def test_infer_fills_what_call_wants(module: Module) -> None:
    out = module.tensor([0] * 8, ndim=0, data=0)
    a, b = module.tensor([2, 1]), module.tensor([3])
    assert module.infer("add_float32", a, b, out) == 0, module.error()
