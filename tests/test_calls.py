"""Calls that come again: their blocks are looked for where they were found last."""

from __future__ import annotations

import struct

import pytest
from abi import BOOL, FLOAT, INT, NONE, TENSOR, Arg, Module, library_path

from toolchain.targets import TARGETS

ARGUMENT, POINTER = 2, 5
SHAPES: tuple[list[int], ...] = (
    *([], [1], [7], [16], [1000], [3, 5]),
    *([1, 2, 3, 1, 2, 1, 1, 2], [0], [4, 0]),
)


@pytest.fixture(params=list(TARGETS))
def module(request: pytest.FixtureRequest) -> Module:
    return Module(library_path(request.param))


def count(shape: list[int]) -> int:
    n = 1
    for size in shape:
        n *= size
    return n


def fill(module: Module, tensor: Arg, values: list[float]) -> None:
    module.write(module.data(tensor), struct.pack(f"<{len(values)}f", *values))


def again(module: Module, name: str, *args: Arg) -> tuple[int, int, int]:
    """An operator and arguments that stay where they are."""
    return module.find(name), module.pack(args), len(args)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_same_call_again(module: Module, shape: list[int]) -> None:
    n = count(shape)
    a, b, out = (module.tensor(shape) for _ in range(3))
    fill(module, b, [0.5] * n)
    call = again(module, "add_float32", a, b, out)
    for turn in range(3):
        fill(module, a, [float(turn + i) for i in range(n)])
        assert module.run("ops_call", *call) == 0, module.error()
        assert module.floats(out, n) == [turn + i + 0.5 for i in range(n)]


@pytest.mark.parametrize("n", [3, 16, 23, 1000])
@pytest.mark.parametrize("name", ["relu_float32", "add_float32"])
def test_in_place_again(module: Module, name: str, n: int) -> None:
    x, one = module.tensor([n]), module.tensor([n])
    fill(module, x, [float(i) for i in range(n)])
    fill(module, one, [1.0] * n)
    call = again(module, name, *([x, x] if name[0] == "r" else [x, one, x]))
    for turn in range(1, 4):
        assert module.run("ops_call", *call) == 0, module.error()
        step = 0 if name[0] == "r" else turn
        assert module.floats(x, n) == [float(i + step) for i in range(n)]


def test_strides_offsets_and_memory_of_others(module: Module) -> None:
    data = module.store_bytes(struct.pack("<6f", 9, 9, 1, 2, 3, 4))
    a = module.tensor([2, 2], data=data, strides=[2, 1], byte_offset=8)
    page = module.memory.grow(module.store, 1) * 65536
    b = module.tensor([2, 2], data=page + 4)
    fill(module, b, [10.0] * 4)
    out = module.tensor([2, 2])
    call = again(module, "add_float32", a, b, out)
    for _ in range(3):
        assert module.run("ops_call", *call) == 0, module.error()
        assert module.floats(out, 4) == [11.0, 12.0, 13.0, 14.0]


def test_a_shape_that_leaves_its_block(module: Module) -> None:
    x = module.tensor([1] * 8)
    shapes = module.store_bytes(struct.pack("<16q", *[1] * 16))
    for step, code in ((0, 0), (64, 0), (72, POINTER), (120, POINTER), (64, 0)):
        moved = module.tensor([1] * 8, shape_at=shapes + step)
        for args in ((moved, x, module.tensor([1] * 8)), (x, x, moved)):
            call = again(module, "add_float32", *args)
            for _ in range(2):
                assert module.run("ops_call", *call) == code, module.error()
                assert not code or "shape of" in module.error()


@pytest.mark.parametrize("step", [1, 2, 4])
def test_a_misaligned_struct_again(module: Module, step: int) -> None:
    a, b, out = (module.tensor([2]) for _ in range(3))
    assert module.run("ops_call", *again(module, "add_float32", a, b, out)) == 0
    at = struct.unpack("<I", b.value[:4])[0]
    copies = module.alloc(128)
    for place, code in ((copies, 0), (copies + 8, 0), (copies + step, POINTER)):
        module.write(place, module.read(at, 40))
        call = again(module, "add_float32", a, module.pointer(place), out)
        for _ in range(2):
            assert module.run("ops_call", *call) == code, module.error()
            assert not code or "DLTensor of b is misaligned" in module.error()


@pytest.mark.parametrize("step", [1, 2, 4])
def test_a_misaligned_shape(module: Module, step: int) -> None:
    shapes = module.alloc(64)
    for at, code in ((8, 0), (step, POINTER), (8 + step, POINTER)):
        module.write(shapes + at, struct.pack("<q", 2))
        moved = module.tensor([2], shape_at=shapes + at)
        call = again(module, "relu_float32", moved, module.tensor([2]))
        assert module.run("ops_call", *call) == code, module.error()
        assert not code or "shape of x is misaligned" in module.error()


