"""A call byte by byte: add_float32 of [1, 2] and [10, 20], by the ABI alone.

python examples/python/abi.py build/simd128/ops_wasm32.wasm

It is a host in its smallest form: wasmtime, struct, and the functions of ops_wasm32.h.
"""

from __future__ import annotations

import struct
import sys

from wasmtime import Engine, Instance, Module, Store

KIND_TENSOR = 7
FLOAT32 = (2, 32, 1)  # code, bits, lanes
AT = 0x200000  # everything lies here, inside one block, so that pointers are round


class Host:
    """A module and its memory."""

    def __init__(self, path: str) -> None:
        engine = Engine()
        self.store = Store(engine)
        instance = Instance(self.store, Module.from_file(engine, path), [])
        self.exports = instance.exports(self.store)
        self.memory = self.exports["memory"]

    def call(self, name: str, *values: int) -> int:
        """Call an exported function; addresses are unsigned."""
        return int(self.exports[name](self.store, *values) or 0) & 0xFFFFFFFF

    def write(self, at: int, form: str, *values: float | bytes) -> None:
        """Write values, little-endian, as `struct` packs them."""
        self.memory.write(self.store, struct.pack(f"<{form}", *values), at)

    def show(self, what: str, at: int, *fields: tuple[int, str]) -> None:
        """Print the bytes of a struct, one field on a line."""
        print(f"{what}:")
        for size, name in fields:
            data = self.memory.read(self.store, at, at + size)
            for start in range(0, size, 8):
                part = data[start : start + 8].hex(" ")
                print(
                    f"  {at + start:06x}  {part:<23}  {'' if start else name}".rstrip()
                )
            at += size

    def text(self, at: int) -> str:
        """A string that ends with a 0."""
        data = bytes(self.memory.read(self.store, at, at + 200))
        return data[: data.index(0)].decode()


TENSOR = (
    (4, "data: address of the elements"),
    (8, "device: type 1 (CPU), id 0"),
    (4, "ndim"),
    (4, "dtype: code, bits, lanes (16 bits)"),
    (4, "shape: address of the sizes"),
    (4, "strides: 0, rows are compact"),
    (4, "(padding)"),
    (8, "byte_offset"),
)
ARGUMENT = ((4, "type_index: a tensor"), (4, "zero_padding"), (8, "v_tensor: address"))


def main() -> None:
    """Write the arguments, show them, call, show the result and an error."""
    host = Host(sys.argv[1])
    block = host.call("ops_alloc", 1 << 21)
    assert block < AT < block + (1 << 21) - 0x200
    host.write(AT + 0x160, "12s", b"add_float32")
    index = host.call("ops_find", AT + 0x160)
    print(f"signature: {host.text(host.call('ops_signature', index))}")

    host.write(AT + 0x100, "q", 2)  # the shape, which all three share
    host.write(AT + 0x110, "2f", 1, 2)
    host.write(AT + 0x120, "2f", 10, 20)
    for i, elements in enumerate((AT + 0x110, AT + 0x120, AT + 0x130)):
        head = AT + 0x40 * (i + 1)
        fields = (elements, 1, 0, 1, *FLOAT32, AT + 0x100, 0, 0)
        host.write(head, "IiiiBBHII4xQ", *fields)
        host.write(AT + 16 * i, "iiq", KIND_TENSOR, 0, head)

    for name, i in (("a", 0), ("b", 1), ("out", 2)):
        host.show(f"argument {i}", AT + 16 * i, *ARGUMENT)
        host.show(f"tensor {name}", AT + 0x40 * (i + 1), *TENSOR)
    host.show("sizes", AT + 0x100, (8, "shape[0]"))
    host.show("elements of a", AT + 0x110, (4, "1.0"), (4, "2.0"))
    host.show("elements of b", AT + 0x120, (4, "10.0"), (4, "20.0"))

    print(f"ops_call returns {host.call('ops_call', index, AT, 3)}")
    host.show("elements of out", AT + 0x130, (4, "11.0"), (4, "22.0"))

    host.write(AT + 0x80 + 16, "B", 0)  # the code of b's dtype: an integer now
    print(f"ops_call returns {host.call('ops_call', index, AT, 3)}")
    print(host.text(host.call("ops_last_error")))


if __name__ == "__main__":
    main()