def test_more_blocks_than_hints(module: Module) -> None:
    # There are 256 hints; of three blocks a tensor, many share one.
    tensors = [module.tensor([2]) for _ in range(150)]
    for tensor in tensors:
        fill(module, tensor, [1.0, 2.0])
    triples = list(zip(*(tensors[i::3] for i in range(3)), strict=True))
    calls = [again(module, "add_float32", *triple) for triple in triples]
    for _ in range(3):
        for call in calls:
            assert module.run("ops_call", *call) == 0, module.error()
    for *_, out in triples:
        assert module.floats(out, 2) == [2.0, 4.0]


@pytest.mark.parametrize("order", [1, -1], ids=["first", "last"])
def test_blocks_that_are_freed_are_gone(module: Module, order: int) -> None:
    tensors = [module.tensor([600]) for _ in range(40)]
    for a, out in zip(tensors[::2], tensors[1::2], strict=True):
        call = again(module, "relu_float32", a, out)
        assert module.run("ops_call", *call) == 0, module.error()
        assert module.run("ops_call", *call) == 0, module.error()
    # The table becomes shorter, and its end keeps what was there.
    calls = [
        again(module, "relu_float32", a, out)
        for a, out in zip(tensors[::2], tensors[1::2], strict=True)
    ][::order]
    for tensor in tensors[::2][::order]:
        assert module.run("ops_free", module.data(tensor)) == 0
    for _ in range(2):
        for call in calls:
            assert module.run("ops_call", *call) == POINTER
            assert "in no live block" in module.error()


def test_blocks_that_are_freed_after_the_table_moved(module: Module) -> None:
    """Hints of the old table find nothing there. It moves at 2048 and 14336 more."""
    a, out = (module.tensor([600]) for _ in range(2))
    call = again(module, "relu_float32", a, out)
    for more in (2100, 14400):
        assert module.run("ops_call", *call) == 0, module.error()
        for _ in range(more):
            module.alloc(1)
        assert module.run("ops_call", *call) == 0, module.error()
    for tensor in (a, out):
        assert module.run("ops_free", module.data(tensor)) == 0
    for _ in range(2):
        assert module.run("ops_call", *call) == POINTER
        assert "in no live block" in module.error()


def test_a_block_that_is_freed_once_the_table_moved(module: Module) -> None:
    """Nothing has looked for it since: its hint is the old table's."""
    a, out = (module.tensor([600]) for _ in range(2))
    call = again(module, "relu_float32", a, out)
    assert module.run("ops_call", *call) == 0, module.error()
    for _ in range(2100):
        module.alloc(1)
    assert module.run("ops_free", module.data(a)) == 0
    assert module.run("ops_call", *call) == POINTER
    assert "data of x is in no live block" in module.error()


@pytest.mark.parametrize("kind", [NONE, INT, BOOL, FLOAT, TENSOR + 1])
def test_a_tensor_by_another_kind(module: Module, kind: int) -> None:
    """Its bits alone make no tensor, though they did in the call before."""
    tensors = [module.tensor([2]) for _ in range(3)]
    assert module.call("add_float32", *tensors) == 0, module.error()
    for others in ((0,), (1,), (2,), (0, 1, 2)):
        args = [Arg(kind, x.value) if i in others else x for i, x in enumerate(tensors)]
        call = again(module, "add_float32", *args)
        name = ("a", "b", "out")[others[0]]
        for _ in range(2):
            assert module.run("ops_call", *call) == ARGUMENT
            assert f"add_float32: {name} must be a tensor, got " in module.error()


@pytest.mark.parametrize("turn", range(3))
def test_an_offset_that_leads_into_a_block(module: Module, turn: int) -> None:
    """From null, or around 4 GiB: the sum is good, and yet no place in a block."""
    tensors = [module.tensor([2]) for _ in range(3)]
    data = module.data(tensors[turn])
    for pointer, offset, code in (
        (data, 0, 0),
        (0, data, POINTER),
        (data, 1 << 32, POINTER),
        (data + 64, (1 << 32) - 64, POINTER),
        (data - 64, 64, 0),
        (data, 0, 0),
    ):
        args = list(tensors)
        args[turn] = module.tensor([2], data=pointer, byte_offset=offset)
        call = again(module, "add_float32", *args)
        for _ in range(2):
            assert module.run("ops_call", *call) == code, module.error()
            assert not code or "add_float32: data of " in module.error()
